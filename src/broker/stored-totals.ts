// How much clients have stored of what is limited in total (StoredLimits in store/stored-limits.ts), for metrics.
import type { Logger } from 'pino';
import type { Store } from '../store/store.ts';
import type { Metrics } from './metrics.ts';
import { PeriodicTask } from './periodic-task.ts';

const everyMs = 5000;

export function createStoredTotals(store: Store, metrics: Metrics, log: Logger): PeriodicTask {
  const totals = { sessions: 0, count: 0, bytes: 0 };
  metrics.gauge('sessions', 'Sessions in the cluster, as this broker last saw it.', () => totals.sessions);
  metrics.gauge(
    'kept_responses',
    'Responses that are kept for requests on the tree with an Idempotency-Key, as this broker last saw it.',
    () => totals.count,
  );
  metrics.gauge('kept_response_bytes', 'Bytes of these responses.', () => totals.bytes);
  return new PeriodicTask(
    'totals of what is stored',
    everyMs,
    async () => {
      const [sessions, kept] = await Promise.all([store.sessions.count(), store.storedResponses.stats()]);
      Object.assign(totals, { sessions, ...kept });
    },
    log,
  );
}
