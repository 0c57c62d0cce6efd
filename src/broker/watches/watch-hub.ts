// All watchers and long polls of one broker: each is sent every matched transaction after its start, without a gap (guarantees
// W1, W2, N8). It does not depend on sockets: a watcher writes to a sink, and the sinks of one connection share a queue.
//
// A watcher that is behind is *unsynced*: it is sent history at the pace of its connection. Once it has been sent everything it
// becomes *synced*, in the same tick: from then on it is passed what the event tail receives.
import type { Logger } from 'pino';
import type { WatchMode } from '../../../schemas/watch.ts';
import { ServiceError } from '../../core/service-error.ts';
import { pathProblem } from '../../core/tree/path.ts';
import type { Events } from '../../store/tree/events.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';
import type { Metrics } from '../metrics.ts';
import type { EventTail } from './event-tail.ts';
import { FairQueue } from './fair-queue.ts';
import { HistoryPages, type WatchedHistory } from './history-pages.ts';
import { TimeSlices } from './time-slices.ts';
import { defaultWatchLimits, type WatchLimits } from './watch-limits.ts';
import { historyOf, type Interest, isEqual, matchOne, matchTransaction, type Subscription } from './watch-match.ts';
import { WatchQueue, type WatchQueueParts } from './watch-queue.ts';
import { type WatchConnection, Watcher, type WatchHandle, type WatchRequest, type WatchSink } from './watcher.ts';

interface LongPoll {
  /** The client has seen everything up to this zxid. */
  readonly after: number;
  end(changed: boolean): void;
}

/** Equal watchers share a subscription: it is matched once, and its JSON is made once. */
interface LiveSubscription extends Subscription {
  readonly watchers: Map<WatchQueue, Set<Watcher>>;
  readonly polls: Set<LongPoll>;
}

export class WatchHub {
  readonly #events: Events;
  readonly #tail: EventTail;
  readonly #limits: WatchLimits;
  readonly #stopping: AbortSignal;
  readonly #parts: WatchQueueParts;
  readonly #pages: HistoryPages;
  readonly #slices = new TimeSlices();
  readonly #queues = new WeakMap<WatchConnection, WatchQueue>();
  /** By connection, what to call when more was sent to its watchers. */
  readonly #awaiting = new Map<WatchConnection, () => void>();
  /** The subscriptions of synced watchers and long polls, by path. */
  readonly #subscriptions = new Map<string, LiveSubscription[]>();
  readonly #watchers = new Set<Watcher>();
  readonly #polls = new Set<LongPoll>();
  /** Watchers whose first position is still to be checked. */
  readonly #starts = new FairQueue<WatchQueue, { watcher: Watcher; queue: WatchQueue }>();
  #isStarting = false;
  /** The newest zxid that was passed to the queues of all connections. */
  #published = 0;

