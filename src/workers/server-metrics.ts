// The metrics of a server with several workers: asks all of them, and merges what they and the primary process itself report. What
// a worker has counted stays counted when it dies or does not reply: a sum that went back would be a restart to Prometheus, and all
// of it would be counted once more.
import {
  countsOf,
  createMetrics,
  type Metrics,
  type MetricsSnapshot,
  mergeSnapshots,
  snapshotOf,
  textOf,
} from '../broker/metrics.ts';
import type { WorkerPool } from './worker-pool.ts';

type Reporters = Pick<WorkerPool, 'reporting' | 'send' | 'servingCount'>;

/** How long a worker may take to report, ms: a busy one takes a few hundred. */
const reportMsMax = 2000;

export class ServerMetrics {
  readonly #pool: () => Reporters;
  readonly #own: Metrics;
  readonly #deaths;
  readonly #missing;
  /** The last report of each worker that runs. */
  readonly #last = new Map<number, MetricsSnapshot>();
  /** What workers that have died had counted. */
  #past: Promise<MetricsSnapshot> = Promise.resolve([]);
  /** The workers that a round waits for: called with a report, or without one if the worker has died. */
  readonly #rounds = new Map<number, Map<number, (snapshot?: MetricsSnapshot) => void>>();
  #roundId = 0;

  /** @param pool the workers; called at each scrape */
  constructor(pool: () => Reporters, workers: number) {
    this.#pool = pool;
    this.#own = createMetrics({ processLabels: { worker: 'primary' }, wholeText: () => this.#merge() });
    this.#own.eventLoopLag.start();
    this.#own.gauge('workers', 'Workers that the server should have.', () => workers);
    this.#own.gauge('workers_serving', 'Workers of the server that serve.', () => this.#pool().servingCount);
    this.#deaths = this.#own.counter('workers_died_total', 'Processes of workers that ended without being told to.');
    this.#missing = this.#own.counter(
      'worker_reports_missing_total',
      'Workers that did not report their metrics in time; what they had counted before was shown, and none of their gauges.',
    );
  }

  /** The text of the metrics of all processes. */
  text(): Promise<string> {
    return this.#own.text();
  }

  /** Takes the report of a worker. */
  receive(worker: number, id: number, snapshot: MetricsSnapshot): void {
    this.#rounds.get(id)?.get(worker)?.(snapshot);
  }

  /** Notes that a worker has died: it reports no more, and what it had counted stays. */
  noteDeath(worker: number): void {
    this.#deaths.inc();
    for (const waiting of this.#rounds.values()) waiting.get(worker)?.();
    const last = this.#last.get(worker);
    if (!last) return;
    this.#last.delete(worker);
    this.#past = this.#past.then((past) => mergeSnapshots([past, countsOf(last)]));
  }

  async #merge(): Promise<string> {
    const reports = await this.#ask();
    for (const [worker, snapshot] of reports) this.#last.set(worker, snapshot);
    const silent = [...this.#last].filter(([worker]) => !reports.has(worker)).map(([, last]) => countsOf(last));
    return textOf([await snapshotOf(this.#own), await this.#past, ...reports.values(), ...silent]);
  }

  /** The reports of the workers that send one in time. */
  #ask(): Promise<Map<number, MetricsSnapshot>> {
    this.#roundId += 1;
    const id = this.#roundId;
    const reports = new Map<number, MetricsSnapshot>();
    const waiting = new Map<number, (snapshot?: MetricsSnapshot) => void>();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#rounds.delete(id);
        this.#missing.inc(waiting.size);
        resolve(reports);
      };
      const timer = setTimeout(end, reportMsMax);
      this.#rounds.set(id, waiting);
      const workers = this.#pool().reporting;
      for (const worker of workers) {
        waiting.set(worker, (snapshot) => {
          if (snapshot) reports.set(worker, snapshot);
          waiting.delete(worker);
          if (waiting.size === 0) end();
        });
      }
      for (const worker of workers) this.#pool().send(worker, { kind: 'read-metrics', id });
      if (workers.length === 0) end();
    });
  }
}
