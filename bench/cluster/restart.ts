// Measures how long clients of three brokers are not served when their single Redis is killed and restarted at once.
import { startRedisNode } from '../../testbed/redis-node.ts';
import type { Scope } from '../../testbed/scope.ts';
import { type ClusterScale, ClusterSite, json } from '../lib/cluster-site.ts';
import { both, table } from '../lib/measure.ts';
import { type Account, type Ask, accountCells, accountHead, SteadyLoad } from '../lib/steady-load.ts';

interface Failure extends Account {
  awayMs: number;
  servedMs: number;
}

export async function measureRestart(scope: Scope, scale: ClusterScale): Promise<string[]> {
  const redis = await startRedisNode(scope, ['appendonly yes', 'appendfsync everysec']);
  const site = await ClusterSite.open(scope, `redis://127.0.0.1:${redis.port}`, 3, scale);
  await json(`${site.urls[0]}/v1/topics`, 'POST', { name: 'kept', partitions: 12 });
  const produce: Ask = { name: 'produce', method: 'POST', path: '/v1/topics/kept/records', body: { records: [{}] } };
  const node: Ask = { name: 'node', method: 'PUT', path: '/v1/nodes/bench', body: 1 };
  const load = SteadyLoad.start(scope, site.urls, [produce, produce, produce, node, node, node]);
  const failures: Failure[] = [];
  for (let n = 0; n < scale.failures; n += 1) {
    await load.served(performance.now());
    load.begin();
    const failedAt = performance.now();
    const served = load.served(failedAt);
    await redis.kill();
    await redis.start();
    const awayMs = performance.now() - failedAt;
    const servedMs = (await served) - failedAt;
    failures.push({ awayMs, servedMs, ...load.account() });
  }
  const times = (of: (failure: Failure) => number) => both(failures.map(of));
  const rows = [
    ['Redis replies again', times(({ awayMs }) => awayMs)],
    ['all clients are served again', times(({ servedMs }) => servedMs)],
    ['the time between them', times(({ awayMs, servedMs }) => servedMs - awayMs)],
  ];
  return [
    table(`Redis killed and started again: ms until (p50 / worst of ${failures.length})`, ['', 'ms'], rows),
    table('Redis killed and started again: clients', ['', ...accountHead], [['all', ...accountCells(failures)]]),
  ];
}
