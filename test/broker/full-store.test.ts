// A store at its memory limit still serves reads and everything that frees memory.
import t from 'tap';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { freePort } from '../../testbed/scope.ts';
import { startServerProcess } from '../helpers/process.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

t.test('a full store refuses records, and accepts them again when memory is free', async (t) => {
  const { socketPath } = await startTestRedis(t, { maxmemoryBytes: 16 * 1024 * 1024 });
  const server = await startTestServer(t, {}, { socketPath });
  const url = `${server.url}/v1/topics`;
  for (const name of ['first', 'second']) await http(url, 'POST', { name });
  const value = 'x'.repeat(100_000);
  const produce = (name: string) => http(`${url}/${name}/records`, 'POST', { records: [{ value }] });
  const fill = () =>
    eventually(async () => {
      await produce('second');
      return (await produce('first')).status !== 200;
    }, 'the store is full');

  await fill();
  const { endOffset } = (await http(`${url}/first/partitions/0/records`)).body;
  t.match(await produce('first'), { status: 507, body: { code: 'STORE_FULL', retryable: true } });
  t.equal((await http(`${url}/first/partitions/0/records`)).body.endOffset, endOffset, 'no record was written');
  t.match((await http(`${url}/first/partitions/0/records?offset=1&maxRecords=1`)).body.records, [{ offset: 1, value }]);

  t.equal((await http(`${url}/first/partitions/0/records?before=latest`, 'DELETE')).status, 200);
  await eventually(async () => (await produce('first')).status === 200, 'deleted records made room');

  await fill();
  t.equal((await http(`${url}/second`, 'DELETE')).status, 204);
  t.equal((await http(`${url}/second`)).status, 404);
  await eventually(async () => (await produce('first')).status === 200, 'a deleted topic made room');
  t.equal((await http(url, 'POST', { name: 'second' })).status, 201, 'the name of the deleted topic is free again');
});

t.test('a broker whose connection breaks while the store is full recovers', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const server = await startTestServer(t, {}, { socketPath });
  const node = `${server.url}/v1/nodes/n`;
  t.equal((await http(node, 'PUT', 'x')).status, 201);
  await redisCommand(socketPath, ['CONFIG', 'SET', 'maxmemory', '1']);
  t.match(await http(node, 'PUT', 'y'), { status: 507, body: { code: 'STORE_FULL' } });
  await redisCommand(socketPath, ['CLIENT', 'KILL', 'TYPE', 'normal']);
  await eventually(async () => (await http(node)).status === 200, 'the broker serves reads again');
  t.equal((await http(node, 'DELETE')).status, 204, 'and a deletion frees memory');
});

t.test(
  'a broker that starts while the store is full serves reads and deletions, and writes once memory is free',
  async (t) => {
    const { socketPath } = await startTestRedis(t);
    const first = await startTestServer(t, { brokerId: 1001, brokerSessionTtlMs: 1000 }, { socketPath });
    const topics = `${first.url}/v1/topics`;
    await http(topics, 'POST', { name: 'kept', replicationFactor: 1, config: { 'retention.ms': -1 } });
    await http(`${topics}/kept/records`, 'POST', { records: [{ value: 1 }, { value: 2 }] });
    const { body: session } = await http(`${first.url}/v1/sessions`, 'POST', { ttl: '30s' });
    const [full, room] = ['1', String(512 * 1024 * 1024)];
    await redisCommand(socketPath, ['CONFIG', 'SET', 'maxmemory', full]);

    const second = await startTestServer(t, { brokerId: 1002, brokerSessionTtlMs: 1000 }, { socketPath });
    const records = `${second.url}/v1/topics/kept/partitions/0/records`;
    t.match((await http(records)).body, { records: [{ value: 1 }, { value: 2 }], endOffset: 2 });
    t.match(await http(records, 'POST', { records: [{ value: 3 }] }), { status: 507, body: { code: 'STORE_FULL' } });
    t.equal(
      (await http(`${second.url}/v1/sessions/${session.session}`, 'PUT')).status,
      200,
      'a session can be renewed',
    );
    t.equal(
      (await http(`${second.url}/v1/sessions`, 'POST', { ttl: '5s' })).status,
      507,
      'and no new session is created',
    );
    await first.close();
    await eventually(
      async () => (await http(`${second.url}/v1/cluster`)).body.controller?.brokerId === 1002,
      'the new broker becomes the controller',
    );
    t.match(await http(`${records}?before=1`, 'DELETE'), { status: 200, body: { logStartOffset: 1 } });
    await redisCommand(socketPath, ['CONFIG', 'SET', 'maxmemory', room]);
    t.match(await http(records, 'POST', { records: [{ value: 3 }] }), {
      status: 200,
      body: { results: [{ baseOffset: 2 }] },
    });
  },
);

t.test('a full store whose brokers all died elects leaders again and frees memory by itself', async (t) => {
  const port = await freePort();
  await startTestRedis(t, { port, maxmemoryBytes: 16 * 1024 * 1024 });
  const start = (id: string) =>
    startServerProcess(t, {
      WEIR_REDIS_URL: `redis://127.0.0.1:${port}`,
      WEIR_BROKER_ID: id,
      WEIR_BROKER_SESSION_TTL: '1s',
    });
  const dead = await start('1');
  for (const name of ['first', 'second']) await http(`${dead.url}/v1/topics`, 'POST', { name });
  const value = 'x'.repeat(100_000);
  const produce = (url: string, name: string) =>
    http(`${url}/v1/topics/${name}/records`, 'POST', { records: [{ value }] });
  const fill = (url: string) =>
    eventually(async () => {
      await produce(url, 'second');
      return (await produce(url, 'first')).status === 507;
    }, 'the store is full');
  await fill(dead.url);
  dead.child.kill('SIGKILL');
  await dead.exited;

  const other = await start('2');
  const led = async () => (await http(`${other.url}/v1/topics/first/partitions/0`)).body;
  await eventually(
    async () => (await led()).leader === -1,
    'the controller has recorded that the partition has no leader',
  );
  t.match(await http(`${other.url}/v1/topics/first/partitions/0`, 'PATCH', { replicas: [2] }), {
    status: 200,
    body: { leader: 2, replicas: [2], isr: [2] },
  });
  const { url } = await start('1');
  await eventually(
    async () => (await http(`${url}/v1/topics/second/partitions/0`)).body.leader === 1,
    'the partitions of the dead broker have a leader again',
  );
  t.match(await produce(url, 'first'), { status: 507, body: { code: 'STORE_FULL', retryable: true } });
  t.match(await http(`${url}/v1/topics/first`, 'PATCH', { partitions: 2 }), { status: 507 });

  t.equal((await http(`${url}/v1/topics/first`, 'PATCH', { config: { 'retention.bytes': 1 } })).status, 200);
  await eventually(async () => (await produce(url, 'first')).status === 200, 'retention makes room');
  await http(`${url}/v1/topics/first`, 'PATCH', { config: { 'retention.bytes': null } });
  await fill(url);
  t.equal((await http(`${url}/v1/topics/second`, 'DELETE')).status, 204);
  await eventually(async () => (await produce(url, 'first')).status === 200, 'a deletion makes room');
});
