// How much clients have stored of what is limited in total (StoredLimits in store/stored-limits.ts), for metrics.
import type { Logger } from 'pino';
import type { Store } from '../store/store.ts';
import type { Metrics } from './metrics.ts';
import { PeriodicTask } from './periodic-task.ts';

const everyMs = 5000;

export function createStoredTotals(store: Store, metrics: Metrics, log: Logger): PeriodicTask {
  const totals = { sessions: 0, nodes: 0, ephemerals: 0, count: 0, bytes: 0 };
  let memory: Record<string, number> = {};
  metrics.gauges(
    'store_memory_bytes',
    'Memory of all Redis servers of the store, as this broker read it last. used: of the data and all else; max: its limit, 0 = none.',
    ['kind'],
    () => Object.entries(memory).map(([kind, value]) => ({ labels: { kind }, value })),
    'max',
  );
  metrics.gauge('sessions', 'Sessions in the cluster, as this broker read it last.', () => totals.sessions, 'max');
  metrics.gauge(
    'nodes',
    'Nodes of the tree, those of the service included, as this broker read it last.',
    () => totals.nodes,
    'max',
  );
  metrics.gauge(
    'ephemeral_nodes',
    'Ephemeral nodes among those that weir_nodes counts.',
    () => totals.ephemerals,
    'max',
  );
  metrics.gauge(
    'stored_responses',
    'Stored responses to requests on the tree with an Idempotency-Key, as this broker read it last.',
    () => totals.count,
    'max',
  );
  metrics.gauge(
    'stored_response_bytes',
    'Bytes of the stored responses that weir_stored_responses counts.',
    () => totals.bytes,
    'max',
  );
  return new PeriodicTask(
    'stored totals',
    everyMs,
    async () => {
      const [sessions, nodes, responses, { usedMemoryBytes, maxMemoryBytes }] = await Promise.all([
        store.sessions.count(),
        store.nodeCounts(),
        store.storedResponses.stats(),
        store.stats(),
      ]);
      Object.assign(totals, { sessions, ...nodes, ...responses });
      memory = { used: usedMemoryBytes, max: maxMemoryBytes };
    },
    log,
  );
}
