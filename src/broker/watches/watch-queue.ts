// What one connection of watchers is sent, and when: live transactions in the order of their zxids, at the pace of the reader; and,
// while none of these waits, history for those of its watches that are behind (unsynced). All watches of the connection catch up in
// one pass through the history, the furthest behind first, so a connection has one read of each history at a time, however many
// watches it has.
import type { Logger } from 'pino';
import { hasCode } from '../../core/service-error.ts';
import type { EventTail } from './event-tail.ts';
import type { HistoryPage, HistoryPages, PageRequester, WatchedHistory } from './history-pages.ts';
import type { TimeSlices, Worker } from './time-slices.ts';
import { type MatchedEvents, matchTransaction, type Subscription } from './watch-match.ts';
import type { WatchConnection, Watcher, WatcherOwner } from './watcher.ts';

/** How much of a reader's is sent in one step: other readers come in between. */
const stepBytes = 256 * 1024;
const stepWatches = 512;
/** How long a reader that is catching up waits for a store that is away. */
const storeRetryMs = 200;

export interface WatchQueueParts {
  tail: EventTail;
  pages: HistoryPages;
  slices: TimeSlices;
  log: Logger;
  slowReaderBytesMax: number;
  /** The newest zxid that was published to all queues. */
  publishedUpTo(): number;
  /** Makes the watch one of the synced ones: from now on it is published to. */
  addSynced(watch: Watcher, queue: WatchQueue): void;
  remove(watch: Watcher, queue: WatchQueue): void;
  sent(watch: Watcher, events: number): void;
}

/** What watches are told of one transaction; those that share a subscription are told the same. */
export interface MatchedTransaction {
  readonly zxid: number;
  readonly parts: readonly { told: MatchedEvents; watches: Iterable<Watcher> }[];
  /** About how many bytes it is in all. */
  readonly size: number;
}

export class WatchQueue implements Worker, WatcherOwner {
  readonly #reader: WatchConnection;
  readonly #parts: WatchQueueParts;
  /** Live transactions, the oldest first: it may have been sent in part. */
  readonly #live: { publication: MatchedTransaction; deliveries: Iterator<Delivery> }[] = [];
  #liveBytes = 0;
  /** Everything up to this zxid was sent, as long as something waits. */
  #sentUpTo = 0;
  readonly #catchUps: CatchUp[] = [];
  #isFull = false;

  constructor(reader: WatchConnection, parts: WatchQueueParts) {
    this.#reader = reader;
    this.#parts = parts;
  }

  get sentUpTo(): number {
    return this.#live.length > 0 ? this.#sentUpTo : this.#parts.publishedUpTo();
  }

  sent(watch: Watcher, events: number): void {
    this.#parts.sent(watch, events);
  }

  ended(watch: Watcher): void {
    for (const catchUp of this.#catchUps) catchUp.watchers.delete(watch);
    this.#parts.remove(watch, this);
  }

  /** Queues what the synced watches of this reader are told. @param before the zxid that was published before it */
  publish(publication: MatchedTransaction, before: number): void {
    const underWay = this.#live[0]?.publication.size ?? 0;
    if (this.#liveBytes - underWay > this.#parts.slowReaderBytesMax) {
      this.#live.length = 0;
      this.#liveBytes = 0;
      this.#reader.cutOff();
      return;
    }
    if (this.#live.length === 0) this.#sentUpTo = before;
    this.#live.push({ publication, deliveries: deliveriesOf(publication) });
    this.#liveBytes += publication.size;
    this.#wake();
  }

  /** Lets a watch that has begun catch up with the tail, and then join those that are published to. */
  catchUp(watch: Watcher): void {
    let catchUp = this.#catchUps.find(({ history }) => history === watch.history);
    if (!catchUp) {
      catchUp = new CatchUp(watch.history);
      this.#catchUps.push(catchUp);
    }
    catchUp.watchers.add(watch);
    this.#wake();
  }

  step(): boolean {
    let goesOn = false;
    this.#reader.cork(() => {
      goesOn = this.#step();
    });
    return goesOn;
  }

