// Guarantees N5 and N6 with many sessions: none ends early, each ends in the first call of the reaper that finds it overdue,
// sessions that end together do not wait for each other, and idle ones cost nothing. Lateness is judged by the clock of Redis
// and the calls of the reapers. The delay in milliseconds depends on the machine, and is only printed.

import { pino } from 'pino';
import t, { type Test } from 'tap';
import { createMetrics } from '../../src/broker/metrics.ts';
import { createSessionReaper } from '../../src/broker/sessions/session-reaper.ts';
import { unrestricted } from '../../src/core/actor.ts';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { Store } from '../../src/store/store.ts';
import { brokerCredential, type ReapResult, type SessionLease } from '../../src/store/tree/sessions.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, testConfig } from '../helpers/server.ts';

/** `npm run test:faults` runs the long version. */
const isLong = Number(process.env.WEIR_FAULTS_SECONDS ?? 0) >= 60;
const idleSessions = isLong ? 100_000 : 20_000;
/** How many sessions with one node each a call ends (lua/sessions/reap.lua). */
const perCall = 200;
const outageMs = 1000;

t.setTimeout(300_000);

/** One call of the reaper: the clock of Redis before and after it, and its result. */
interface Look {
  from: number;
  to: number;
  result: ReapResult;
}

/** A store that records the calls of its reaper. */
async function startStore(t: Test, socketPath: string, looks: Look[]): Promise<Store> {
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const reap = store.sessions.reap.bind(store.sessions);
  store.sessions.reap = async (outage) => {
    const from = await clock(store);
    const result = await reap(outage);
    looks.push({ from, to: await clock(store), result });
    return result;
  };
  return store;
}

function startReaper(t: Test, { sessions }: Store): void {
  const reaper = createSessionReaper(sessions, createMetrics(), pino({ level: 'silent' }));
  reaper.start();
  t.teardown(() => reaper.stop());
}

