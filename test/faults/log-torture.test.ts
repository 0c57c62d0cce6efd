// Guarantees L1 to L3, L5 and L6 while brokers and Redis are killed, stopped and restarted, and Redis runs out of memory: named
// producers and readers of a plain, a compressed and a compacted log. In the end every acknowledged record is at the offset of
// its response, once and byte by byte, and each reader has received exactly the log.
//
// WEIR_FAULTS_SECONDS says for how long (npm run test:faults: two minutes); WEIR_TEST_SEED repeats the choices of a run.
import { setMaxListeners } from 'node:events';
import t from 'tap';
import { chooseSeed, randomOf } from '../helpers/random.ts';
import { eventually, http } from '../helpers/server.ts';
import { goesOn, shown, sumOf } from './fault-log.ts';
import { startTortureCluster } from './torture-cluster.ts';
import { LogFollower, NamedProducer, type Place } from './torture-records.ts';

const seconds = Number(process.env.WEIR_FAULTS_SECONDS ?? 5);
const seed = chooseSeed();
const settleMsMax = 60_000;
const keysOfProducer = 20;

t.setTimeout((seconds + 150) * 1000);

t.test(`${seconds} s of faults: logs keep acknowledged records once and in order (seed ${seed})`, async (t) => {
  t.comment(`WEIR_TEST_SEED=${seed} WEIR_FAULTS_SECONDS=${seconds}`);
  const random = randomOf(seed);
  const cluster = await startTortureCluster(t);
  const [url] = cluster.urls as [string];
  const topics: Record<string, Record<string, unknown>> = {
    plain: {},
    packed: { 'compression.type': 'gzip' },
    table: { 'cleanup.policy': 'compact', 'compression.type': 'gzip' },
  };
  const places: Place[] = [];
  for (const [name, config] of Object.entries(topics)) {
    const created = await http(`${url}/v1/topics`, 'POST', { name, partitions: 2, replicationFactor: 3, config });
    t.equal(created.status, 201);
    for (const partition of [0, 1]) places.push({ topic: name, partition });
  }
  const over = new AbortController();
  // All clients and faults listen to the abort of this signal.
  setMaxListeners(0, over.signal);
  const producers = places.flatMap((place) =>
    [0, 1].map((n) => {
      const name = `${place.topic}-${place.partition}-${n}`;
      return new NamedProducer(name, place, keysOfProducer, cluster.urls, random.fork(name));
    }),
  );
  const followers = places.map((place, n) => new LogFollower(place, cluster.urls, random.fork(`follower ${n}`)));
  const running = Promise.all([
    cluster.torture(random.fork('faults'), over.signal),
    ...[...producers, ...followers].map((client) => client.run(over.signal)),
  ]);
  await goesOn(seconds * 1000, over.signal);
  const acknowledged = () => producers.reduce((sum, producer) => sum + producer.acknowledged.size, 0);
  await eventually(() => acknowledged() >= 300 && cluster.faults.size >= 3, 'records and faults', settleMsMax);
  over.abort();
  await running;

  for (const [n, follower] of followers.entries()) {
    const { topic, partition } = follower.place;
    await follower.finish();
    const log = new LogFollower(follower.place, cluster.urls, random.fork(`log ${n}`));
    const own = producers.filter(({ place }) => place === follower.place);
    const sent = new Map(own.flatMap(({ acknowledged: those }) => [...those]));
    const where = `${topic}/${partition}`;
    if (topic === 'table') {
      const newest = own.flatMap(({ newest: those }) => [...those.values()]).sort((a, b) => a - b);
      // A reader's offsets are those of the newest records in the end, when the log has been compacted.
      await eventually(
        async () => {
          log.received.clear();
          log.next = 0;
          await log.finish();
          return log.received.size === newest.length;
        },
        `${where} is compacted`,
        settleMsMax,
      );
      t.same([...log.received.keys()], newest, `L5: ${where} has the newest record of each key`);
    } else {
      await log.finish();
      t.same(
        [...log.received.keys()],
        [...log.received.keys()].map((_, i) => i),
        `L1: ${where} has dense offsets`,
      );
      t.equal(log.received.size, sent.size, `L3: ${where} has each of ${sent.size} records once`);
      t.same([...follower.received], [...log.received], `${where}: the reader received the whole log, in order`);
    }
    const wrong = [...log.received].filter(([offset, record]) => sent.get(offset) !== record);
    t.same(wrong, [], `L2: ${where} has the bytes that were sent`);
    const lies = [...follower.received].filter(([offset, record]) => sent.get(offset) !== record);
    t.same(lies, [], `the reader received the same bytes in ${follower.reads} reads`);
  }
  t.same(
    [...producers, ...followers].flatMap(({ problems }) => problems),
    [],
    'no request was refused, and no reader went back',
  );
  t.same(cluster.problems, [], 'E2, E3: brokers end only if they are killed, and start whenever Redis is available');
  t.comment(`${acknowledged()} records acknowledged; faults: ${shown(cluster.faults)}`);
  t.comment(`outcomes: ${shown(sumOf([...producers, ...followers].map(({ outcomes }) => outcomes)))}`);
  t.comment(`errors in the logs: ${shown(cluster.errors)}`);
});
