// A chore that a broker does again and again: one run at a time, the next one a fixed while after the last has ended.
// A failed run is tried again, after pauses that grow a little. It is logged, but not each time; the store being away is not
// worth a line at all.
import { randomInt } from 'node:crypto';
import type { Logger } from 'pino';
import { hasCode } from '../core/service-error.ts';

/**
 * A chore that fails is tried again after its usual pause, then after double that, up to this, ms; a fifth of each pause or
 * less is left to chance. So the store is not run over by all brokers when it comes back, and comes back to use soon.
 */
export const taskRetryMsMax = 1000;
export const taskRetryJitter = 0.2;

/** Of failures one after the other, the first is logged, and then every so many. */
const failuresPerLine = 60;

export class PeriodicTask {
  readonly #name: string;
  readonly #everyMs: number;
  readonly #run: () => Promise<void>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  #againMs: number;
  /** One after the other. */
  #failures = 0;

  constructor(name: string, everyMs: number, run: () => Promise<void>, log: Logger) {
    this.#name = name;
    this.#everyMs = everyMs;
    this.#againMs = everyMs;
    this.#run = run;
    this.#log = log;
  }

  start(): void {
    this.#schedule(0);
  }

  /** Does it `afterMs` from now rather than at the next turn; if it is being done, once more so long after that. */
  trigger(afterMs = 0): void {
    if (this.#running !== undefined) this.#againMs = Math.min(this.#againMs, afterMs);
    else this.#schedule(afterMs);
  }

  /** Waits for the run under way, and does no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#once().finally(() => {
        this.#running = undefined;
        const failed = this.#failures > 0;
        this.#schedule(failed ? retryDelayMs(this.#everyMs, this.#failures, randomInt(1000) / 1000) : this.#againMs);
        this.#againMs = this.#everyMs;
      });
    }, delayMs);
  }

  async #once(): Promise<void> {
    try {
      await this.#run();
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      const isWorthALine = this.#failures % failuresPerLine === 1 && !hasCode(error, 'STORE_UNAVAILABLE');
      const level = isWorthALine ? 'error' : 'debug';
      this.#log[level]({ err: error }, `The ${this.#name} failed; it tries again`);
    }
  }
}

/** The pause before a chore that has failed is tried again, ms. @param chance from 0 up to 1 */
export function retryDelayMs(everyMs: number, failures: number, chance: number): number {
  // What is done seldom is worth a try sooner; what is done often, later.
  const usual = Math.min(everyMs * 2 ** Math.min(failures - 1, 20), taskRetryMsMax);
  return usual * (1 - taskRetryJitter * chance);
}
