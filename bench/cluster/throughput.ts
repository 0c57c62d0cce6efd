// Measures the throughput of one, two and three brokers with the same load spread over them.
import { startRedisNode } from '../../testbed/redis-node.ts';
import type { Scope } from '../../testbed/scope.ts';
import { clusterThroughput } from '../lib/cluster-load.ts';
import { type ClusterScale, ClusterSite, json } from '../lib/cluster-site.ts';
import { requestBytes } from '../lib/http-load.ts';
import { shown, table } from '../lib/measure.ts';

const connections = 48;
const partitions = 6;
const records = { records: Array.from({ length: 100 }, (_, n) => ({ value: `${n}`.padEnd(100, 'x') })) };

export async function measureThroughput(scope: Scope, scale: ClusterScale): Promise<string[]> {
  const redis = await startRedisNode(scope, ['appendonly yes', 'appendfsync everysec']);
  const site = await ClusterSite.open(scope, `redis://127.0.0.1:${redis.port}`, 1, scale);
  await json(`${site.urls[0]}/v1/topics`, 'POST', { name: 'log', partitions });
  const produce = requestBytes('POST', '/v1/topics/log/records', JSON.stringify(records), {
    'content-type': 'application/json',
  });
  const fetches = Array.from({ length: partitions }, (_, partition) =>
    requestBytes('GET', `/v1/topics/log/partitions/${partition}/records?offset=earliest&maxRecords=500`),
  );
  const rows: string[][] = [];
  const first = new Map<string, number>();
  for (let count = 1; count <= 3; count += 1) {
    if (count > 1) await site.startBroker(count);
    for (const [what, next] of [
      ['produce 100', () => produce],
      ['fetch 500', () => fetches[Math.floor(Math.random() * partitions)]!],
    ] as const) {
      const { perSecond, cores } = await clusterThroughput(site.brokers, [redis], scale, connections, next);
      if (count === 1) first.set(what, perSecond);
      rows.push([
        `${what}, ${count} broker${count === 1 ? '' : 's'}`,
        shown(perSecond),
        shown(perSecond / first.get(what)!),
        shown(cores.brokers),
        shown(cores.redis),
        shown(cores.load),
        shown(cores.others),
      ]);
    }
  }
  const head = ['', 'requests/s', 'of one broker', 'cores used by brokers', 'by Redis', 'by the load', 'by others'];
  return [table(`Throughput, ${connections} connections spread over the brokers, everysec`, head, rows)];
}
