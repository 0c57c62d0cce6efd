// Pages of past transactions, for unsynced watchers. All watchers at one position share one page. Few pages are read at a time,
// in the order of the requests; a read is dropped if no watcher needs it any more when its turn comes.

import { LRUCache } from 'lru-cache';
import { required } from '../../core/required.ts';
import type { Events } from '../../store/tree/events.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';
import type { Metrics } from '../metrics.ts';
import type { EventTail } from './event-tail.ts';
import type { HistoryLimits } from './watch-limits.ts';
import { EventJson, pathsOf } from './watch-match.ts';

/** Which transactions a watcher follows: 'main' = all but those on committed offsets; 'both' = these, too. */
export type WatchedHistory = 'main' | 'both';

/** What requests a page: the catch-up of one connection. */
export interface PageRequester {
  /** Whether one of its watchers still needs history. */
  readonly isWanted: boolean;
}

/** Every transaction after zxid `after` up to zxid `end`. */
export class HistoryPage {
  readonly after: number;
  readonly end: number;
  readonly transactions: readonly Transaction[];
  readonly bytes: number;
  /** By path, the indexes of the transactions that a watcher of the path may match; made when it is first needed. */
  #indexes: Map<string, number[]> | undefined;
  readonly #json = new Map<Transaction, EventJson>();

