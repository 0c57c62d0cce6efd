import t from 'tap';
import { defaultPipelineLimits } from '../../../src/ws/limits.ts';
import { Lanes } from '../../../src/ws/pipeline/lanes.ts';
import { type PendingRequest, readRequest } from '../../../src/ws/pipeline/pending-request.ts';
import { ReadBudget, SharedReads } from '../../../src/ws/pipeline/read-budget.ts';
import { openPipeline } from '../../helpers/pipeline.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { http, metric, startTestServer } from '../../helpers/server.ts';

const request = (fields: Record<string, unknown>) =>
  readRequest({ fields: { id: 1, ...fields }, records: undefined, problem: undefined, bytes: 50 });
const unknown = () => undefined;
const get = () => request({ op: 'get', path: '/n' });

/** Lanes with many requests, which are begun as far as they may. */
function lanesWith(
  bytesMax: number,
  pending: () => PendingRequest,
  shared = new SharedReads(Number.POSITIVE_INFINITY, unknown),
) {
  const reads = new ReadBudget(bytesMax, shared, () => lanes.reopen());
  const lanes = new Lanes(reads);
  for (let i = 0; i < 256; i += 1) lanes.add(pending());
  const begun: PendingRequest[] = [];
  const begin = () => {
    const some = lanes.begin(1000);
    begun.push(...some);
    return some.length;
  };
  /** Gives the oldest one its result. */
  const settle = (bytes: number) => {
    const oldest = begun.shift()!;
    oldest.response = '';
    lanes.endRead(oldest, bytes);
    lanes.settled(oldest);
    oldest.lane!.remove(1);
  };
  return { lanes, reads, begun, begin, settle };
}

t.test('reads in flight are bounded by what the last ones brought', async (t) => {
  const { begun, begin, settle } = lanesWith(1024 * 1024, get);
  t.equal(begin(), 8, 'at first each counts as 128 KiB');
  for (let i = 0; i < 8; i += 1) settle(400_000);
  begin();
  t.equal(begun.length, 2);
  for (let i = 0; i < 60; i += 1) {
    settle(100);
    begin();
  }
  t.equal(begun.length, 8, 'a node that nobody has read may always be large');
});

t.test('a read of a node whose size is known counts as that', async (t) => {
  const shared = (bytes: number) =>
    new SharedReads(Number.POSITIVE_INFINITY, (path) => (path === '/n' ? bytes : undefined));
  t.equal(lanesWith(1024 * 1024, get, shared(10)).begin(), 256);
  t.equal(lanesWith(1024 * 1024, () => request({ op: 'get', path: '/n/' }), shared(500_000)).begin(), 2);
});

t.test('one read may always begin, however large', async (t) => {
  const { begun, begin, settle } = lanesWith(1, get);
  for (let i = 0; i < 256; i += 1) {
    t.equal(begin(), 1);
    settle(1_000_000);
  }
  t.same(begun, []);
});

t.test('requests that read no data are not held back, nor a lane behind one that waits for records', async (t) => {
  t.equal(lanesWith(1, () => request({ op: 'exists', path: '/n' })).begin(), 256);
  let partition = 0;
  const fetches = lanesWith(1, () => request({ op: 'fetch', topic: 'a', partition: partition++ }));
  fetches.begin();
  t.equal(fetches.begun.length, 1);
  t.equal(fetches.begin(), 0);
  t.ok(fetches.lanes.endRead(fetches.begun[0]!, undefined), 'another one may begin');
  fetches.begin();
  t.equal(fetches.begun.length, 2);
  t.match(fetches.begun[1]!.expectedBytes, 128 * 1024);
  const small = lanesWith(1024 * 1024, () =>
    request({ op: 'fetch', topic: 'a', partition: partition++, maxBytes: 1024 }),
  );
  t.equal(small.begin(), 256, 'a fetch counts as its maxBytes at most');
});

