// The watches of one broker: who is told what, from which transaction on, without a gap (guarantees W1, W2, N8). It knows
// nothing of sockets: a watch writes to a sink. What matches is the business of watch-match.ts.
//
// A watch that is behind is *unsynced*: it reads history, from memory or from the store, at its reader's pace. Once the
// rest fits into one step it becomes *synced*: synchronously it is handed that rest and takes its place among the
// subscriptions that the event tail feeds.
import type { Logger } from 'pino';
import type { WatchMode } from '../../schemas/watch.ts';
import { pathProblem } from '../core/path.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Events } from '../store/events.ts';
import type { Transaction } from '../store/node-codec.ts';
import type { EventTail } from './event-tail.ts';
import type { Metrics } from './metrics.ts';
import { RunningWatch, type Watch, type WatchOwner, type WatchRequest, type WatchSink } from './running-watch.ts';
import { historyOf, type Interest, matchOne, matchTransaction, type Subscription, type Told } from './watch-match.ts';

/** How much history is read at once, and how much is handed over in the step that makes a watch synced. */
const pageTransactions = 200;
const stepBytesMax = 1024 * 1024;
/** How long a watch that is catching up waits for a store that is away. */
const storeRetryMs = 200;

/** Whoever hangs on a subscription. */
interface Member {
  /** It has been told everything up to this zxid. */
  readonly reached: number;
  tell(zxid: number, told: Told): void;
}

interface LongPoll extends Member {
  end(changed: boolean): void;
}

interface LiveSubscription extends Subscription {
  readonly members: Set<Member>;
}

export class WatchHub {
  readonly #events: Events;
  readonly #tail: EventTail;
  readonly #log: Logger;
  readonly #stopping: AbortSignal;
  readonly #owner: WatchOwner;
  /** The subscriptions that have members, by path. */
  readonly #subscriptions = new Map<string, LiveSubscription[]>();
  readonly #watches = new Set<RunningWatch>();
  readonly #polls = new Set<LongPoll>();
  /** When the last turn that was asked for begins. */
  #turns: Promise<void> = Promise.resolve();

