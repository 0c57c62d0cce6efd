// A server with several workers, as operators run it: each worker a process, and a broker of its own, behind one port.
import { randomUUID } from 'node:crypto';
import t from 'tap';
import { openEventStream } from '../helpers/event-stream.ts';
import { eventually, http } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';
import { onNewConnection, startWorkers } from '../helpers/workers.ts';

t.test('connections reach the workers in turn, and each serves what the others have written', async (t) => {
  const server = await startWorkers(t, { WEIR_LOG_LEVEL: 'debug', WEIR_BROKER_ID: '7' });
  const topic = await onNewConnection(`${server.url}/v1/topics`, 'POST', { name: 't', partitions: 1 });
  t.equal(topic.status, 201);
  const ids: string[] = [];
  const ask = async (path: string, method = 'GET', body?: unknown) => {
    const id = randomUUID();
    ids.push(id);
    return onNewConnection(`${server.url}${path}`, method, body, { 'x-request-id': id });
  };
  for (let i = 0; i < 6; i += 1) {
    t.equal((await ask('/v1/topics/t/records', 'POST', { records: [{ value: i }] })).body.results?.[0]?.baseOffset, i);
    const fetched = await ask(`/v1/topics/t/partitions/0/records?offset=${i}`);
    t.equal(fetched.body.records?.[0]?.value, i, 'a fetch sees the record');
    t.equal((await ask(`/v1/nodes/n${i}`, 'PUT', `${i}`)).status, 201);
    t.equal((await ask(`/v1/nodes/n${i}`)).status, 200, 'a get sees the node');
  }
  const served = (id: string) => server.log.find(({ requestId, msg }) => requestId === id && msg === 'Request')?.worker;
  await eventually(
    () => ids.every((id) => served(id) !== undefined),
    'all requests are in the log, each with its worker',
  );
  const counts = [1, 2].map((worker) => ids.filter((id) => served(id) === worker).length);
  t.ok(Math.min(...counts) >= ids.length / 4, `each has a good part of them: ${counts.join(' and ')}`);

  const { brokers } = (await http(`${server.url}/v1/cluster`)).body;
  t.match(brokers, [
    { id: 7, worker: 1, endpoints: [server.url] },
    { id: 8, worker: 2, endpoints: [server.url] },
  ]);
  const listed = async () => {
    const { brokers } = (await http(`${server.url}/v1/brokers`)).body;
    return brokers.every(({ connections }: { connections: unknown }) => typeof connections === 'number') && brokers;
  };
  t.match(await eventually(listed, 'both report'), [
    { id: 7, worker: 1, url: server.url },
    { id: 8, worker: 2, url: server.url },
  ]);
  const stats = await openEventStream(t, `${server.url}/v1/stats/stream`);
  const records = () => stats.messages.reduce((sum, { data }) => sum + data.recordsInPerSec, 0);
  await eventually(() => records() === 6, 'the statistics are those of all workers, from before the stream, too');
  const { body } = await http(`${server.url}/v1/nodes/brokers/ids/8`);
  t.match(body, { host: '127.0.0.1', worker: 2 });
});

t.test(
  'a worker that dies is replaced under its broker id at once, and clients of the others notice nothing',
  async (t) => {
    // A broker that had to wait for the end of this session would be late.
    const server = await startWorkers(t, { WEIR_BROKER_SESSION_TTL: '10m' });
    const before = (await http(`${server.url}/v1/cluster`)).body.brokers;
    const [victim, other] = server.workers();
    const sockets = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const session = (await http(`${server.url}/v1/sessions`, 'POST', { ttl: '2s' })).body.session as string;
        await http(`${server.url}/v1/nodes/alive-${index}?mode=ephemeral&session=${session}`, 'PUT', '');
        const socket = await openSocket(t, `${server.url}/v1/watch`);
        socket.send({ type: 'session', session });
        socket.send({ type: 'watch', id: 'w', path: '/seen' });
        await socket.frame({ type: 'session' });
        await socket.frame({ type: 'watching' });
        return { socket, index };
      }),
    );
    process.kill(victim!.pid, 'SIGKILL');
    const replaced = await eventually(
      () => server.workers().find(({ pid, worker }) => worker === 1 && pid !== victim!.pid),
      'it is replaced',
    );
    t.equal(replaced.broker, victim!.broker, 'the new one has the same broker id');
    const after = (await http(`${server.url}/v1/cluster`)).body.brokers;
    t.same(
      after.map(({ id }: { id: number }) => id),
      before.map(({ id }: { id: number }) => id),
    );
    const epochs = (brokers: any[]) => brokers.find(({ id }) => id === victim!.broker)?.epoch;
    t.ok(epochs(after) > epochs(before), 'by a registration of its own');
    t.equal(server.workers()[1]?.pid, other!.pid);

    const lost = sockets.filter(({ socket }) => socket.ws.readyState === socket.ws.CLOSED);
    const kept = sockets.filter(({ socket }) => socket.ws.readyState === socket.ws.OPEN);
    t.ok(lost.length > 0 && kept.length > 0, `each worker had sockets: ${lost.length} and ${kept.length}`);
    await http(`${server.url}/v1/nodes/seen`, 'PUT', 'x');
    for (const { socket } of kept) await socket.frame({ type: 'events' });
    for (const { index } of lost) {
      await eventually(
        async () => (await http(`${server.url}/v1/nodes/alive-${index}`)).status === 404,
        'its session ends',
      );
    }
    for (const { index } of kept) t.equal((await http(`${server.url}/v1/nodes/alive-${index}`)).status, 200);
  },
);

t.test('each line of the log but those of the primary names its worker', async (t) => {
  const server = await startWorkers(t, { WEIR_LOG_LEVEL: 'debug' });
  await http(`${server.url}/v1/nodes/x`, 'PUT', 'x');
  const wrong = server.log.filter(
    ({ pid, worker, msg }) => (pid === server.child.pid) === (worker !== undefined) && msg !== 'A worker serves',
  );
  t.same(wrong, []);
});
