// A store that is emptied while brokers are connected to it, by FLUSHALL or a wrong DEL.
import t from 'tap';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

t.test('an emptied store is a new cluster at once, and zxids of the old one are COMPACTED', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const { url } = await startTestServer(t, {}, { socketPath });
  const put = (path: string) => http(`${url}/v1/nodes${path}?parents=true`, 'PUT', 'x');
  const before = await put('/a/b/c');
  t.equal(before.status, 201);
  const { clusterId } = (await http(`${url}/v1/cluster`)).body;

  await redisCommand(socketPath, ['FLUSHALL']);
  await eventually(async () => (await put('/a/b/c')).status === 201, 'the tree has its roots again');
  t.not((await http(`${url}/v1/cluster`)).body.clusterId, clusterId);
  t.equal((await http(`${url}/v1/nodes/a/b/c`)).body, 'x');
  for (let i = 0; i < 50; i++) await http(`${url}/v1/nodes/a`, 'PUT', `${i}`);
  t.match(await http(`${url}/v1/watch/a?since=${before.body.stat.czxid}`), {
    status: 200,
    body: /^event: problem\ndata: .*"code":"COMPACTED"/m,
  });
  await eventually(
    async () => (await http(`${url}/v1/cluster`)).body.controller !== null,
    'the cluster has a controller',
  );
  t.equal((await http(`${url}/v1/topics`, 'POST', { name: 'new' })).status, 201, 'the broker has registered again');
});
