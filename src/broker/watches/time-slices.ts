// Work in steps, those of all workers in rotation, with the event loop free after each slice of time: so neither one worker nor all
// of them together make everybody else wait.

/** How long the event loop is held at a stretch, ms. A step that is longer is the last of its slice. */
const sliceMs = 8;

export interface Worker {
  /** Does a little. @returns whether there is more that can be done at once */
  step(): boolean;
}

export class TimeSlices {
  /** Those with something to do, the next one first. */
  readonly #ready = new Set<Worker>();
  #isRunning = false;
  #isScheduled = false;

  /** How many wait for their next step. */
  get waiting(): number {
    return this.#ready.size;
  }

  /** Lets the worker make steps soon, behind those that are ready already. */
  add(worker: Worker): void {
    this.#ready.add(worker);
    this.#schedule();
  }

  /** Begins a slice now instead of soon. */
  run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const end = performance.now() + sliceMs;
    try {
      for (const worker of this.#ready) {
        this.#ready.delete(worker);
        // Behind all others: the iteration comes to it again.
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
