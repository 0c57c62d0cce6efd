// Measures requests on nodes, watch fan-out, memory and the growth of the tree:
// `npm run bench:namespace [-- --quick] [-- --profiles=FOLDER]`. Starts everything on the loopback, takes a few minutes
// (WEIR_BENCH_SECONDS scales it) and prints Markdown tables. README.md explains them.
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { openBareServer, type ServerProcess, WeirServer } from './lib/processes.ts';
import { type Scale, scaleOf, secondsDefault } from './lib/workload.ts';
import { measureMemory } from './namespace/memory.ts';
import { measureRequests } from './namespace/requests.ts';
import { measureSize } from './namespace/size.ts';
import { measureFanOut } from './namespace/watch-fan-out.ts';

const secondsQuick = 30;

const questions = ['requests', 'fan-out', 'memory', 'size'] as const;
type Question = (typeof questions)[number];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      profiles: { type: 'string' },
    },
  });
  const asked =
    values.only === undefined ? questions : questions.filter((name) => values.only!.split(',').includes(name));
  if (asked.length === 0) throw new Error(`--only takes some of ${questions.join(',')}`);
  const seconds = Number(process.env.WEIR_BENCH_SECONDS ?? (values.quick ? secondsQuick : secondsDefault));
  if (!(seconds > 0)) throw new Error(`WEIR_BENCH_SECONDS is ${process.env.WEIR_BENCH_SECONDS}; it must be above 0`);
  if (values.profiles !== undefined) mkdirSync(values.profiles, { recursive: true });
  const scale = scaleOf(seconds, values.profiles);

  const startedAt = performance.now();
  const server = await WeirServer.open();
  const bare = await openBareServer();
  try {
    console.log(
      `Node ${process.versions.node}, Redis ${server.redisVersion}, ${availableParallelism()} cores, appendfsync always; ` +
        `${scale.rounds} rounds of ${scale.roundMs} ms each\n`,
    );
    for (const question of asked) {
      const askedAt = performance.now();
      for (const text of await response(question, server, bare, scale)) console.log(text);
      console.error(`(${question}: ${Math.round((performance.now() - askedAt) / 1000)} s)\n`);
    }
  } finally {
    await Promise.all([server.stop(), bare.stop()]);
  }
  console.log(`The run took ${Math.round((performance.now() - startedAt) / 1000)} s.`);
}

async function response(question: Question, server: WeirServer, bare: ServerProcess, scale: Scale): Promise<string[]> {
  switch (question) {
    case 'requests':
      return measureRequests(server, bare, scale);
    case 'fan-out':
      return [await measureFanOut(server, bare, scale)];
    case 'memory':
      return [await measureMemory(server, scale)];
    case 'size':
      return measureSize(scale);
  }
}

await main();
