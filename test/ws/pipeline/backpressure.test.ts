// Guarantee S6: a socket that has too much in flight, or does not take its responses, is not read; and no socket starves others.
import t from 'tap';
import { SharedLimit } from '../../../src/core/shared-limit.ts';
import { defaultAdmissionLimits } from '../../../src/http/limits.ts';
import { defaultPipelineLimits } from '../../../src/ws/limits.ts';
import { InFlight } from '../../../src/ws/pipeline/in-flight.ts';
import { openPipeline, type TestPipeline } from '../../helpers/pipeline.ts';
import { eventually, http, metric, startTestServer } from '../../helpers/server.ts';

const connectionOf = ({ ws }: TestPipeline) =>
  (ws as unknown as { _socket: { pause(): void; resume(): void; writableLength: number } })._socket;

t.test('a client that sends and does not read is not read any more, and loses nothing', async (t) => {
  const server = await startTestServer(t);
  const socket = await openPipeline(t, server.url);
  await socket.ask({ op: 'create', path: '/large', data: 'x'.repeat(20_000) });
  const other = await openPipeline(t, server.url);
  connectionOf(socket).pause();
  const count = 800;
  const padding = ' '.repeat(20_000);
  for (let id = 0; id < count; id += 1) {
    socket.ws.send(`{"id":${id},"op":"get","path":"/large"}${padding}`);
    // The server is in the same process, and must not be kept from the replies of its store for long.
    if (id % 20 === 19) await other.ask({ op: 'get', path: '/' });
  }
  await eventually(async () => (await metric(server, 'weir_sockets_paused')) === 1, 'the server reads no more');
  await eventually(async () => {
    const before = connectionOf(socket).writableLength;
    await metric(server, 'weir_sockets_paused');
    return before > 0 && connectionOf(socket).writableLength === before;
  }, 'the sender has to wait');
  t.ok((await metric(server, 'weir_socket_requests_in_flight')) <= defaultPipelineLimits.requestsMax);
  t.ok((await metric(server, 'weir_reader_bytes_unread')) < 8 * 1024 * 1024, 'few bytes wait for the reader');
  t.match(await other.ask({ op: 'get', path: '/' }), { ok: {} }, 'others are served');
  connectionOf(socket).resume();
  await eventually(() => socket.received.length === count + 1, 'all responses come');
  t.same(
    socket.received.slice(1).map(({ id }) => id),
    Array.from({ length: count }, (_, id) => id),
  );
  t.equal(await metric(server, 'weir_sockets_paused'), 0);
});

t.test('the limit of requests in flight holds, and a frame of more requests is carried out in parts', async (t) => {
  const limits = { pipeline: { ...defaultPipelineLimits, requestsMax: 8 } };
  const server = await startTestServer(t, {}, undefined, limits);
  const socket = await openPipeline(t, server.url);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'topic' });
  for (let id = 0; id < 30; id += 1) socket.send({ id, op: 'fetch', topic: 'topic', partition: 0, wait: '1m' });
  await eventually(async () => (await metric(server, 'weir_sockets_paused')) === 1, 'the socket is not read');
  t.equal(await metric(server, 'weir_socket_requests_in_flight'), 8);
  await http(`${server.url}/v1/topics/topic/records`, 'POST', { records: [{ value: 1 }] });
  await socket.response(29);
  t.equal(await metric(server, 'weir_sockets_paused'), 0);
  const many = await socket.askAll(Array.from({ length: 1000 }, () => ({ op: 'exists', path: '/' })));
  t.equal(many.filter(({ ok }) => ok.exists).length, 1000);
});

t.test('operations, bytes and the bytes of all sockets have limits of their own', async (t) => {
  const limits = { ...defaultPipelineLimits, operationsMax: 10, bytesMax: 1000, bytesOfAllMax: 1500 };
  const ofAll = new SharedLimit(limits.bytesOfAllMax, 1);
  const [one, two] = [new InFlight(limits, 'a', ofAll), new InFlight(limits, 'b', ofAll)];
  const multi = { bytes: 10, operations: 10 };
  one.add(multi);
  t.ok(one.isFull, 'operations');
  one.remove(multi);
  t.notOk(one.isFull);
  const large = { bytes: 1000, operations: 1 };
  one.add(large);
  t.ok(one.isFull, 'bytes');
  t.notOk(two.isFull, 'a socket with nothing in flight may always send a frame');
  two.add({ bytes: 500, operations: 1 });
  t.ok(two.isFull, 'the bytes of all');
  one.close();
  t.notOk(two.isFull);
  two.close();
  t.equal(ofAll.used, 0);
});

t.test('frames of all sockets together are limited: sockets wait, and none is refused', async (t) => {
  const limits = { pipeline: { ...defaultPipelineLimits, bytesOfAllMax: 30_000 } };
  const server = await startTestServer(t, {}, undefined, limits);
  const sockets = await Promise.all([1, 2, 3].map(() => openPipeline(t, server.url)));
  const asked = sockets.flatMap((socket, n) =>
    Array.from({ length: 20 }, (_, i) => socket.ask({ op: 'create', path: `/f${n}-${i}`, data: 'x'.repeat(5000) })),
  );
  for (const { ok } of await Promise.all(asked)) t.ok(ok);
  t.equal(await metric(server, 'weir_socket_frame_bytes_in_flight'), 0);
});

t.test('a greedy socket does not starve another one of the same client', async (t) => {
  const limits = { admission: { ...defaultAdmissionLimits, requestsMax: 20 } };
  const server = await startTestServer(t, {}, undefined, limits);
  const [greedy, modest] = [await openPipeline(t, server.url), await openPipeline(t, server.url)];
  const count = 20_000;
  for (let id = 0; id < count; id += 100) {
    greedy.send(Array.from({ length: 100 }, (_, n) => ({ id: id + n, op: 'get', path: '/' })));
  }
  for (let n = 0; n < 5; n += 1) t.match(await modest.ask({ op: 'get', path: '/' }), { ok: {} });
  t.ok(
    greedy.received.length < count,
    `the other was served before ${count - greedy.received.length} of the greedy one`,
  );
  await greedy.response(count - 1);
  t.equal(await metric(server, 'weir_admission_weight{kind="requests"}'), 0, 'all permits are given back');
});

t.test('a server that stops responds to what is in flight, then closes with 1001', async (t) => {
  const server = await startTestServer(t);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'topic' });
  const socket = await openPipeline(t, server.url);
  await socket.ask({ op: 'session' });
  socket.send({ id: 'waits', op: 'fetch', topic: 'topic', partition: 0, wait: '1m' });
  socket.send(Array.from({ length: 200 }, (_, n) => ({ id: n, op: 'create', path: `/n${n}`, seq: n + 1 })));
  await eventually(async () => (await metric(server, 'weir_socket_requests_in_flight')) > 0, 'requests are in flight');
  const stopped = server.close();
  t.match(await socket.closed, { code: 1001, reason: 'The server is stopping' });
  await stopped;
  t.match(await socket.response('waits'), { ok: { records: [] } });
  t.match(await socket.response(199), { ok: { path: '/n199' } });
  await t.rejects(openPipeline(t, server.url));
});
