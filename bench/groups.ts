// Measures rebalances, commits and consuming of consumer groups, and the cost of idle groups:
// `npm run bench:groups [-- --quick] [-- --only=consume,idle]`. Starts server and Redis on the loopback (this process is the
// members) and prints Markdown tables.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { measureCommits } from './groups/commits.ts';
import { measureConsume } from './groups/consume.ts';
import { measureIdle } from './groups/idle.ts';
import { measureRebalance } from './groups/rebalance.ts';
import { GroupSite } from './lib/group-site.ts';

/** The parts by name; each has its own server and returns Markdown tables. */
const questions: Record<string, (site: GroupSite) => Promise<string[]>> = {
  rebalance: measureRebalance,
  commits: measureCommits,
  consume: measureConsume,
  idle: measureIdle,
};

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } } });
  const names = Object.keys(questions).filter((name) => values.only?.split(',').includes(name) ?? true);
  if (names.length === 0) throw new Error(`--only takes some of ${Object.keys(questions).join(',')}`);
  const scale = { quick: values.quick, rounds: values.quick ? 2 : 5 };
  const startedAt = performance.now();
  console.log(
    `Node ${process.versions.node}, ${availableParallelism()} cores, appendfsync always; ${scale.rounds} rounds\n`,
  );
  for (const name of names) {
    const site = await GroupSite.open(scale);
    const askedAt = performance.now();
    try {
      for (const text of await questions[name]!(site)) console.log(text);
    } finally {
      await site.close();
    }
    console.log(`(${name}: ${Math.round((performance.now() - askedAt) / 1000)} s)\n`);
  }
  console.log(`The run took ${Math.round((performance.now() - startedAt) / 1000)} s.`);
}

await main();
