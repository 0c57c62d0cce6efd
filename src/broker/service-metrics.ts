// Metrics of the broker as a whole: its version, its position in the history of the tree, whether it has its store, and how long calls
// of the store take.
import type { LoadingProgress } from '../store/redis/server-info.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from './metrics.ts';

interface Subject {
  version: string;
  store: Store;
  /** Undefined before the broker has registered. */
  brokerId(): number | undefined;
  /** The newest zxid that it has received. */
  zxid(): number;
  /** How far a private store has loaded its data; undefined when it has. */
  loading(): LoadingProgress | undefined;
}

export function createServiceMetrics({ version, store, brokerId, zxid, loading }: Subject, metrics: Metrics): void {
  metrics.gauges(
    'build_info',
    'The version of the program, and the id of the broker; always 1.',
    ['version', 'broker'],
    () => [{ labels: { version, broker: String(brokerId() ?? '') }, value: 1 }],
    'max',
  );
  metrics.gauge('store_open', 'Whether the store can be used: 1 or 0.', () => Number(store.isOpen), 'min');
  const loadedRatio = () => {
    const progress = loading() ?? store.connection.loading;
    return progress ? progress.percent / 100 : 1;
  };
  const loadingHelp = 'Share of its data that the store has read into memory; 1 = all.';
  metrics.gauge('store_loading_ratio', loadingHelp, loadedRatio, 'min');
  metrics.gauge(
    'store_shards_unreachable',
    'Redis servers of the store that cannot be reached.',
    () => store.unreachableShardCount,
    'max',
  );
  metrics.gauge(
    'store_connections_lost',
    'How often a connection to the store was lost.',
    () => store.connectionLosses,
  );
  metrics.gauge('zxid', 'The newest transaction on the tree that this broker has received.', zxid, 'max');
  const durations = metrics.histogram(
    'store_call_duration_seconds',
    'Time of a call of the store, from sending it to its reply, by script; direct-read reads batches without one.',
    ['op'],
  );
  /** The histogram's children by their label: the histogram's own lookup costs several times more. */
  const children = new Map<string, { observe(seconds: number): void }>();
  store.connection.onCall((op, ms) => {
    let child = children.get(op);
    if (!child) {
      child = durations.labels(op);
      children.set(op, child);
    }
    child.observe(ms / 1000);
  });
}