  constructor(after: number, end: number, transactions: readonly Transaction[]) {
    this.after = after;
    this.end = end;
    this.transactions = transactions;
    this.bytes = transactions.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The transactions that may have an event for a subscription on one of `paths`, in order. */
  transactionsOn(paths: Iterable<string>): Transaction[] {
    this.#indexes ??= indexesByPath(this.transactions);
    const found = new Set<number>();
    for (const path of paths) for (const index of this.#indexes.get(path) ?? []) found.add(index);
    return [...found].sort((a, b) => a - b).flatMap((index) => this.transactions[index] ?? []);
  }

  /** The JSON of a transaction's events, shared by all watchers that are sent this page. */
  jsonOf(transaction: Transaction): EventJson {
    let json = this.#json.get(transaction);
    if (!json) {
      json = new EventJson();
      this.#json.set(transaction, json);
    }
    return json;
  }
}

function indexesByPath(transactions: readonly Transaction[]): Map<string, number[]> {
  const byPath = new Map<string, number[]>();
  for (const [index, transaction] of transactions.entries()) {
    for (const path of pathsOf(transaction)) {
      const indexes = byPath.get(path);
      if (indexes) indexes.push(index);
      else byPath.set(path, [index]);
    }
  }
  return byPath;
}

interface Read {
  readonly history: WatchedHistory;
  readonly after: number;
  readonly requesters: Set<PageRequester>;
  readonly page: Promise<HistoryPage | undefined>;
  begin(): void;
}

export class HistoryPages {
  readonly #events: Events;
  readonly #tail: EventTail;
  readonly #limits: HistoryLimits;
  readonly #done;
  readonly #dropped;
  /** Requested reads by history and position, in flight or waiting; the waiting ones are in the queue, too. */
  readonly #reads = new Map<string, Read>();
  readonly #queue: Read[] = [];
  #inFlight = 0;
  /** Pages used lately: watchers that resume after the same event do not arrive in the same moment. */
  readonly #recent: LRUCache<string, HistoryPage>;

  constructor(events: Events, tail: EventTail, limits: HistoryLimits, metrics: Metrics) {
    this.#events = events;
    this.#tail = tail;
    this.#limits = limits;
    this.#recent = new LRUCache({
      max: limits.pagesKept,
      maxSize: limits.pagesBytesKept,
      // The cache takes no size of 0, which a page without transactions has.
      sizeCalculation: ({ bytes }) => Math.max(bytes, 1),
    });
    this.#done = metrics.counter('watch_history_reads_total', 'History pages read for unsynced watchers.');
    this.#dropped = metrics.counter(
      'watch_history_reads_dropped_total',
      'Reads of history pages dropped because their watchers had ended.',
    );
    metrics.gauge('watch_history_reads_waiting', 'History pages that wait to be read.', () => this.#queue.length);
    metrics.gauge('watch_history_reads_in_flight', 'History pages being read.', () => this.#inFlight);
  }

  /** The page after zxid `after`, up to the tail's position or the size of a page; undefined if memory does not hold it. */
  inMemory(history: WatchedHistory, after: number): HistoryPage | undefined {
    const known = this.#recent.get(keyOf(history, after));
    // A page that ends before the tail's position is as good: the next page continues it.
    if (known && known.end > after) return known;
    const newer = this.#tail.recent(after, history);
    if (!newer) return undefined;
    const { pageTransactions, pageBytes } = this.#limits;
    const taken: Transaction[] = [];
    let bytes = 0;
    for (const one of newer) {
      if (taken.length === pageTransactions || bytes >= pageBytes) break;
      taken.push(one);
      bytes += one.bytes;
    }
    const isAll = taken.length === newer.length;
    const page = new HistoryPage(after, isAll ? Math.max(after, this.#tail.position) : lastZxid(taken), taken);
    if (taken.length > 0) this.#remember(history, page);
    return page;
  }

  /**
   * Reads the page after zxid `after` from the store.
   * @returns undefined if no watcher needed it any more when its turn came
   * @throws ServiceError COMPACTED if history after `after` was trimmed or lost before it was read; STORE_UNAVAILABLE
   */
  read(history: WatchedHistory, after: number, requester: PageRequester): Promise<HistoryPage | undefined> {
    const key = keyOf(history, after);
    const same = this.#reads.get(key);
    if (same) {
      same.requesters.add(requester);
      return same.page;
    }
    let begin!: () => void;
    const turn = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const read: Read = {
      history,
      after,
      requesters: new Set([requester]),
      page: turn.then(() => this.#run(key, read)),
      begin,
    };
    this.#reads.set(key, read);
    this.#queue.push(read);
    this.#next();
    return read.page;
  }

  /** Forgets all pages: the store has lost transactions, and pages read before that must not be sent. */
  clear(): void {
    this.#recent.clear();
    for (const [key, read] of this.#reads) if (!this.#queue.includes(read)) this.#reads.delete(key);
  }

  #next(): void {
    while (this.#inFlight < this.#limits.readsMax) {
      const read = this.#queue.shift();
      if (!read) return;
      this.#inFlight += 1;
      read.begin();
    }
  }

  async #run(key: string, read: Read): Promise<HistoryPage | undefined> {
    const { history, after, requesters } = read;
    try {
      if (![...requesters].some(({ isWanted }) => isWanted)) {
        this.#dropped.inc();
        return undefined;
      }
      this.#done.inc();
      const upTo = this.#tail.position;
      const { pageTransactions, pageBytes } = this.#limits;
      const { transactions, complete } = await this.#events.range(history, after, upTo, pageTransactions, pageBytes);
      // The check must come after the read: history that is trimmed between the two is noticed then.
      await this.#events.checkResume(after, history);
      // A complete read ends at the tail's position, though the last transactions may be of the other history.
      const end = complete ? Math.max(upTo, after) : lastZxid(transactions);
      const page = new HistoryPage(after, end, transactions);
      if (this.#reads.get(key) === read) this.#remember(history, page);
      return page;
    } finally {
      if (this.#reads.get(key) === read) this.#reads.delete(key);
      this.#inFlight -= 1;
      this.#next();
    }
  }

  #remember(history: WatchedHistory, page: HistoryPage): void {
    this.#recent.set(keyOf(history, page.after), page);
  }
}

function keyOf(history: WatchedHistory, after: number): string {
  return `${history} ${after}`;
}

/** @param transactions not empty */
function lastZxid(transactions: readonly Transaction[]): number {
  return required(transactions.at(-1), 'transaction in a page that is not complete').zxid;
}
