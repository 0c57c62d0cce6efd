// Stops of a server with several workers: in order, at once, and by kill -9.
import { randomUUID } from 'node:crypto';
import t from 'tap';
import { temporaryFolder } from '../../testbed/scope.ts';
import { startServerProcess } from '../helpers/process.ts';
import { eventually, http } from '../helpers/server.ts';
import { isRunning, onNewConnection, startWorkers, withWorkers } from '../helpers/workers.ts';

t.test('SIGTERM drains all workers: each request in flight gets its response, and the exit code is 0', async (t) => {
  const server = withWorkers(
    await startServerProcess(t, { WEIR_DATA_DIR: temporaryFolder(t), WEIR_WORKERS: '2', WEIR_LOG_LEVEL: 'debug' }),
  );
  await http(`${server.url}/v1/topics`, 'POST', { name: 'slow' });
  const ids = Array.from({ length: 8 }, () => randomUUID());
  const path = `${server.url}/v1/topics/slow/partitions/0/records?offset=0&wait=60s`;
  const waiting = ids.map((id) => onNewConnection(path, 'GET', undefined, { 'x-request-id': id }));
  const allWait = async () => /^weir_log_waits 8$/m.test((await http(`${server.url}/metrics`)).body);
  await eventually(allWait, 'all wait');
  server.child.kill('SIGTERM');
  t.same(
    (await Promise.all(waiting)).map(({ status }) => status),
    ids.map(() => 200),
  );
  const servedBy = (id: string) =>
    server.log.find(({ requestId, msg }) => requestId === id && msg === 'Request')?.worker;
  await eventually(
    () => [1, 2].every((worker) => ids.some((id) => servedBy(id) === worker)),
    'they were on both workers',
  );
  t.equal(await server.exited, 0);
  t.notOk(server.workers().some(({ pid }) => isRunning(pid)));
  const told = server.log.map(({ msg }) => String(msg));
  t.ok(told.indexOf('redis: Received SIGTERM scheduling shutdown...') > told.lastIndexOf('A worker serves'));
  const lastStop = server.log.findLastIndex(
    ({ msg, worker }) => msg === 'Weirkeeper has stopped' && worker !== undefined,
  );
  t.ok(told.findIndex((line) => line.startsWith('redis: Received SIGTERM')) > lastStop, 'the private Redis stops last');
});

t.test('SIGTERM to one worker drains that one, which is then replaced', async (t) => {
  const server = await startWorkers(t);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'slow' });
  const path = `${server.url}/v1/topics/slow/partitions/0/records?offset=0&wait=60s`;
  const waiting = Array.from({ length: 4 }, () => onNewConnection(path));
  const allWait = async () => /^weir_log_waits 4$/m.test((await http(`${server.url}/metrics`)).body);
  await eventually(allWait, 'all wait');
  const [first] = server.workers();
  process.kill(first!.pid, 'SIGTERM');
  await eventually(
    () => server.workers().some(({ worker, pid }) => worker === 1 && pid !== first!.pid),
    'it is replaced',
  );
  t.notOk(isRunning(first!.pid));
  server.child.kill('SIGTERM');
  t.same(
    (await Promise.all(waiting)).map(({ status }) => status),
    [200, 200, 200, 200],
  );
  t.equal(await server.exited, 0);
});

t.test('a second signal ends the server at once, with all its workers', async (t) => {
  const server = await startWorkers(t, { WEIR_DRAIN_DELAY: '10m' });
  const pids = server.workers().map(({ pid }) => pid);
  server.child.kill('SIGTERM');
  const stopping = () =>
    server.log.filter(({ msg, worker }) => msg === 'Weirkeeper is stopping' && worker).length === 2;
  await eventually(stopping, 'the workers drain');
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 1);
  await eventually(() => !pids.some(isRunning), 'no worker is left');
});

t.test(
  'kill -9 of the primary process ends the workers, and the next server takes over the private Redis',
  async (t) => {
    const env = { WEIR_DATA_DIR: temporaryFolder(t), WEIR_WORKERS: '2' };
    const first = withWorkers(await startServerProcess(t, env));
    await http(`${first.url}/v1/nodes/kept`, 'PUT', 'kept');
    first.child.kill('SIGKILL');
    await first.exited;
    await eventually(() => !first.workers().some(({ pid }) => isRunning(pid)), 'the workers end');
    const second = withWorkers(await startServerProcess(t, env));
    t.ok(second.log.some(({ msg }) => /^Took over the running private Redis/.test(String(msg))));
    t.equal((await http(`${second.url}/v1/nodes/kept`)).body, 'kept');
    const { brokers } = (await http(`${second.url}/v1/cluster`)).body;
    t.same(
      brokers.map(({ id }: { id: number }) => id),
      [1001, 1002],
      'the brokers have the same ids',
    );
    second.child.kill('SIGTERM');
    t.equal(await second.exited, 0);
  },
);

t.test('signals of a terminal, which reach all processes, stop the server in order', async (t) => {
  const server = await startWorkers(t);
  const pids = server.workers().map(({ pid }) => pid);
  for (const pid of pids) process.kill(pid, 'SIGINT');
  server.child.kill('SIGINT');
  t.equal(await server.exited, 0);
  t.notOk(
    server.log.some(({ level }) => Number(level) >= 50),
    'no worker was taken for dead',
  );
  t.notOk(pids.some(isRunning));
});
