// What access control costs a request: `npm run bench:access`. Three servers, one without a policy, one with a policy of 1,000
// rules and 100 identities, and one with limits in that policy, are asked for the same nodes in memory, in turns, and the CPU time of a
// request is compared in each round. Then it prints what the parts of a decision cost by themselves. It takes less than 20 s.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { AccessControl } from '../src/access/access-control.ts';
import { type NewToken, newToken } from '../src/access/tokens.ts';
import { loadConfig } from '../src/config/config.ts';
import { required } from '../src/core/required.ts';
import { startEmbeddedRedis } from '../src/embedded-redis/embedded-redis.ts';
import { startServer } from '../src/server.ts';
import { installedRedisBinary, quietLog } from '../testbed/redis-node.ts';
import { temporaryFolder } from '../testbed/scope.ts';
import { HttpLoad, requestBytes } from './lib/http-load.ts';
import { median, percentile, shown, table } from './lib/measure.ts';
import { RunScope } from './lib/run-scope.ts';

const identities = 100;
const rulesEach = 10;
const connections = 8;
/** Short, so that all servers of a round meet the same other work on the machine. */
const requestsATurn = 64;
const turnMsMax = 10_000;
const roundsMeasured = 400;
const warmUpRounds = 100;
const decisions = 200_000;

const names = Array.from({ length: identities }, (_, n) => `service-${n}`);
const tokens = new Map<string, NewToken>(names.map((name) => [name, newToken(name)]));

