// Frames that are refused as binary, invalid or too large. The client gets the reason before the socket is closed, even if it keeps
// sending.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import WebSocket from 'ws';
import { openRaw } from '../helpers/raw-connection.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const server = await startTestServer(t);
await http(`${server.url}/v1/topics`, 'POST', { name: 'topic' });
const paths = ['/v1/watch', '/v1/topics/topic/stream', '/v1/groups/group/stream?topics=topic'];
const tooLarge = 20 * 1024 * 1024;

/** Encodes a masked frame. */
function frame(firstByte: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(14);
  head[0] = firstByte;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  // A mask of zeros leaves the payload unchanged.
  return Buffer.concat([head, payload]);
}

t.test('a frame over the limit gets an error frame, and the socket is closed with 1009 and the limit', async (t) => {
  for (const path of paths) {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}${path}`);
    t.teardown(() => socket.terminate());
    const frames: { type: string; code?: string }[] = [];
    socket.on('message', (data) => frames.push(JSON.parse(String(data))));
    const closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve([code, String(reason)]));
    });
    socket.once('open', () => socket.send('x'.repeat(tooLarge)));
    t.same(await closed, [1009, 'A frame is over the limit of 1 MiB.'], path);
    t.match(frames.at(-1), { type: 'error', code: 'TOO_LARGE', status: 413 });
  }
});

t.test('a client that keeps sending gets the reason of the close, and is not read for ever', async (t) => {
  const cases: [what: string, sent: Buffer, code: number, reason: RegExp][] = [
    ['too large', frame(0x81, Buffer.alloc(tooLarge, 'x')), 1009, /over the limit of 1 MiB/],
    ['no UTF-8', frame(0x81, Buffer.from([0xff, 0xfe])), 1007, /is not UTF-8/],
    ['a reserved opcode', frame(0x83, Buffer.from('x')), 1002, /RFC 6455/],
  ];
  for (const [what, sent, code, reason] of cases) {
    const connection = openRaw(t, server.url);
    const key = randomBytes(16).toString('base64');
    connection.send(
      'GET /v1/watch HTTP/1.1',
      `Host: ${new URL(server.url).host}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${key}`,
      '',
      '',
    );
    await connection.receives(/ 101 /);
    connection.socket.on('end', () => undefined);
    connection.socket.write(sent);
    const sender = setInterval(
      () => connection.socket.writable && connection.socket.write(Buffer.alloc(65_536, 'y')),
      5,
    );
    t.teardown(() => clearInterval(sender));
    await connection.receives(reason);
    const received = connection.received();
    const close = Buffer.from([0x88]).toString('latin1');
    const at = received.lastIndexOf(close);
    t.equal(received.charCodeAt(at + 2) * 256 + received.charCodeAt(at + 3), code, what);
    t.match(received.slice(at), reason);
    t.match(received, /"type":"error"/);
    await connection.end();
    clearInterval(sender);
  }
  const openSockets = async () => ((await http(`${server.url}/metrics`)).body as string).match(/^weir_sockets_open\{/m);
  await eventually(async () => (await openSockets()) === null, 'no socket is left');
});

t.test('a client that closes its socket gets its own close code back', async (t) => {
  const socket = await openSocket(t, `${server.url}/v1/watch`);
  socket.ws.close(1000, 'done');
  t.equal(await socket.closed, 1000);
});
