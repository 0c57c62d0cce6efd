import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import t from 'tap';
import { serverFrame } from '../../schemas/watch.ts';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { eventually, http, metric, startTestServer, type TestServer } from '../helpers/server.ts';
import { openSocket, type TestSocket } from '../helpers/socket.ts';
import { put, putMuch } from '../helpers/tree-writes.ts';

const zxids = (socket: TestSocket, id: string) =>
  socket.frames.filter((frame) => frame.type === 'events' && frame.id === id).map(({ zxid }) => zxid);

t.test('a write through one broker reaches a socket on another, in frames that match the schema', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  const socket = await openSocket(t, `${two.url}/v1/watch`);
  socket.send({ type: 'watch', id: 'w1', path: '/app', mode: 'recursive', data: true });
  const { zxid: from } = await socket.frame({ type: 'watching', id: 'w1' });
  const created = await put(one, '/app', 'hello');
  t.ok(created > from);
  const { events } = await socket.frame({ type: 'events', id: 'w1', zxid: created });
  t.match(events, [{ type: 'created', path: '/app', data: 'hello', encoding: 'utf8', stat: { czxid: created } }]);
  t.equal(events.length, 1);
  // A client that got the event reads the change through any broker (guarantee W3).
  t.equal((await http(`${two.url}/v1/nodes/app`)).headers.get('etag'), `"${created}"`);
  socket.send({ type: 'ping' });
  await socket.frame({ type: 'pong' });
  const bookmark = await socket.frame({ type: 'bookmark' });
  t.ok(bookmark.zxid >= from);
  socket.send({ type: 'unwatch', id: 'w1' });
  await socket.frame({ type: 'unwatched', id: 'w1' });
  await put(one, '/app', 'unheard');
  socket.send({ type: 'watch', id: 'w1', path: '/app', since: created });
  await eventually(() => zxids(socket, 'w1').length === 2, 'the id is free again, and `since` replays the history');
  for (const frame of socket.frames)
    t.ok(serverFrame.safeParse(frame).success, `a frame of type ${frame.type} matches the schema`);
});

t.test('many watches share a socket, and `once` ends only its own watch', async (t) => {
  const server = await startTestServer(t);
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  await put(server, '/a');
  socket.send({ type: 'watch', id: 'node', path: '/a' });
  socket.send({ type: 'watch', id: 'children', path: '/a', mode: 'children' });
  socket.send({ type: 'watch', id: 'once', path: '/a', mode: 'node', once: true });
  for (const id of ['node', 'children', 'once']) await socket.frame({ type: 'watching', id });
  const changed = await put(server, '/a', '1');
  const listed = await put(server, '/a/b');
  await eventually(() => zxids(socket, 'children').length === 1, 'the watch of children gets the event');
  await eventually(() => zxids(socket, 'node').length === 2, 'the watch of the node gets both events');
  t.same(zxids(socket, 'node'), [changed, listed]);
  t.same(zxids(socket, 'children'), [listed]);
  t.same(zxids(socket, 'once'), [changed]);
  socket.send({ type: 'watch', id: 'once', path: '/a' });
  await eventually(
    () => socket.frames.filter((f) => f.type === 'watching' && f.id === 'once').length === 2,
    'an id in use is refused',
  );
  t.equal(await metric(server, 'weir_watches{mode="node",state="synced"}'), 2);
  t.equal(await metric(server, 'weir_watch_events_sent_total{mode="children"}'), 1);
  t.equal(await metric(server, 'weir_sockets_open{kind="watch"}'), 1);
});