/** Ten rules for each identity, on all kinds of things. @param limits what each rule adds to that */
function policyText(limits: string): string {
  const known = [...tokens].map(
    ([name, { id, sha256 }]) => `  ${name}: { tokens: [ { id: ${id}, sha256: "${sha256}" } ] }`,
  );
  const rules = names.flatMap((name) =>
    Array.from({ length: rulesEach }, (_, n) => {
      const grants = `nodes: { "/app/${name}/${n}/**": [read, write] }, topics: { "${name}.${n}.*": [read] }, groups: { "${name}-${n}": [use] }`;
      return `  - { who: ${name}, ${grants}${limits} }`;
    }),
  );
  return `identities:\n${known.join('\n')}\nallow:\n${rules.join('\n')}\n`;
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-bench-access-'));
  const policy = async (name: string, limits: string) => {
    const file = join(folder, name);
    await writeFile(file, policyText(limits));
    return file;
  };
  try {
    const plain = await policy('plain.yaml', '');
    // A limit that is not reached.
    const limited = await policy('limited.yaml', ', limits: { requests: 10M/s }');
    console.log(
      `Node ${process.versions.node}, ${availableParallelism()} cores; ${roundsMeasured} rounds of ${requestsATurn} requests to each server\n`,
    );
    const rules = `${identities * rulesEach} rules, ${identities} identities`;
    await compareServers([
      ['no policy', []],
      [rules, [`--access-file=${plain}`]],
      [`${rules}, limits`, [`--access-file=${limited}`]],
    ]);
    await measureDecisions(limited);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * All servers run in this process and take turns of a few milliseconds, so that other work on the machine disturbs all alike.
 * @param kinds what each server is, and its options; the first is what the others are compared with
 */
async function compareServers(kinds: readonly [name: string, options: string[]][]): Promise<void> {
  const scope = new RunScope();
  try {
    const redis = await startEmbeddedRedis({
      appendfsync: 'no',
      maxmemoryBytes: 2 ** 30,
      binary: await installedRedisBinary(),
      log: quietLog,
      dataDir: temporaryFolder(scope),
    });
    scope.teardown(() => redis.stop());
    const servers = [];
    for (const [, options] of kinds) {
      const invocation = loadConfig({}, ['--port=0', ...options]);
      if (invocation.kind !== 'run') throw new Error(`The options ask for ${invocation.kind}`);
      const server = await startServer(invocation.config, { socketPath: redis.socketPath }, pino({ level: 'error' }));
      scope.teardown(() => server.close());
      const load = await HttpLoad.open(server.url, connections);
      scope.teardown(() => load.close());
      servers.push({ load, server });
    }
    const { namespace } = required(servers[0], 'server').server.broker.store;
    const paths = names.map((name, n) => `/app/${name}/${n % rulesEach}/x`);
    const ops = paths.map((path) => ({ op: 'create', path, parents: true, data: Buffer.from('x') }) as const);
    for (const op of ops) await namespace.write([{ ...op, mode: 'persistent', contentType: 'text/plain' }]);
    const requests = paths.map((path, n) =>
      requestBytes('GET', `/v1/nodes${path}?read=local`, '', {
        authorization: `Bearer ${tokens.get(names[n] ?? '')?.token}`,
      }),
    );
    let at = 0;
    const next = () => requests[at++ % requests.length] as Buffer;
    const cpuUsEach = async (load: HttpLoad) => {
      const before = process.cpuUsage();
      await load.run(next, turnMsMax, requestsATurn);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / requestsATurn;
    };
    const rounds: number[][] = [];
    for (let round = -warmUpRounds; round < roundsMeasured; round += 1) {
      const costs: number[] = [];
      // Each is the first in turn.
      for (let turn = 0; turn < servers.length; turn += 1) {
        const which = Math.abs(round + turn) % servers.length;
        costs[which] = await cpuUsEach(required(servers[which], 'server').load);
      }
      if (round >= 0) rounds.push(costs);
    }
    console.log(
      table(
        'GET /v1/nodes/{path}?read=local: CPU of client and server in one process, µs a request',
        ['', 'median', 'more in a round: median', 'quartiles', 'the tenth with least other work', 'more'],
        kinds.map(([name], which) => rowOf(name, rounds, which)),
      ),
    );
  } finally {
    await scope.end();
  }
}

function rowOf(name: string, rounds: readonly number[][], which: number): string[] {
  const costs = rounds.map((round) => required(round[which], 'cost'));
  const more = rounds.map((round) => required(round[which], 'cost') - required(round[0], 'cost'));
  // Other work on the machine can only add to a turn.
  const least = percentile(costs, 0.1);
  if (which === 0) return [name, shown(median(costs)), '', '', shown(least), ''];
  const quartiles = [0.25, 0.75].map((share) => shown(percentile(more, share))).join(' – ');
  const leastOfFirst = percentile(
    rounds.map((round) => required(round[0], 'cost')),
    0.1,
  );
  return [name, shown(median(costs)), shown(median(more)), quartiles, shown(least), shown(least - leastOfFirst)];
}

async function measureDecisions(file: string): Promise<void> {
  const access = await AccessControl.load(file, pino({ level: 'silent' }));
  const callers = await Promise.all(
    names.map((name) => access.callerOf({ authorization: `Bearer ${tokens.get(name)?.token}`, client: 'bench' })),
  );
  const each = (act: (n: number) => unknown) => {
    for (let n = 0; n < decisions / 10; n += 1) act(n);
    const began = performance.now();
    for (let n = 0; n < decisions; n += 1) act(n);
    return shown(((performance.now() - began) * 1000) / decisions);
  };
  const name = (n: number) => names[n % identities] as string;
  const caller = (n: number) => callers[n % identities] as (typeof callers)[number];
  const rows = [
    [
      'who asks: a token',
      each((n) => access.callerOf({ authorization: `Bearer ${tokens.get(name(n))?.token}`, client: 'bench' })),
    ],
    [
      'read on a node',
      each((n) => caller(n).rights.allows('read', { kind: 'nodes', name: `/app/${name(n)}/${n % 10}/x` })),
    ],
    [
      'read on a topic',
      each((n) => caller(n).rights.allows('read', { kind: 'topics', name: `${name(n)}.${n % 10}.x` })),
    ],
    [
      'one request of the rate',
      each((n) => access.accounts.open(`identity ${name(n)}`, name(n), caller(n).limits)?.takeRequest()),
    ],
  ];
  access.close();
  console.log(table('Parts of a decision', ['', 'µs each'], rows));
}

await main();
