// Guarantees R1, R3 and R4 of one group while its members and its brokers die. Members over HTTP and on sockets read through any
// of three brokers, leave, die, join again or are replaced. Half of those over HTTP send `after` and repeat calls; the others
// continue at the committed offsets after a call without a response. In the end every record was delivered, no partition had
// two owners at a time, and the group becomes stable by itself.
//
// WEIR_FAULTS_SECONDS says for how long (npm run test:faults: two minutes); WEIR_TEST_SEED repeats the choices of a run.
import { setMaxListeners } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import t from 'tap';
import { ownershipProblems } from '../helpers/groups.ts';
import { chooseSeed, randomOf } from '../helpers/random.ts';
import { eventually, http } from '../helpers/server.ts';
import { AssignmentHistory, type Ending } from './assignment-history.ts';
import { goesOn, shown, sumOf } from './fault-log.ts';
import { phasesOf } from './hand-over-phases.ts';
import { startTortureCluster, wholeHistory } from './torture-cluster.ts';
import { type GroupUnderTorture, HttpMember, SocketMember } from './torture-members.ts';

const isLong = process.env.WEIR_FAULTS_SECONDS !== undefined;
const seconds = Number(process.env.WEIR_FAULTS_SECONDS ?? 4);
const [membersOfEachKind, partitions, records] = isLong ? [10, 24, 100_000] : [3, 8, 5000];
const seed = chooseSeed();
const settleMsMax = 60_000;
/** Within this time this process may read two connections in the wrong order, in addition to its own delays. */
const slackMs = 500;

t.setTimeout((seconds + 180) * 1000);

t.test(
  `${seconds} s of deaths: a group delivers every record, and each partition has one owner (seed ${seed})`,
  async (t) => {
    t.comment(`WEIR_TEST_SEED=${seed} WEIR_FAULTS_SECONDS=${seconds}`);
    const random = randomOf(seed);
    const cluster = await startTortureCluster(t);
    const { urls, store } = cluster;
    await http(`${urls[0]}/v1/topics`, 'POST', { name: 'log', partitions, replicationFactor: 3 });
    const delay = monitorEventLoopDelay();
    delay.enable();

    const [over, calm, readAll] = [new AbortController(), new AbortController(), new AbortController()];
    for (const { signal } of [over, calm, readAll]) setMaxListeners(0, signal);
    const log = new AssignmentHistory();
    const group: GroupUnderTorture = { group: 'group', topic: 'log', urls, log, calm: calm.signal };
    const each = Array.from({ length: membersOfEachKind }, (_, n) => n);
    const members = [
      ...each.map((n) => new HttpMember(`http${n}`, group, random.fork(`http ${n}`), n % 2 === 0)),
      ...each.map((n) => new SocketMember(`socket${n}`, group, random.fork(`socket ${n}`))),
    ];
    const reading = Promise.all(members.map((member) => member.run(readAll.signal)));
    const faults = cluster.tortureBrokers(random.fork('faults'), over.signal);
    const producing = produce(urls, records, seconds * 1000, over.signal);
    await goesOn(seconds * 1000, over.signal);
    await producing;
    await eventually(() => cluster.faults.size > 0, 'faults', settleMsMax);
    await eventually(() => log.handOvers().length > 0, 'a partition changes its owner', settleMsMax);
    over.abort();
    await faults;
    calm.abort();

    const missing = async (): Promise<string[]> => {
      const { body } = await http(`${urls[0]}/v1/topics/log`);
      return body.partitions.flatMap(({ partition, endOffset }: { partition: number; endOffset: number }) =>
        Array.from({ length: endOffset }, (_, offset) => `${partition}/${offset}`).filter(
          (at) => !log.consumed.has(at),
        ),
      );
    };
    await eventually(async () => (await missing()).length === 0, 'every record was given', settleMsMax).catch(
      () => undefined,
    );
    t.same((await missing()).slice(0, 20), [], 'R4: every record was delivered to a member');

    let seen: any;
    await eventually(
      async () => {
        seen = (await http(`${urls[1]}/v1/groups/group`)).body;
        const ids = new Set(seen.members.map(({ memberId }: any) => memberId));
        const isShared = seen.partitions.every(({ owner }: any) => ids.has(owner));
        return seen.state === 'stable' && isShared && members.every(({ memberId }) => ids.has(memberId));
      },
      'the group is stable',
      settleMsMax,
    ).catch(() => t.fail(`R3: the group is stable in the end, with the members that live: ${JSON.stringify(seen)}`));
    readAll.abort();
    await reading;

    const history = await wholeHistory(store, await store.events.newestZxid());
    t.same(ownershipProblems(history, 'group'), [], 'R1: each partition has one owner at any time');
    const slack = slackMs + delay.max / 1e6;
    t.same(log.problems(slack), [], 'R1: no member receives records of a partition that another one owns');
    t.same(
      members.flatMap(({ problems }) => problems),
      [],
      'no client got an impossible response',
    );
    t.same(cluster.problems, [], 'E2: brokers end only if they are killed');

    const handOvers = log.handOvers();
    t.comment(`${log.consumed.size} records; faults: ${shown(cluster.faults)}`);
    t.comment(`members: ${shown(sumOf(members.map(({ outcomes }) => outcomes)))}`);
    for (const how of ['released', 'left', 'lost'] satisfies Ending[]) {
      const those = handOvers.filter((handOver) => handOver.how === how).sort((a, b) => a.ms - b.ms);
      const times = those.map(({ ms }) => Math.round(ms));
      const at = (share: number) => times[Math.floor(share * (times.length - 1))] ?? '-';
      t.comment(`hand-overs, ${how}: ${times.length}, ms p50 ${at(0.5)}, p90 ${at(0.9)}, longest ${at(1)}`);
      for (const handOver of those.slice(-3)) t.comment(`  ${phasesOf(handOver, history, cluster.timed, 'group')}`);
    }
    t.comment(
      `errors in the logs: ${shown(cluster.errors)}; this process was up to ${Math.round(slack - slackMs)} ms late`,
    );
  },
);

/** Appends `count` records over `forMs`, four requests at a time, through any broker that takes them. */
async function produce(urls: readonly string[], count: number, forMs: number, signal: AbortSignal): Promise<void> {
  const batch = 250;
  const startedAt = performance.now();
  let sent = 0;
  const produceSome = async (turn: number) => {
    for (let next = turn; sent < count; next += 1) {
      const records = Array.from({ length: batch }, (_, i) => ({ key: `${sent + i}`, value: sent + i }));
      const url = `${urls[next % urls.length]}/v1/topics/log/records`;
      const response = await http(url, 'POST', { records }, {}, AbortSignal.timeout(2000)).catch(() => undefined);
      if (response?.status === 200) sent += batch;
      const dueMs = startedAt + (sent / count) * forMs - performance.now();
      await goesOn(Math.max(0, Math.min(dueMs, 1000)), signal);
    }
  };
  await Promise.all([0, 1, 2, 3].map(produceSome));
}
