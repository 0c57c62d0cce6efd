// One sample of what a server does for each second of the last 15 minutes, for GET /v1/stats/stream. Each process measures itself once
// a second, however many read; of a server with several workers the primary process adds them up (workers/primary.ts).
import type { StatsSample } from '../../schemas/stats.ts';
import { percentileOf, sumOfBuckets } from './request-durations.ts';

/** 15 minutes. */
export const samplesMax = 900;

/** What one process has done in a second, and how it is at its end. */
export interface ProcessSample {
  /** Ms since 1970. */
  at: number;
  requests: number;
  /** Of the requests without a wait (RequestDurations). */
  durations: number[];
  recordsIn: number;
  bytesIn: number;
  recordsOut: number;
  bytesOut: number;
  connections: number;
  sockets: number;
  watches: number;
  eventLoopLagMs: number;
  /** Of the whole cluster, as this process has read it last. */
  sessions: number;
  nodes: number;
  storeMemoryBytes: number;
  lag: StatsSample['lag'];
}

/** The sample of a server: work is added up; of what all processes observe the largest counts. */
export function mergeSamples(samples: readonly ProcessSample[]): StatsSample {
  const sum = (value: (sample: ProcessSample) => number) => samples.reduce((total, one) => total + value(one), 0);
  const largest = (value: (sample: ProcessSample) => number) => Math.max(0, ...samples.map(value));
  const durations = sumOfBuckets(samples.map((sample) => sample.durations));
  return {
    at: largest(({ at }) => at),
    requestsPerSec: sum(({ requests }) => requests),
    p50Ms: percentileOf(durations, 0.5),
    p99Ms: percentileOf(durations, 0.99),
    recordsInPerSec: sum(({ recordsIn }) => recordsIn),
    bytesInPerSec: sum(({ bytesIn }) => bytesIn),
    recordsOutPerSec: sum(({ recordsOut }) => recordsOut),
    bytesOutPerSec: sum(({ bytesOut }) => bytesOut),
    connections: sum(({ connections }) => connections),
    sockets: sum(({ sockets }) => sockets),
    watches: sum(({ watches }) => watches),
    sessions: largest(({ sessions }) => sessions),
    nodes: largest(({ nodes }) => nodes),
    storeMemoryBytes: largest(({ storeMemoryBytes }) => storeMemoryBytes),
    eventLoopLagMs: largest(({ eventLoopLagMs }) => eventLoopLagMs),
    lag: samples.reduce<StatsSample['lag']>((best, { lag }) => (lag.length > best.length ? lag : best), []),
  };
}

/** The samples of the last 15 minutes, and those who wait for the next one. */
export class ServerStats {
  #samples: StatsSample[] = [];
  readonly #listeners = new Set<(sample: StatsSample) => void>();

  /** Of each second since `after`, ms since 1970, the oldest first. */
  since(after: number): StatsSample[] {
    return this.#samples.filter(({ at }) => at > after);
  }

  add(sample: StatsSample): void {
    this.#samples.push(sample);
    if (this.#samples.length > samplesMax) this.#samples.shift();
    for (const listener of this.#listeners) listener(sample);
  }

  /** Takes samples of the whole server that another process has made: a new one, or those from before this process began. */
  take(samples: readonly StatsSample[]): void {
    const [first, last] = [this.#samples[0]?.at ?? Number.POSITIVE_INFINITY, this.#samples.at(-1)?.at ?? 0];
    this.#samples.unshift(...samples.filter(({ at }) => at < first && last > 0));
    for (const sample of samples) if (sample.at > last) this.add(sample);
    if (this.#samples.length > samplesMax) this.#samples = this.#samples.slice(-samplesMax);
  }

  /** Whether anyone waits for samples. */
  get hasReaders(): boolean {
    return this.#listeners.size > 0;
  }

  /** Calls `listener` with each new sample. @returns a function that ends this */
  follow(listener: (sample: StatsSample) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
