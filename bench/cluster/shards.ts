// Measures the throughput of a Redis Cluster with one, two and three primaries: the same load through two brokers. As all share
// the cores of one machine, the effect of more primaries shows in the CPU time of the busiest one.
import { startRedisCluster } from '../../testbed/redis-cluster.ts';
import type { Scope } from '../../testbed/scope.ts';
import { clusterThroughput } from '../lib/cluster-load.ts';
import { type ClusterScale, ClusterSite, json } from '../lib/cluster-site.ts';
import { requestBytes } from '../lib/http-load.ts';
import { percent, shown, table } from '../lib/measure.ts';
import { RunScope } from '../lib/run-scope.ts';

/** Enough partitions to spread their hash slots almost evenly over three primaries. */
const partitions = 48;
const brokers = 2;

const loads = [
  { what: 'produce 100, 48 connections', records: 100, connections: 48 },
  // With few requests in flight, the sync of the disk is the limit, and not the CPU.
  { what: 'produce 1, 8 connections', records: 1, connections: 8 },
];

export async function measureShards(_: Scope, scale: ClusterScale): Promise<string[]> {
  const tables: string[] = [];
  for (const appendfsync of ['always', 'everysec']) {
    const rows: string[][] = [];
    const first = new Map<string, { perSecond: number; busiestRedisUs: number }>();
    for (let primaries = 1; primaries <= 3; primaries += 1) {
      const scope = new RunScope();
      try {
        const cluster = await startRedisCluster(scope, primaries, false, [`appendfsync ${appendfsync}`]);
        const site = await ClusterSite.open(scope, cluster.url, brokers, scale);
        await json(`${site.urls[0]}/v1/topics`, 'POST', { name: 'log', partitions });
        for (const { what, records, connections } of loads) {
          const list = Array.from({ length: records }, (_, n) => ({ value: `${n}`.padEnd(100, 'x') }));
          const produce = requestBytes('POST', '/v1/topics/log/records', JSON.stringify({ records: list }), {
            'content-type': 'application/json',
          });
          const found = await clusterThroughput(site.brokers, cluster.nodes, scale, connections, () => produce);
          const one = first.get(what) ?? found;
          first.set(what, one);
          rows.push([
            `${what}, ${primaries} primar${primaries === 1 ? 'y' : 'ies'}`,
            shown(found.perSecond),
            shown(found.perSecond / one.perSecond),
            shown(found.cores.brokers),
            shown(found.cores.redis),
            shown(found.cores.load),
            shown(found.cores.others),
            shown(found.busiestRedisUs),
            percent(found.busiestRedisUs / one.busiestRedisUs),
          ]);
        }
      } finally {
        await scope.end();
      }
    }
    const head = [
      '',
      'requests/s',
      'of one primary',
      'cores used by brokers',
      'by all Redis',
      'by the load',
      'by others',
      'busiest Redis, µs a request',
      'of one primary',
    ];
    tables.push(table(`Redis Cluster, ${partitions} partitions, two brokers, ${appendfsync}`, head, rows));
  }
  return tables;
}
