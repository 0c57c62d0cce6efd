// Large bodies take turns: however many arrive at once, small requests are served between them, and the clients have their turns.
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { defaultLimits } from '../../../src/app.ts';
import { eventually, http, metric, startTestServer, type TestServer } from '../../helpers/server.ts';

/** A body of some 200 KB. @param first its first operation */
const largeBody = (first: object) =>
  JSON.stringify({ ops: [first, ...Array.from({ length: 5000 }, () => ({ op: 'check', path: '/', exists: true }))] });

/** A body that is refused after its validation, so that the store has no part in what is counted. */
const unknownOp = largeBody({ op: 'none' });

const head = (method: string, path: string, length = 0) =>
  `${method} ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;

interface Sender {
  socket: Socket;
  received: string;
  /** Sends the end of the body. */
  finish(): void;
}

/** Connections that have sent their requests but for the last byte. @param order gets the name of each when its response begins */
async function almostSent(
  t: Test,
  server: TestServer,
  requests: { name: string; address: string; body: string }[],
  order: string[] = [],
): Promise<Sender[]> {
  const senders = requests.map(({ name, address, body }) => {
    const port = Number(new URL(server.url).port);
    const socket = connect({ host: '127.0.0.1', port, localAddress: address });
    t.teardown(() => socket.destroy());
    const sender: Sender = { socket, received: '', finish: () => void socket.write(body.slice(-1)) };
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      if (sender.received === '') order.push(name);
      sender.received += data.toString('latin1');
    });
    socket.write(head('POST', '/v1/multi', body.length) + body.slice(0, -1));
    return sender;
  });
  const bytes = requests.reduce((sum, { body }) => sum + body.length - 1, 0);
  await eventually(() => bodyBytes(server).then((arrived) => arrived === bytes), 'all has arrived but the last bytes');
  return senders;
}

const bodyBytes = (server: TestServer) => metric(server, 'weir_body_bytes_in_flight{kind="requests"}');
const waiting = (server: TestServer) => metric(server, 'weir_large_steps_waiting');

function requestsOf(address: string, count: number, bodyOf: (n: number) => string = () => unknownOp) {
  return Array.from({ length: count }, (_, n) => ({ name: `${address} ${n}`, address, body: bodyOf(n) }));
}

const count = 30;

t.test('large bodies that arrive together take turns', async (t) => {
  const server = await startTestServer(t);

  await t.test('and small requests are served between them', async (t) => {
    const order: string[] = [];
    const senders = await almostSent(t, server, requestsOf('127.0.0.2', count), order);
    const small = connect(Number(new URL(server.url).port), '127.0.0.1');
    t.teardown(() => small.destroy());
    small.on('data', () => order.push('small'));
    for (const { finish } of senders) finish();
    small.write(head('GET', '/v1/nodes/'));
    await eventually(() => order.length === count + 1, 'all have their responses');
    t.ok(order.indexOf('small') < count / 2, `the small one after ${order.indexOf('small')} large ones`);
    t.ok(senders.every(({ received }) => received.startsWith('HTTP/1.1 400 ')));
  });

  await t.test('and the one of another client is not behind all of them', async (t) => {
    const order: string[] = [];
    const requests = [...requestsOf('127.0.0.2', count), { name: 'other', address: '127.0.0.3', body: unknownOp }];
    const senders = await almostSent(t, server, requests, order);
    for (const { finish } of senders) finish();
    await eventually(() => order.length === count + 1, 'all have their responses');
    t.ok(order.indexOf('other') < count / 2, `it has its response after ${order.indexOf('other')} others`);
  });

  await t.test('and a client that breaks off leaves the queue', async (t) => {
    const create = (n: number) => largeBody({ op: 'create', path: `/left-${n}` });
    const senders = await almostSent(t, server, requestsOf('127.0.0.2', count, create));
    for (const { finish } of senders) finish();
    await eventually(() => waiting(server).then((n) => n > 0), 'they wait');
    for (const { socket } of senders) socket.resetAndDestroy();
    await eventually(() => waiting(server).then((n) => n === 0), 'none waits any more');
    await eventually(() => bodyBytes(server).then((n) => n === 0), 'no body is in memory');
    const { body } = await http(`${server.url}/v1/nodes/?view=children`);
    t.ok(body.children.length < count, `${body.children.length} nodes: most were not worked at`);
    const { status } = await http(`${server.url}/v1/multi`, 'POST', create(count));
    t.equal(status, 415, 'a text is no JSON');
    const after = await http(`${server.url}/v1/multi`, 'POST', JSON.parse(create(count)));
    t.equal(after.status, 200, 'the next one has its turn');
  });
});

t.test('a server that stops completes the requests whose bodies wait', async (t) => {
  const server = await startTestServer(t);
  const senders = await almostSent(t, server, requestsOf('127.0.0.2', count));
  for (const { finish } of senders) finish();
  await eventually(() => waiting(server).then((n) => n > 0), 'they wait');
  await server.close();
  for (const { received } of senders) t.match(received, /^HTTP\/1\.1 400 .*"code":"BAD_REQUEST"/s);
});

for (const [limit, admission] of [
  ['too many wait', { requestsWaitingMax: 1 }],
  ['it has waited too long', { requestWaitMsMax: 1 }],
] as const) {
  t.test(`a large body is refused if ${limit}`, async (t) => {
    const limits = { admission: { ...defaultLimits.admission, ...admission } };
    const server = await startTestServer(t, {}, undefined, limits);
    const senders = await almostSent(t, server, requestsOf('127.0.0.2', count));
    for (const { finish } of senders) finish();
    await eventually(() => senders.every(({ received }) => received !== ''), 'all have their responses');
    const refused = senders.filter(({ received }) => /too many large bodies: .*wait/.test(received));
    t.ok(refused.length > 0 && refused.every(({ received }) => received.startsWith('HTTP/1.1 429 ')));
    const reason = limit === 'too many wait' ? 'total' : 'time';
    const counted = await metric(server, `weir_requests_refused_total{kind="largeBodies",reason="${reason}"}`);
    t.equal(counted, refused.length, 'each is counted');
  });
}