t.test('every invalid frame gets an error frame with the reason, and the socket stays open', async (t) => {
  const server = await startTestServer(t);
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  const refused = async (frame: unknown, fields: Record<string, unknown>, detail: RegExp) => {
    const before = socket.frames.length;
    if (Buffer.isBuffer(frame)) socket.ws.send(frame);
    else socket.send(frame);
    const error = await eventually(
      () => socket.frames.slice(before).find(({ type }) => type === 'error'),
      JSON.stringify(frame),
    );
    t.match(error, { code: 'BAD_REQUEST', ...fields, detail });
    t.ok(serverFrame.safeParse(error).success);
  };
  await refused('{"type":', {}, /frame is not JSON: /);
  await refused(Buffer.from('{"type":"ping"}'), {}, /text frame/);
  await refused('[]', {}, /frame/);
  await refused({ type: 'wacht', id: 'x' }, { id: 'x' }, /frame\.type/);
  await refused({ type: 'watch', id: 'x', path: '/a', mod: 'node' }, { id: 'x' }, /unknown field 'mod'/);
  await refused({ type: 'watch', id: 'x', path: '/a', mode: 'all' }, { id: 'x' }, /frame\.mode/);
  await refused({ type: 'watch', id: 'x', path: '/a', since: -1 }, { id: 'x' }, /frame\.since/);
  await refused({ type: 'watch', path: '/a' }, {}, /frame\.id/);
  await refused({ type: 'watch', id: 'x', path: 'a//b' }, { id: 'x', code: 'INVALID_PATH', path: 'a//b' }, /./);
  await refused({ type: 'watch', id: 'x', path: '/a', since: 2 ** 50 }, { id: 'x', code: 'COMPACTED', oldest: 0 }, /./);
  await refused({ type: 'unwatch', id: 'nobody' }, { id: 'nobody' }, /no watch with the id 'nobody'/);
  await refused({ type: 'session', session: 'secret-handle' }, { code: 'SESSION_EXPIRED' }, /handle/);
  socket.send({ type: 'watch', id: 'x', path: '/a' });
  await socket.frame({ type: 'watching', id: 'x' });
  await refused({ type: 'watch', id: 'x', path: '/b' }, { id: 'x' }, /'x' is in use/);
  const created = await put(server, '/a');
  await socket.frame({ type: 'events', id: 'x', zxid: created });
  t.notMatch(JSON.stringify(socket.frames), /secret-handle/);
});

