// What a second worker adds: `npm run bench:workers`. Two servers, with one and with two workers, each with a private Redis of its own,
// get the same load over HTTP in turns. It prints requests per second, the CPU time of a request, and how many cores each process kept busy:
// on a machine of few cores the load generator, which is this process, takes what the workers would need. It takes a minute.
import { availableParallelism } from 'node:os';
import { HttpLoad, requestBytes } from './lib/http-load.ts';
import { median, shown, table } from './lib/measure.ts';
import { warmUp } from './lib/pairs.ts';
import { machineCpuUs, WeirServer } from './lib/processes.ts';

const connections = 64;
const roundMs = 500;
const rounds = 6;
/** Served by each worker, of each kind, before the first round that counts: with fewer its code is still being compiled. */
const warmUpRequests = 8000;
const warmUpMsMax = 10_000;
const value = 'weirkeeper '.repeat(10).slice(0, 100);
const records = Array.from({ length: 20 }, () => ({ value }));

/** What is asked, by its name in the table. */
const requests = {
  'produce 1 record of 100 bytes': requestBytes(
    'POST',
    '/v1/topics/bench/records',
    JSON.stringify({ records: [{ value }] }),
    {
      'content-type': 'application/json',
    },
  ),
  'get a node of 100 bytes': requestBytes('GET', '/v1/nodes/bench'),
  'fetch 20 records of 100 bytes': requestBytes('GET', '/v1/topics/read/partitions/0/records?offset=0&maxRecords=20'),
};

/**
 * Requests per second of one round; CPU time of the server and its Redis for each request, µs; and the cores that were busy: those of the
 * server, its Redis, this process, the machine.
 */
interface Outcome {
  requests: number;
  perSecond: number;
  serverUs: number;
  redisUs: number;
  server: number;
  redis: number;
  load: number;
  machine: number;
}

async function main(): Promise<void> {
  const servers = [await WeirServer.open(), await WeirServer.open('programs/server.js', false, 2)];
  try {
    for (const { url } of servers) await fill(url);
    console.log(
      `Node ${process.versions.node}, ${availableParallelism()} cores, ${connections} connections; ${rounds} rounds of ${roundMs} ms each, in turns\n`,
    );
    const loads = await Promise.all(servers.map(({ url }) => HttpLoad.open(url, connections)));
    const rows = [];
    for (const [name, request] of Object.entries(requests)) {
      const outcomes: Outcome[][] = [[], []];
      for (const [index, server] of servers.entries())
        await warmUp((ms) => measure(server, loads[index]!, request, ms), warmUpRequests * (index + 1), warmUpMsMax);
      for (let round = 0; round < rounds; round += 1) {
        for (const [index, server] of servers.entries())
          outcomes[index]!.push(await measure(server, loads[index]!, request, roundMs));
      }
      rows.push(...outcomes.map((each, index) => row(`${name}, ${['one worker', 'two workers'][index]}`, each)));
    }
    for (const load of loads) load.close();
    const head = ['', 'requests/s', 'server CPU µs', 'Redis CPU µs', 'cores: server', 'Redis', 'load', 'whole machine'];
    console.log(table('One worker and two', head, rows));
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function measure(server: WeirServer, load: HttpLoad, request: Buffer, ms: number): Promise<Outcome> {
  const busyUs = () => {
    const { user, system } = process.cpuUsage();
    return [server.cpuUs, server.redisCpuUs, user + system, machineCpuUs()].map((us) => us ?? Number.NaN);
  };
  const before = busyUs();
  const startedAt = performance.now();
  const { perSecond, requests } = await load.run(() => request, ms);
  const wallUs = (performance.now() - startedAt) * 1000;
  const spentUs = busyUs().map((us, index) => us - before[index]!);
  const [serverUs, redisUs] = spentUs.map((us) => us / requests);
  const [serverCores, redis, own, machine] = spentUs.map((us) => us / wallUs);
  return {
    requests,
    perSecond,
    serverUs: serverUs!,
    redisUs: redisUs!,
    server: serverCores!,
    redis: redis!,
    load: own!,
    machine: machine!,
  };
}

function row(name: string, outcomes: Outcome[]): string[] {
  const fields = ['perSecond', 'serverUs', 'redisUs', 'server', 'redis', 'load', 'machine'] as const;
  return [name, ...fields.map((field) => shown(median(outcomes.map((outcome) => outcome[field]))))];
}

/** Creates what is read and written. @throws Error if the server refuses it */
async function fill(url: string): Promise<void> {
  const send = async (method: string, path: string, body: string) => {
    const response = await fetch(url + path, { method, body, headers: { 'content-type': 'application/json' } });
    if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
  };
  await send('PUT', '/v1/nodes/bench', value);
  await send('POST', '/v1/topics', JSON.stringify({ name: 'bench', partitions: 8 }));
  await send('POST', '/v1/topics', JSON.stringify({ name: 'read', partitions: 1 }));
  await send('POST', '/v1/topics/read/records', JSON.stringify({ records }));
}

await main();
