// What a server with several workers does, each second: adds up what each worker reports of itself, and tells all of them.
import type { StatsSample } from '../../schemas/stats.ts';
import { mergeSamples, type ProcessSample, ServerStats } from '../broker/server-stats.ts';

const everyMs = 1000;

export class ServerSamples {
  readonly #stats = new ServerStats();
  readonly #sendAll: (samples: StatsSample[]) => void;
  /** What each worker has reported since the last sample of the server. */
  readonly #reports = new Map<number, ProcessSample>();
  readonly #known = new Set<number>();
  #isRunning = false;

  /** @param sendAll sends samples to all workers */
  constructor(sendAll: (samples: StatsSample[]) => void) {
    this.#sendAll = sendAll;
  }

  /** Takes the report of a worker. @returns the samples that it cannot know, if it is new */
  receive(worker: number, sample: ProcessSample): StatsSample[] {
    this.#reports.set(worker, sample);
    if (!this.#isRunning) setInterval(() => this.#merge(), everyMs).unref();
    this.#isRunning = true;
    if (this.#known.has(worker)) return [];
    this.#known.add(worker);
    return this.#stats.since(0);
  }

  /** Notes that the process of a worker has ended: the next one is new. */
  noteDeath(worker: number): void {
    this.#known.delete(worker);
  }

  #merge(): void {
    if (this.#reports.size === 0) return;
    const sample = mergeSamples([...this.#reports.values()]);
    this.#reports.clear();
    this.#stats.add(sample);
    this.#sendAll([sample]);
  }
}
