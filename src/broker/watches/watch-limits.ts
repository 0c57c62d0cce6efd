// How much history watches read at a time, and how much may wait for one reader. docs/operations.md lists
// the numbers.

const MiB = 1024 * 1024;

/** How watches that are behind read history, and what waits for those that are told live. */
export interface WatchLimits {
  /**
   * Pages of history that one broker reads at a time, and what a page has at most: a page of the store's costs a few milliseconds, so
   * that these keep nobody else from the store, whoever many watches resume. What is beyond waits.
   */
  readsMax: number;
  pageTransactions: number;
  pageBytes: number;
  /** Pages kept for others who resume at the same place a moment later: the fewer of both. */
  pagesKept: number;
  pagesBytesKept: number;
  /** Watches whose `since` is checked by one call of the store. */
  startsPerCall: number;
  /** A reader for which so much waits beyond the transaction that it is being sent is cut off; it resumes. */
  slowReaderBytesMax: number;
}

export type HistoryLimits = Omit<WatchLimits, 'startsPerCall' | 'slowReaderBytesMax'>;

export const defaultWatchLimits: WatchLimits = {
  readsMax: 4,
  pageTransactions: 200,
  pageBytes: MiB,
  pagesKept: 64,
  pagesBytesKept: 8 * MiB,
  startsPerCall: 200,
  slowReaderBytesMax: 8 * MiB,
};