t.test('the number of watches of a socket is limited', async (t) => {
  const server = await startTestServer(t);
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  const watch = (i: number) => socket.send({ type: 'watch', id: `${i}`, path: `/n/${i}` });
  // In groups: all at once could exceed the command timeout on a busy machine.
  for (let begun = 0; begun < 10_000; begun += 500) {
    for (let i = begun; i < begun + 500; i++) watch(i);
    await eventually(
      () => socket.frames.filter(({ type }) => type === 'watching').length === begun + 500,
      `${begun + 500} watches are open`,
    );
  }
  watch(10_000);
  t.match(await socket.frame({ type: 'error' }), { id: '10000', code: 'TOO_MANY_REQUESTS', retryable: true });
  await put(server, '/n');
  await socket.frame({ type: 'watching', id: '9999' });
  const created = await put(server, '/n/9999');
  await socket.frame({ type: 'events', id: '9999', zxid: created });
  socket.ws.terminate();
  await eventually(async () => (await metric(server, 'weir_sockets_open{kind="watch"}')) !== 1, 'the socket is closed');
  const text = (await http(`${server.url}/metrics`)).body as string;
  t.notMatch(text, /^weir_watches\{.*state="synced"/m, 'and its watches have ended');
});

t.test('a socket renews a session only while it is open', async (t) => {
  const server = await startTestServer(t);
  const { session, id, ttlMs } = (await http(`${server.url}/v1/sessions`, 'POST', { ttl: '1500ms' })).body;
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  socket.send({ type: 'session', session });
  const kept = await socket.frame({ type: 'session', id });
  await put(server, '/e', '', `?mode=ephemeral&session=${session}`);
  // By the clock of Redis the session lives well beyond its first TTL.
  const expiresAt = async () => (await http(`${server.url}/v1/sessions/${session}`)).body.expiresAt;
  await eventually(
    async () => (await expiresAt()) > kept.expiresAt + 2 * ttlMs,
    'the session was renewed several times',
  );
  t.equal((await http(`${server.url}/v1/nodes/e`)).status, 200);
  const watcher = await openSocket(t, `${server.url}/v1/watch`);
  watcher.send({ type: 'watch', id: 'e', path: '/e' });
  await watcher.frame({ type: 'watching', id: 'e' });
  socket.ws.close();
  t.match((await watcher.frame({ type: 'events', id: 'e' })).events, [{ type: 'deleted', path: '/e' }]);
});

t.test('a socket reports the end of a session that it renews, also if that ended before', async (t) => {
  const server = await startTestServer(t);
  const { session, id } = (await http(`${server.url}/v1/sessions`, 'POST', { ttl: '3s' })).body;
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  socket.send({ type: 'session', session });
  await socket.frame({ type: 'session', id });
  await http(`${server.url}/v1/sessions/${session}`, 'DELETE');
  await socket.frame({ type: 'sessionExpired', id });
  socket.send({ type: 'session', session });
  await eventually(
    () => socket.frames.filter(({ type }) => type === 'sessionExpired').length === 2,
    'the end is reported again',
  );
  t.notMatch(JSON.stringify(socket.frames), session.split('.')[1], 'no frame contains the secret');
});

t.test('concurrent writers through two brokers: each socket has exactly the history after its zxid', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  await put(one, '/w');
  let stop = false;
  const writers = [one, two, one, two].map(async (server, n) => {
    for (let i = 0; !stop; i++) await put(server, `/w/${n}-${i}`);
  });
  const readers: { socket: TestSocket; server: TestServer; received: number[]; from: number }[] = [];
  for (const server of [one, two, one, two]) {
    const socket = await openSocket(t, `${server.url}/v1/watch`);
    socket.send({ type: 'watch', id: 'w', path: '/w', mode: 'recursive' });
    const { zxid: from } = await socket.frame({ type: 'watching', id: 'w' });
    readers.push({ socket, server, received: [], from });
  }
  // Each reader is disconnected twice, and resumes through the other broker.
  for (let round = 0; round < 2; round++) {
    for (const reader of readers) {
      const enough = reader.received.length + 20;
      await eventually(
        () => reader.received.length + zxids(reader.socket, 'w').length > enough,
        'the reader gets events',
      );
      reader.socket.ws.terminate();
      await reader.socket.closed;
      reader.received.push(...zxids(reader.socket, 'w'));
      reader.server = reader.server === one ? two : one;
      reader.socket = await openSocket(t, `${reader.server.url}/v1/watch`);
      reader.socket.send({ type: 'watch', id: 'w', path: '/w', mode: 'recursive', since: reader.received.at(-1) });
    }
  }
  stop = true;
  await Promise.all(writers);
  const last = await put(one, '/w/last');
  const { transactions } = await one.broker.store.events.range('main', 0, last, 100_000);
  const history = transactions.filter(({ events }) => events.some(({ path }) => path.startsWith('/w/')));
  for (const { socket, received, from } of readers) {
    await socket.frame({ type: 'events', id: 'w', zxid: last });
    received.push(...zxids(socket, 'w'));
    t.same(
      received,
      history.map(({ zxid }) => zxid).filter((zxid) => zxid > from),
    );
  }
});

t.test('a slow reader is closed with 4008, affects no other client, and resumes without a gap', async (t) => {
  const server = await startTestServer(t);
  await put(server, '/big');
  const watch = { type: 'watch', id: 'w', path: '/big', data: true };
  const slow = await openSocket(t, `${server.url}/v1/watch`);
  const quick = await openSocket(t, `${server.url}/v1/watch`);
  for (const socket of [slow, quick]) {
    socket.send(watch);
    await socket.frame({ type: 'watching', id: 'w' });
  }
  slow.ws.pause();
  const cut = 'weir_slow_readers_cut_total{kind="watch"}';
  let last = 0;
  await eventually(async () => {
    for (let i = 0; i < 5; i++) last = await putMuch(server, '/big');
    return (await metric(server, cut)) === 1;
  }, 'the slow reader is closed');
  slow.ws.resume();
  t.equal(await slow.closed, 4008);
  const received = zxids(slow, 'w');
  t.ok(received.length > 0 && received.at(-1)! < last);
  const again = await openSocket(t, `${server.url}/v1/watch`);
  again.send({ ...watch, since: received.at(-1) });
  await again.frame({ type: 'events', id: 'w', zxid: last });
  await quick.frame({ type: 'events', id: 'w', zxid: last });
  t.same([...received, ...zxids(again, 'w')], zxids(quick, 'w'));
  t.equal(await metric(server, cut), 1, 'a long replay closes no connection');
});

