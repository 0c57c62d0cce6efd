// Guarantees S3 and S4: a session lives by its peer and not by its connection, goes on through any broker, and reads its own writes.
import t from 'tap';
import { defaultPipelineLimits } from '../../../src/ws/limits.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { startFaultyNetwork } from '../../helpers/faulty-network.ts';
import { openPipeline, type TestPipeline } from '../../helpers/pipeline.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';
import { put } from '../../helpers/tree-writes.ts';

/** Lets the peer read nothing more: no ping gets its pong, and the connection stays open. */
function freeze({ ws }: TestPipeline): void {
  (ws as unknown as { _socket: { pause(): void } })._socket.pause();
}

t.test('a session goes on through another broker, and reads its own writes there', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  const first = await openPipeline(t, one.url);
  const { ok: session } = await first.ask({ op: 'session', ttl: '20s' });
  const [node] = await first.askAll([
    { op: 'create', path: '/mine', data: 'a', mode: 'ephemeral', seq: 1 },
    { op: 'set', path: '/mine', data: 'b', seq: 2 },
  ]);
  first.ws.terminate();
  const second = await openPipeline(t, two.url);
  const [attached, read] = await second.askAll([
    { op: 'session', attach: session.session, zxid: node.zxid },
    { op: 'get', path: '/mine' },
    { op: 'watch', path: '/mine', since: node.zxid },
  ]);
  t.match(attached.ok, { id: session.id, ttlMs: 20_000, lastSeq: 2 });
  t.match(read.ok, { data: 'b', stat: { ephemeralOwner: session.id } });
  t.match((await second.event('events')).events, [{ type: 'changed' }], 'its watch resumes');
  t.match(await second.ask({ op: 'delete', path: '/mine', seq: 3 }), { ok: {} });
});

t.test('attach waits until the broker has received the transaction that the client has seen', async (t) => {
  const redis = await startRedisNode(t, []);
  const network = await startFaultyNetwork(t, `http://127.0.0.1:${redis.port}`);
  const one = await startTestServer(t, { storeTimeoutMs: 2000 }, { url: `redis://127.0.0.1:${redis.port}` });
  const limits = { pipeline: { ...defaultPipelineLimits, tailLagMsMax: 60_000 } };
  const two = await startTestServer(t, { storeTimeoutMs: 2000 }, { url: `redis://127.0.0.1:${network.port}` }, limits);
  const { session } = (await http(`${one.url}/v1/sessions`, 'POST', { ttl: '1m' })).body;
  network.stall('xread');
  const zxid = await put(one, '/seen');
  const socket = await openPipeline(t, two.url);
  socket.send({ id: 1, op: 'session', attach: session, zxid });
  const other = await openPipeline(t, two.url);
  t.match(await other.ask({ op: 'exists', path: '/seen' }), { ok: { exists: true } });
  t.same(socket.received, []);
  network.resume();
  t.match(await socket.response(1), { ok: { lastSeq: 0 } });
});

t.test('attach fails and closes the socket if the transaction does not come in time', async (t) => {
  const limits = { pipeline: { ...defaultPipelineLimits, tailLagMsMax: 100 } };
  const server = await startTestServer(t, {}, undefined, limits);
  const { session } = (await http(`${server.url}/v1/sessions`, 'POST', { ttl: '1m' })).body;
  const socket = await openPipeline(t, server.url);
  socket.send({ id: 1, op: 'session', attach: session, zxid: 2 ** 52 });
  t.equal((await socket.closed).code, 1013);
  t.match(socket.received, [{ type: 'error', request: 1, detail: /has not received transaction/ }]);
});

t.test('a client can renew its session, and learns when there is none', async (t) => {
  const server = await startTestServer(t);
  const socket = await openPipeline(t, server.url);
  t.match(await socket.ask({ op: 'session', renew: true }), {
    error: { code: 'BAD_REQUEST', detail: /none is attached/ },
  });
  const { ok: session } = await socket.ask({ op: 'session', ttl: '20s' });
  const before = (await http(`${server.url}/v1/sessions/self`, 'GET', undefined, { 'weir-session': session.session }))
    .body;
  const { ok: renewed } = await socket.ask({ op: 'session', renew: true });
  t.match(renewed, { id: session.id, ttlMs: 20_000 });
  t.ok(renewed.expiresAt >= before.expiresAt);
  t.match(await socket.ask({ op: 'session', renew: true, end: true }), { error: { code: 'BAD_REQUEST' } });
  await http(`${server.url}/v1/sessions/self`, 'DELETE', undefined, { 'weir-session': session.session });
  t.match(await socket.ask({ op: 'session', renew: true }), { error: { code: 'SESSION_EXPIRED' } });
});

