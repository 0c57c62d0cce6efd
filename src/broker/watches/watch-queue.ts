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

export class WatchQueue implements Worker, WatcherOwner {
  readonly #connection: WatchConnection;
  readonly #parts: WatchQueueParts;
  /** New transactions that wait to be sent, the oldest first; that one may have been sent in part. */
  readonly #live: LiveTransaction[] = [];
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
   * Queues the matched events of a transaction for equal synced watchers of this connection, or closes the connection if too much waits
   * already.
   * @param before the zxid of the transaction before it
   */
  publish(matched: MatchedEvents, watchers: ReadonlySet<Watcher>, before: number): void {
    const last = this.#live.at(-1);
    if (last?.zxid === matched.zxid) {
      this.#liveBytes += last.add(matched, watchers);
      return;
    }
    const inFlight = this.#live[0]?.size ?? 0;
    if (this.#liveBytes - inFlight > this.#parts.slowReaderBytesMax) {
      this.#live.length = 0;
      this.#liveBytes = 0;
      this.#connection.cutOff();
      return;
    }
    if (this.#live.length === 0) this.#sentUpTo = before;
    const transaction = new LiveTransaction(matched, watchers);
    this.#live.push(transaction);
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
    if (!this.#hasRoom()) return false;
    const live = this.#live[0];
    // Most steps send one message, which needs no cork and no iterator.
    if (live?.onlyWatcher && this.#live.length === 1) this.#sendOnly(live, live.onlyWatcher);
    else this.#connection.cork(() => this.#sendSome());
    this.#parts.progressed(this.#connection);
    return this.#hasWork();
  }

  #sendSome(): void {
    if (this.#live.length > 0) {
      this.#sendLive();
      return;
    }
    // The passes through the two histories take turns.
    const catchUp = this.#catchUps.shift();
    if (!catchUp) return;
    if (catchUp.isWanted) this.#catchUps.push(catchUp);
    this.#advance(catchUp);
  }

  #sendOnly(live: LiveTransaction, watcher: Watcher): void {
    this.#deliver(watcher, live.matched);
    this.#finish(live);
  }

  /** Sends new transactions, as many as one step may send. */
  #sendLive(): void {
    const left = newStep();
    for (let [live] = this.#live; live && this.#send(live.deliveries(), left); [live] = this.#live) this.#finish(live);
  }

  #finish(live: LiveTransaction): void {
    // If the connection was closed meanwhile, nothing waits any more.
    if (this.#live[0] !== live) return;
    this.#live.shift();
    this.#liveBytes -= live.size;
    this.#sentUpTo = live.zxid;
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

  /** Sends as much as is `left` of the step and the connection takes. @returns whether that was all */
  #send(deliveries: Iterator<Delivery>, left: Step): boolean {
    for (let next = deliveries.next(); !next.done; next = deliveries.next()) {
      const { watcher, matched } = next.value;
      this.#deliver(watcher, matched);
      left.bytes -= matched.size;
      left.watchers -= 1;
      if (left.bytes <= 0 || left.watchers <= 0 || this.#connection.room() !== undefined) return false;
    }
    return true;
  }

  #deliver(watcher: Watcher, matched: MatchedEvents): void {
    try {
      watcher.send(matched);
    } catch (error) {
      // A sink that throws must not keep the others from their events.
      const { zxid } = matched;
      this.#parts.log.error({ err: error, zxid }, 'A watcher could not send a transaction to its client; it ends');
      watcher.fail(error);
    }
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
    if (catchUp.deliveries && !this.#send(catchUp.deliveries, newStep())) return;
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

/** What one step may still send. */
interface Step {
  bytes: number;
  watchers: number;
}

const newStep = (): Step => ({ bytes: stepBytes, watchers: stepWatchers });

interface Delivery {
  watcher: Watcher;
  matched: MatchedEvents;
}

interface Part {
  readonly matched: MatchedEvents;
  readonly watchers: ReadonlySet<Watcher>;
}

/** The matched events of one transaction for the synced watchers of one connection; equal watchers share them. */
class LiveTransaction {
  /** For the first equal watchers; mostly there are no others. */
  readonly matched: MatchedEvents;
  /** About how many bytes will be sent for it. */
  size: number;
  readonly #watchers: ReadonlySet<Watcher>;
  #others: Part[] | undefined;
  #deliveries: Iterator<Delivery> | undefined;

  constructor(matched: MatchedEvents, watchers: ReadonlySet<Watcher>) {
    this.matched = matched;
    this.#watchers = watchers;
    this.size = matched.size * watchers.size;
  }

  get zxid(): number {
    return this.matched.zxid;
  }

  /** The only watcher that it is for, if nothing has been sent; else undefined. */
  get onlyWatcher(): Watcher | undefined {
    if (this.#others || this.#deliveries || this.#watchers.size !== 1) return undefined;
    for (const watcher of this.#watchers) return watcher;
    return undefined;
  }

  /** Adds other equal watchers. @returns about how many bytes will be sent to them */
  add(matched: MatchedEvents, watchers: ReadonlySet<Watcher>): number {
    this.#others ??= [];
    this.#others.push({ matched, watchers });
    const bytes = matched.size * watchers.size;
    this.size += bytes;
    return bytes;
  }

  /** What is still to be sent. */
  deliveries(): Iterator<Delivery> {
    this.#deliveries ??= deliveriesOf([{ matched: this.matched, watchers: this.#watchers }, ...(this.#others ?? [])]);
    return this.#deliveries;
  }
}

function* deliveriesOf(parts: readonly Part[]): Generator<Delivery> {
  for (const { matched, watchers } of parts) for (const watcher of watchers) yield { watcher, matched };
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
    const bySubscription = matchTransaction(transaction, (path) => byPath.get(path), page.jsonOf(transaction));
    for (const [{ watchers }, matched] of bySubscription) for (const watcher of watchers) yield { watcher, matched };
  }
}
