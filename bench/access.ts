// What access control costs a request: `npm run bench:access`. Two servers, one without a policy and one with a policy of 1,000 rules
// and 100 identities, are asked for the same nodes in memory, in turns, and the CPU time of a request is compared in each pair. Then it
// prints what the parts of a decision cost by themselves. It takes less than 20 s.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { AccessControl } from '../src/access/access-control.ts';
import { type NewToken, newToken } from '../src/access/tokens.ts';
import { loadConfig } from '../src/config/config.ts';
import { startEmbeddedRedis } from '../src/embedded-redis/embedded-redis.ts';
import { startServer } from '../src/server.ts';
import { installedRedisBinary, quietLog } from '../testbed/redis-node.ts';
import { temporaryFolder } from '../testbed/scope.ts';
import { HttpLoad, requestBytes } from './lib/http-load.ts';
import { median, percent, percentile, shown, table } from './lib/measure.ts';
import { RunScope } from './lib/run-scope.ts';

const identities = 100;
const rulesEach = 10;
const connections = 8;
/** Short, so that both servers of a pair meet the same other work on the machine. */
const requestsARound = 64;
const roundMsMax = 10_000;
const pairsMeasured = 400;
const warmUpPairs = 100;
const decisions = 200_000;

const names = Array.from({ length: identities }, (_, n) => `service-${n}`);
const tokens = new Map<string, NewToken>(names.map((name) => [name, newToken(name)]));

/** Ten rules for each identity, on all kinds of things, and a limit that is not reached. */
function policyText(): string {
  const known = [...tokens].map(
    ([name, { id, sha256 }]) => `  ${name}: { tokens: [ { id: ${id}, sha256: "${sha256}" } ] }`,
  );
  const rules = names.flatMap((name) =>
    Array.from({ length: rulesEach }, (_, n) => {
      const grants = `nodes: { "/app/${name}/${n}/**": [read, write] }, topics: { "${name}.${n}.*": [read] }, groups: { "${name}-${n}": [use] }`;
      return `  - { who: ${name}, ${grants}, limits: { requests: 10M/s } }`;
    }),
  );
  return `identities:\n${known.join('\n')}\nallow:\n${rules.join('\n')}\n`;
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-bench-access-'));
  const file = join(folder, 'policy.yaml');
  await writeFile(file, policyText());
  try {
    console.log(
      `Node ${process.versions.node}, ${availableParallelism()} cores; ${pairsMeasured} pairs of ${requestsARound} requests each\n`,
    );
    await compareServers(file);
    await measureDecisions(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Both servers run in this process and take turns of a few milliseconds, so that other work on the machine disturbs both alike. */
async function compareServers(file: string): Promise<void> {
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
    const loads = [];
    for (const options of [[], [`--access-file=${file}`]]) {
      const invocation = loadConfig({}, ['--port=0', ...options]);
      if (invocation.kind !== 'run') throw new Error(`The options ask for ${invocation.kind}`);
      const server = await startServer(invocation.config, { socketPath: redis.socketPath }, pino({ level: 'error' }));
      scope.teardown(() => server.close());
      const load = await HttpLoad.open(server.url, connections);
      scope.teardown(() => load.close());
      loads.push({ load, server });
    }
    const [open, guarded] = loads as [(typeof loads)[0], (typeof loads)[0]];
    const { namespace } = open.server.broker.store;
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
    const cpuUsEach = async ({ load }: { load: HttpLoad }) => {
      const before = process.cpuUsage();
      await load.run(next, roundMsMax, requestsARound);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / requestsARound;
    };
    const pairs: [open: number, guarded: number][] = [];
    for (let pair = -warmUpPairs; pair < pairsMeasured; pair += 1) {
      // Each is the first of every second pair.
      const first = pair % 2 === 0;
      const a = await cpuUsEach(first ? open : guarded);
      const b = await cpuUsEach(first ? guarded : open);
      if (pair >= 0) pairs.push(first ? [a, b] : [b, a]);
    }
    console.log(
      table(
        'GET /v1/nodes/{path}?read=local',
        ['CPU of client and server in one process', 'µs a request'],
        [
          ['without a policy, median', shown(median(pairs.map(([each]) => each)))],
          [
            `${identities * rulesEach} rules, ${identities} identities, median`,
            shown(median(pairs.map(([, each]) => each))),
          ],
          ['difference in a pair, median', shown(median(pairs.map(([a, b]) => b - a)))],
          [
            'difference in a pair, quartiles',
            [0.25, 0.75]
              .map((share) =>
                shown(
                  percentile(
                    pairs.map(([a, b]) => b - a),
                    share,
                  ),
                ),
              )
              .join(' – '),
          ],
          ['difference of the tenth with least other work', shown(leastOf(pairs, 1) - leastOf(pairs, 0))],
          ['ratio in a pair, median', percent(median(pairs.map(([a, b]) => b / a)))],
        ],
      ),
    );
  } finally {
    await scope.end();
  }
}

/** The 10th percentile of one side: other work on the machine can only add to a round. */
function leastOf(pairs: [open: number, guarded: number][], side: 0 | 1): number {
  return percentile(
    pairs.map((pair) => pair[side]),
    0.1,
  );
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
