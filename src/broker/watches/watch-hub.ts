// The watches of one broker: who is told what, from which transaction on, without a gap (guarantees W1, W2, N8). It knows
// nothing of sockets: a watch writes to a sink, and the sinks of one connection share a reader. What matches is the business of
// watch-match.ts; when a reader is sent what, that of watch-queue.ts.
//
// A watch that is behind is *unsynced*: it is sent history at its reader's pace. Once it lacks nothing it becomes *synced*:
// synchronously it takes its place among the subscriptions that the event tail feeds.
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
import {
  historyOf,
  type Interest,
  type MatchedEvents,
  matchOne,
  matchTransaction,
  type Subscription,
} from './watch-match.ts';
import { WatchQueue, type WatchQueueParts } from './watch-queue.ts';
import { type WatchConnection, Watcher, type WatchHandle, type WatchRequest, type WatchSink } from './watcher.ts';

interface LongPoll {
  /** It knows of everything up to this zxid. */
  readonly reached: number;
  end(changed: boolean): void;
}

/** Equal watches are matched, and their JSON is made, once. */
interface LiveSubscription extends Subscription {
  readonly watches: Map<WatchQueue, Set<Watcher>>;
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
  /** The subscriptions that have members, by path. */
  readonly #subscriptions = new Map<string, LiveSubscription[]>();
  readonly #watches = new Set<Watcher>();
  readonly #polls = new Set<LongPoll>();
  /** Those that have yet to learn where they begin. */
  readonly #starts = new FairQueue<WatchQueue, { watch: Watcher; queue: WatchQueue }>();
  #isStarting = false;
  /** The newest zxid that was published to the queues of all readers, once there are any. */
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
    const told = metrics.counter('watch_events_sent_total', 'Events that watches were told of.', ['mode']);
    this.#parts = {
      tail,
      pages: this.#pages,
      slices: this.#slices,
      log,
      slowReaderBytesMax: limits.slowReaderBytesMax,
      publishedUpTo: () => this.#published,
      addSynced: (watch, queue) => this.#join(watch, queue),
      remove: (watch, queue) => {
        this.#watches.delete(watch);
        this.#leave(watch, queue);
      },
      sent: (watch, events) => told.inc({ mode: watch.request.mode }, events),
    };
    metrics.gauges('watches', 'Watches by mode and state; an unsynced one is catching up.', ['mode', 'state'], () =>
      this.#count(),
    );
    metrics.gauge('long_polls_waiting', 'Long polls that wait for a change of a node.', () => this.#polls.size);
    metrics.gauge(
      'watch_readers_waiting',
      'Connections that have something to be sent and wait for their next slice of time.',
      () => this.#slices.waiting,
    );
    tail.subscribe((batch) => {
      for (const transaction of batch) this.#publish(transaction);
      this.#slices.run();
    });
    tail.onGap((history, error) => this.#lose(history, error));
    stopping.addEventListener('abort', () => {
      for (const poll of [...this.#polls]) poll.end(false);
    });
  }

  /**
   * Begins a watch. Whatever is wrong with it goes to its sink, and never before this has returned.
   * @param reader the connection that the sink writes to, the same object for all its watches
   */
  watch(request: WatchRequest, sink: WatchSink, reader: WatchConnection): WatchHandle {
    let queue = this.#queues.get(reader);
    if (!queue) {
      queue = new WatchQueue(reader, this.#parts);
      this.#queues.set(reader, queue);
    }
    const watch = new Watcher(request, sink, queue);
    this.#watches.add(watch);
    this.#starts.push(queue, { watch, queue });
    if (!this.#isStarting) void this.#start();
    return watch;
  }

  /**
   * Waits until a node, or its list of children, changes after a transaction. A hint for who then reads the node again:
   * it may come without need, but a change is never missed.
   * @param what `after` = the Weir-Zxid of the read that showed the state that is waited on
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
        this.#tidy(subscription);
        resolve(changed);
      };
      const aborted = () => end(false);
      const timer = setTimeout(end, timeoutMs, false);
      const poll: LongPoll = { reached: after, end };
      signal.addEventListener('abort', aborted, { once: true });
      this.#polls.add(poll);
      const { polls } = this.#subscribed(subscription);
      polls.add(poll);
    });
  }

  /** Finds where watches begin, many by one call of the store, those of all connections in rotation. */
  async #start(): Promise<void> {
    this.#isStarting = true;
    // Even what is known at once is said later: the caller must hold its watch first.
    await Promise.resolve();
    while (this.#starts.size > 0) {
      const due = this.#starts.take(this.#limits.startsPerCall).filter(({ watch }) => watch.state === 'starting');
      const valid = due.filter(({ watch }) => {
        const { path } = watch.request;
        const problem = pathProblem(path);
        if (problem) watch.fail(new ServiceError('INVALID_PATH', `${path}: ${problem}.`, { path }));
        return !problem;
      });
      await Promise.all(
        (['main', 'both'] as const).map((history) =>
          this.#begin(
            history,
            valid.filter(({ watch }) => watch.history === history),
          ),
        ),
      );
    }
    this.#isStarting = false;
  }

  async #begin(history: WatchedHistory, starts: readonly { watch: Watcher; queue: WatchQueue }[]): Promise<void> {
    if (starts.length === 0) return;
    const zxids = new Set<number>();
    for (const { watch } of starts) if (watch.request.since !== undefined) zxids.add(watch.request.since);
    try {
      const { newest, problems } = await this.#events.checkResumeAll([...zxids], history);
      const problemOf = new Map([...zxids].map((zxid, index) => [zxid, problems[index]]));
      for (const { watch, queue } of starts) {
        // It may have been closed meanwhile.
        if (watch.state !== 'starting') continue;
        const { since = newest } = watch.request;
        const problem = problemOf.get(since);
        if (problem) {
          watch.fail(problem);
        } else {
          watch.begin(since);
          queue.catchUp(watch);
        }
      }
    } catch (error) {
      for (const { watch } of starts) watch.fail(error);
    }
  }

  #publish(transaction: Transaction): void {
    const { zxid } = transaction;
    const before = this.#published;
    this.#published = zxid;
    const matched = matchTransaction(transaction, (path) => this.#subscriptions.get(path));
    const byQueue = new Map<WatchQueue, { told: MatchedEvents; watches: Set<Watcher> }[]>();
    for (const [{ watches, polls }, told] of matched) {
      for (const poll of [...polls]) if (zxid > poll.reached) poll.end(true);
      for (const [queue, own] of watches) {
        const parts = byQueue.get(queue);
        if (parts) parts.push({ told, watches: own });
        else byQueue.set(queue, [{ told, watches: own }]);
      }
    }
    for (const [queue, parts] of byQueue) {
      const size = parts.reduce((sum, { told, watches }) => sum + told.size * watches.size, 0);
      queue.publish({ zxid, parts, size }, before);
    }
  }

  /** Guarantee N8: who was told of transactions that the store has lost hears so, and ends. */
  #lose(history: WatchedHistory, error: ServiceError): void {
    this.#pages.clear();
    this.#published = this.#tail.position;
    for (const watch of [...this.#watches]) {
      if (history === 'main' || watch.history === 'both') watch.failAfterGap(error);
    }
    for (const poll of [...this.#polls]) poll.end(true);
  }

  /** The entry of a subscription, made if there is none. */
  #subscribed(subscription: Subscription): LiveSubscription {
    const here = this.#subscriptions.get(subscription.path) ?? [];
    this.#subscriptions.set(subscription.path, here);
    let same = here.find((other) => isSame(other, subscription));
    if (!same) {
      same = { ...subscription, watches: new Map(), polls: new Set() };
      here.push(same);
    }
    return same;
  }

  #join(watch: Watcher, queue: WatchQueue): void {
    // It joins between two batches of the tail.
    this.#published = this.#tail.position;
    const { watches } = this.#subscribed(watch.subscription);
    const own = watches.get(queue);
    if (own) own.add(watch);
    else watches.set(queue, new Set([watch]));
  }

  #leave(watch: Watcher, queue: WatchQueue): void {
    const { subscription } = watch;
    const { watches } = this.#subscriptions.get(subscription.path)?.find((other) => isSame(other, subscription)) ?? {};
    const own = watches?.get(queue);
    if (!own?.delete(watch) || own.size > 0) return;
    watches!.delete(queue);
    this.#tidy(subscription);
  }

  /** Removes a subscription that nobody has any more. */
  #tidy(subscription: Subscription): void {
    const here = this.#subscriptions.get(subscription.path);
    const at = here?.findIndex((other) => isSame(other, subscription)) ?? -1;
    if (!here || at < 0 || here[at]!.watches.size > 0 || here[at]!.polls.size > 0) return;
    here.splice(at, 1);
    if (here.length === 0) this.#subscriptions.delete(subscription.path);
  }

  #count(): { labels: { mode: WatchMode; state: string }; value: number }[] {
    const counts = new Map<string, { labels: { mode: WatchMode; state: string }; value: number }>();
    for (const { request, state } of this.#watches) {
      const key = `${request.mode} ${state}`;
      const count = counts.get(key) ?? { labels: { mode: request.mode, state }, value: 0 };
      count.value += 1;
      counts.set(key, count);
    }
    return [...counts.values()];
  }
}

function isSame(a: Subscription, b: Subscription): boolean {
  return a.interest === b.interest && a.data === b.data;
}