t.test('sockets are closed with 1001 when the server stops', async (t) => {
  const server = await startTestServer(t);
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  socket.send({ type: 'watch', id: 'w', path: '/' });
  await socket.frame({ type: 'watching', id: 'w' });
  await server.close();
  t.equal(await socket.closed, 1001);
});

t.test('sockets from the own origin of the server and from a configured origin are accepted', async (t) => {
  const server = await startTestServer(t, { corsOrigins: ['https://good.example'] });
  for (const origin of ['https://good.example', server.url]) {
    const socket = await openSocket(t, `${server.url}/v1/watch`, { origin });
    socket.send({ type: 'ping' });
    await socket.frame({ type: 'pong' });
  }
});

t.test('a client that hangs loses its session in time, even if its connection stays open', async (t) => {
  const server = await startTestServer(t);
  const { session } = (await http(`${server.url}/v1/sessions`, 'POST', { ttl: '5s' })).body;
  await put(server, '/held', '', `?mode=ephemeral&session=${session}`);
  const script = `
    const ws = new (require('ws'))(${JSON.stringify(server.url.replace('http', 'ws'))} + '/v1/watch');
    ws.on('open', () => {
      ws.send(JSON.stringify({ type: 'watch', id: 'w', path: '/busy', data: true }));
      ws.send(JSON.stringify({ type: 'session', session: ${JSON.stringify(session)} }));
    });
    ws.on('message', (frame) => console.log(String(frame)));`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  let received = '';
  child.stdout.on('data', (text) => {
    received += text;
  });
  await eventually(() => received.includes('"type":"session"'), 'the socket renews the session');
  const expiresAt = async () => (await http(`${server.url}/v1/sessions/${session}`)).body.expiresAt as number;
  const first = await expiresAt();
  await eventually(async () => (await expiresAt()) > first + 2000, 'the session lives beyond its first TTL');
  child.kill('SIGSTOP');
  // The client's machine still accepts data, which does not prove that the client is alive.
  const ended = async () => {
    await put(server, '/busy', 'x'.repeat(1000));
    return (await http(`${server.url}/v1/nodes/held`)).status === 404;
  };
  await put(server, '/busy');
  await eventually(ended, 'the ephemeral node is deleted');
  t.match(await http(`${server.url}/v1/sessions/${session}`), { status: 410 });
  t.equal(await metric(server, 'weir_sockets_open{kind="watch"}'), 1, 'the connection is still open');
});

t.test('a request without an upgrade gets an error that names the remedy', async (t) => {
  const server = await startTestServer(t);
  t.match(await http(`${server.url}/v1/watch`), { status: 400, body: { code: 'BAD_REQUEST', detail: /WebSocket/ } });
  t.match(await http(`${server.url}/v1/watch?path=/a`), { status: 400, body: { detail: /'path'/ } });
});

