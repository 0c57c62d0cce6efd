// What one connection is sent, and when: new transactions in the order of their zxids, at the pace of the reader; and, while none of
// these waits, history for its unsynced watchers. These catch up in one pass, the furthest behind first, so a connection has at
// most one read of each history in flight, however many watchers it has.
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { hasCode } from '../../core/service-error.ts';
import type { EventTail } from './event-tail.ts';
import type { HistoryPage, HistoryPages, PageRequester, WatchedHistory } from './history-pages.ts';
import type { TimeSlices, Worker } from './time-slices.ts';
import { isEqual, type MatchedEvents, matchTransaction, type Subscription } from './watch-match.ts';
import type { WatchConnection, Watcher, WatcherOwner } from './watcher.ts';

/** How much one connection is sent in one step, before other connections have their turn. */
const stepBytes = 256 * 1024;
const stepWatchers = 512;
/** The pause before history is read again from a store that was away. */
const storeRetryMs = 200;

export interface WatchQueueParts {
  tail: EventTail;
  pages: HistoryPages;
  slices: TimeSlices;
  log: Logger;
  slowReaderBytesMax: number;
  /** The newest zxid that was passed to all queues. */
  publishedUpTo(): number;
  /** Adds a watcher to the synced ones: from now on new transactions are passed to it. */
  addSynced(watcher: Watcher, queue: WatchQueue): void;
  remove(watcher: Watcher, queue: WatchQueue): void;
  sent(watcher: Watcher, events: number): void;
  /** More was sent to the watchers of a connection. */
  progressed(connection: WatchConnection): void;
}

/** The matched events of one transaction for the watchers of one connection; equal watchers share them. */
interface MatchedTransaction {
  readonly zxid: number;
  readonly parts: readonly { matched: MatchedEvents; watchers: Iterable<Watcher> }[];
  /** About how many bytes will be sent for it. */
  readonly size: number;
}

export class WatchQueue implements Worker, WatcherOwner {
  readonly #connection: WatchConnection;
  readonly #parts: WatchQueueParts;
  /** New transactions that wait to be sent, the oldest first; that one may have been sent in part. */
  readonly #live: { transaction: MatchedTransaction; deliveries: Iterator<Delivery> }[] = [];
  #liveBytes = 0;
  /** While transactions wait: everything up to this zxid was sent. */
  #sentUpTo = 0;
  readonly #catchUps: CatchUp[] = [];
  #isFull = false;

  constructor(connection: WatchConnection, parts: WatchQueueParts) {
    this.#connection = connection;
    this.#parts = parts;
  }

  get sentUpTo(): number {
    return this.#live.length > 0 ? this.#sentUpTo : this.#parts.publishedUpTo();
  }

  /** Everything up to this zxid was sent to all watchers of this connection that have begun, unsynced ones included. */
  get sentToAll(): number {
    let zxid = this.sentUpTo;
    for (const { watchers } of this.#catchUps) for (const { reached } of watchers) zxid = Math.min(zxid, reached);
    return zxid;
  }

  sent(watcher: Watcher, events: number): void {
    this.#parts.sent(watcher, events);
  }

  ended(watcher: Watcher): void {
    for (const catchUp of this.#catchUps) catchUp.watchers.delete(watcher);
    this.#parts.remove(watcher, this);
  }

  /**
   * Queues a transaction for the synced watchers of this connection, or closes the connection if too much waits already.
   * @param before the zxid of the transaction before it
   */
  publish(transaction: MatchedTransaction, before: number): void {
    const inFlight = this.#live[0]?.transaction.size ?? 0;
    if (this.#liveBytes - inFlight > this.#parts.slowReaderBytesMax) {
      this.#live.length = 0;
      this.#liveBytes = 0;
      this.#connection.cutOff();
      return;
    }
    if (this.#live.length === 0) this.#sentUpTo = before;
    this.#live.push({ transaction, deliveries: deliveriesOf(transaction) });
    this.#liveBytes += transaction.size;
    this.#wake();
  }

  /** Lets a watcher that has started catch up with the event tail; it becomes synced when it has. */
  catchUp(watcher: Watcher): void {
    let catchUp = this.#catchUps.find(({ history }) => history === watcher.history);
    if (!catchUp) {
      catchUp = new CatchUp(watcher.history);
      this.#catchUps.push(catchUp);
    }
    catchUp.watchers.add(watcher);
    this.#wake();
  }

  step(): boolean {
    let hasMore = false;
    this.#connection.cork(() => {
      hasMore = this.#step();
      this.#parts.progressed(this.#connection);
    });
    return hasMore;
  }

  #step(): boolean {
    if (!this.#hasRoom()) return false;
    const live = this.#live[0];
    if (live) {
      if (this.#send(live.deliveries)) {
        // If the connection was closed meanwhile, nothing waits any more.
        if (this.#live[0] === live) {
          this.#live.shift();
          this.#liveBytes -= live.transaction.size;
          this.#sentUpTo = live.transaction.zxid;
        }
      }
      return this.#hasWork();
    }
    // The passes through the two histories take turns.
    const catchUp = this.#catchUps.shift();
    if (!catchUp) return false;
    if (catchUp.isWanted) this.#catchUps.push(catchUp);
    this.#advance(catchUp);
    return this.#hasWork();
  }

  #hasWork(): boolean {
    return this.#live.length > 0 || this.#catchUps.some(({ isReading, isWanted }) => isWanted && !isReading);
  }

  #wake(): void {
    if (!this.#isFull) this.#parts.slices.add(this);
  }

  #hasRoom(): boolean {
    if (this.#isFull) return false;
    const room = this.#connection.room();
    if (!room) return true;
    this.#isFull = true;
    void room.then(() => {
      this.#isFull = false;
      this.#wake();
    });
    return false;
  }

