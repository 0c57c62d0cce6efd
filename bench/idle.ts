// Measures what a server costs that does nothing: `npm run bench:idle [-- --quick]`. It starts the server a few times, then leaves one
// alone, without sockets and with 1,000 that watch, and prints Markdown tables. README.md explains them.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { both, shown, table } from './lib/measure.ts';
import { rssOf, WeirServer } from './lib/processes.ts';
import { SocketFleet } from './lib/sockets.ts';

const socketsCount = 1000;
/** After this time V8 has given back what the start, or opening sockets, needed, ms. */
const settleMs = 100_000;

interface Start {
  readyMs: number;
  cpuMs: number;
  serverMb: number;
  redisMb: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
  const [startsCount, idleMs] = values.quick ? [3, 10_000] : [7, 60_000];
  const starts: Start[] = [];
  for (let n = 0; n < startsCount; n++) starts.push(await measureStart());
  const server = await WeirServer.open('programs/server.js', false);
  const fleet = new SocketFleet(`${server.url}/v1/watch`, () => false);
  try {
    console.log(`Node ${process.versions.node}, Redis ${server.redisVersion}, private Redis, appendfsync always\n`);
    console.log(table('Start, p50 / worst', ['', `${startsCount} starts`], startRows(starts)));
    await sleep(settleMs);
    const alone = await measureIdle(server, idleMs);
    await fleet.grow(socketsCount, [JSON.stringify({ type: 'watch', id: 'w', path: '/idle' })]);
    await sleep(settleMs);
    const watched = await measureIdle(server, idleMs);
    console.log(
      table(
        'Idle',
        ['', 'server, MB', 'Redis, MB', 'together, MB', 'server, % of a core', 'Redis, % of a core'],
        [
          ['no socket', ...alone],
          [`${socketsCount.toLocaleString('en')} sockets, each with a watch`, ...watched],
        ],
      ),
    );
  } finally {
    await fleet.close();
    await server.stop();
  }
}

async function measureStart(): Promise<Start> {
  const startedAt = performance.now();
  const server = await WeirServer.open('programs/server.js', false);
  const readyMs = performance.now() - startedAt;
  const cpuMs = (server.cpuUs ?? Number.NaN) / 1000;
  const { serverMb, redisMb } = memoryOf(server);
  await server.stop();
  return { readyMs, cpuMs, serverMb, redisMb };
}

function startRows(starts: Start[]): string[][] {
  const row = (name: string, of: (start: Start) => number) => [name, both(starts.map(of))];
  return [
    row('from the start of the process until it serves, ms', ({ readyMs }) => readyMs),
    row('CPU time of the server until then, ms', ({ cpuMs }) => cpuMs),
    row('memory of the server then, MB', ({ serverMb }) => serverMb),
    row('memory of Redis then, MB', ({ redisMb }) => redisMb),
  ];
}

/** @returns the cells of a row: memory in MB, and shares of a core in percent, over `ms` */
async function measureIdle(server: WeirServer, ms: number): Promise<string[]> {
  const spent = () => [server.cpuUs ?? Number.NaN, server.redisCpuUs ?? Number.NaN] as const;
  const [before, startedAt] = [spent(), performance.now()];
  await sleep(ms);
  const after = spent();
  const tookUs = (performance.now() - startedAt) * 1000;
  const { serverMb, redisMb } = memoryOf(server);
  const shares = after.map((us, index) => shown(((us - before[index]!) * 100) / tookUs));
  return [shown(serverMb), shown(redisMb), shown(serverMb + redisMb), ...shares];
}

function memoryOf({ pid, redisPid }: WeirServer): { serverMb: number; redisMb: number } {
  const mb = (bytes: number | undefined) => (bytes ?? Number.NaN) / 1024 / 1024;
  return { serverMb: mb(rssOf(pid)), redisMb: mb(rssOf(redisPid)) };
}

await main();
