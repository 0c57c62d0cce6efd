import type { AddressInfo } from 'node:net';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { textFrame } from '../../src/ws/text-frame.ts';
import { eventually } from '../helpers/server.ts';

t.test('a WebSocket client reads each frame as the message that it was made of, whatever its length', async (t) => {
  const messages = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000].map((length) => 'x'.repeat(length));
  messages.push('é'.repeat(63), '🙂'.repeat(16_384));
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  server.on('connection', (_ws, { socket }) => {
    for (const message of messages) socket.write(textFrame(message));
    for (const message of messages) socket.write(textFrame(Buffer.from(message)));
  });
  await new Promise((resolve) => server.once('listening', resolve));
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.teardown(() => client.terminate());
  const received: string[] = [];
  client.on('message', (data, isBinary) => received.push(isBinary ? 'binary' : data.toString()));
  await eventually(() => received.length === 2 * messages.length, 'all messages arrived');
  t.strictSame(received, [...messages, ...messages]);
});
