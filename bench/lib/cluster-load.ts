// Measures the throughput of a cluster, and the CPU time of brokers, of each Redis and of the load generator.
import type { RedisNode } from '../../testbed/redis-node.ts';
import type { ClusterBroker, ClusterScale } from './cluster-site.ts';
import { HttpLoad, type Round } from './http-load.ts';
import { median } from './measure.ts';
import { cpuUsOf, machineCpuUs } from './processes.ts';

export interface ClusterThroughput {
  perSecond: number;
  /** Cores used by all processes of a kind; `others` = by other work on the machine. */
  cores: { brokers: number; redis: number; load: number; others: number };
  /** CPU time of the busiest Redis per request, µs. */
  busiestRedisUs: number;
}

/** Spreads `connections` over the brokers and measures `rounds` of load after a warm-up round. */
export async function clusterThroughput(
  brokers: ClusterBroker[],
  redis: RedisNode[],
  { rounds, roundMs }: ClusterScale,
  connections: number,
  next: () => Buffer,
): Promise<ClusterThroughput> {
  const each = Math.floor(connections / brokers.length);
  const loads = await Promise.all(brokers.map(({ url }) => HttpLoad.open(url, each)));
  const all = (ms: number): Promise<Round[]> => Promise.all(loads.map((load) => load.run(next, ms)));
  // In microseconds; the machine, brokers, the load, then one Redis after the other.
  const spent = () => [
    machineCpuUs() ?? Number.NaN,
    sum(brokers.map(({ cpuUs }) => cpuUs ?? Number.NaN)),
    cpuUsOf(process.pid) ?? Number.NaN,
    ...redis.map((node) => cpuUsOf(node.pid()) ?? Number.NaN),
  ];
  await all(roundMs);
  const rates: number[] = [];
  let requests = 0;
  const [before, startedAt] = [spent(), performance.now()];
  for (let round = 0; round < rounds; round += 1) {
    const results = await all(roundMs);
    rates.push(sum(results.map(({ perSecond }) => perSecond)));
    requests += sum(results.map((result) => result.requests));
  }
  const us = spent().map((value, index) => value - before[index]!);
  const elapsedUs = (performance.now() - startedAt) * 1000;
  for (const load of loads) load.close();
  const [machineUs, brokersUs, loadUs, ...redisUs] = us as [number, number, number, ...number[]];
  const ownUs = brokersUs + loadUs + sum(redisUs);
  return {
    perSecond: median(rates),
    cores: {
      brokers: brokersUs / elapsedUs,
      redis: sum(redisUs) / elapsedUs,
      load: loadUs / elapsedUs,
      others: Math.max(0, machineUs - ownUs) / elapsedUs,
    },
    busiestRedisUs: Math.max(...redisUs) / requests,
  };
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
