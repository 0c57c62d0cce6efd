// Guarantee S2: a response that reflects a transaction comes after its events, on a socket that watches them. Sockets without watches
// do not wait.
import t, { type Test } from 'tap';
import type { Limits } from '../../../src/app.ts';
import { defaultPipelineLimits } from '../../../src/ws/limits.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { startFaultyNetwork } from '../../helpers/faulty-network.ts';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
import { openPipeline } from '../../helpers/pipeline.ts';
import { eventually, http, metric, startTestServer } from '../../helpers/server.ts';
import { put } from '../../helpers/tree-writes.ts';

/** A broker whose event stream can be stalled while its other connections to Redis go on. */
async function startBrokerWithStream(t: Test, tailLagMsMax: number) {
  const redis = await startRedisNode(t, []);
  const network = await startFaultyNetwork(t, `http://127.0.0.1:${redis.port}`);
  const limits: Partial<Limits> = { pipeline: { ...defaultPipelineLimits, tailLagMsMax } };
  const server = await startTestServer(
    t,
    { storeTimeoutMs: 2000 },
    { url: `redis://127.0.0.1:${network.port}` },
    limits,
  );
  const other = await startTestServer(t, { storeTimeoutMs: 2000 }, { url: `redis://127.0.0.1:${redis.port}` });
  return { server, other, stallStream: () => network.stall('xread'), resume: () => network.resume() };
}

t.test('each response comes after the events up to its zxid, while others write', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  const socket = await openPipeline(t, one.url);
  await socket.askAll([{ op: 'session' }, { op: 'create', path: '/w', seq: 1 }]);
  await socket.ask({ op: 'watch', path: '/w', mode: 'recursive' });
  let isOver = false;
  const writer = (async () => {
    for (let n = 0; !isOver; n += 1) await put(two, `/w/other${n % 5}`, `${n}`);
  })();
  for (let n = 0; n < 40; n += 1) {
    await socket.askAll([
      { op: 'set', path: '/w', data: `${n}`, seq: 2 * n + 2 },
      { op: 'get', path: '/w/other0' },
      { op: 'create', path: '/w', seq: 2 * n + 3 },
      { op: 'children', path: '/w' },
      { op: 'exists', path: '/none' },
    ]);
  }
  isOver = true;
  await writer;
  const late: unknown[] = [];
  let newest = 0;
  for (const each of socket.received) {
    if (each.type === 'events' && each.zxid <= newest) late.push(each);
    if (each.type === undefined && each.zxid > newest) newest = each.zxid;
  }
  t.same(late, [], 'no event comes after a response that reflects it');
  const events = socket.received.filter(({ type }) => type === 'events');
  t.ok(events.length >= 40, `${events.length} transactions were watched`);
  const codes = new Set(socket.received.map(({ error }) => error?.code));
  t.ok(codes.has('NODE_EXISTS'), 'errors reflect a transaction, too');
});

t.test('an unwatch ends a watch behind the events of what was sent before it', async (t) => {
  const server = await startTestServer(t);
  const socket = await openPipeline(t, server.url);
  await socket.askAll([{ op: 'session' }, { op: 'create', path: '/w', seq: 1 }]);
  for (let round = 0; round < 10; round += 1) {
    const { id } = await socket.ask({ op: 'watch', path: '/w', mode: 'recursive' });
    const from = socket.received.length;
    await socket.askAll([
      { op: 'set', path: '/w', data: 'a', seq: 3 * round + 2 },
      { op: 'set', path: '/w', data: 'b', seq: 3 * round + 3 },
      { op: 'unwatch', watch: id },
      { op: 'set', path: '/w', data: 'c', seq: 3 * round + 4 },
      { op: 'get', path: '/w' },
    ]);
    const frames = socket.received.slice(from);
    t.equal(
      frames.filter(({ type, watch }) => type === 'events' && watch === id).length,
      2,
      'its events, and no others',
    );
    t.match(frames.at(-1), { ok: { data: 'c' } });
  }
});

t.test('a response waits for the event stream on a socket with a watch, and not on one without', async (t) => {
  const { server, other, stallStream, resume } = await startBrokerWithStream(t, 60_000);
  const watching = await openPipeline(t, server.url);
  const plain = await openPipeline(t, server.url);
  await watching.ask({ op: 'create', path: '/w' });
  await watching.ask({ op: 'watch', path: '/w', mode: 'node' });
  stallStream();
  const zxid = await put(other, '/w', 'new');
  watching.send({ id: 1, op: 'get', path: '/w' });
  watching.send({ id: 2, op: 'ping' });
  await eventually(async () => (await metric(server, 'weir_socket_responses_held')) === 2, 'both responses are held');
  t.match(await plain.ask({ op: 'get', path: '/w' }), { ok: { data: 'new' }, zxid });
  t.notOk(watching.received.some(({ id }) => id === 1));
  resume();
  await watching.response(2);
  t.same(
    watching.received.slice(-3).map((each) => each.type ?? each.id),
    ['events', 1, 2],
    'the event comes first, and the order of the responses is kept',
  );
  t.equal(await metric(server, 'weir_socket_responses_held'), 0);
});

