// Runs work in small steps, the workers in rotation, and yields to the event loop after each slice of time: so neither one
// worker nor all of them together delay requests.

/** How long the event loop is held at a time, in ms. A step that takes longer ends its slice. */
const sliceMs = 8;

export interface Worker {
  /** Does a small part of the work. @returns whether more can be done now */
  step(): boolean;
}

export class TimeSlices {
  /** Workers with something to do, the next one first. */
  readonly #ready = new Set<Worker>();
  #isRunning = false;
  #isScheduled = false;

  /** How many workers wait for their next step. */
  get waiting(): number {
    return this.#ready.size;
  }

  /** Queues a worker behind those that are queued already; it steps until it has no more to do. */
  add(worker: Worker): void {
    this.#ready.add(worker);
    this.#schedule();
  }

  /** Runs one slice now, rather than in the next turn of the event loop. */
  run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const end = performance.now() + sliceMs;
    try {
      for (const worker of this.#ready) {
        this.#ready.delete(worker);
        // Deleted and added again, the worker comes last, and this iteration reaches it again.
        if (worker.step()) this.#ready.add(worker);
        if (performance.now() >= end) break;
      }
    } finally {
      this.#isRunning = false;
      this.#schedule();
    }
  }

  #schedule(): void {
    if (this.#isRunning || this.#isScheduled || this.#ready.size === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.run();
    });
  }
}