t.test('5,000 watches of one socket on old history do not slow other clients, and end with their socket', async (t) => {
  const writer = await startTestServer(t);
  await put(writer, '/old');
  for (let i = 0; i < 30; i++) await putMuch(writer, '/old');
  // This broker has none of the history in memory.
  const server = await startTestServer(t, {}, writer.target);
  const { socketPath } = writer.target as { socketPath: string };
  const memory = async () =>
    Number(/used_memory:(\d+)/.exec(String(await redisCommand(socketPath, ['INFO', 'memory'])))?.[1]);
  const before = await memory();
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  socket.ws.pause();
  for (let i = 0; i < 5000; i++) {
    socket.send({ type: 'watch', id: `${i}`, path: '/', mode: 'recursive', data: true, since: 0 });
  }
  const reads = () => metric(server, 'weir_watch_history_reads_total');
  await eventually(async () => (await reads()) > 0, 'the watches read history');
  let most = 0;
  for (let i = 0; i < 50; i++) {
    await put(i % 2 ? server : writer, '/other', `${i}`);
    most = Math.max(most, (await memory()) - before);
  }
  t.ok(most < 64 * 1024 * 1024, `${most} bytes more in the store`);
  // Another connection reads history meanwhile.
  const honest = await openSocket(t, `${server.url}/v1/watch`);
  honest.send({ type: 'watch', id: 'h', path: '/old', since: 0 });
  const last = await put(writer, '/old', 'last');
  await honest.frame({ type: 'events', id: 'h', zxid: last });
  t.equal(zxids(honest, 'h').length, 32);
  socket.ws.terminate();
  await eventually(async () => (await metric(server, 'weir_sockets_open{kind="watch"}')) === 1, 'the socket is closed');
  t.equal(await metric(server, 'weir_watch_history_reads_in_flight'), 0);
  t.ok((await reads()) < 100, `${await reads()} pages were read for 5,001 watches`);
});

t.test('a reader that takes long over one large message is not closed while more messages wait', async (t) => {
  const server = await startTestServer(t);
  await put(server, '/large');
  const { hostname, port } = new URL(server.url);
  const stream = connect(Number(port), hostname);
  t.teardown(() => stream.destroy());
  stream.write(`GET /v1/watch/large?data HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  socket.send({ type: 'watch', id: 'w', path: '/large', data: true });
  const { zxid: from } = await socket.frame({ type: 'watching', id: 'w' });
  await eventually(async () => (await metric(server, 'weir_watch_streams_open')) === 1, 'both watches are open');
  stream.pause();
  socket.ws.pause();
  // More than the limit of unread bytes and the buffers of the connection: a control character has six bytes in JSON.
  const dataBase64 = Buffer.alloc(16_384, 1).toString('base64');
  const ops = Array.from({ length: 110 }, () => ({ op: 'set', path: '/large', dataBase64 }));
  const { zxid } = (await http(`${server.url}/v1/multi`, 'POST', { ops })).body;
  t.ok(zxid > from);
  for (let i = 0; i < 20; i++) {
    await put(server, '/large', `${i}`);
    socket.send({ type: 'ping' });
  }
  const last = await put(server, '/large', 'last');
  let text = '';
  stream.setEncoding('latin1').on('data', (piece) => {
    text += piece;
  });
  stream.resume();
  socket.ws.resume();
  await socket.frame({ type: 'events', zxid: last });
  t.equal(zxids(socket, 'w').length, 22, 'the socket gets every transaction');
  t.ok(zxids(socket, 'w').includes(zxid));
  await eventually(() => text.includes(`"zxid":${last},`), 'the event stream gets every transaction');
  t.equal(socket.ws.readyState, socket.ws.OPEN);
  t.notMatch((await http(`${server.url}/metrics`)).body, /weir_slow_readers_cut_total\{/);
});

t.test('at most 16 frames of a socket are processed at once; the others wait in order, and none is lost', async (t) => {
  const server = await startTestServer(t);
  const one = await http(`${server.url}/v1/sessions`, 'POST', { ttl: '30s' });
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  // Redis sends no replies for a while.
  await redisCommand((server.target as { socketPath: string }).socketPath, ['CLIENT', 'PAUSE', '1000', 'ALL']);
  for (let n = 0; n < 500; n++) socket.send({ type: 'session', session: one.body.session });
  socket.send({ type: 'ping' });
  await eventually(
    async () => (await metric(server, 'weir_socket_frames_in_flight')) === 16,
    '16 frames are being processed',
  );
  await socket.frame({ type: 'pong' });
  await eventually(() => socket.frames.length === 501, 'each frame has its reply');
  t.equal(socket.frames.filter(({ type }) => type === 'session').length, 500);
  t.ok(socket.frames.findIndex(({ type }) => type === 'pong') >= 484, 'the last frames had to wait');
  t.equal(await metric(server, 'weir_socket_frames_in_flight'), 0);
});
