// Compares the store of this checkout with that of another one, both built: `npm run bench:against -- FOLDER`. Each has a private Redis
// and an event tail in this process; they take turns in short rounds. Prints ratios of CPU time in Node and in Redis, and of rates.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import type * as tails from '../src/broker/watches/event-tail.ts';
import type * as embedded from '../src/embedded-redis/embedded-redis.ts';
import { redisCommand } from '../src/embedded-redis/redis-command.ts';
import type * as stores from '../src/store/store.ts';
import type { Namespace } from '../src/store/tree/namespace.ts';
import { installedRedisBinary, quietLog } from '../testbed/redis-node.ts';
import { median, percent, shown, table } from './lib/measure.ts';
import { nodeData } from './lib/workload.ts';

const roundMs = 150;
const warmUpRounds = 2;
const nodes = 256;
const ours = fileURLToPath(new URL('../..', import.meta.url));

type Operation = (namespace: Namespace) => Promise<unknown>;

let next = 0;
const operations: Record<string, Operation> = {
  set: (namespace) => namespace.writeOne({ op: 'put', path: `/n${next++ % nodes}`, data: nodeData }),
  create: (namespace) => namespace.writeOne({ op: 'create', path: `/created/${next++}`, data: nodeData }),
  get: (namespace) => namespace.get(`/n${next++ % nodes}`),
};

interface Round {
  perSecond: number;
  nodeUs: number;
  redisUs: number;
}

interface Side {
  round(operation: Operation, inFlight: number): Promise<Round>;
  close(): Promise<void>;
}

/** Opens the store of a checkout on a Redis of its own. */
async function open(folder: string): Promise<Side> {
  const { Store } = (await import(join(folder, 'dist/src/store/store.js'))) as typeof stores;
  const { EventTail } = (await import(join(folder, 'dist/src/broker/watches/event-tail.js'))) as typeof tails;
  const { startEmbeddedRedis } = (await import(
    join(folder, 'dist/src/embedded-redis/embedded-redis.js')
  )) as typeof embedded;
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-against-'));
  const binary = await installedRedisBinary();
  const redis = await startEmbeddedRedis({ appendfsync: 'always', binary, log: quietLog, dataDir });
  const { socketPath } = redis;
  const log = pino({ level: 'silent' });
  const options = { prefix: 'weir', sessionMinTtlMs: 1000, sessionMaxTtlMs: 10_000, maxNodeBytes: 2 ** 20 };
  const store = new Store(
    { ...options, target: { socketPath }, eventRetention: 100_000, storeWaitMs: 5000, storeTimeoutMs: 2000 },
    log,
  );
  await store.open();
  const tail = new EventTail(store.events, log);
  await tail.start();
  const { namespace } = store;
  const paths = ['/created', ...Array.from({ length: nodes }, (_, i) => `/n${i}`)];
  await namespace.write(paths.map((path) => ({ op: 'create', path, data: nodeData })));
  const redisUs = async () => {
    const info = String(await redisCommand(socketPath, ['INFO', 'cpu']));
    const of = (kind: string) => Number(new RegExp(`used_cpu_${kind}_main_thread:([0-9.]+)`).exec(info)?.[1]);
    return (of('user') + of('sys')) * 1e6;
  };
  return {
    round: async (operation, inFlight) => {
      const [redisBefore, before, startedAt] = [await redisUs(), process.cpuUsage(), performance.now()];
      let done = 0;
      const loop = async () => {
        while (performance.now() - startedAt < roundMs) {
          await operation(namespace);
          done += 1;
        }
      };
      await Promise.all(Array.from({ length: inFlight }, loop));
      const perSecond = (done * 1000) / (performance.now() - startedAt);
      const { user, system } = process.cpuUsage(before);
      return { perSecond, nodeUs: (user + system) / done, redisUs: ((await redisUs()) - redisBefore) / done };
    },
    close: async () => {
      await tail.stop();
      await store.close();
      await redis.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string', default: '12' } },
  });
  if (positionals.length !== 1) throw new Error('Give the folder of the other checkout, which must be built');
  const sides = [await open(resolve(positionals[0]!)), await open(ours)] as const;
  const rows: string[][] = [];
  for (const [name, operation] of Object.entries(operations)) {
    for (const inFlight of [64, 1]) {
      const results: [Round, Round][] = [];
      for (let i = -warmUpRounds; i < Number(values.rounds); i++) {
        const pair: [Round, Round] = [
          await sides[0].round(operation, inFlight),
          await sides[1].round(operation, inFlight),
        ];
        if (i >= 0) results.push(pair);
      }
      rows.push([`${name}, ${inFlight} in flight`, ...cells(results)]);
    }
  }
  const columns = ['Node µs', 'Redis µs', 'per second'].flatMap((what) => [`${what}, other`, 'this', 'this, of other']);
  console.log(table('The store of this checkout and of another one', ['', ...columns], rows));
  for (const side of sides) await side.close();
}

/** Medians of both sides, and of the ratios of neighbouring rounds. */
function cells(results: readonly [Round, Round][]): string[] {
  return (['nodeUs', 'redisUs', 'perSecond'] as const).flatMap((figure) => [
    shown(median(results.map(([other]) => other[figure]))),
    shown(median(results.map(([, own]) => own[figure]))),
    percent(median(results.map(([other, own]) => own[figure] / other[figure]))),
  ]);
}

await main();