  /** Sends as much as one step may send and the connection takes. @returns whether that was all */
  #send(deliveries: Iterator<Delivery>): boolean {
    let [bytes, watchers] = [0, 0];
    for (let next = deliveries.next(); !next.done; next = deliveries.next()) {
      const { watcher, zxid, matched } = next.value;
      try {
        watcher.send(zxid, matched);
      } catch (error) {
        // A sink that throws must not keep the others from their events.
        this.#parts.log.error({ err: error, zxid }, 'A watcher could not send a transaction to its client; it ends');
        watcher.fail(error);
      }
      bytes += matched.size;
      watchers += 1;
      if (bytes >= stepBytes || watchers >= stepWatchers || this.#connection.room() !== undefined) return false;
    }
    return true;
  }

  /** A step of one pass through history. */
  #advance(catchUp: CatchUp): void {
    if (catchUp.isReading) return;
    if (!catchUp.page) {
      const { tail, pages } = this.#parts;
      const from = this.#syncThoseAt(catchUp, tail.position);
      if (from === undefined) return;
      const page = pages.inMemory(catchUp.history, from);
      if (!page) {
        void this.#read(catchUp, from);
        return;
      }
      catchUp.begin(page);
    }
    if (catchUp.deliveries && !this.#send(catchUp.deliveries)) return;
    catchUp.finish();
    this.#syncThoseAt(catchUp, this.#parts.tail.position);
  }

  /**
   * Makes the watchers synced that have reached `position`. This is synchronous, and no transaction waits to be sent: so none is
   * missed, and none is sent before an older one.
   * @returns the position of the watcher that is furthest behind; undefined if none is
   */
  #syncThoseAt(catchUp: CatchUp, position: number): number | undefined {
    let furthest: number | undefined;
    for (const watcher of catchUp.watchers) {
      if (watcher.reached < position) {
        if (furthest === undefined || watcher.reached < furthest) furthest = watcher.reached;
        continue;
      }
      catchUp.watchers.delete(watcher);
      this.#parts.tail.noteSeen(watcher.reached);
      watcher.becomeSynced();
      this.#parts.addSynced(watcher, this);
    }
    return furthest;
  }

  async #read(catchUp: CatchUp, from: number): Promise<void> {
    catchUp.isReading = true;
    try {
      const page = await this.#parts.pages.read(catchUp.history, from, catchUp);
      if (page) catchUp.begin(page);
    } catch (error) {
      if (hasCode(error, 'STORE_UNAVAILABLE')) {
        this.#parts.log.debug({ err: error }, 'The history of watchers could not be read; it is read again soon');
        await pause(storeRetryMs);
      } else {
        // History that is trimmed at one position may still exist at a later one.
        const isTrimmed = hasCode(error, 'COMPACTED');
        for (const watcher of [...catchUp.watchers]) if (!isTrimmed || watcher.reached <= from) watcher.fail(error);
      }
    } finally {
      catchUp.isReading = false;
    }
    if (catchUp.isWanted && !this.#catchUps.includes(catchUp)) this.#catchUps.push(catchUp);
    this.#wake();
  }
}

interface Delivery {
  watcher: Watcher;
  zxid: number;
  matched: MatchedEvents;
}

function* deliveriesOf({ zxid, parts }: MatchedTransaction): Generator<Delivery> {
  for (const { matched, watchers } of parts) for (const watcher of watchers) yield { watcher, zxid, matched };
}

/** Equal watchers that a page is sent to. */
interface EqualWatchers extends Subscription {
  readonly watchers: Watcher[];
}

/** One pass of the unsynced watchers of a connection through one history. */
class CatchUp implements PageRequester {
  readonly history: WatchedHistory;
  readonly watchers = new Set<Watcher>();
  page: HistoryPage | undefined;
  deliveries: Iterator<Delivery> | undefined;
  isReading = false;
  /** The watchers that the page is sent to; others are at another position, or were added later. */
  #served: Watcher[] = [];

  constructor(history: WatchedHistory) {
    this.history = history;
  }

  get isWanted(): boolean {
    return this.watchers.size > 0;
  }

  begin(page: HistoryPage): void {
    const byPath = new Map<string, EqualWatchers[]>();
    this.#served = [...this.watchers].filter(({ reached }) => reached >= page.after && reached < page.end);
    for (const watcher of this.#served) {
      const { path, interest, data, mayRead } = watcher.subscription;
      const onPath = byPath.get(path) ?? [];
      byPath.set(path, onPath);
      const equal = onPath.find((other) => isEqual(other, watcher.subscription));
      if (equal) equal.watchers.push(watcher);
      else onPath.push({ path, interest, data, mayRead, watchers: [watcher] });
    }
    this.page = page;
    this.deliveries = deliveriesFrom(page, byPath);
  }

  /** To be called when all of the page was sent. */
  finish(): void {
    for (const watcher of this.#served) if (this.page) watcher.advance(this.page.end);
    this.#served = [];
    this.page = undefined;
    this.deliveries = undefined;
  }
}

/** The matched events of a page in order; each transaction is matched just before it is sent. */
function* deliveriesFrom(page: HistoryPage, byPath: ReadonlyMap<string, EqualWatchers[]>): Generator<Delivery> {
  for (const transaction of page.transactionsOn(byPath.keys())) {
    const { zxid } = transaction;
    const bySubscription = matchTransaction(transaction, (path) => byPath.get(path), page.jsonOf(transaction));
    for (const [{ watchers }, matched] of bySubscription)
      for (const watcher of watchers) yield { watcher, zxid, matched };
  }
}
