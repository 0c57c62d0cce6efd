// Large frames of sockets take turns, as large bodies do: however many arrive at once, small requests are served between them.
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import { openPipeline } from '../helpers/pipeline.ts';
import { eventually, http, metric, startTestServer, type TestServer } from '../helpers/server.ts';

const count = 30;

/** Some 200 KB of a frame that is refused once it was read. */
const padding = 'x'.repeat(200_000);
const checks = Array.from({ length: 5000 }, () => ({ op: 'check', path: '/', exists: true }));
const frames = {
  '/v1/socket': JSON.stringify({ id: 1, op: 'multi', ops: [{ op: 'none' }, ...checks] }),
  '/v1/watch': JSON.stringify({ type: 'ping', padding }),
  '/v1/groups/g/stream?topics=t': JSON.stringify({ type: 'ping', padding }),
};

interface Sender {
  ws: WebSocket;
  /** The first frame that is no greeting, as text. */
  received: string;
  finish(): void;
}

/** Opens sockets that have sent a frame but for its last byte. @param order gets an entry when a response arrives */
async function almostSent(t: Test, server: TestServer, path: string, frame: string, order: string[] = []) {
  const opened: Promise<Sender>[] = [];
  for (let n = 0; n < count; n += 1) opened.push(openSender(t, server, path, frame, order));
  const senders = await Promise.all(opened);
  await eventually(() => senders.every(({ ws }) => connectionOf(ws).writableLength === 0), 'the network has all');
  // The server is in the same process, and reads what has arrived before it serves these.
  for (let n = 0; n < 3; n += 1) await http(`${server.url}/health/live`);
  return senders;
}

const connectionOf = (ws: WebSocket) => (ws as unknown as { _socket: Socket })._socket;

async function openSender(t: Test, { url }: TestServer, path: string, frame: string, order: string[]): Promise<Sender> {
  const ws = new WebSocket(`${url.replace(/^http/, 'ws')}${path}`, { localAddress: '127.0.0.2' });
  t.teardown(() => ws.terminate());
  ws.on('error', () => undefined);
  const sender: Sender = { ws, received: '', finish: () => void connectionOf(ws).write(frame.slice(-1)) };
  let isJoined = !path.includes('groups');
  ws.on('message', (data: Buffer) => {
    const text = data.toString();
    if (text.includes('"joined"')) isJoined = true;
    if (sender.received !== '' || !text.includes('BAD_REQUEST')) return;
    sender.received = text;
    order.push('large');
  });
  await eventually(() => isJoined && ws.readyState === WebSocket.OPEN, 'the socket is open');
  // One text frame, masked with zeroes.
  const head = Buffer.alloc(14);
  head.writeUInt16BE(0x81ff, 0);
  head.writeBigUInt64BE(BigInt(frame.length), 2);
  connectionOf(ws).write(head);
  connectionOf(ws).write(frame.slice(0, -1));
  return sender;
}

const waiting = (server: TestServer) => metric(server, 'weir_large_steps_waiting');

t.test('large frames that arrive together take turns', async (t) => {
  const server = await startTestServer(t);
  await http(`${server.url}/v1/topics`, 'POST', { name: 't' });

  for (const [path, frame] of Object.entries(frames)) {
    await t.test(`and small requests are served between those of ${path}`, async (t) => {
      const order: string[] = [];
      const senders = await almostSent(t, server, path, frame, order);
      const small = connect(Number(new URL(server.url).port), '127.0.0.1');
      t.teardown(() => small.destroy());
      small.on('data', () => order.push('small'));
      for (const { finish } of senders) finish();
      small.write('GET /v1/nodes/ HTTP/1.1\r\nhost: localhost\r\n\r\n');
      await eventually(() => order.length === count + 1, 'all have their responses');
      t.ok(order.indexOf('small') < count / 2, `the small one after ${order.indexOf('small')} large ones`);
    });
  }

  await t.test('and a socket that is lost leaves the queue', async (t) => {
    const senders = await almostSent(t, server, '/v1/socket', frames['/v1/socket']);
    for (const { finish } of senders) finish();
    await eventually(() => waiting(server).then((n) => n > 0), 'they wait');
    for (const { ws } of senders) connectionOf(ws).resetAndDestroy();
    await eventually(() => waiting(server).then((n) => n === 0), 'none waits any more');
    await eventually(() => metric(server, 'weir_sockets_open{kind="pipeline"}').then((n) => !(n > 0)), 'they are gone');
    t.equal(await metric(server, 'weir_socket_frame_bytes_in_flight'), 0);
  });

  await t.test('and the requests of a socket keep their order', async (t) => {
    const sockets = await Promise.all(Array.from({ length: 8 }, () => openPipeline(t, server.url)));
    for (const { send } of sockets) {
      for (let id = 0; id < 6; id += 1) {
        const ops = id % 2 === 0 ? checks.slice(0, 2000) : [{ op: 'check', path: '/' }];
        send({ id, op: 'multi', ops });
      }
    }
    const ids = Array.from({ length: 6 }, (_, id) => id);
    for (const { received } of sockets) {
      await eventually(() => received.length === 6, 'all have their responses');
      t.same(
        received.map(({ id }) => id),
        ids,
      );
    }
  });
});

t.test('a server that stops does not wait for large frames that have not begun', async (t) => {
  const server = await startTestServer(t);
  const senders = await almostSent(t, server, '/v1/socket', frames['/v1/socket']);
  const closed = senders.map(({ ws }) => new Promise<number>((resolve) => ws.once('close', resolve)));
  for (const { finish } of senders) finish();
  await eventually(() => waiting(server).then((n) => n > 0), 'they wait');
  await server.close();
  t.ok((await Promise.all(closed)).every((code) => code === 1001));
});
