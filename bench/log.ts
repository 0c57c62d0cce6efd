// Measures produce, fetch, topic tails and the memory of records:
// `npm run bench:log [-- --quick] [-- --only=produce] [-- --profiles=FOLDER]`. Starts server, bare route and Redis on the loopback
// (this process is the load generator) and prints Markdown tables. README.md explains them. To add a part, add a file in bench/log/
// and a line in `questions`.
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type LogScale, LogSite } from './lib/log-site.ts';
import { measureFetch } from './log/fetch.ts';
import { measureProduce } from './log/produce.ts';
import { measureSize } from './log/size.ts';
import { measureTail } from './log/tail.ts';

/** The parts by name; each returns Markdown tables. All share one site, and delete what they have created. */
const questions: Record<string, (site: LogSite) => Promise<string[]>> = {
  produce: measureProduce,
  fetch: measureFetch,
  tail: measureTail,
  size: measureSize,
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      profiles: { type: 'string' },
    },
  });
  const names = Object.keys(questions);
  const asked = values.only === undefined ? names : names.filter((name) => values.only!.split(',').includes(name));
  if (asked.length === 0) throw new Error(`--only takes some of ${names.join(',')}`);
  if (values.profiles !== undefined) mkdirSync(values.profiles, { recursive: true });
  const scale: LogScale = {
    rounds: values.quick ? 2 : 6,
    roundMs: values.quick ? 150 : 400,
    quick: values.quick,
    profiles: values.profiles,
  };

  const startedAt = performance.now();
  const site = await LogSite.open(scale);
  try {
    console.log(
      `Node ${process.versions.node}, Redis ${site.server.redisVersion}, ${availableParallelism()} cores, appendfsync everysec ` +
        `unless said; ${scale.rounds} rounds of ${scale.roundMs} ms each\n`,
    );
    for (const name of asked) {
      const askedAt = performance.now();
      for (const text of await questions[name]!(site)) console.log(text);
      console.error(`(${name}: ${Math.round((performance.now() - askedAt) / 1000)} s)\n`);
    }
  } finally {
    await site.close();
  }
  console.log(`The run took ${Math.round((performance.now() - startedAt) / 1000)} s.`);
}

await main();
