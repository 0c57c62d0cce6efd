// Measures how long each Lua script blocks Redis for the largest requests that are allowed:
// `npm run bench:scripts [-- --only=nodes,groups]`. Starts a server and a private Redis, and prints a Markdown table.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { loadConfig } from '../src/config/config.ts';
import { startEmbeddedRedis } from '../src/embedded-redis/embedded-redis.ts';
import { redisCommand } from '../src/embedded-redis/redis-command.ts';
import { startServer } from '../src/server.ts';
import { loadScripts } from '../src/store/scripts.ts';
import { installedRedisBinary, quietLog } from '../testbed/redis-node.ts';
import { temporaryFolder } from '../testbed/scope.ts';
import { RunScope } from './lib/run-scope.ts';
import { groupCases } from './scripts/groups.ts';
import { logCases } from './scripts/logs.ts';
import type { ScriptCase, ScriptSite } from './scripts/site.ts';
import { treeCases } from './scripts/tree.ts';

const questions: Record<string, (site: ScriptSite) => ScriptCase[]> = {
  nodes: treeCases,
  groups: groupCases,
  logs: logCases,
};

/** Rounds of each case; the fastest one counts, as other work on the machine disturbs the others. */
const rounds = 3;
/** Scripts that take less time are not measured, ms. */
const slowMs = 0.2;
/** The target: no script should block Redis for longer, ms. */
const wanted = 100;

/** The scripts that ran since the slow log was emptied, with the longest time for which each blocked Redis, ms. */
async function longest(socketPath: string, names: ReadonlyMap<string, string>): Promise<Map<string, number>> {
  const entries = (await redisCommand(socketPath, ['SLOWLOG', 'GET', '-1'])) as unknown as [
    number,
    number,
    number,
    string[],
  ][];
  const found = new Map<string, number>();
  for (const [, , us, args] of entries) {
    const command = String(args[0]).toUpperCase();
    const name = command === 'EVALSHA' ? (names.get(String(args[1])) ?? String(args[1])) : command;
    if (name === 'SLOWLOG') continue;
    found.set(name, Math.max(found.get(name) ?? 0, us / 1000));
  }
  return found;
}

/** The CPU time of Redis' main thread, ms: other work on the machine is not in it. */
async function cpuMs(socketPath: string): Promise<number> {
  const info = String(await redisCommand(socketPath, ['INFO', 'cpu']));
  const of = (kind: string) => Number(new RegExp(`used_cpu_${kind}_main_thread:([0-9.]+)`).exec(info)?.[1]);
  return (of('user') + of('sys')) * 1000;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: 'string' }, matching: { type: 'string', default: '' } } });
  const chosen = Object.keys(questions).filter((name) => values.only?.split(',').includes(name) ?? true);
  if (chosen.length === 0) throw new Error(`--only takes some of ${Object.keys(questions).join(',')}`);
  const scope = new RunScope();
  try {
    const redis = await startEmbeddedRedis({
      appendfsync: 'no',
      maxmemoryBytes: 2 ** 31,
      binary: await installedRedisBinary(),
      log: quietLog,
      dataDir: temporaryFolder(scope),
    });
    scope.teardown(() => redis.stop());
    const { socketPath } = redis;
    const invocation = loadConfig({}, ['--port=0']);
    if (invocation.kind !== 'run') throw new Error(`The options ask for ${invocation.kind}`);
    const server = await startServer(invocation.config, { socketPath }, pino({ level: 'error' }));
    scope.teardown(() => server.close());
    const names = new Map<string, string>();
    for (const { name, sha } of loadScripts().values()) names.set(sha, name);
    await redisCommand(socketPath, ['CONFIG', 'SET', 'slowlog-log-slower-than', String(slowMs * 1000)]);
    await redisCommand(socketPath, ['CONFIG', 'SET', 'slowlog-max-len', '10000']);
    console.log(`Node ${process.versions.node}, ${availableParallelism()} cores; the fastest of ${rounds}\n`);
    console.log('| what | script | ms |\n| --- | --- | --: |');
    const over: string[] = [];
    for (const question of chosen) {
      for (const { what, scripts, prepare, run } of questions[question]!({
        server,
        store: server.broker.store,
      })) {
        if (!what.includes(values.matching)) continue;
        const best = new Map<string, number>();
        let cpu = Number.POSITIVE_INFINITY;
        for (let round = 0; round <= rounds; round++) {
          await prepare?.();
          await redisCommand(socketPath, ['SLOWLOG', 'RESET']);
          const before = await cpuMs(socketPath);
          await run();
          const used = (await cpuMs(socketPath)) - before;
          const ran = await longest(socketPath, names);
          // The first round is not measured: it may have to load the scripts into Redis.
          if (round === 0) continue;
          cpu = Math.min(cpu, used);
          for (const script of scripts) {
            const ms = ran.get(script);
            if (ms === undefined) continue;
            best.set(script, Math.min(best.get(script) ?? Number.POSITIVE_INFINITY, ms));
          }
        }
        for (const script of scripts) {
          const heldMs = best.get(script);
          if (heldMs === undefined) {
            console.log(`| ${what} | ${script} | < ${slowMs} |`);
            continue;
          }
          // Time in which other work had the core is not in the CPU time of Redis.
          const ms = Math.min(heldMs, cpu);
          console.log(`| ${what} | ${script} | ${ms.toFixed(1)} |`);
          if (ms > wanted) over.push(`${script}: ${what}`);
        }
      }
    }
    console.log(over.length === 0 ? `\nNone is over ${wanted} ms.` : `\nOver ${wanted} ms: ${over.join('; ')}.`);
  } finally {
    await scope.end();
  }
}

await main();
