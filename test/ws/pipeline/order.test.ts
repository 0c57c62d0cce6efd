// Guarantee S1: requests of one socket take effect, and get their responses, in the order in which they were sent, whatever fails between
// them. Random requests on several sockets are compared with a model that knows nothing of sockets.
import fc from 'fast-check';
import t from 'tap';
import type { Op } from '../../../src/store/tree/namespace.ts';
import { openPipeline, type TestPipeline } from '../../helpers/pipeline.ts';
import { http, startTestServer } from '../../helpers/server.ts';
import { TreeModel } from '../../model/tree-model.ts';

/** WEIR_MODEL_RUNS=1000 searches for longer. */
const runs = Math.ceil(Number(process.env.WEIR_MODEL_RUNS ?? 300) / 15);
const maxNodeBytes = 1024 * 1024;

const one = await startTestServer(t);
const two = await startTestServer(t, {}, one.target);

interface Step {
  kind: 'create' | 'sequential' | 'set' | 'delete' | 'multi' | 'get' | 'exists' | 'children' | 'invalid';
  path: string;
  data: string;
  version: number | undefined;
  /** Whether the write has a seq; without one, what is behind it waits. */
  isNumbered: boolean;
  /** Whether the read is a local one. */
  isLocal: boolean;
  /** Whether the frame ends behind it. */
  endsFrame: boolean;
}

const path = fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 2 }).map((names) => `/${names.join('/')}`);
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom<Step['kind']>(
    'create',
    'create',
    'sequential',
    'set',
    'delete',
    'multi',
    'get',
    'get',
    'exists',
    'children',
    'invalid',
  ),
  path,
  data: fc.constantFrom('', 'x', 'é'),
  version: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
  isNumbered: fc.boolean(),
  isLocal: fc.boolean(),
  endsFrame: fc.boolean(),
});

/** What the socket sends for a step, and what the model says of it. */
function requestOf(root: string, { kind, path, data, version, isLocal }: Step): Record<string, unknown> {
  const at = root + path;
  switch (kind) {
    case 'create':
      return { op: 'create', path: at, data };
    case 'sequential':
      return { op: 'create', path: at, data, sequential: true };
    case 'set':
      return { op: 'set', path: at, data, version };
    case 'delete':
      return { op: 'delete', path: at, version };
    case 'multi':
      return {
        op: 'multi',
        ops: [
          { op: 'create', path: `${at}-m`, data },
          { op: 'check', path: at, version },
          { op: 'delete', path: `${at}-m` },
        ],
      };
    case 'invalid':
      return { op: 'set', path: at };
    default:
      return { op: kind, path: at, ...(isLocal && { read: 'local' }) };
  }
}

function expectedOf(model: TreeModel, root: string, step: Step): unknown {
  const at = root + step.path;
  const node = model.nodes.get(at);
  switch (step.kind) {
    case 'invalid':
      return { code: 'BAD_REQUEST' };
    case 'get':
      return node ? { data: node.data, version: node.version } : { code: 'NO_NODE' };
    case 'exists':
      return { exists: node !== undefined };
    case 'children':
      return node ? { children: model.children(at) } : { code: 'NO_NODE' };
    case 'multi': {
      const { ops } = requestOf(root, step) as unknown as { ops: Op[] };
      const outcome = model.write(ops);
      return 'results' in outcome ? { paths: outcome.results } : { code: outcome.code, failed: outcome.failed };
    }
    default: {
      const outcome = model.write([requestOf(root, step) as unknown as Op]);
      return 'results' in outcome ? { path: outcome.results[0] } : { code: outcome.code };
    }
  }
}

function shownOf({ kind }: Step, { ok, error }: any): unknown {
  if (error) return { code: error.code, ...(kind === 'multi' && { failed: error.failed }) };
  switch (kind) {
    case 'get':
      return { data: ok.data, version: ok.stat.version };
    case 'exists':
      return { exists: ok.exists };
    case 'children':
      return { children: ok.children };
    case 'multi':
      return { paths: ok.results.map((each: any) => each.path) };
    default:
      return { path: ok.path };
  }
}

/** Sends all steps without waiting for any response, and compares the responses in their order with the model. */
async function run(socket: TestPipeline, root: string, steps: readonly Step[]): Promise<void> {
  await socket.askAll([
    { op: 'session', ttl: '1m' },
    { op: 'create', path: root, seq: 1 },
  ]);
  const model = new TreeModel(root, maxNodeBytes);
  const before = socket.received.length;
  let seq = 1;
  let frame: unknown[] = [];
  for (const [id, each] of steps.entries()) {
    const isWrite = !['get', 'exists', 'children'].includes(each.kind);
    if (isWrite && each.isNumbered) seq += 1;
    frame.push({ id, ...requestOf(root, each), ...(isWrite && each.isNumbered && { seq }) });
    if (!each.endsFrame && id < steps.length - 1) continue;
    socket.send(frame);
    frame = [];
  }
  if (steps.length > 0) await socket.response(steps.length - 1);
  const responses = socket.received.slice(before);
  const zxids = responses.map(({ zxid }) => zxid ?? 0).filter((zxid) => zxid > 0);
  const problem = [
    ['ids', responses.map(({ id }) => id), steps.map((_, id) => id)],
    [
      'results',
      responses.map((each, id) => shownOf(steps[id]!, each)),
      steps.map((each) => expectedOf(model, root, each)),
    ],
    ['zxids', zxids, [...zxids].sort((a, b) => a - b)],
  ].find(([, got, expected]) => JSON.stringify(got) !== JSON.stringify(expected));
  if (problem) throw new Error(`${problem[0]}: ${JSON.stringify(problem[1])}\nexpected ${JSON.stringify(problem[2])}`);
}

