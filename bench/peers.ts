// Measures this server beside ZooKeeper, etcd, NATS JetStream and Kafka, in turns: `npm run bench:peers [-- --quick] [-- --only=nodes]
// [-- --sync=always]`. `--sync` says how this server syncs records whose latency is measured; NATS is started with the same.
// The peers run already, and the environment names their addresses (README.md); what it does not name is skipped. Only one peer should
// run at a time.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { LogSite } from './lib/log-site.ts';
import { type PairScale, type RecordScale, recordSync } from './lib/pairs.ts';
import { measureLatency } from './peers/latency.ts';
import { measureNodes } from './peers/nodes.ts';
import { measureRecords } from './peers/records.ts';

/** The parts by name; each returns Markdown tables. */
const questions: Record<string, (site: LogSite, scale: RecordScale) => Promise<string[]>> = {
  nodes: async (site, scale) => {
    await site.sync('always');
    return measureNodes(site.server, scale);
  },
  records: measureRecords,
  latency: measureLatency,
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      sync: { type: 'string', default: 'everysec' },
    },
  });
  const names = Object.keys(questions);
  const asked = values.only === undefined ? names : names.filter((name) => values.only!.split(',').includes(name));
  if (asked.length === 0) throw new Error(`--only takes some of ${names.join(',')}`);
  const pairs: PairScale = values.quick ? { rounds: 3, roundMs: 500 } : { rounds: 7, roundMs: 2000 };
  const scale: RecordScale = { ...pairs, sync: recordSync(values.sync) };
  const site = await LogSite.open({ ...scale, quick: values.quick, profiles: undefined });
  try {
    console.log(
      `Node ${process.versions.node}, Redis ${site.server.redisVersion}, ${availableParallelism()} cores for all; nodes with ` +
        `appendfsync always, records with everysec; ${scale.rounds} pairs of rounds of ${scale.roundMs} ms each\n`,
    );
    for (const name of asked) for (const text of await questions[name]!(site, scale)) console.log(text);
  } finally {
    await site.close();
  }
}

await main();