  constructor(
    events: Events,
    tail: EventTail,
    metrics: Metrics,
    stopping: AbortSignal,
    log: Logger,
    limits: WatchLimits = defaultWatchLimits,
  ) {
    this.#events = events;
    this.#tail = tail;
    this.#limits = limits;
    this.#stopping = stopping;
    this.#pages = new HistoryPages(events, tail, limits, metrics);
    const eventsSent = metrics.counter('watch_events_sent_total', 'Events sent to watchers.', ['mode']);
    const sentOf = {
      node: eventsSent.labels('node'),
      children: eventsSent.labels('children'),
      recursive: eventsSent.labels('recursive'),
    };
    this.#parts = {
      tail,
      pages: this.#pages,
      slices: this.#slices,
      log,
      slowReaderBytesMax: limits.slowReaderBytesMax,
      publishedUpTo: () => this.#published,
      addSynced: (watcher, queue) => this.#addSynced(watcher, queue),
      remove: (watcher, queue) => {
        this.#watchers.delete(watcher);
        this.#removeSynced(watcher, queue);
      },
      sent: (watcher, events) => sentOf[watcher.request.mode].inc(events),
      progressed: (connection) => {
        if (this.#awaiting.size > 0) this.#awaiting.get(connection)?.();
      },
    };
    metrics.gauges('watches', 'Watchers by mode and state; an unsynced one is catching up.', ['mode', 'state'], () =>
      this.#count(),
    );
    metrics.gauge('long_polls_waiting', 'Long polls that wait for a change of a node.', () => this.#polls.size);
    metrics.gauge(
      'watch_readers_waiting',
      'Connections with events to send that wait for their next time slice.',
      () => this.#slices.waiting,
    );
    tail.subscribe((batch) => {
      for (const transaction of batch) this.#publish(transaction);
      this.#slices.run();
      for (const progressed of [...this.#awaiting.values()]) progressed();
    });
    tail.onGap((history, error) => this.#handleGap(history, error));
    stopping.addEventListener('abort', () => {
      for (const poll of [...this.#polls]) poll.end(false);
    });
  }

  /**
   * Starts a watcher. Every error is passed to its sink, and never before this method has returned.
   * @param connection what the sink writes to: the same object for all watchers of a connection
   */
  watch(request: WatchRequest, sink: WatchSink, connection: WatchConnection): WatchHandle {
    let queue = this.#queues.get(connection);
    if (!queue) {
      queue = new WatchQueue(connection, this.#parts);
      this.#queues.set(connection, queue);
    }
    const watcher = new Watcher(request, sink, queue);
    this.#watchers.add(watcher);
    this.#starts.push(queue, { watcher, queue });
    if (!this.#isStarting) void this.#start();
    return watcher;
  }

  /**
   * The zxid up to which everything was sent to the watchers of a connection that have begun. Not to be called while the tail passes
   * a batch to its listeners.
   */
  sentUpTo(connection: WatchConnection): number {
    this.#published = this.#tail.position;
    return this.#queues.get(connection)?.sentToAll ?? this.#published;
  }

  /** The newest zxid that this broker has received. */
  get newestZxid(): number {
    return this.#tail.position;
  }

  /**
   * Calls `progressed` each time when more may have been sent to the watchers of a connection.
   * @returns a function that ends this
   */
  awaitProgress(connection: WatchConnection, progressed: () => void): () => void {
    this.#awaiting.set(connection, progressed);
    return () => this.#awaiting.delete(connection);
  }

  /**
   * Waits until a node, or its list of children, changes after a transaction. The caller then reads the node again: a result of
   * true may be without need, but no change is missed.
   * @param what `after` = the zxid of the read whose state may now be out of date
   * @returns false if the time is over, `signal` is aborted or the broker stops
   */
  async nextChange(
    what: { path: string; interest: Interest; after: number },
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (signal.aborted || this.#stopping.aborted) return false;
    const { path, interest, after } = what;
    const missed = this.#tail.recent(after, historyOf(path));
    if (!missed) return true;
    const subscription = { path, interest, data: false };
    if (missed.some((transaction) => matchOne(transaction, subscription))) return true;
    this.#tail.noteSeen(after);
    return new Promise((resolve) => {
      const end = (changed: boolean) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        this.#polls.delete(poll);
        polls.delete(poll);
        this.#removeIfUnused(subscription);
        resolve(changed);
      };
      const aborted = () => end(false);
      const timer = setTimeout(end, timeoutMs, false);
      const poll: LongPoll = { after, end };
      signal.addEventListener('abort', aborted, { once: true });
      this.#polls.add(poll);
      const { polls } = this.#subscribed(subscription);
      polls.add(poll);
    });
  }

  /** Checks the first positions of watchers, many by one call of the store, the connections in rotation. */
  async #start(): Promise<void> {
    this.#isStarting = true;
    // The caller of watch() must have its handle before the first call of its sink.
    await Promise.resolve();
    while (this.#starts.size > 0) {
      const due = this.#starts.take(this.#limits.startsPerCall).filter(({ watcher }) => watcher.state === 'starting');
      const valid = due.filter(({ watcher }) => {
        const { path } = watcher.request;
        const problem = pathProblem(path);
        if (problem) watcher.fail(new ServiceError('INVALID_PATH', `${path}: ${problem}.`, { path }));
        return !problem;
      });
      await Promise.all(
        (['main', 'both'] as const).map((history) =>
          this.#begin(
            history,
            valid.filter(({ watcher }) => watcher.history === history),
          ),
        ),
      );
    }
    this.#isStarting = false;
  }

  async #begin(history: WatchedHistory, starts: readonly { watcher: Watcher; queue: WatchQueue }[]): Promise<void> {
    if (starts.length === 0) return;
    const zxids = new Set<number>();
    for (const { watcher } of starts) if (watcher.request.since !== undefined) zxids.add(watcher.request.since);
    try {
      const { newest, problems } = await this.#events.checkResumeAll([...zxids], history);
      const problemOf = new Map([...zxids].map((zxid, index) => [zxid, problems[index]]));
      for (const { watcher, queue } of starts) {
        // It may have been closed meanwhile.
        if (watcher.state !== 'starting') continue;
        const { since = newest } = watcher.request;
        const problem = problemOf.get(since);
        if (problem) {
          watcher.fail(problem);
        } else {
          watcher.begin(since);
          queue.catchUp(watcher);
        }
      }
    } catch (error) {
      for (const { watcher } of starts) watcher.fail(error);
    }
  }

  #publish(transaction: Transaction): void {
    const { zxid } = transaction;
    const before = this.#published;
    this.#published = zxid;
    const bySubscription = matchTransaction(transaction, (path) => this.#subscriptions.get(path));
    for (const [subscription, matched] of bySubscription) {
      for (const poll of [...subscription.polls]) if (zxid > poll.after) poll.end(true);
      for (const [queue, watchers] of subscription.watchers) queue.publish(matched, watchers, before);
    }
  }

  /** Ends the watchers that may have sent transactions which the store has lost since (guarantee N8). */
  #handleGap(history: WatchedHistory, error: ServiceError): void {
    this.#pages.clear();
    this.#published = this.#tail.position;
    for (const watcher of [...this.#watchers]) {
      if (history === 'main' || watcher.history === 'both') watcher.failAfterGap(error);
    }
    for (const poll of [...this.#polls]) poll.end(true);
  }

  /** The live subscription that equals `subscription`, made if there is none. */
  #subscribed(subscription: Subscription): LiveSubscription {
    const onPath = this.#subscriptions.get(subscription.path) ?? [];
    this.#subscriptions.set(subscription.path, onPath);
    let equal = onPath.find((other) => isEqual(other, subscription));
    if (!equal) {
      equal = { ...subscription, watchers: new Map(), polls: new Set() };
      onPath.push(equal);
    }
    return equal;
  }

  #addSynced(watcher: Watcher, queue: WatchQueue): void {
    // This happens between two batches of the tail, so everything up to its position was passed to the queues.
    this.#published = this.#tail.position;
    const { watchers } = this.#subscribed(watcher.subscription);
    const ofQueue = watchers.get(queue);
    if (ofQueue) ofQueue.add(watcher);
    else watchers.set(queue, new Set([watcher]));
  }

  #removeSynced(watcher: Watcher, queue: WatchQueue): void {
    const { subscription } = watcher;
    const equal = this.#subscriptions.get(subscription.path)?.find((other) => isEqual(other, subscription));
    const ofQueue = equal?.watchers.get(queue);
    if (!ofQueue?.delete(watcher) || ofQueue.size > 0) return;
    equal?.watchers.delete(queue);
    this.#removeIfUnused(subscription);
  }

  #removeIfUnused(subscription: Subscription): void {
    const onPath = this.#subscriptions.get(subscription.path);
    const equal = onPath?.find((other) => isEqual(other, subscription));
    if (!onPath || !equal || equal.watchers.size > 0 || equal.polls.size > 0) return;
    onPath.splice(onPath.indexOf(equal), 1);
    if (onPath.length === 0) this.#subscriptions.delete(subscription.path);
  }

  #count(): { labels: { mode: WatchMode; state: string }; value: number }[] {
    const counts = new Map<string, { labels: { mode: WatchMode; state: string }; value: number }>();
    for (const { request, state } of this.#watchers) {
      const key = `${request.mode} ${state}`;
      const count = counts.get(key) ?? { labels: { mode: request.mode, state }, value: 0 };
      count.value += 1;
      counts.set(key, count);
    }
    return [...counts.values()];
  }
}
