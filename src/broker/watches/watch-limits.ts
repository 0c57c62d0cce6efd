// The limits on the history reads of watches and on the unread bytes of one reader. docs/operations.md lists the numbers.

const MiB = 1024 * 1024;

/** Limits of how unsynced watchers read history, and of the events that may wait for synced ones. */
export interface WatchLimits {
  /**
   * History pages that one broker reads at the same time, and the largest size of a page. One page costs Redis a few milliseconds,
   * so other requests are served in between, however many watches resume. Further pages wait.
   */
  readsMax: number;
  pageTransactions: number;
  pageBytes: number;
  /** Pages kept for watchers that resume at the same zxid a moment later. The lower of the two limits counts. */
  pagesKept: number;
  pagesBytesKept: number;
  /** The number of watches whose `since` is checked by one call of the store. */
  startsPerCall: number;
  /** A slow reader is disconnected when more unread bytes wait for it, without the transaction being sent; it can resume. */
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
