// The guarantees of a whole cluster under all kinds of faults: three brokers over one Redis are killed, stopped, isolated or get
// a wrong clock, under producers, a consumer group, locks and watchers. In the end nothing acknowledged is missing or
// duplicated, everything is in order, each partition and lock had one owner at any time, and the cluster serves again.
// Producers are known by keys or by names that others take over, send JSON or streams of lines, and sockets read what they wrote.
//
// WEIR_FAULTS_SECONDS says for how long (npm run test:faults: two minutes); WEIR_TEST_SEED repeats the choices of a run.
import { setMaxListeners } from 'node:events';
import t, { type Test } from 'tap';
import { ownershipProblems } from '../helpers/groups.ts';
import { chooseSeed, type Random, randomOf } from '../helpers/random.ts';
import { eventually, http } from '../helpers/server.ts';
import { expectedMessages, messageProblems } from './expected-events.ts';
import { goesOn, shown, sumOf } from './fault-log.ts';
import { controllerProblems, ephemeralProblems, sequenceProblems } from './history-checks.ts';
import { logProblems, NamedProducer, Producer, wholeTopic } from './repeating-producers.ts';
import type { TortureClient } from './torture-client.ts';
import { startTortureCluster, type TortureCluster, wholeHistory } from './torture-cluster.ts';
import { Member, OffsetsReader, passedOver } from './torture-groups.ts';
import { fenceProblems, LockClient } from './torture-locks.ts';
import { readerProblems, SocketReader } from './torture-readers.ts';
import { strayLogs, TopicClient } from './torture-topics.ts';
import { SocketWatcher, WatchRecord } from './torture-watchers.ts';

const seconds = Number(process.env.WEIR_FAULTS_SECONDS ?? 5);
const seed = chooseSeed();
const settleMsMax = 60_000;
const partitions = 4;

t.setTimeout((seconds + 180) * 1000);

t.test(`${seconds} s of faults: a cluster keeps its guarantees and recovers by itself (seed ${seed})`, async (t) => {
  t.comment(`WEIR_TEST_SEED=${seed} WEIR_FAULTS_SECONDS=${seconds}`);
  const random = randomOf(seed);
  const cluster = await startTortureCluster(t);
  const { urls, store } = cluster;
  await createTopic(urls[0]!, 'log', partitions);
  await createTopic(urls[0]!, 'guarded', 1);
  await store.namespace.writeOne({ op: 'put', path: '/locks/one', data: '', parents: true });

  const producers = clients(
    4,
    random.fork('producers'),
    (n, own) => new Producer(`p${n}`, 'log', partitions, urls, own),
  );
  const named = clients(
    3,
    random.fork('named producers'),
    (n, own) => new NamedProducer(`named-${n}`, 'log', partitions, urls, own),
  );
  const members = clients(3, random.fork('members'), (n, own) => new Member(`m${n}`, 'group', 'log', urls, own));
  const locks = clients(4, random.fork('locks'), (_, own) => new LockClient('/locks/one', 'guarded', urls, own));
  const topics = clients(2, random.fork('topics'), (_, own) => new TopicClient(urls, own));
  const offsets = new OffsetsReader('group', urls, random.fork('offsets'));
  const all: TortureClient[] = [...producers, ...named, ...locks, ...topics, ...members, offsets];
  const watcher = startWatcher(t, urls, random.fork('watcher'));
  const readers = startReaders(t, urls, random.fork('readers'));

  // Members continue until they have read everything; all other clients stop with the faults.
  const [over, readAll] = [new AbortController(), new AbortController()];
  for (const { signal } of [over, readAll]) setMaxListeners(0, signal);
  const writing = Promise.all([
    cluster.torture(random.fork('faults'), over.signal),
    ...[...producers, ...named, ...locks, ...topics].map((client) => client.run(over.signal)),
  ]);
  const reading = Promise.all([...members, offsets].map((client) => client.run(readAll.signal)));
  await goesOn(seconds * 1000, over.signal);
  const acknowledged = () => producers.reduce((sum, producer) => sum + producer.acknowledged.length, 0);
  await eventually(() => acknowledged() >= 50 && cluster.faults.size >= 3, 'records and faults', settleMsMax);
  over.abort();
  await writing;
  await healthy(t, cluster);

  const log = await wholeTopic(urls[0]!, 'log', partitions);
  const guarded = await wholeTopic(urls[1]!, 'guarded', 1);
  await eventually(
    () => log.every(({ partition, offset }) => members.some(({ consumed }) => consumed.has(`${partition}/${offset}`))),
    'the group has read every record',
    settleMsMax,
  ).catch((error: unknown) => t.fail(String(error)));
  await eventually(
    () => readers.every(({ received }) => received.length >= log.length),
    'the sockets have received every record',
    settleMsMax,
  ).catch((error: unknown) => t.fail(String(error)));
  readAll.abort();
  await reading;
  await eventually(() => offsets.read(), 'the committed offsets');
  await eventually(
    async () => (await store.namespace.allChildren('/locks/one')).length === 0,
    'N5: the queue nodes of the lock are deleted with their sessions',
  );
  const last = await store.namespace.writeOne({ op: 'put', path: '/locks/end', data: '' });
  await eventually(
    () => watcher.records.every((record) => (record.last ?? 0) >= last.zxid),
    'the watcher gets the last transaction',
  );

  await eventually(
    async () => (await store.namespace.allChildren('/admin/delete_topics')).length === 0,
    'deletions of topics are finished',
  );
  const described = await Promise.all(['log', 'guarded'].map((name) => http(`${urls[2]}/v1/topics/${name}`)));
  const ids = new Set(described.map(({ body }) => body.topicId as string));

  const history = await wholeHistory(store, last.zxid);
  const controllers = controllerProblems(history);
  const places = locks.flatMap((client) => client.places);
  t.same(logProblems(log, [...producers, ...named]), [], 'L1, L2, L3: no record is lost, duplicated or out of order');
  for (const reader of readers) {
    t.same(
      readerProblems(reader, log),
      [],
      `L1, L6: a socket received the whole log, over ${reader.connections} connections`,
    );
  }
  t.same(fenceProblems(guarded), [], 'L4: a client that has lost the lock writes no more');
  t.same(ownershipProblems(history, 'group'), [], 'R1: each partition has one owner at any time');
  t.same(passedOver(members, offsets.committed), [], 'R4: no record is committed that no member received');
  t.same(sequenceProblems(history, '/locks/one', places), [], 'N2: no sequential name is used twice');
  t.same(controllers.problems, [], 'each epoch has one controller, and no other broker writes under it');
  t.same(await strayLogs(cluster.socketPath, ids), [], 'a deleted topic leaves no logs behind');
  t.same(await ephemeralProblems(store), [], 'N5: each ephemeral node belongs to a live session');
  t.same(watcherProblems(watcher, history, last.zxid), [], 'W1, W2: the watcher received the whole history');
  const problems = all.flatMap((client) => client.problems);
  t.same(problems, [], 'no client got an impossible response');
  t.same(cluster.problems, [], 'E2, E3: brokers end only if they are killed, and start whenever Redis is available');
  const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
  const takeOvers = sum(named.map((one) => one.takeOvers));
  t.ok(
    guarded.length > 0 && controllers.elections > 0 && offsets.reads > 0 && takeOvers > 0,
    'all kinds of clients have made progress',
  );

  t.comment(`faults: ${shown(cluster.faults)}`);
  t.comment(`${log.length} records, ${acknowledged()} acknowledged; outcomes: ${outcomes(producers)}`);
  t.comment(`named producers: taken over ${takeOvers} times; outcomes: ${outcomes(named)}`);
  t.comment(`members: ${outcomes(members)}; ${offsets.reads} looks at the offsets`);
  t.comment(`topics: ${sum(topics.map(({ rounds }) => rounds))} made and deleted; ${outcomes(topics)}`);
  const taken = sum(locks.map(({ lost }) => lost));
  t.comment(`locks: held ${sum(locks.map(({ held }) => held))} times, lost ${taken}; ${outcomes(locks)}`);
  t.comment(`${history.length} transactions, ${controllers.elections} controllers, ${guarded.length} fenced records`);
  t.comment(`errors in the logs: ${shown(cluster.errors)}`);
});