t.test('an idle peer keeps its session, and a frozen one loses it though its connection is open', async (t) => {
  const server = await startTestServer(t);
  const [idle, frozen] = [await openPipeline(t, server.url), await openPipeline(t, server.url)];
  const watcher = await openPipeline(t, server.url);
  for (const [name, socket] of [
    ['idle', idle],
    ['frozen', frozen],
  ] as const) {
    await socket.ask({ op: 'session', ttl: '2s' });
    await socket.ask({ op: 'create', path: `/${name}`, mode: 'ephemeral', seq: 1 });
  }
  await watcher.ask({ op: 'watch', path: '/frozen' });
  await watcher.ask({ op: 'watch', path: '/idle' });
  freeze(frozen);
  t.match(await watcher.event('events'), { events: [{ type: 'deleted', path: '/frozen' }] });
  t.equal(frozen.ws.readyState, frozen.ws.OPEN, 'the connection is open');
  t.match(await idle.ask({ op: 'exists', path: '/idle' }), { ok: { exists: true } });
  (frozen.ws as unknown as { _socket: { resume(): void } })._socket.resume();
  await frozen.event('sessionExpired');
  t.match(await frozen.ask({ op: 'set', path: '/idle', data: '', seq: 2 }), { error: { code: 'SESSION_EXPIRED' } });
  t.match(await frozen.ask({ op: 'session' }), { ok: { lastSeq: 0 } }, 'it can have another session');
});

t.test('the session outlives its socket for its time to live, and not longer', async (t) => {
  const server = await startTestServer(t);
  const socket = await openPipeline(t, server.url);
  const { ok } = await socket.ask({ op: 'session', ttl: '3s' });
  await socket.ask({ op: 'create', path: '/e', mode: 'ephemeral', seq: 1 });
  socket.ws.terminate();
  const again = await openPipeline(t, server.url);
  t.match(await again.ask({ op: 'session', attach: ok.session }), { ok: { lastSeq: 1 } });
  again.ws.terminate();
  await eventually(async () => (await http(`${server.url}/v1/nodes/e`)).status === 404, 'the session expires');
});

t.test('a newer connection takes the session over, and the older one writes and renews no more', async (t) => {
  const server = await startTestServer(t);
  const older = await openPipeline(t, server.url);
  const { ok } = await older.ask({ op: 'session', ttl: '1m' });
  t.match(await older.ask({ op: 'session', attach: ok.session }), {
    error: { code: 'BAD_REQUEST', detail: /one at a time/ },
  });
  await older.ask({ op: 'create', path: '/n', seq: 1 });
  const newer = await openPipeline(t, server.url);
  await newer.ask({ op: 'session', attach: ok.session });
  t.match(await older.ask({ op: 'set', path: '/n', data: 'old', seq: 2 }), { error: { code: 'SESSION_MOVED' } });
  t.match(await newer.ask({ op: 'set', path: '/n', data: 'new', seq: 2 }), { ok: { stat: { version: 1 } } });
  t.match(await older.ask({ op: 'session', ttl: '1m' }), { ok: { lastSeq: 0 } }, 'it may have a session of its own');
});

t.test('a connection that is not the newest can neither end the session nor give it nodes', async (t) => {
  const server = await startTestServer(t);
  const moved = { error: { code: 'SESSION_MOVED', status: 409 } };
  for (const request of [
    { op: 'session', end: true },
    { op: 'create', path: '/e', mode: 'ephemeral' },
    { op: 'multi', ops: [{ op: 'create', path: '/e', mode: 'ephemeral' }] },
  ]) {
    const older = await openPipeline(t, server.url);
    const { ok } = await older.ask({ op: 'session', ttl: '1m' });
    const newer = await openPipeline(t, server.url);
    await newer.ask({ op: 'session', attach: ok.session });
    t.match(await older.ask(request), moved, request.op);
    t.match(await newer.ask({ op: 'exists', path: '/e' }), { ok: { exists: false } });
    t.match(await older.ask({ op: 'session', ttl: '1m' }), { ok: { lastSeq: 0 } }, 'it may have a session of its own');
    t.match(await newer.ask({ op: 'session', end: true }), { ok: { ended: ok.id } }, 'the newest connection ends it');
  }
});
