// The unread bytes of all sockets and event streams are limited in total, and opening one takes a permit in admission control.
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import { defaultAdmissionLimits as admission } from '../../src/http/limits.ts';
import { eventually, http, startTestServer, type TestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const MiB = 1024 ** 2;
const hostile = '127.0.0.2';

async function metric({ url }: TestServer, name: string): Promise<number> {
  const { body } = await http(`${url}/metrics`);
  return Number(new RegExp(`^weir_${name.replace(/[{}]/g, '\\$&')} (\\d+)`, 'm').exec(body)?.[1]);
}

/** Fills a topic with 16 MiB of records. */
async function fill({ url }: TestServer): Promise<void> {
  await http(`${url}/v1/topics`, 'POST', { name: 'large' });
  const records = Array.from({ length: 3 }, () => ({ value: 'x'.repeat(MiB / 4) }));
  for (let n = 0; n < 22; n += 1) await http(`${url}/v1/topics/large/records`, 'POST', { records });
}

/** Opens a socket that asks for all records and reads nothing. */
async function openDeaf(t: Test, { url }: TestServer): Promise<WebSocket> {
  const path = `${url.replace('http', 'ws')}/v1/topics/large/stream?offset=earliest`;
  const ws = new WebSocket(path, { localAddress: hostile });
  t.teardown(() => ws.terminate());
  ws.on('error', () => undefined);
  await new Promise((resolve) => ws.once('open', resolve));
  ws.send('{"type":"credit","records":1000000}');
  ws.pause();
  return ws;
}

/** Opens a socket from the hostile address. @returns the error frame if the socket is refused */
async function refusalOf(t: Test, { url }: TestServer): Promise<{ code: string; detail: string } | undefined> {
  const ws = new WebSocket(`${url.replace('http', 'ws')}/v1/watch`, { localAddress: hostile });
  t.teardown(() => ws.terminate());
  ws.on('open', () => ws.send('{"type":"nothing"}'));
  const first = await new Promise<string>((resolve) => ws.once('message', (data) => resolve(String(data))));
  ws.terminate();
  const frame = JSON.parse(first);
  return frame.status === 429 ? frame : undefined;
}

t.test('unread bytes of all sockets are limited: the sockets of the client with the most are closed', async (t) => {
  const server = await startTestServer(t, {}, undefined, {
    admission: { ...admission, readersBytesMax: 4 * MiB },
  });
  await fill(server);
  const reader = await openSocket(t, `${server.url}/v1/watch`);
  reader.send({ type: 'watch', id: 'w', path: '/', mode: 'recursive' });
  await reader.frame({ type: 'watching' });
  // All at once: no further socket is opened while these use the address share.
  const deaf = await Promise.all(Array.from({ length: 12 }, () => openDeaf(t, server)));
  let closed = 0;
  for (const ws of deaf) {
    ws.on('close', () => {
      closed += 1;
    });
  }
  await eventually(async () => (await metric(server, 'readers_cut_total')) > 0, 'some sockets are closed');
  t.ok((await metric(server, 'reader_bytes_unread')) <= 4 * MiB);
  const refusal = await eventually(() => refusalOf(t, server), 'their client cannot open more sockets');
  t.match(refusal, {
    code: 'TOO_MANY_REQUESTS',
    detail: /bytes that clients of sockets and event streams have not read yet of 127.0.0.2/,
  });
  for (const ws of deaf) ws.resume();
  await eventually(() => closed > 0, 'the clients see the close when they read');
  await http(`${server.url}/v1/nodes/still`, 'PUT', 'here');
  await reader.frame({ type: 'events' });
  t.pass('a client that reads gets its events as before');
  for (const ws of deaf) ws.terminate();
  await eventually(
    async () => (await metric(server, 'reader_bytes_unread')) === 0,
    'no unread bytes are counted any more',
  );
});

t.test('opening a socket takes a permit and then releases it', async (t) => {
  const server = await startTestServer(t, {}, undefined, {
    admission: { ...admission, requestsMax: 1, requestWaitMsMax: 50 },
  });
  const open = await openSocket(t, `${server.url}/v1/watch`);
  t.equal(await metric(server, 'admission_weight{kind="requests"}'), 0, 'an open socket uses no permit');
  // A request without a response until the test lets it continue.
  let end = () => {};
  const { namespace } = server.broker.store;
  const get = namespace.get.bind(namespace);
  namespace.get = async (path) => {
    if (path !== '/held') return get(path);
    await new Promise<void>((resolve) => {
      end = resolve;
    });
    return get(path);
  };
  await http(`${server.url}/v1/nodes/held`, 'PUT', 'a');
  const holding = http(`${server.url}/v1/nodes/held`);
  await eventually(
    async () => (await metric(server, 'admission_weight{kind="requests"}')) === 1,
    'the permit is in use',
  );
  const refused = await openSocket(t, `${server.url}/v1/watch`);
  t.equal(await refused.closed, 4429);
  t.match(refused.frames, [{ type: 'error', code: 'TOO_MANY_REQUESTS', detail: /requests in flight/ }]);
  end();
  t.equal((await holding).status, 200);
  const another = await openSocket(t, `${server.url}/v1/watch`);
  for (const socket of [open, another]) {
    socket.send({ type: 'watch', id: 'w', path: '/' });
    await socket.frame({ type: 'watching' });
  }
  t.equal(await metric(server, 'admission_weight{kind="requests"}'), 0);
});
