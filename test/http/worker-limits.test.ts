// The limits of a server with several workers: what the workers may take together, and that none is left with nothing.
import t from 'tap';
import { bodiesBytesMax, defaultAdmissionLimits, defaultConnectionLimits } from '../../src/http/limits.ts';
import { limitsOfWorker } from '../../src/http/worker-limits.ts';
import { eventually, http, startTestServer, type TestServer } from '../helpers/server.ts';
import { openSocket, type TestSocket } from '../helpers/socket.ts';

const MiB = 1024 * 1024;
const whole = { admission: defaultAdmissionLimits, connections: defaultConnectionLimits };

t.test('together the workers have no more than the server, of everything that is counted by client', async (t) => {
  const counted = [
    'waitsMax',
    'uploadsMax',
    'socketsMax',
    'watchesMax',
    'unknownHandlesMax',
    'requestsWaitingMax',
    'largeReadsWaitingMax',
  ] as const;
  const exceeded: string[] = [];
  for (let workers = 1; workers <= 256; workers += 1) {
    const { admission, connections } = limitsOfWorker(whole, workers);
    for (const name of counted) {
      const isRight = admission[name] >= 1 && admission[name] * workers <= defaultAdmissionLimits[name];
      if (!isRight) exceeded.push(`${name} of ${workers} workers`);
    }
    const perSecond = admission.unknownHandlesPerSecond * workers;
    if (perSecond > defaultAdmissionLimits.unknownHandlesPerSecond + 1e-9) exceeded.push(`rate of ${workers} workers`);
    const lingering = connections.lingering.connections * workers;
    if (lingering > defaultConnectionLimits.lingering.connections) exceeded.push(`lingering of ${workers} workers`);
  }
  t.same(exceeded, []);
});

t.test('bytes are divided, but each worker can serve its largest requests', async (t) => {
  const of = (workers: number) => limitsOfWorker(whole, workers);
  t.equal(of(2).admission.responsesBytesMax, 128 * MiB);
  t.equal(of(64).admission.responsesBytesMax, 64 * MiB);
  t.equal(of(2).admission.readersBytesMax, 128 * MiB);
  t.equal(of(64).admission.readersBytesMax, 32 * MiB);
  t.equal(of(64).admission.reservedBodiesBytesMax, 4 * MiB);
  t.equal(of(64).connections.heldResults.bytesMax, defaultConnectionLimits.heldResults.streamBytesMax);
  t.equal(bodiesBytesMax(of(64).admission, 16 * MiB), 64 * MiB);
  const small = { ...whole, admission: { ...defaultAdmissionLimits, responsesBytesMax: MiB } };
  t.equal(limitsOfWorker(small, 4).admission.responsesBytesMax, MiB, 'a floor is never above the limit itself');
});

t.test('the work in progress is not divided: it follows from what one process can do', async (t) => {
  const { admission } = limitsOfWorker(whole, 8);
  t.equal(admission.requestsMax, defaultAdmissionLimits.requestsMax);
  t.equal(admission.reservedMax, defaultAdmissionLimits.reservedMax);
});

t.test('one address gets no more than its share of the whole server, however its connections are spread', async (t) => {
  const limits = limitsOfWorker(
    { ...whole, admission: { ...defaultAdmissionLimits, waitsMax: 20, socketsMax: 20, watchesMax: 20 } },
    2,
  );
  const first = await startTestServer(t, {}, undefined, limits);
  const servers = [first, await startTestServer(t, {}, first.target, limits)];
  await http(`${first.url}/v1/topics`, 'POST', { name: 't' });

  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const refused = { waits: 0 };
  const poll = async ({ url }: TestServer) => {
    const path = `${url}/v1/topics/t/partitions/0/records?offset=0&wait=60s`;
    const { status } = await http(path, 'GET', undefined, {}, abort.signal).catch(() => ({ status: 0 }));
    if (status === 429) refused.waits += 1;
  };
  for (let i = 0; i < 15; i += 1) for (const server of servers) void poll(server);
  await eventually(() => refused.waits === 20, 'of 30 long polls 10 wait: half of 20');

  const sockets: TestSocket[] = [];
  for (const server of servers) {
    for (let i = 0; i < 8; i += 1) {
      const socket = await openSocket(t, `${server.url}/v1/watch`).catch(() => undefined);
      if (!socket) continue;
      socket.send({ type: 'ping' });
      await eventually(() => socket.frames.length > 0, 'it is served or refused');
      if (socket.frames[0].type === 'pong') sockets.push(socket);
    }
  }
  t.equal(sockets.length, 10, 'of 16 sockets 10 are served');

  for (const [index, socket] of sockets.entries()) {
    for (const id of ['a', 'b', 'c']) socket.send({ type: 'watch', id: `${id}${index}`, path: '/x' });
  }
  const outcomes = () => sockets.flatMap(({ frames }) => frames.map(({ type }) => type));
  const count = (type: string) => outcomes().filter((each) => each === type).length;
  await eventually(() => count('watching') + count('error') === 30, 'each watch has its outcome');
  t.equal(count('watching'), 10, 'of 30 watches 10 run');
});
