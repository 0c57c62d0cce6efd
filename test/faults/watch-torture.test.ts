// Guarantees W1, W2, W3, E2 and E3 under all kinds of faults: brokers and Redis are killed, stopped and restarted, and
// connections broken, under writers and watchers. In the end each watcher must have received exactly the history of the store,
// no acknowledged change may be missing from it, and no session may have ended early.
//
// WEIR_FAULTS_SECONDS says for how long (npm run test:faults: two minutes); WEIR_TEST_SEED repeats the choices of a run.
import { setMaxListeners } from 'node:events';
import t from 'tap';
import type { Store } from '../../src/store/store.ts';
import type { Op } from '../../src/store/tree/namespace.ts';
import { chooseSeed, type Random, randomOf } from '../helpers/random.ts';
import { eventually, http } from '../helpers/server.ts';
import { expectedMessages, type Message, messageProblems, type Watched } from './expected-events.ts';
import { count, goesOn, shown, sumOf } from './fault-log.ts';
import { startTortureCluster, wholeHistory } from './torture-cluster.ts';
import { SocketWatcher, StreamWatcher, type Watcher, WatchRecord } from './torture-watchers.ts';
import { SessionHolder, Writer } from './torture-writers.ts';

const seconds = Number(process.env.WEIR_FAULTS_SECONDS ?? 6);
const seed = chooseSeed();
const settleMsMax = 60_000;

t.setTimeout((seconds + 120) * 1000);

t.test(`${seconds} s of faults: watchers receive the whole history, once and in order (seed ${seed})`, async (t) => {
  t.comment(`WEIR_TEST_SEED=${seed} WEIR_FAULTS_SECONDS=${seconds}`);
  const random = randomOf(seed);
  const cluster = await startTortureCluster(t);
  const { urls, store } = cluster;
  const over = new AbortController();
  // All clients and faults listen to the abort of this signal.
  setMaxListeners(0, over.signal);
  const freshness = new Freshness(urls, random.fork('freshness'), over.signal);
  const watchers = startWatchers(urls, random.fork('watchers'), (message) => freshness.probe(message));
  t.teardown(() => {
    for (const watcher of watchers) watcher.stop();
  });
  const records = watchers.flatMap((watcher) => watcher.records);
  const writers = Array.from({ length: 10 }, (_, n) => new Writer(`w${n}`, urls, random.fork(`writer ${n}`)));
  const holders = Array.from({ length: 4 }, (_, n) => new SessionHolder(urls, random.fork(`holder ${n}`)));

  const running = Promise.all([
    cluster.torture(random.fork('faults'), over.signal),
    cutConnections(watchers, random.fork('cuts'), cluster.faults, over.signal),
    ...[...writers, ...holders].map((client) => client.run(over.signal)),
  ]);
  await goesOn(seconds * 1000, over.signal);
  const acknowledged = () => writers.reduce((sum, writer) => sum + writer.acknowledged.length, 0);
  await eventually(() => acknowledged() >= 100 && cluster.faults.size >= 3, 'changes and faults', settleMsMax);
  over.abort();
  await running;
  const last = await endForAll(store, records);
  await eventually(
    () => records.every((record) => (record.last ?? 0) >= last),
    'all watchers received the last transaction',
    settleMsMax,
  ).catch((error: unknown) => t.fail(String(error)));

  const history = await wholeHistory(store, last);
  const problems = records.flatMap((record) => {
    const { watched, from, received } = record;
    if (from === undefined) return [`${watched.mode} ${watched.path} has never begun`];
    const settled = received.filter(({ zxid }) => zxid <= last);
    return [...record.problems, ...messageProblems(settled, expectedMessages(history, watched, from, last), watched)];
  });
  t.same(problems, [], 'W1, W2: each watch received exactly the history after its beginning');
  t.same(freshness.problems, [], `W3: ${freshness.probes} reads after an event were at least as new`);
  t.same(
    writers.flatMap((writer) => writer.brokenPromises(history)),
    [],
    'acknowledged changes are in the history, refused ones are not',
  );
  t.same(
    writers.flatMap((writer) => writer.problems),
    [],
    'no response was INTERNAL',
  );
  t.same(
    holders.flatMap((holder) => holder.problems),
    [],
    'N5, N6: no session that was renewed in time has ended',
  );
  t.same(cluster.problems, [], 'E2, E3: brokers end only if they are killed, and start whenever Redis is available');

  const received = records.reduce((sum, record) => sum + record.received.length, 0);
  t.ok(received > acknowledged(), `${acknowledged()} changes were acknowledged, and ${received} messages received`);
  const connections = watchers.reduce((sum, watcher) => sum + watcher.connections, 0);
  t.comment(
    `${history.length} transactions; ${records.length} watches on ${watchers.length} watchers, which connected`,
  );
  t.comment(`${connections} times; faults: ${shown(cluster.faults)}`);
  t.comment(`outcomes of writes: ${shown(sumOf(writers.map(({ outcomes }) => outcomes)))}`);
  t.comment(`sessions held: ${holders.map(({ renewals, ends }) => `${renewals} renewals, ${ends} ends`).join(' | ')}`);
  t.comment(`errors in the logs: ${shown(cluster.errors)}`);
});

