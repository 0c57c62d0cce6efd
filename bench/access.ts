// What access control costs a request: `npm run bench:access`. Two servers, one without a policy and one with a policy of 1,000 rules
// and 100 identities, are asked the same in alternating rounds, and their CPU time for each request is printed side by side. Then it
// prints what the parts of a decision cost by themselves. It takes less than 20 s.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { AccessControl } from '../src/access/access-control.ts';
import { type NewToken, newToken } from '../src/access/tokens.ts';
import { HttpLoad, requestBytes } from './lib/http-load.ts';
import { shown, table } from './lib/measure.ts';
import { WeirServer } from './lib/processes.ts';
import { Sums, watchedRound } from './lib/rounds.ts';

const identities = 100;
const rulesEach = 10;
const connections = 32;
const roundMs = 250;
const rounds = 16;
const warmUpRounds = 4;
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
      `Node ${process.versions.node}, ${availableParallelism()} cores; ${rounds} rounds of ${roundMs} ms each\n`,
    );
    await compareServers(file);
    await measureDecisions(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function compareServers(file: string): Promise<void> {
  const open = await WeirServer.open();
  const guarded = await WeirServer.open(undefined, undefined, undefined, { WEIR_ACCESS_FILE: file });
  try {
    const requests = names.map((name, n) =>
      requestBytes('GET', `/v1/access/check?verb=read&path=/app/${name}/${n % rulesEach}/x`, '', {
        authorization: `Bearer ${tokens.get(name)?.token}`,
      }),
    );
    let at = 0;
    const next = () => {
      at = (at + 1) % requests.length;
      return requests[at] as Buffer;
    };
    const loads = [await HttpLoad.open(open.url, connections), await HttpLoad.open(guarded.url, connections)] as const;
    const sums = [new Sums(), new Sums()] as const;
    for (let round = -warmUpRounds; round < rounds; round += 1) {
      for (const [index, server] of [open, guarded].entries()) {
        const load = loads[index as 0 | 1];
        const watched = await watchedRound(() => load.run(next, roundMs), server);
        if (round >= 0) sums[index as 0 | 1].add(watched);
      }
    }
    for (const load of loads) load.close();
    const rows = [
      ['without a policy', shown(sums[0].rate), shown(sums[0].serverUsEach)],
      [`${identities * rulesEach} rules, ${identities} identities`, shown(sums[1].rate), shown(sums[1].serverUsEach)],
      ['difference', '', shown(sums[1].serverUsEach - sums[0].serverUsEach)],
    ];
    console.log(table('GET /v1/access/check', ['', 'requests/s', 'CPU of the server, µs a request'], rows));
  } finally {
    await Promise.all([open.stop(), guarded.stop()]);
  }
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
