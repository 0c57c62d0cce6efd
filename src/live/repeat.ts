// A chore that a broker does again and again: one run at a time, the next one a fixed while after the last has ended.
// A failed run is logged and tried again; the store being away is not worth a line each time.
import type { Logger } from 'pino';
import { hasCode } from '../core/service-error.ts';

export class Repeat {
  readonly #name: string;
  readonly #everyMs: number;
  readonly #run: () => Promise<void>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  #againMs: number;

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
    if (this.#running) this.#againMs = Math.min(this.#againMs, afterMs);
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
        this.#schedule(this.#againMs);
        this.#againMs = this.#everyMs;
      });
    }, delayMs);
  }

  async #once(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      const level = hasCode(error, 'STORE_UNAVAILABLE') ? 'debug' : 'error';
      this.#log[level]({ err: error }, `The ${this.#name} failed; it tries again`);
    }
  }
}
