// Programs that ask more of a client than it keeps, and a store that does not respond for a while.
import { getEventListeners, once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { startTestRedis } from '../../test/helpers/redis.ts';
import { eventually, http, metric, startTestServer } from '../../test/helpers/server.ts';
import type { Watch } from '../src/index.ts';
import { startClient, take, values } from './client.ts';

const { redis, socketPath } = await startTestRedis(t);
// Calls of the store fail while it is stopped, and the client has to repeat them.
const server = await startTestServer(t, { storeTimeoutMs: 500 }, { socketPath });
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

for (const [way, options] of [
  ['socket', {}],
  ['HTTP', { webSocket: null }],
] as const) {
  t.test(`over ${way}: calls during a pause of the store finish, and none takes effect twice`, async (t) => {
    const weir = startClient(t, server.url, { ...options, retry: { for: '60s', minDelay: 10, maxDelay: 200 } });
    const topic = `pause-${way}`;
    const root = `/${topic}`;
    const count = 40;
    await weir.tree.create(root);
    await weir.admin.topics.create({ name: topic });
    const producers = [weir.producer({ topic, linger: 0 }), weir.producer({ topic, linger: 0, name: topic })];
    await Promise.all(producers.map((producer, which) => producer.send({ value: `${which}` })));
    t.teardown(() => process.kill(redis.pid, 'SIGCONT'));
    process.kill(redis.pid, 'SIGSTOP');
    const calls = Array.from({ length: count }, (_, n) => [
      weir.tree.createSequential(`${root}/n-`),
      weir.tree.set(root, String(n)),
      weir.tree.get(root),
      ...producers.map((producer, which) => producer.send({ value: `${which}-${n}` })),
    ]);
    const settled = Promise.allSettled(calls.flat());
    const isRefused = async () => (await http(`${server.url}/v1/nodes/${topic}`)).status === 503;
    for (let n = 0; n < 3; n += 1) await eventually(isRefused, 'a call has waited for the store in vain');
    process.kill(redis.pid, 'SIGCONT');
    const failed = (await settled).flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : []));
    t.same(failed, [], 'all have finished');
    t.equal((await weir.tree.children(root)).names.length, count, 'each node was created once');
    t.equal((await weir.tree.stat(root))?.version, count, 'each write took effect once');
    const records = await take(weir.tail(topic, { from: 'earliest' }), 2 + 2 * count);
    t.equal(new Set(values(records)).size, 2 + 2 * count, 'each record is there');
    const { partitions } = await weir.admin.topics.offsets(topic);
    t.same(
      partitions.map(({ offset }) => offset),
      [2 + 2 * count],
      'and none was appended twice',
    );
  });

  t.test(`over ${way}: watches that have ended leave nothing`, async (t) => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    t.teardown(() => process.off('warning', warn));
    const weir = startClient(t, server.url, options);
    await weir.tree.create(`/watched-${way}`);
    const { signal } = new AbortController();
    const kept: WeakRef<Watch>[] = [];
    const round = async (count: number) => {
      const watches = Array.from({ length: count }, () => weir.watch(`/watched-${way}`, { signal }));
      await Promise.all(watches.map(({ started }) => started));
      t.ok(getEventListeners(signal, 'abort').length <= 1, 'all share one listener');
      await Promise.all(watches.map((watch) => watch.return()));
      kept.push(...watches.map((watch) => new WeakRef(watch)));
    };
    for (let n = 0; n < 10; n += 1) await round(100);
    const open = () => metric(server, 'weir_watches{mode="node",state="synced"}');
    await eventually(async () => !((await open()) > 0), 'the server has none of them');
    await eventually(() => {
      collect();
      // The engine may still have the last ones at hand.
      return kept.filter((watch) => watch.deref() !== undefined).length < 10;
    }, 'the client keeps none of the 1,000');
    t.same(warnings, []);
  });
}

t.test('over HTTP 32 requests are sent at a time and 10,000 wait; closing fails them all', async (t) => {
  let connections = 0;
  const silent = createServer(() => {
    connections += 1;
  });
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  const weir = startClient(t, `http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
  const { admin } = weir;
  const given = new AbortController();
  const aborted = weir.request({ path: '/v1/cluster', signal: given.signal });
  const results = Array.from({ length: 10_031 }, () => admin.cluster());
  for (const result of [aborted, ...results]) result.catch(() => {});
  await t.rejects(admin.cluster(), {
    code: 'BUFFER_FULL',
    retryable: true,
    message: /wait for results before calling more/,
  });
  given.abort(new Error('given up'));
  await t.rejects(aborted, { message: 'given up' });
  await eventually(() => connections >= 33, 'the next one was sent in its place');
  t.equal(connections, 33);
  await weir.close();
  const codes = await Promise.all(results.map((result) => result.catch(({ code }) => code)));
  t.same([...new Set(codes)], ['CLOSED']);
});

t.test('calls that wait behind others fail with them when no server responds', async (t) => {
  const { admin } = startClient(t, 'http://127.0.0.1:9', { retry: { for: 0 } });
  const results = await Promise.allSettled(Array.from({ length: 300 }, () => admin.cluster()));
  t.same([...new Set(results.map((result) => result.status === 'rejected' && result.reason.code))], ['UNREACHABLE']);
});