t.test(
  'all sockets together are bounded, wait for each other, and give back what they have when they close',
  async (t) => {
    const shared = new SharedReads(1024 * 1024, unknown);
    const [one, two] = [lanesWith(1024 * 1024, get, shared), lanesWith(1024 * 1024, get, shared)];
    t.equal(one.begin(), 8);
    t.equal(two.begin(), 0);
    one.settle(100_000);
    t.equal(two.begin(), 1, 'it has the room that became free');
    t.equal(one.begin(), 0);
    one.reads.close();
    t.equal(two.begin(), 7);
    t.ok(two.begun.every(({ expectedBytes }) => expectedBytes === 128 * 1024));
  },
);

t.test('a request that reads no data is not held back by a read that is larger than the budget', async (t) => {
  const requests = [request({ op: 'fetch', topic: 'a', partition: 0 }), request({ op: 'exists', path: '/n' })];
  const lanes = new Lanes(new ReadBudget(1, new SharedReads(1, unknown), () => undefined));
  for (const each of requests) lanes.add(each);
  t.equal(lanes.begin(10).length, 2);
});

t.test('a full window of large nodes is read in order, within the budget', async (t) => {
  for (const readBytesMax of [defaultPipelineLimits.readBytesMax, 1]) {
    const limits = { pipeline: { ...defaultPipelineLimits, readBytesMax } };
    const { url } = await startTestServer(t, {}, undefined, limits);
    await http(`${url}/v1/nodes/large`, 'PUT', 'x'.repeat(100_000));
    const socket = await openPipeline(t, url);
    const responses = await socket.askAll(Array.from({ length: 256 }, () => ({ op: 'get', path: '/large' })));
    t.ok(responses.every(({ ok }) => ok.data.length === 100_000));
    const ids = socket.received.map(({ id }) => id);
    t.same(
      ids,
      [...ids].sort((a, b) => a - b),
    );
  }
});

t.test(
  'one call of the store brings some 8 MiB at most, whatever a client knows of the nodes before the broker does',
  async (t) => {
    const { socketPath } = await startTestRedis(t);
    const other = await startTestServer(t, {}, { socketPath });
    const size = 300_000;
    const large = 'x'.repeat(size);
    const unknown = Array.from({ length: 24 }, (_, at) => `/unknown-${at}`);
    for (const path of unknown) await http(`${other.url}/v1/nodes${path}`, 'PUT', large);
    const { url } = await startTestServer(t, {}, { socketPath });
    const socket = await openPipeline(t, url);
    const calls = () => metric({ url }, 'weir_store_call_duration_seconds_count{op="nodes/get"}');
    /** How many calls it takes to read these nodes, of which the socket asks for all at once. */
    const callsOf = async (paths: readonly string[]) => {
      // Small ones first: of late, the results of this socket were small.
      for (let i = 0; i < 80; i += 1) await socket.ask({ op: 'get', path: '/' });
      const before = await calls();
      const responses = await socket.askAll(paths.map((path) => ({ op: 'get', path })));
      t.ok(responses.every(({ ok }) => ok.data.length === size));
      return (await calls()) - before;
    };
    t.ok((await callsOf(unknown)) >= unknown.length / 8, 'nobody has read them here');

    const again = Array.from({ length: 240 }, (_, at) => unknown[at % unknown.length]!);
    t.ok((await callsOf(again)) >= (again.length * size) / (8 * 1024 * 1024), 'they have been read');

    await http(`${url}/v1/nodes/grown`, 'PUT', 'small');
    await socket.ask({ op: 'get', path: '/grown' });
    const { headers } = await http(`${other.url}/v1/nodes/grown`, 'PUT', large);
    await http(`${url}/v1/nodes/grown?read=local&minZxid=${headers.get('weir-zxid')}`);
    const grown = Array.from({ length: 240 }, () => '/grown');
    t.ok((await callsOf(grown)) >= (grown.length * size) / (8 * 1024 * 1024), 'it has grown through another broker');

    await http(`${url}/v1/nodes/set`, 'PUT', 'small');
    await socket.ask({ op: 'get', path: '/set' });
    const before = await calls();
    const [, ...read] = await socket.askAll([
      { op: 'set', path: '/set', data: large },
      ...Array.from({ length: 240 }, () => ({ op: 'get', path: '/set' })),
    ]);
    t.ok(read.every(({ ok }) => ok.data.length === size));
    t.ok(
      (await calls()) - before >= (read.length * size) / (8 * 1024 * 1024),
      'the same socket has set it, in the same frame',
    );
  },
);
