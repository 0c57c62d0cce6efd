// Measures the throughput of a cluster and the duration of failures of brokers and Redis primaries:
// `npm run bench:cluster [-- --quick] [-- --only=throughput,broker]`. Starts Redis and brokers on the loopback (this process is
// the load) and prints Markdown tables. README.md explains them.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { installedRedisBinary } from '../testbed/redis-node.ts';
import type { Scope } from '../testbed/scope.ts';
import { measureBrokerFailover, measureControllerKilled, measureControllerStopped } from './cluster/broker-failover.ts';
import { measureClusterFailover } from './cluster/redis-cluster-failover.ts';
import { measureRestart } from './cluster/restart.ts';
import { measureSentinelKilled, measureSentinelStopped } from './cluster/sentinel-failover.ts';
import { measureShards } from './cluster/shards.ts';
import { measureThroughput } from './cluster/throughput.ts';
import type { ClusterScale } from './lib/cluster-site.ts';
import { RunScope } from './lib/run-scope.ts';

/** The parts by name; each takes less than five minutes. */
const questions: Record<string, (scope: Scope, scale: ClusterScale) => Promise<string[]>> = {
  throughput: measureThroughput,
  shards: measureShards,
  broker: measureBrokerFailover,
  'controller-killed': measureControllerKilled,
  'controller-stopped': measureControllerStopped,
  restart: measureRestart,
  'sentinel-killed': measureSentinelKilled,
  'sentinel-stopped': measureSentinelStopped,
  'redis-cluster': measureClusterFailover,
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, only: { type: 'string' }, failures: { type: 'string' } },
  });
  const names = values.only?.split(',') ?? Object.keys(questions);
  const unknown = names.filter((name) => !(name in questions));
  if (unknown.length > 0) throw new Error(`--only=${unknown} is no question; there are ${Object.keys(questions)}`);
  const scale = values.quick
    ? { rounds: 3, roundMs: 500, failures: 3, sessionTtlMs: 2000 }
    : { rounds: 8, roundMs: 1000, failures: 20, sessionTtlMs: 6000 };
  if (values.failures !== undefined) scale.failures = Number(values.failures);
  const { version } = await installedRedisBinary();
  console.log(
    `Node ${process.versions.node}, Redis ${version}, ${availableParallelism()} cores that all share; ` +
      `${scale.rounds} rounds of ${scale.roundMs} ms each, ${scale.failures} failures of a kind\n`,
  );
  for (const name of names) {
    const scope = new RunScope();
    const startedAt = performance.now();
    try {
      for (const text of await questions[name]!(scope, scale)) console.log(text);
    } finally {
      await scope.end();
    }
    console.log(`(${name}: ${Math.round((performance.now() - startedAt) / 1000)} s)\n`);
  }
}

await main();
