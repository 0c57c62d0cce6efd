// Produce requests with acks=all over a Redis that has a replica.
import t, { type Test } from 'tap';
import { type RedisProcess, spawnRedis } from '../../src/embedded-redis/redis-process.ts';
import { installedRedisBinary, quietLog } from '../../testbed/redis-node.ts';
import { freePort, temporaryFolder } from '../../testbed/scope.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

async function startRedis(t: Test, port: number, ...more: string[]): Promise<RedisProcess> {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', temporaryFolder(t), '--save', ''];
  const redis = await spawnRedis(await installedRedisBinary(), [...settings, ...more], quietLog);
  t.teardown(async () => {
    redis.kill('SIGKILL');
    await redis.exit;
  });
  return redis;
}

t.test('acks=all waits until the replicas have the records, and fails if they do not', async (t) => {
  const [primaryPort, replicaPort] = [await freePort(), await freePort()];
  await startRedis(t, primaryPort);
  const replica = await startRedis(
    t,
    replicaPort,
    '--replicaof',
    `127.0.0.1 ${primaryPort}`,
    '--repl-diskless-sync-delay',
    '0',
  );
  const url = `redis://127.0.0.1:${primaryPort}`;
  const server = await eventually(
    () => startTestServer(t, {}, { url }).catch(() => undefined),
    'the primary accepts connections',
  );
  const topic = `${server.url}/v1/topics/safe`;
  await http(`${server.url}/v1/topics`, 'POST', { name: 'safe', config: { 'min.insync.replicas': 2 } });
  const produce = (value: number) => http(`${topic}/records?acks=all`, 'POST', { records: [{ value }] });

  await eventually(async () => (await produce(1)).status === 200, 'the replica is in sync');
  const many = await Promise.all(Array.from({ length: 20 }, () => produce(2)));
  for (const { status } of many) t.equal(status, 200);

  const end = async () => (await http(`${topic}/offsets`)).body.partitions[0].offset;
  const before = await end();
  process.kill(replica.pid, 'SIGSTOP');
  const late = await produce(3);
  process.kill(replica.pid, 'SIGCONT');
  t.match(late, {
    status: 503,
    body: {
      code: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
      replicas: 0,
      needed: 1,
      results: [{ partition: 0, baseOffset: before, count: 1 }],
    },
  });
  t.equal(await end(), before + 1, 'the record is in the log');
  await eventually(async () => (await produce(4)).status === 200, 'the replica has caught up');
});
