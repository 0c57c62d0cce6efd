// Limits by client that hold for a server with several workers as a whole, with the processes as they are started.
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { eventually } from '../helpers/server.ts';
import { onNewConnection, startWorkers } from '../helpers/workers.ts';

t.test('one address has no more than its share of the connections of all workers', async (t) => {
  const server = await startWorkers(t, { WEIR_MAX_CONNECTIONS: '40' });
  const told = new Map<Socket, string>();
  const port = Number(new URL(server.url).port);
  for (let i = 0; i < 60; i += 1) {
    const socket = connect(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    told.set(socket, '');
    socket.on('error', () => told.set(socket, 'dropped'));
    socket.on('close', () => told.get(socket) === '' && told.set(socket, 'dropped'));
    socket.on('data', (data) => told.set(socket, told.get(socket) + String(data)));
    socket.write('GET /v1/nodes/ HTTP/1.1\r\nHost: localhost\r\n\r\n');
  }
  await eventually(() => [...told.values()].every((text) => text !== ''), 'each connection has its outcome');
  const count = (what: RegExp) => [...told.values()].filter((text) => what.test(text)).length;
  const served = count(/^HTTP\/1.1 200/);
  t.ok(served <= 20, `half of 40 at most: ${served}`);
  // In turn, but the order in which two processes take connections is not exact.
  t.ok(served >= 16, `its share is not cut short: ${served}`);
  t.equal(count(/^HTTP\/1.1 429|^dropped/), 60 - served);
  t.ok(count(/^HTTP\/1.1 429/) > 0, 'some are told why');
  for (const socket of told.keys()) socket.destroy();
  const again = async () => (await onNewConnection(`${server.url}/v1/nodes/`).catch(() => undefined))?.status === 200;
  await eventually(again, 'there is room again');
});
