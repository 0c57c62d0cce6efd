// Limits by client that hold for a server with several workers as a whole, with the processes as they are started.
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { eventually } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';
import { onNewConnection, startWorkers } from '../helpers/workers.ts';

t.test('one address has no more than its share of the connections of all workers', async (t) => {
  const server = await startWorkers(t, { WEIR_MAX_CONNECTIONS: '40' });
  const told = new Map<Socket, string>();
  const port = Number(new URL(server.url).port);
  const open = () => {
    const socket = connect(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    told.set(socket, '');
    socket.on('error', () => told.set(socket, 'dropped'));
    socket.on('close', () => told.get(socket) === '' && told.set(socket, 'dropped'));
    socket.on('data', (data) => told.set(socket, told.get(socket) + String(data)));
    socket.write('GET /v1/nodes/ HTTP/1.1\r\nHost: localhost\r\n\r\n');
  };
  const outcomes = () =>
    eventually(() => [...told.values()].every((text) => text !== ''), 'each connection has its outcome');
  const count = (what: RegExp) => [...told.values()].filter((text) => what.test(text)).length;
  const served = () => count(/^HTTP\/1.1 200/);
  for (let i = 0; i < 60; i += 1) open();
  await outcomes();
  t.ok(served() <= 20, `half of 40 at most: ${served()}`);
  // The two processes take connections in turn, but not exactly: a busy one takes fewer.
  await eventually(async () => {
    if (served() >= 16) return true;
    open();
    await outcomes();
    return false;
  }, 'its share is not cut short');
  t.ok(served() <= 20, `half of 40 at most: ${served()}`);
  t.equal(count(/^HTTP\/1.1 429|^dropped/), told.size - served());
  t.ok(count(/^HTTP\/1.1 429/) > 0, 'some are told why');
  for (const socket of told.keys()) socket.destroy();
  const again = async () => (await onNewConnection(`${server.url}/v1/nodes/`).catch(() => undefined))?.status === 200;
  await eventually(again, 'there is room again');
});

t.test('an identity has no more than its limits, however its sockets are spread over the workers', async (t) => {
  const policy = await writePolicy(t, ['greedy', 'other'], 'allow:\n  - { who: greedy, limits: { sockets: 4 } }\n');
  const server = await startWorkers(t, { WEIR_ACCESS_FILE: policy.file });
  const sockets = await Promise.all(
    Array.from({ length: 12 }, () => openSocket(t, `${server.url}/v1/watch`, policy.as('greedy'))),
  );
  let refused = 0;
  for (const { closed } of sockets) {
    void closed.then((code) => {
      if (code === 4429) refused += 1;
    });
  }
  for (const { send } of sockets) send({ type: 'ping' });
  const served = () => sockets.filter(({ frames }) => frames.some(({ type }) => type === 'pong')).length;
  await eventually(() => served() + refused === sockets.length, 'each is served or refused');
  t.ok(served() <= 4, `${served()} of 4`);
  // Connections reach the workers in turn, but not exactly.
  t.ok(served() >= 2, 'each worker has its part');
  const other = await openSocket(t, `${server.url}/v1/watch`, policy.as('other'));
  other.send({ type: 'ping' });
  await other.frame({ type: 'pong' });
});