  constructor(events: Events, tail: EventTail, metrics: Metrics, stopping: AbortSignal, log: Logger) {
    this.#events = events;
    this.#tail = tail;
    this.#log = log;
    this.#stopping = stopping;
    const told = metrics.counter('watch_events_sent_total', 'Events that watches were told of.', ['mode']);
    this.#owner = {
      get position() {
        return tail.position;
      },
      told: (watch, events) => told.inc({ mode: watch.request.mode }, events),
      ended: (watch) => {
        this.#watches.delete(watch);
        this.#leave(watch.subscription, watch);
      },
    };
    metrics.gauges('watches', 'Watches by mode and state; an unsynced one is catching up.', ['mode', 'state'], () =>
      this.#count(),
    );
    metrics.gauge('long_polls_waiting', 'Long polls that wait for a change of a node.', () => this.#polls.size);
    tail.subscribe((batch) => {
      for (const transaction of batch) this.#publish(transaction);
    });
    tail.onGap((history, error) => this.#lose(history, error));
    stopping.addEventListener('abort', () => {
      for (const poll of [...this.#polls]) poll.end(false);
    });
  }

  /** Begins a watch. Whatever is wrong with it goes to its sink, and never before this has returned. */
  watch(request: WatchRequest, sink: WatchSink): Watch {
    const watch = new RunningWatch(request, sink, this.#owner);
    this.#watches.add(watch);
    void this.#run(watch).catch((error: unknown) => watch.fail(error));
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
    this.#tail.witness(after);
    return new Promise((resolve) => {
      const end = (changed: boolean) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        this.#polls.delete(poll);
        this.#leave(subscription, poll);
        resolve(changed);
      };
      const aborted = () => end(false);
      const timer = setTimeout(end, timeoutMs, false);
      const poll: LongPoll = { reached: after, tell: () => end(true), end };
      signal.addEventListener('abort', aborted, { once: true });
      this.#polls.add(poll);
      this.#join(subscription, poll);
    });
  }

  async #run(watch: RunningWatch): Promise<void> {
    // Even what is known at once is said later: the caller must hold its watch first.
    await Promise.resolve();
    const { path, since } = watch.request;
    const problem = pathProblem(path);
    if (problem) throw new ServiceError('INVALID_PATH', `${path}: ${problem}.`, { path });
    const history = historyOf(path);
    if (since === undefined) {
      watch.begin(await this.#events.newestZxid());
    } else {
      await this.#events.checkResume(since, history);
      watch.begin(since);
    }
    while (watch.state === 'unsynced' && !this.#sync(watch, history)) {
      await this.#turn();
      try {
        await this.#advance(watch, history);
      } catch (error) {
        if (!hasCode(error, 'STORE_UNAVAILABLE')) throw error;
        this.#log.debug({ err: error }, 'A watch cannot read its history now; trying again');
        await new Promise((resolve) => setTimeout(resolve, storeRetryMs));
      }
    }
  }

  /**
   * Waits for a turn of the event loop in which no other watch reads history: thousands that resume at once would
   * otherwise keep everybody else waiting until the last of them has caught up.
   */
  #turn(): Promise<void> {
    this.#turns = this.#turns.then(() => new Promise((resolve) => setImmediate(resolve)));
    return this.#turns;
  }

  /** Makes a watch synced, if what it lacks is small. Nothing can come between that and the subscription. */
  #sync(watch: RunningWatch, history: 'main' | 'both'): boolean {
    const missed = this.#tail.recent(watch.reached, history);
    if (!missed) return false;
    if (missed.length > pageTransactions) return false;
    const bytes = missed.reduce((sum, transaction) => sum + transaction.bytes, 0);
    if (bytes > stepBytesMax && missed.length > 1) return false;
    for (const transaction of missed) watch.take(transaction);
    if (watch.state === 'ended') return true;
    this.#tail.witness(watch.reached);
    watch.becomeSynced();
    this.#join(watch.subscription, watch);
    return true;
  }

  /** Hands over the next page of history, at the reader's pace. */
  async #advance(watch: RunningWatch, history: 'main' | 'both'): Promise<void> {
    const page = this.#tail.recent(watch.reached, history)?.slice(0, pageTransactions);
    for (const transaction of page ?? (await this.#storedPage(watch.reached, history))) {
      const room = watch.sink.room();
      if (room) await room;
      // It may have been closed or lost while it waited.
      if (watch.state !== 'unsynced') return;
      watch.take(transaction);
    }
  }

  /** A page of history from the store. @throws ServiceError COMPACTED if it was trimmed, or lost, before it was read */
  async #storedPage(after: number, history: 'main' | 'both'): Promise<Transaction[]> {
    const upTo = this.#tail.position;
    const { transactions, complete } = await this.#events.range(history, after, upTo, pageTransactions);
    await this.#events.checkResume(after, history);
    // The last transactions up to the tail's position may all be of the other history: an empty one stands for them.
    if (complete && upTo > (transactions.at(-1)?.zxid ?? after))
      transactions.push({ zxid: upTo, events: [], bytes: 0 });
    return transactions;
  }

  #publish(transaction: Transaction): void {
    const matched = matchTransaction(transaction, (path) => this.#subscriptions.get(path));
    for (const [subscription, told] of matched) {
      for (const member of subscription.members) {
        if (transaction.zxid > member.reached) this.#tell(member, transaction.zxid, told);
      }
    }
  }

  /** One sink's fault must not cost the others their events. */
  #tell(member: Member, zxid: number, told: Told): void {
    try {
      member.tell(zxid, told);
    } catch (error) {
      this.#log.error({ err: error }, 'A watch could not be told of a transaction; it ends');
      if (member instanceof RunningWatch) member.fail(error);
    }
  }

  /** Guarantee N8: who was told of transactions that the store has lost hears so, and ends. */
  #lose(history: 'main' | 'both', error: ServiceError): void {
    for (const watch of [...this.#watches]) {
      if (history === 'main' || historyOf(watch.request.path) === 'both') watch.lost(error);
    }
    for (const poll of [...this.#polls]) poll.end(true);
  }

  #join(subscription: Subscription, member: Member): void {
    const here = this.#subscriptions.get(subscription.path) ?? [];
    this.#subscriptions.set(subscription.path, here);
    const same = here.find((other) => isSame(other, subscription));
    if (same) same.members.add(member);
    else here.push({ ...subscription, members: new Set([member]) });
  }

  #leave(subscription: Subscription, member: Member): void {
    const here = this.#subscriptions.get(subscription.path);
    const at = here?.findIndex((other) => isSame(other, subscription)) ?? -1;
    if (!here || at < 0) return;
    here[at]!.members.delete(member);
    if (here[at]!.members.size > 0) return;
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
