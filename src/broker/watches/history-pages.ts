// Pages of the history of transactions, for watches that catch up. Whoever is at one position shares one page; few are read at a
// time, in the order in which they were asked for; a read that nobody wants any more when its time comes is dropped.

import type { Events } from '../../store/tree/events.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';
import type { Metrics } from '../metrics.ts';
import type { EventTail } from './event-tail.ts';
import type { HistoryLimits } from './watch-limits.ts';
import { EventJson, pathsOf } from './watch-match.ts';

/** Which history a watcher follows: 'both' = with that of committed offsets. */
export type WatchedHistory = 'main' | 'both';

/** Whoever asks for a page. */
export interface PageRequester {
  /** Whether it still has a watch that needs it. */
  readonly isWanted: boolean;
}

/** Every transaction after `after` up to `end`. */
export class HistoryPage {
  readonly after: number;
  readonly end: number;
  readonly transactions: readonly Transaction[];
  readonly bytes: number;
  /** Which transactions have a path for a subscriber of it, by their place; made when it is first needed. */
  #places: Map<string, number[]> | undefined;
  readonly #json = new Map<Transaction, EventJson>();

  constructor(after: number, end: number, transactions: readonly Transaction[]) {
    this.after = after;
    this.end = end;
    this.transactions = transactions;
    this.bytes = transactions.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The transactions that may have an event for a subscription on one of `paths`, in order. */
  transactionsOn(paths: Iterable<string>): Transaction[] {
    this.#places ??= placesOf(this.transactions);
    const found = new Set<number>();
    for (const path of paths) for (const place of this.#places.get(path) ?? []) found.add(place);
    return [...found].sort((a, b) => a - b).map((place) => this.transactions[place]!);
  }

  /** The JSON of a transaction's events, shared by all who are told of it by this page. */
  jsonOf(transaction: Transaction): EventJson {
    let json = this.#json.get(transaction);
    if (!json) {
      json = new EventJson();
      this.#json.set(transaction, json);
    }
    return json;
  }
}

function placesOf(transactions: readonly Transaction[]): Map<string, number[]> {
  const places = new Map<string, number[]>();
  for (const [place, transaction] of transactions.entries()) {
    for (const path of pathsOf(transaction)) {
      const there = places.get(path);
      if (there) there.push(place);
      else places.set(path, [place]);
    }
  }
  return places;
}

interface Read {
  readonly history: WatchedHistory;
  readonly after: number;
  readonly readers: Set<PageRequester>;
  readonly page: Promise<HistoryPage | undefined>;
  begin(): void;
}

export class HistoryPages {
  readonly #events: Events;
  readonly #tail: EventTail;
  readonly #limits: HistoryLimits;
  readonly #done;
  readonly #dropped;
  /** Reads that were asked for, by history and position; those that wait are in the queue, too. */
  readonly #reads = new Map<string, Read>();
  readonly #queue: Read[] = [];
  #underWay = 0;
  /** Pages read or taken from memory lately, the oldest first: those who resume together do not arrive together. */
  readonly #recent = new Map<string, HistoryPage>();
  #recentBytes = 0;

  constructor(events: Events, tail: EventTail, limits: HistoryLimits, metrics: Metrics) {
    this.#events = events;
    this.#tail = tail;
    this.#limits = limits;
    this.#done = metrics.counter('watch_history_reads_total', 'Pages of history read for watches that catch up.');
    this.#dropped = metrics.counter(
      'watch_history_reads_dropped_total',
      'Pages of history that nobody wanted any more before they were read.',
    );
    metrics.gauge('watch_history_reads_waiting', 'Pages of history that wait to be read.', () => this.#queue.length);
    metrics.gauge('watch_history_reads_in_flight', 'Pages of history being read.', () => this.#underWay);
  }

  /** The page after `after` if memory holds it: up to the tail's position, or as much as one page has. */
  inMemory(history: WatchedHistory, after: number): HistoryPage | undefined {
    const known = this.#recent.get(keyOf(history, after));
    // What ends before the tail's position may be continued by another page.
    if (known && known.end > after) return known;
    const newer = this.#tail.recent(after, history);
    if (!newer) return undefined;
    const { pageTransactions, pageBytes } = this.#limits;
    let count = 0;
    for (let bytes = 0; count < Math.min(newer.length, pageTransactions) && bytes < pageBytes; count++) {
      bytes += newer[count]!.bytes;
    }
    const isAll = count === newer.length;
    const end = isAll ? Math.max(after, this.#tail.position) : newer[count - 1]!.zxid;
    const page = new HistoryPage(after, end, newer.slice(0, count));
    if (count > 0) this.#keep(history, page);
    return page;
  }

  /**
   * Reads the page after `after` from the store.
   * @returns undefined if no reader of it was left when its turn came
   * @throws ServiceError COMPACTED if the history behind `after` was trimmed, or lost, before it was read; STORE_UNAVAILABLE
   */
  read(history: WatchedHistory, after: number, reader: PageRequester): Promise<HistoryPage | undefined> {
    const key = keyOf(history, after);
    const same = this.#reads.get(key);
    if (same) {
      same.readers.add(reader);
      return same.page;
    }
    let begin!: () => void;
    const turn = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const read: Read = {
      history,
      after,
      readers: new Set([reader]),
      page: turn.then(() => this.#run(key, read)),
      begin,
    };
    this.#reads.set(key, read);
    this.#queue.push(read);
    this.#next();
    return read.page;
  }

  /** The store has lost transactions: what was read before is not to be told any more. */
  clear(): void {
    this.#recent.clear();
    this.#recentBytes = 0;
    for (const [key, read] of this.#reads) if (!this.#queue.includes(read)) this.#reads.delete(key);
  }

  #next(): void {
    while (this.#underWay < this.#limits.readsMax) {
      const read = this.#queue.shift();
      if (!read) return;
      this.#underWay += 1;
      read.begin();
    }
  }

  async #run(key: string, read: Read): Promise<HistoryPage | undefined> {
    const { history, after, readers } = read;
    try {
      if (![...readers].some(({ isWanted }) => isWanted)) {
        this.#dropped.inc();
        return undefined;
      }
      this.#done.inc();
      const upTo = this.#tail.position;
      const { pageTransactions, pageBytes } = this.#limits;
      const { transactions, complete } = await this.#events.range(history, after, upTo, pageTransactions, pageBytes);
      // The check comes after the read, so that nothing can be trimmed between the two unnoticed.
      await this.#events.checkResume(after, history);
      // The last transactions up to the tail's position may all be of the other history.
      const end = complete ? Math.max(upTo, after) : transactions.at(-1)!.zxid;
      const page = new HistoryPage(after, end, transactions);
      if (this.#reads.get(key) === read) this.#keep(history, page);
      return page;
    } finally {
      if (this.#reads.get(key) === read) this.#reads.delete(key);
      this.#underWay -= 1;
      this.#next();
    }
  }

  #keep(history: WatchedHistory, page: HistoryPage): void {
    const key = keyOf(history, page.after);
    this.#drop(key);
    this.#recent.set(key, page);
    this.#recentBytes += page.bytes;
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= this.#limits.pagesKept && this.#recentBytes <= this.#limits.pagesBytesKept) return;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const page = this.#recent.get(key);
    if (!page) return;
    this.#recent.delete(key);
    this.#recentBytes -= page.bytes;
  }
}

function keyOf(history: WatchedHistory, after: number): string {
  return `${history} ${after}`;
}
