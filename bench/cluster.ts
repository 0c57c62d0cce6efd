// How a cluster does under load and failures: `npm run bench:cluster [-- --quick] [-- --only=throughput]`. Starts everything on
// the loopback (Redis, three brokers; this process is the load) and prints Markdown tables. README.md says how to read them.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { measureFailover } from './cluster/failover.ts';
import { measureThroughput } from './cluster/throughput.ts';
import { ClusterSite } from './lib/cluster-site.ts';

const questions: Record<string, (site: ClusterSite) => Promise<string[]>> = {
  throughput: measureThroughput,
  failover: measureFailover,
};

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } } });
  const names = Object.keys(questions);
  const asked = values.only === undefined ? names : names.filter((name) => values.only!.split(',').includes(name));
  if (asked.length === 0) throw new Error(`--only takes some of ${names.join(',')}`);
  const scale = values.quick
    ? { rounds: 3, roundMs: 500, failures: 5, sessionTtlMs: 2000 }
    : { rounds: 8, roundMs: 1000, failures: 20, sessionTtlMs: 6000 };
  const site = await ClusterSite.open(scale);
  try {
    console.log(
      `Node ${process.versions.node}, Redis ${site.redis.version}, ${availableParallelism()} cores that all share, ` +
        `appendfsync everysec; ${scale.rounds} rounds of ${scale.roundMs} ms each\n`,
    );
    for (const name of asked) for (const text of await questions[name]!(site)) console.log(text);
  } finally {
    await site.close();
  }
}

await main();
