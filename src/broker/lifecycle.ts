// Starts the parts of a broker in the order in which they depend on each other, and stops them in exactly the reverse order.

import type { Logger } from 'pino';
import { required } from '../core/required.ts';

/** A part that is started and stopped with its broker. */
interface LifecyclePart {
  start(): void | Promise<void>;
  stop(): void | Promise<void>;
}

/** Runs one step of a start; it may run the step again if the store was lost in between. */
export type Attempt = (step: () => Promise<void>) => Promise<void>;

export class Lifecycle {
  readonly #parts: readonly (readonly [name: string, part: LifecyclePart])[];
  readonly #log: Logger;
  /** How many parts were started, or have begun to start. */
  #started = 0;

  /** @param parts by their names for the log; each depends only on those before it */
  constructor(parts: Readonly<Record<string, LifecyclePart>>, log: Logger) {
    this.#parts = Object.entries(parts);
    this.#log = log;
  }

  /** Starts the parts, each when the one before it has started. @throws what a part throws; stop() then stops those begun */
  async start(attempt: Attempt): Promise<void> {
    for (const [name, part] of this.#parts.slice(this.#started)) {
      this.#started += 1;
      await attempt(async () => part.start());
      this.#log.debug({ part: name }, 'A part of the broker has started');
    }
  }

  /** Stops the parts that were started, the last one first. */
  async stop(): Promise<void> {
    while (this.#started > 0) {
      this.#started -= 1;
      const [name, part] = required(this.#parts[this.#started], 'part that was started');
      await part.stop();
      this.#log.debug({ part: name }, 'A part of the broker has stopped');
    }
  }
}