  #step(): boolean {
    if (!this.#hasRoom()) return false;
    const live = this.#live[0];
    if (live) {
      if (this.#send(live.deliveries)) {
        // A reader that was cut off meanwhile has nothing waiting.
        if (this.#live[0] === live) {
          this.#live.shift();
          this.#liveBytes -= live.publication.size;
          this.#sentUpTo = live.publication.zxid;
        }
      }
      return this.#hasWork();
    }
    // Both histories in rotation.
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
    const room = this.#reader.room();
    if (!room) return true;
    this.#isFull = true;
    void room.then(() => {
      this.#isFull = false;
      this.#wake();
    });
    return false;
  }

  /** Sends as much as one step may, and as the reader has room for. @returns whether that was all */
  #send(deliveries: Iterator<Delivery>): boolean {
    let [bytes, watches] = [0, 0];
    for (let next = deliveries.next(); !next.done; next = deliveries.next()) {
      const { watcher: watch, zxid, matched: told } = next.value;
      try {
        watch.send(zxid, told);
      } catch (error) {
        // One sink's fault must not cost the others their events.
        this.#parts.log.error({ err: error }, 'A watch could not be told of a transaction; it ends');
        watch.fail(error);
      }
      bytes += told.size;
      watches += 1;
      if (bytes >= stepBytes || watches >= stepWatches || this.#reader.room() !== undefined) return false;
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
   * Lets those that lack nothing join the synced ones. Nothing can come between, and no transaction waits to be sent: so none is
   * missed, and none comes before an older one.
   * @returns the position of the one that is furthest behind
   */
  #syncThoseAt(catchUp: CatchUp, position: number): number | undefined {
    let furthest: number | undefined;
    for (const watch of catchUp.watchers) {
      if (watch.reached < position) {
        if (furthest === undefined || watch.reached < furthest) furthest = watch.reached;
        continue;
      }
      catchUp.watchers.delete(watch);
      this.#parts.tail.noteSeen(watch.reached);
      watch.becomeSynced();
      this.#parts.addSynced(watch, this);
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
        this.#parts.log.debug({ err: error }, 'Watches cannot read their history now; trying again');
        await new Promise((resolve) => setTimeout(resolve, storeRetryMs));
      } else {
        // What is gone behind one position may be there behind another.
        const isGone = hasCode(error, 'COMPACTED');
        for (const watch of [...catchUp.watchers]) if (!isGone || watch.reached <= from) watch.fail(error);
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
  for (const { told, watches } of parts) for (const watch of watches) yield { watcher: watch, zxid, matched: told };
}

interface Group extends Subscription {
  readonly watches: Watcher[];
}

/** A pass of one reader's watches through one history. */
class CatchUp implements PageRequester {
  readonly history: WatchedHistory;
  readonly watchers = new Set<Watcher>();
  page: HistoryPage | undefined;
  deliveries: Iterator<Delivery> | undefined;
  isReading = false;
  /** The watches that the page is for; others are at another position, or came later. */
  #served: Watcher[] = [];

  constructor(history: WatchedHistory) {
    this.history = history;
  }

  get isWanted(): boolean {
    return this.watchers.size > 0;
  }

  begin(page: HistoryPage): void {
    const groups = new Map<string, Group[]>();
    this.#served = [...this.watchers].filter(({ reached }) => reached >= page.after && reached < page.end);
    for (const watch of this.#served) {
      const { path, interest, data } = watch.subscription;
      const here = groups.get(path) ?? [];
      groups.set(path, here);
      const same = here.find((group) => group.interest === interest && group.data === data);
      if (same) same.watches.push(watch);
      else here.push({ path, interest, data, watches: [watch] });
    }
    this.page = page;
    this.deliveries = deliveriesFrom(page, groups);
  }

  /** All of the page was sent. */
  finish(): void {
    for (const watch of this.#served) watch.advance(this.page!.end);
    this.#served = [];
    this.page = undefined;
    this.deliveries = undefined;
  }
}

/** What groups of watches are told of a page, in order; each transaction is matched when it is due. */
function* deliveriesFrom(page: HistoryPage, groups: ReadonlyMap<string, Group[]>): Generator<Delivery> {
  for (const transaction of page.transactionsOn(groups.keys())) {
    const matched = matchTransaction(transaction, (path) => groups.get(path), page.jsonOf(transaction));
    for (const [{ watches }, told] of matched)
      for (const watch of watches) yield { watcher: watch, zxid: transaction.zxid, matched: told };
  }
}
