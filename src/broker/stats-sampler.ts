// Measures this process each second for ServerStats. It reads what the metrics count anyway.
import type { Logger } from 'pino';
import type { GroupFigures } from './groups/group-figures.ts';
import type { Metrics } from './metrics.ts';
import { PeriodicTask } from './periodic-task.ts';
import type { RequestDurations } from './request-durations.ts';
import type { ProcessSample, ServerStats } from './server-stats.ts';

const everyMs = 1000;
/** So many groups stand in a sample, those with the largest lag. */
const groupsMax = 10;
/** While nobody reads the samples, the lag is read in every 15th only. */
const lagEvery = 15;

interface Parts {
  metrics: Metrics;
  requests: RequestDurations;
  groups: GroupFigures;
  stats: ServerStats;
  publish(sample: ProcessSample): void;
  log: Logger;
}

export class StatsSampler {
  readonly #parts: Parts;
  readonly #task: PeriodicTask;
  #before: Record<string, number> = {};
  #samples = 0;
  #lag: ProcessSample['lag'] = [];

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#task = new PeriodicTask('sample of statistics', everyMs, () => this.#sample(), parts.log);
  }

  start(): void {
    this.#task.start();
  }

  async stop(): Promise<void> {
    await this.#task.stop();
  }

  async #sample(): Promise<void> {
    const { metrics, requests, stats, publish } = this.#parts;
    if (stats.hasReaders || this.#samples % lagEvery === 0) this.#readLag();
    this.#samples += 1;
    const [recordsIn, bytesIn, recordsOut, bytesOut, frames] = await Promise.all([
      this.#grown('records_appended_total'),
      this.#grown('appended_bytes_total'),
      this.#grown('records_fetched_total'),
      this.#grown('fetched_bytes_total'),
      this.#grown('socket_requests_total'),
    ]);
    const [connections, sockets, watches, sessions, nodes, storeMemoryBytes] = await Promise.all([
      metrics.sumOf('connections_open'),
      metrics.sumOf('sockets_open'),
      metrics.sumOf('watches'),
      metrics.sumOf('sessions'),
      metrics.sumOf('nodes'),
      metrics.sumOf('store_memory_bytes', { kind: 'used' }),
    ]);
    const taken = requests.take();
    const eventLoopLagMs = Math.round(metrics.eventLoopLag.takeMaxMs());
    publish({
      at: Date.now(),
      requests: taken.requests + frames,
      durations: taken.durations,
      recordsIn,
      bytesIn,
      recordsOut,
      bytesOut,
      connections,
      sockets,
      watches,
      sessions,
      nodes,
      eventLoopLagMs,
      storeMemoryBytes,
      lag: this.#lag,
    });
  }

  /** A slow store must not delay the samples: this one has the lag of the last read. */
  #readLag(): void {
    void this.#parts.groups.read().then((figures) => {
      const groups = [...(figures?.byGroup ?? [])].flatMap(([group, { lag }]) =>
        lag ? [{ group, lag: lag.sum }] : [],
      );
      this.#lag = groups.sort((a, b) => b.lag - a.lag).slice(0, groupsMax);
    });
  }

  /** By how much a counter has grown since the last call. */
  async #grown(name: string): Promise<number> {
    const now = await this.#parts.metrics.sumOf(name);
    const grown = now - (this.#before[name] ?? now);
    this.#before[name] = now;
    return grown;
  }
}