function clients<T extends TortureClient>(count: number, random: Random, make: (n: number, own: Random) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n, random.fork(String(n))));
}

const outcomes = (clients: TortureClient[]) => shown(sumOf(clients.map((client) => client.outcomes)));

async function createTopic(url: string, name: string, partitions: number): Promise<void> {
  const { status, body } = await http(`${url}/v1/topics`, 'POST', { name, partitions, replicationFactor: 3 });
  if (status !== 201) throw new Error(`Topic ${name}: ${JSON.stringify(body)}`);
}

function startWatcher(t: Test, urls: string[], random: Random): SocketWatcher {
  const paths = ['/locks', '/brokers', '/controller_epoch', '/consumers/group/owners'];
  const records = paths.map((path) => new WatchRecord({ path, mode: 'recursive', data: true }, () => undefined));
  const watcher = new SocketWatcher(records, urls, random);
  void watcher.run();
  t.teardown(() => watcher.stop());
  return watcher;
}

function startReaders(t: Test, urls: string[], random: Random): SocketReader[] {
  const readers = [0, 1].map((n) => new SocketReader('log', urls, random.fork(String(n))));
  for (const reader of readers) {
    void reader.run();
    t.teardown(() => reader.stop());
  }
  return readers;
}

function watcherProblems({ records }: SocketWatcher, history: Awaited<ReturnType<typeof wholeHistory>>, last: number) {
  return records.flatMap(({ watched, from, received, problems }) => {
    if (from === undefined) return [`${watched.path} has never begun`];
    const settled = received.filter(({ zxid }) => zxid <= last);
    return [...problems, ...messageProblems(settled, expectedMessages(history, watched, from, last), watched)];
  });
}

/** Waits until all brokers serve, are registered, and are in sync for every partition. */
async function healthy(t: Test, { urls }: TortureCluster): Promise<void> {
  let seen = '';
  await eventually(
    async () => {
      const ready = await Promise.all(urls.map((url) => http(`${url}/health/ready`)));
      const { body: cluster } = await http(`${urls[0]}/v1/cluster`);
      const { body: topic } = await http(`${urls[1]}/v1/topics/log`);
      seen = JSON.stringify([ready.map(({ status }) => status), cluster, topic.partitions]);
      if (ready.some(({ status }) => status !== 200) || !cluster.brokers || !topic.partitions) return false;
      const ids: number[] = cluster.brokers.map(({ id }: { id: number }) => id);
      const areAll = ids.length === urls.length && ids.includes(cluster.controller?.brokerId);
      return areAll && topic.partitions.every(({ leader, isr }: any) => ids.includes(leader) && isr.length === 3);
    },
    'all brokers serve, with a controller, and are in sync for every partition',
    settleMsMax,
  ).catch((error: unknown) => t.fail(`${error}: ${seen}`));
}