t.test('if the event stream lags for too long, the socket closes rather than break the promise', async (t) => {
  const { server, other, stallStream } = await startBrokerWithStream(t, 300);
  const socket = await openPipeline(t, server.url);
  await socket.ask({ op: 'create', path: '/w' });
  await socket.ask({ op: 'watch', path: '/w' });
  stallStream();
  const zxid = await put(other, '/w', 'new');
  socket.send({ id: 1, op: 'get', path: '/w' });
  t.equal((await socket.closed).code, 1013);
  t.match(socket.received.at(-1), {
    type: 'error',
    code: 'STORE_UNAVAILABLE',
    detail: new RegExp(`transaction ${zxid}`),
  });
  t.notOk(socket.received.some(({ id }) => id === 1));
});

t.test('a watch that replays history comes before the responses that reflect it', async (t) => {
  const server = await startTestServer(t);
  const socket = await openPipeline(t, server.url);
  const since = await put(server, '/h');
  for (let n = 0; n < 30; n += 1) await put(server, '/h', `${n}`);
  await socket.askAll([
    { op: 'watch', path: '/h', since, id: 'w' },
    { op: 'get', path: '/h' },
  ]);
  const kinds = socket.received.map((each) => each.type ?? (each.ok.path ? 'get' : 'watch'));
  t.same(kinds, ['watch', ...Array.from({ length: 30 }, () => 'events'), 'get']);
  await socket.ask({ op: 'unwatch', watch: 'w' });
  await put(server, '/h', 'unheard');
  t.match(await socket.ask({ op: 'get', path: '/h' }), { ok: { data: 'unheard' } });
  t.equal(socket.received.filter(({ type }) => type === 'events').length, 30);
});

t.test('watches have the limits, errors and bookmarks of /v1/watch', async (t) => {
  const server = await startTestServer(t);
  const socket = await openPipeline(t, server.url);
  await put(server, '/own');
  t.match(await socket.ask({ id: 'w', op: 'watch', path: '/own' }), { ok: {} });
  socket.send({ id: 'w', op: 'watch', path: '/own' });
  const refused = await eventually(() => socket.received.find(({ id, error }) => id === 'w' && error), 'a refusal');
  t.match(refused.error, { code: 'BAD_REQUEST', detail: /in use/ });
  t.match(await socket.ask({ op: 'watch', path: 'a//b' }), { error: { code: 'INVALID_PATH' } });
  t.match(await socket.ask({ op: 'watch', path: '/', since: 2 ** 50 }), { error: { code: 'COMPACTED' } });
  const once = await socket.ask({ id: 'once', op: 'watch', path: '/own', mode: 'children', once: true });
  const zxid = await put(server, '/own/child');
  await eventually(
    () => socket.received.filter(({ type }) => type === 'events').length === 2,
    'both watches have their events',
  );
  t.match(await socket.ask({ op: 'unwatch', watch: 'once' }), { error: { code: 'BAD_REQUEST' } }, 'it has ended');
  t.ok(once.zxid < zxid);
  t.match(await socket.event('bookmark'), { zxid: Number });
});

t.test('a socket with a watch reads on after a restart of Redis behind which nothing has changed', async (t) => {
  const redis = await startLossyRedis(t);
  const server = await startTestServer(t, {}, redis);
  await http(`${server.url}/v1/nodes/a`, 'PUT', 'x');
  const epochOf = (zxid: number) => Math.floor(zxid / 2 ** 32);
  const before = server.broker.eventTail.position;
  await redis.killAndRestart();
  await eventually(async () => (await http(`${server.url}/v1/nodes/a`)).status === 200, 'Redis serves again');
  // A socket may still be closed because its store was away a moment ago.
  const { socket, zxid } = await eventually(async () => {
    const socket = await openPipeline(t, server.url);
    const requests = [
      { op: 'watch', path: '/a', mode: 'node' },
      { op: 'get', path: '/a' },
    ];
    const responses = await Promise.race([socket.askAll(requests), socket.closed]);
    const read = Array.isArray(responses) ? responses[1] : undefined;
    return read?.ok?.path === '/a' ? { socket, zxid: read.zxid as number } : undefined;
  }, 'a socket with a watch reads the node');
  t.ok(epochOf(zxid) > epochOf(before), 'the read is of the new epoch');
  await http(`${server.url}/v1/nodes/a`, 'PUT', 'y');
  t.match(await socket.event('events'), { events: [{ path: '/a' }] });
});
