// A server that starts while its shared Redis loads, as it does after the start of the whole machine: each kind of topology.
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { startServer } from '../../../src/server.ts';
import { startRedisCluster } from '../../../testbed/redis-cluster.ts';
import { type RedisNode, startRedisNode } from '../../../testbed/redis-node.ts';
import { freePort } from '../../../testbed/scope.ts';
import { startSentinels } from '../../../testbed/sentinels.ts';
import { eventually, http, testConfig } from '../../helpers/server.ts';

const silent = pino({ level: 'silent' });
/** While it reads its append-only file Redis replies after every 1024 commands, and is slow at each. */
const slowness = [
  'appendonly yes',
  'appendfsync no',
  'key-load-delay 500',
  'loading-process-events-interval-bytes 1024',
];
const keys = 8000;

/** Fills a Redis with keys of the coordination slot, and starts it again. @returns when it has loaded them */
async function startsLoading(redis: RedisNode): Promise<{ loaded: Promise<void> }> {
  const fill = `for i = 1, ${keys} do redis.call('SET', '{weir}:filler' .. i, 'x') end`;
  await redis.ask('EVAL', fill, '1', '{weir}:filler');
  await redis.kill();
  return { loaded: redis.start() };
}

async function isLoadingThenServes(t: Test, url: string, loaded: Promise<void>): Promise<void> {
  const config = { ...testConfig, port: await freePort() };
  const own = `http://127.0.0.1:${config.port}`;
  const progress = new Set<number>();
  const onLoading = (loading?: { percent: number }) => loading && progress.add(loading.percent);
  const starting = startServer(config, { url }, silent, {}, { onLoading });
  const refused = await eventually(async () => {
    const response = await http(`${own}/v1/nodes/`).catch(() => undefined);
    return response?.body.code === 'LOADING' ? response : undefined;
  }, 'it is LOADING');
  t.match(refused, {
    status: 503,
    body: { percent: Number, secondsLeft: Number, detail: /Redis is loading its data/ },
  });
  await loaded;
  const server = await starting;
  t.teardown(() => server.close());
  t.equal((await http(`${own}/health/ready`)).status, 200);
  t.ok(progress.size > 0, 'the progress was told');
}

t.test('one shared Redis', async (t) => {
  const redis = await startRedisNode(t, slowness);
  const { loaded } = await startsLoading(redis);
  await isLoadingThenServes(t, `redis://127.0.0.1:${redis.port}`, loaded);
});

t.test('the node of a Redis Cluster that has the coordination slot', async (t) => {
  const cluster = await startRedisCluster(t, 3, false, [...slowness, 'cluster-node-timeout 30000']);
  const owner = await cluster.ownerOf('{weir}:root');
  const { loaded } = await startsLoading(owner);
  await isLoadingThenServes(t, cluster.url, loaded);
});

t.test('the primary that Sentinels name', async (t) => {
  const { url, nodes } = await startSentinels(t, 0, slowness);
  const { loaded } = await startsLoading(nodes[0]!);
  await isLoadingThenServes(t, url, loaded);
});
