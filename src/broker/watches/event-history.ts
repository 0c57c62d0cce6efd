// The retained history backwards: what happened last in a part of the tree. One call looks at a bounded part of the history, whether or
// not it finds anything there.
import type { EventsPage } from '../../../schemas/events.ts';
import type { Events } from '../../store/tree/events.ts';
import { historyOf, watchEvent } from './watch-match.ts';

interface HistoryRequest {
  /** Changes of this node and of all nodes below it. */
  path: string;
  /** Transactions before this zxid. */
  before: number;
  /** The most transactions with such changes. */
  limit: number;
  /** Whether events have the data that was written. */
  data: boolean;
  /** Changes of other nodes are left out. */
  mayRead(path: string): boolean;
}

/** What one call looks at, at most: transactions, and bytes of them as they are stored. */
const scannedMax = 2000;
const scannedBytesMax = 4 * 1024 * 1024;
/** What is read from the store at a time. */
const pageTransactions = 500;
const pageBytes = 512 * 1024;
/** The response ends after so many bytes of events. */
const foundBytesMax = 1024 * 1024;

/** Finds the newest transactions with changes that a client asks for. */
export async function eventsBefore(events: Pick<Events, 'rangeBefore'>, request: HistoryRequest): Promise<EventsPage> {
  const { path, limit, data, mayRead } = request;
  const below = path === '/' ? '/' : `${path}/`;
  const isAsked = (changed: string) => (changed === path || changed.startsWith(below)) && mayRead(changed);
  const found: EventsPage['transactions'] = [];
  let [before, scanned, scannedBytes, foundBytes] = [request.before, 0, 0, 0];
  const isFull = () =>
    found.length === limit || foundBytes >= foundBytesMax || scanned >= scannedMax || scannedBytes >= scannedBytesMax;
  for (;;) {
    const page = await events.rangeBefore(historyOf(path), before, pageTransactions, pageBytes);
    for (const [index, transaction] of page.transactions.entries()) {
      before = transaction.zxid;
      scanned += 1;
      scannedBytes += transaction.bytes;
      const shown = transaction.events.filter((event) => isAsked(event.path));
      if (shown.length > 0) {
        found.push({ zxid: transaction.zxid, events: shown.map((event) => watchEvent(event, data)) });
        foundBytes += transaction.bytes;
      }
      const isLast = page.complete && index === page.transactions.length - 1;
      if (!isLast && isFull()) return { transactions: found, next: before };
    }
    if (page.complete) return { transactions: found };
  }
}