let histories = 0;

t.test(
  `${runs} random interleavings on three sockets of two brokers end as the model says`,
  { timeout: 240_000 + runs * 1000 },
  async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 40 }), { minLength: 3, maxLength: 3 }), async (scripts) => {
        histories += 1;
        const sockets = await Promise.all(scripts.map((_, n) => openPipeline(t, [one, two, one][n]!.url)));
        await Promise.all(sockets.map((socket, n) => run(socket, `/h${histories}s${n}`, scripts[n]!)));
        for (const socket of sockets) socket.ws.terminate();
      }),
      { numRuns: runs },
    );
  },
);

t.test('a read between two pipelined writes sees the first and not the second', async (t) => {
  const socket = await openPipeline(t, one.url);
  await socket.askAll([{ op: 'session' }, { op: 'create', path: '/between', seq: 1 }]);
  const requests = Array.from({ length: 100 }, (_, n) => [
    { op: 'set', path: '/between', data: `${n}`, seq: n + 2 },
    { op: 'get', path: '/between' },
  ]).flat();
  const responses = await socket.askAll(requests);
  t.same(
    responses.filter((_, index) => index % 2 === 1).map(({ ok }) => ok.data),
    Array.from({ length: 100 }, (_, n) => `${n}`),
  );
  t.ok(socket.frameCount < 60, 'responses that are ready together come in one frame');
});

t.test('requests on one log keep their order, and do not wait for other logs', async (t) => {
  await http(`${one.url}/v1/topics`, 'POST', { name: 'ordered', partitions: 2 });
  const socket = await openPipeline(t, one.url);
  socket.send({ id: 'waits', op: 'fetch', topic: 'ordered', partition: 1, wait: '1m' });
  socket.send({ id: 'behind', op: 'fetch', topic: 'ordered', partition: 1 });
  const produce = Array.from({ length: 50 }, (_, n) => ({
    op: 'produce',
    topic: 'ordered',
    partition: 0,
    records: [{ value: n }],
  }));
  const responses = await socket.askAll([...produce, { op: 'fetch', topic: 'ordered', partition: 0 }]);
  t.same(
    responses.slice(0, -1).map(({ ok }) => ok.results[0].baseOffset),
    produce.map((_, n) => n),
  );
  t.same(
    responses.at(-1).ok.records.map(({ value }: any) => value),
    produce.map((_, n) => n),
    'a fetch sees all that was produced before it',
  );
  t.notOk(
    socket.received.some(({ id }) => id === 'waits' || id === 'behind'),
    'those of the other partition wait',
  );
  await http(`${one.url}/v1/topics/ordered/partitions/1/records`, 'POST', { records: [{ value: 'wakes' }] });
  await socket.response('behind');
  const order = socket.received.map(({ id }) => id);
  t.ok(order.indexOf('waits') < order.indexOf('behind'));
});

t.test('writes without seq are carried out one by one', async (t) => {
  const socket = await openPipeline(t, one.url);
  const responses = await socket.askAll([
    { op: 'create', path: '/single', data: '0' },
    { op: 'create', path: '/single' },
    { op: 'set', path: '/single', data: '1' },
    { op: 'get', path: '/single' },
    { op: 'delete', path: '/single' },
    { op: 'exists', path: '/single' },
  ]);
  t.same(
    responses.map(({ ok, error }) => error?.code ?? ok.data ?? ok.exists ?? 'OK'),
    ['OK', 'NODE_EXISTS', 'OK', '1', 'OK', false],
  );
});

t.test('an invalid request on a log or group is refused in its place among the others there', async (t) => {
  const socket = await openPipeline(t, one.url);
  await http(`${one.url}/v1/topics`, 'POST', { name: 'places', partitions: 1 });
  const place = { topic: 'places', partition: 0 };
  const deep = `${'['.repeat(200)}${']'.repeat(200)}`;
  socket.send([
    { id: 'waits', op: 'fetch', ...place, offset: 'latest', wait: '60s' },
    { id: 'fetch', op: 'fetch', ...place, maxRecords: 0 },
    { id: 'produce', op: 'produce', ...place, records: [{ value: 1, unknown: 1 }] },
  ]);
  socket.send(`{"id":"deep","op":"fetch","topic":"places","partition":0,"offset":${deep}}`);
  socket.send([
    { id: 'commit', op: 'commit', group: 'g', offsets: 'none' },
    { id: 'tree', op: 'ping' },
  ]);
  t.match(await socket.response('commit'), { error: { code: 'BAD_REQUEST' } });
  await socket.response('tree');
  t.same(socket.received.map(({ id }) => id).sort(), ['commit', 'tree'], 'the others wait for the first fetch');
  await http(`${one.url}/v1/topics/places/partitions/0/records`, 'POST', { records: [{ value: 'wakes' }] });
  for (const id of ['fetch', 'produce', 'deep']) t.match(await socket.response(id), { error: { code: 'BAD_REQUEST' } });
  t.same(socket.received.map(({ id }) => id).slice(2), ['waits', 'fetch', 'produce', 'deep']);
});