/** The clock of Redis, ms. */
async function clock({ connection }: Store): Promise<number> {
  const [seconds, micros] = await connection.command(false, (client) => client.time());
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

/** Runs something many times, a hundred at once. */
async function many<T>(times: number, run: (n: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const work = async () => {
    while (next < times) {
      const n = next++;
      results[n] = await run(n);
    }
  };
  await Promise.all(Array.from({ length: 100 }, work));
  return results;
}

/** Creates a session with ephemeral nodes of its own. */
async function createWithNodes(store: Store, ttlMs: number, nodes: number): Promise<SessionLease> {
  const lease = await store.sessions.create(ttlMs, unrestricted);
  for (let n = 0; n < nodes; n += 1) {
    const session = brokerCredential(lease.id);
    await store.namespace.writeOne({ op: 'create', path: `/s-${lease.id}-${n}`, mode: 'ephemeral', session });
  }
  return lease;
}

const endedIn = (looks: Look[]) => looks.flatMap(({ result }) => result.ended);

/** The faults in the ends of sessions by the clock of Redis, one line each. */
function endProblems(leases: SessionLease[], looks: Look[]): string[] {
  const problems: string[] = [];
  const ends = new Map<string, { endedAt: number; look: Look }[]>();
  const expiries = new Map(leases.map(({ id, expiresAt }) => [id, expiresAt]));
  for (const look of looks) {
    for (const { id, lateMs } of look.result.ended) {
      const expiresAt = expiries.get(id);
      if (expiresAt === undefined) problems.push(`${id} was none of those that were to end`);
      else ends.set(id, [...(ends.get(id) ?? []), { endedAt: expiresAt + lateMs, look }]);
    }
  }
  for (const { id, expiresAt } of leases) {
    const [end, again] = ends.get(id) ?? [];
    if (!end) problems.push(`${id} has not ended`);
    if (again) problems.push(`${id} has ended twice`);
    if (!end) continue;
    if (end.look.to < expiresAt || end.endedAt < expiresAt) problems.push(`${id} has ended early`);
    // A call that leaves no overdue session, and began when this session was overdue, must have found it.
    const due = looks.filter(({ from, result }) => from >= expiresAt && !result.more);
    const found = Math.min(...due.map(({ to }) => to));
    if (end.endedAt > found) problems.push(`${id} was overdue at ${expiresAt}, overlooked at ${found}`);
  }
  return problems;
}

function distribution(leases: SessionLease[], looks: Look[]): string {
  const ids = new Set(leases.map(({ id }) => id));
  const late = endedIn(looks)
    .filter(({ id }) => ids.has(id))
    .map(({ lateMs }) => lateMs)
    .sort((a, b) => a - b);
  const at = (share: number) => late[Math.min(late.length - 1, Math.floor(late.length * share))];
  return `late by ${at(0)} ms at least, ${at(0.5)} in the middle, ${at(0.99)} at 99 %, ${at(1)} at most`;
}

t.test(`two brokers end 200 sessions among ${idleSessions} idle ones, each in time and at low cost`, async (t) => {
  const { socketPath } = await startTestRedis(t);
  const looks: Look[] = [];
  const one = await startStore(t, socketPath, looks);
  const two = await startStore(t, socketPath, looks);
  const idle = await many(idleSessions, () => one.sessions.create(3_600_000, unrestricted));
  for (const store of [one, two]) startReaper(t, store);
  await eventually(() => looks.length > 0, 'the first call, which extends all sessions');
  const short = await many(200, (n) => createWithNodes(two, 500 + n * 5, 1));
  await eventually(() => endedIn(looks).length >= short.length, 'all short sessions have ended');
  t.same(endProblems(short, looks), [], 'each ended once, not early, and in the first call that could find it');
  t.comment(distribution(short, looks));
  const alive = await many(idle.length, async (n) => {
    const { id } = idle[n]!;
    return (await one.sessions.get(brokerCredential(id))).id === id;
  });
  t.equal(alive.filter((lives) => lives).length, idleSessions, 'the idle sessions are alive');

  // From here on only the reapers call scripts.
  await redisCommand(socketPath, ['CONFIG', 'RESETSTAT']);
  const from = await clock(one);
  const before = looks.length;
  await eventually(() => looks.length >= before + (isLong ? 50 : 10), 'the reapers have made some calls');
  const stats = String(await redisCommand(socketPath, ['INFO', 'commandstats']));
  const [, calls, usec] = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/.exec(stats)!;
  const elapsedMs = (await clock(one)) - from;
  t.comment(
    `${calls} looks took ${usec} us of ${elapsedMs} ms: ${(Number(usec) / elapsedMs / 10).toFixed(3)} % of Redis`,
  );
  t.ok(Number(calls) <= looks.length - before + 2, 'a run with only idle sessions is one script call');
});

const together = isLong ? 10_000 : 2000;

t.test(`${together} sessions that end together do not wait for each other`, async (t) => {
  const { socketPath } = await startTestRedis(t);
  const looks: Look[] = [];
  const store = await startStore(t, socketPath, looks);
  startReaper(t, store);
  await eventually(() => looks.length > 0, 'the first call, which extends all sessions');
  const deadline = (await clock(store)) + together / 4 + 1500;
  const leases = await many(together, async () => createWithNodes(store, deadline - (await clock(store)), 2));
  await eventually(() => endedIn(looks).length >= together, 'all short sessions have ended', 60_000);
  t.same(endProblems(leases, looks), [], 'each ended once, not early, and in the first call that could find it');
  const full = looks.filter(({ result }) => result.more);
  t.ok(
    full.every(({ result }) => result.ended.reduce((sum, { ephemerals }) => sum + ephemerals, 0) >= perCall),
    'each call that leaves overdue sessions has ended its maximum',
  );
  t.comment(distribution(leases, looks));

  const { transactions } = await store.events.range('main', 0, await store.events.newestZxid(), 100_000);
  const ends = transactions.filter(({ events }) => events[0]?.kind === 'deleted');
  const wholes = ends.filter(({ events }) => {
    const owners = new Set(events.map(({ path }) => path.slice(0, -2)));
    return events.length === 2 && owners.size === 1;
  });
  t.equal(wholes.length, together, 'each end is one transaction, with both nodes of that session');
  t.equal(ends.length, together);
});

t.test('after an outage thousands of overdue sessions are extended in a few calls', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const looks: Look[] = [];
  const store = await startStore(t, socketPath, looks);
  // A store without a previous call had no outage.
  await store.sessions.reap(outageMs);
  looks.length = 0;
  const ttlMs = 2000;
  const leases = await many(5000, () => store.sessions.create(ttlMs, unrestricted));
  const last = Math.max(...leases.map(({ expiresAt }) => expiresAt));
  await eventually(async () => (await clock(store)) > last, 'all sessions are overdue, and no reaper has run');
  while ((await store.sessions.reap(outageMs)).more);
  const [first] = looks;
  t.equal(first?.result.extended, true);
  t.equal(looks.filter(({ result }) => result.extended).length, 1, 'there was one outage');
  t.same(
    looks.filter(({ to, result }) => result.ended.length > 0 && to < first!.from + ttlMs),
    [],
    'no session ended before another full TTL was over',
  );
  t.ok(looks.length <= leases.length / perCall + 1, `it took ${looks.length} calls`);
});
