// What works when the store is at its memory limit: reading, and everything that makes room.
import t from 'tap';
import { redisCommand } from '../../src/store/redis-command.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

t.test('a full store refuses records, and takes them again when there is room', async (t) => {
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
  t.equal((await http(`${url}/first/partitions/0/records`)).body.endOffset, endOffset, 'nothing was written');
  t.match((await http(`${url}/first/partitions/0/records?offset=1&maxRecords=1`)).body.records, [{ offset: 1, value }]);

  t.equal((await http(`${url}/first/partitions/0/records?before=latest`, 'DELETE')).status, 200);
  await eventually(async () => (await produce('first')).status === 200, 'deleted records made room');

  await fill();
  t.equal((await http(`${url}/second`, 'DELETE')).status, 204);
  t.equal((await http(`${url}/second`)).status, 404);
  await eventually(async () => (await produce('first')).status === 200, 'a deleted topic made room');
  t.equal((await http(url, 'POST', { name: 'second' })).status, 201, 'its name is free again');
});

t.test('a broker whose connection breaks while the store is full serves again', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const server = await startTestServer(t, {}, { socketPath });
  const node = `${server.url}/v1/nodes/n`;
  t.equal((await http(node, 'PUT', 'x')).status, 201);
  await redisCommand(socketPath, ['CONFIG', 'SET', 'maxmemory', '1']);
  t.match(await http(node, 'PUT', 'y'), { status: 507, body: { code: 'STORE_FULL' } });
  await redisCommand(socketPath, ['CLIENT', 'KILL', 'TYPE', 'normal']);
  await eventually(async () => (await http(node)).status === 200, 'it reads again');
  t.equal((await http(node, 'DELETE')).status, 204, 'and makes room');
});