function startWatchers(urls: string[], random: Random, onMessage: (message: Message) => void): Watcher[] {
  const record = (watched: Watched) => new WatchRecord(watched, onMessage);
  const watchers: (SocketWatcher | StreamWatcher)[] = [];
  for (let n = 0; n < 8; n += 1) {
    // On each connection at least one watch gets nearly everything, with the data.
    const watches = [
      record({ path: random.chance(0.3) ? '/' : '/t', mode: 'recursive', data: true }),
      ...Array.from({ length: 3 }, () => record(someWatch(random))),
    ];
    watchers.push(new SocketWatcher(watches, urls, random.fork(`socket ${n}`)));
    watchers.push(new StreamWatcher([watches[0]!.watched].map(record), urls, random.fork(`stream ${n}`)));
    watchers.push(new StreamWatcher([record(someWatch(random))], urls, random.fork(`other stream ${n}`)));
  }
  for (const watcher of watchers) void watcher.run();
  return watchers;
}

function someWatch(random: Random): Watched {
  const mode = random.pick(['node', 'children', 'recursive'] as const);
  const depth = random.below(3);
  const path = ['/t', ...Array.from({ length: depth }, () => random.pick(['a', 'b', 'c']))].join('/');
  // A watch on the ephemeral nodes themselves; they have no children to watch.
  const own = mode !== 'children' && random.chance(0.3) ? `${path}/e${random.below(3)}` : path;
  return { path: own, mode, data: random.chance(0.5) };
}

async function cutConnections(
  watchers: Watcher[],
  random: Random,
  faults: Map<string, number>,
  signal: AbortSignal,
): Promise<void> {
  while (await goesOn(random.between(20, 300), signal)) {
    count(faults, 'connection cut');
    random.pick(watchers).cut();
  }
}

/** Writes one more transaction, which matches every watch. @returns its zxid */
async function endForAll(store: Store, records: WatchRecord[]): Promise<number> {
  const ops = new Map<string, Op>();
  for (const { watched } of records) {
    const path = watched.mode === 'children' ? `${watched.path}/end` : watched.path;
    if (path !== '/') ops.set(path, { op: 'put', path, data: 'end', parents: true });
  }
  return eventually(
    () =>
      store.namespace.write([...ops.values()]).then(
        ({ zxid }) => zxid,
        () => undefined,
      ),
    'the last transaction is written',
  );
}

/** Guarantee W3: a client that received an event reads, through any broker, a state that is at least as new. */
class Freshness {
  readonly problems: string[] = [];
  probes = 0;
  readonly #urls: string[];
  readonly #random: Random;
  readonly #signal: AbortSignal;
  #running = 0;

  constructor(urls: string[], random: Random, signal: AbortSignal) {
    this.#urls = urls;
    this.#random = random;
    this.#signal = signal;
  }

  /** Reads a node of some of the messages; few at once, so that the brokers are not overloaded. */
  probe(message: Message): void {
    if (this.#running >= 4 || this.#signal.aborted || !this.#random.chance(0.2)) return;
    this.#running += 1;
    void this.#read(message).finally(() => {
      this.#running -= 1;
    });
  }

  async #read({ zxid, events }: Message): Promise<void> {
    const { path, stat } = this.#random.pick(events);
    const url = `${this.#random.pick(this.#urls)}/v1/nodes${path}?view=stat`;
    const response = await http(url, 'GET', undefined, {}, AbortSignal.timeout(2000)).catch(() => undefined);
    if (response?.status !== 200 && response?.status !== 404) return;
    this.probes += 1;
    const reflected = Number(response.headers.get('weir-zxid') ?? Number.NaN);
    if (!(reflected >= zxid)) this.problems.push(`After ${zxid}, ${path} was read as of ${reflected}`);
    const isOlder = response.status === 200 && stat && response.body.stat.mzxid < stat.mzxid;
    if (isOlder) this.problems.push(`After ${JSON.stringify(stat)} of ${path}: ${JSON.stringify(response.body.stat)}`);
  }
}
