// What all Fastify hooks and plugins together cost a request: `npm run bench:hooks`. It asks the same handlers with and without them, a
// process each, in alternating rounds, and prints a Markdown table of ratios. It takes less than half a minute.
import { availableParallelism } from 'node:os';
import { HttpLoad, requestBytes } from './lib/http-load.ts';
import { median, percent, shown, table } from './lib/measure.ts';
import { openBareServer, type ServerProcess, WeirServer } from './lib/processes.ts';
import { Sums, watchedRound } from './lib/rounds.ts';
import { nodeData } from './lib/workload.ts';

const connections = 64;
const roundMs = 250;
const rounds = 12;
const warmUpRounds = 4;
/** No round begins later than that after the start of the first, ms. */
const lastRoundMs = 22_000;

const requests = [
  { name: 'GET of a constant', path: '/constant', method: 'GET', body: '' },
  { name: 'POST of 100 bytes', path: '/discard', method: 'POST', body: nodeData },
] as const;

async function main(): Promise<void> {
  const server = await WeirServer.open('bench/lib/hooked-server.js');
  const bare = await openBareServer();
  try {
    await checkHooksRun(server.url);
    console.log(
      `Node ${process.versions.node}, ${availableParallelism()} cores; up to ${rounds} rounds of ${roundMs} ms each\n`,
    );
    const rows: string[][] = [];
    const beganAt = performance.now();
    const loads = [await HttpLoad.open(server.url, connections), await HttpLoad.open(bare.url, connections)] as const;
    for (const [index, { name, method, path, body }] of requests.entries()) {
      const request = requestBytes(method, path, body);
      const until = beganAt + (lastRoundMs * (index + 1)) / requests.length;
      rows.push([name, ...(await compare(request, { server, bare }, loads, until))]);
    }
    for (const load of loads) load.close();
    const head = [
      '',
      'rounds',
      'bare requests/s',
      'with hooks',
      'rate, of bare',
      'bare µs',
      'with hooks µs',
      'CPU, of bare',
    ];
    console.log(table(`All hooks and plugins together, ${connections} connections`, head, rows));
  } finally {
    await Promise.all([server.stop(), bare.stop()]);
  }
}

/** @param untilMs no round begins later, as performance.now() */
async function compare(
  request: Buffer,
  { server, bare }: { server: ServerProcess; bare: ServerProcess },
  [load, bareLoad]: readonly [HttpLoad, HttpLoad],
  untilMs: number,
): Promise<string[]> {
  const round = () => watchedRound(() => load.run(() => request, roundMs), server);
  const bareRound = () => watchedRound(() => bareLoad.run(() => request, roundMs), bare);
  for (let i = 0; i < warmUpRounds; i += 1) {
    await round();
    await bareRound();
  }
  const [sums, ofBare, ratios]: [Sums, Sums, number[]] = [new Sums(), new Sums(), []];
  // At least one, whatever the time.
  do {
    const { perSecond } = sums.add(await round());
    ratios.push(perSecond / ofBare.add(await bareRound()).perSecond);
  } while (ratios.length < rounds && performance.now() < untilMs);
  return [
    String(ratios.length),
    shown(ofBare.rate),
    shown(sums.rate),
    percent(median(ratios)),
    shown(ofBare.serverUsEach),
    shown(sums.serverUsEach),
    percent(sums.serverUsEach / ofBare.serverUsEach),
  ];
}

/** @throws Error if the first and the last of the hooks that mark a response did not: the comparison would measure nothing */
async function checkHooksRun(url: string): Promise<void> {
  const response = await fetch(`${url}/constant`);
  await response.text();
  for (const name of ['cache-control', 'x-request-id']) {
    if (!response.ok || !response.headers.has(name)) {
      throw new Error(`The response (${response.status}) has no ${name}: hooks of the server did not run`);
    }
  }
}

await main();
