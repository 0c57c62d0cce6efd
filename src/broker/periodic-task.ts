// Work that a broker does at intervals: one run at a time, each some time after the end of the one before it. A failed run is tried again
// after pauses that grow. Of failures in a row only some are logged as errors, and never that the store is away: its connection logs that
// once.
import { randomInt } from 'node:crypto';
import type { Logger } from 'pino';
import { hasCode } from '../core/service-error.ts';

/**
 * The longest pause before a failed task is tried again, ms. The first pause is the interval of the task; it doubles with each
 * failure in a row. A random part of up to a fifth is subtracted, so that not all brokers call the store at once when it is back.
 */
export const taskRetryMsMax = 1000;
const taskRetryJitter = 0.2;

/** Of failures in a row the first is logged as an error, and then one of so many. */
const failuresPerLine = 60;

/** Intervals of this length and more end at whole multiples of it, by the clock of the process, ms. */
const alignedMs = 1000;

export class PeriodicTask {
  readonly #name: string;
  readonly #everyMs: number;
  readonly #run: () => Promise<void>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  /** The delay of the next run after the one in flight, if that was triggered. */
  #triggeredMs: number | undefined;
  /** Failures in a row. */
  #failures = 0;

  /** @param name for log lines: `Periodic task <name> failed` */
  constructor(name: string, everyMs: number, run: () => Promise<void>, log: Logger) {
    this.#name = name;
    this.#everyMs = everyMs;
    this.#run = run;
    this.#log = log;
  }

  start(): void {
    this.#schedule(0);
  }

  /** Makes the next run start in `afterMs`; if a run is in flight, `afterMs` after its end at the latest. */
  trigger(afterMs = 0): void {
    if (this.#running !== undefined) this.#triggeredMs = Math.min(this.#triggeredMs ?? this.#everyMs, afterMs);
    else this.#schedule(afterMs);
  }

  /** Starts no more runs, and waits for the one in flight. */
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
        const retryMs = retryDelayMs(this.#everyMs, this.#failures, randomInt(1000) / 1000);
        this.#schedule(failed ? retryMs : (this.#triggeredMs ?? pauseMs(this.#everyMs, performance.now())));
        this.#triggeredMs = undefined;
      });
    }, delayMs);
  }

  async #once(): Promise<void> {
    try {
      await this.#run();
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      const isLogged = this.#failures % failuresPerLine === 1 && !hasCode(error, 'STORE_UNAVAILABLE');
      this.#log[isLogged ? 'error' : 'debug'](
        { err: error, failures: this.#failures },
        `Periodic task '${this.#name}' failed; it will be tried again`,
      );
    }
  }
}

/**
 * The pause between two runs, in ms. Longer ones are cut so that the next run is at a whole second: an idle process then wakes up once for
 * all tasks that are due in the same second, and gets the replies of the store together.
 * @param everyMs the interval of the task; the pause is at least half of it, and at most this unless a run has taken long
 * @param now by the clock of this process, ms
 */
export function pauseMs(everyMs: number, now: number): number {
  if (everyMs < alignedMs) return everyMs;
  const cut = everyMs - ((now + everyMs) % alignedMs);
  return cut >= everyMs / 2 ? cut : cut + alignedMs;
}

/**
 * The pause before a failed run is tried again, in ms: it doubles with each failure in a row, up to a limit.
 * @param everyMs the interval of the task
 * @param chance from 0 up to 1: shortens the pause, so that brokers do not all try at once
 */
export function retryDelayMs(everyMs: number, failures: number, chance: number): number {
  // The limit may be shorter than the interval: then a failed run is tried again sooner than the next one was due.
  const fullMs = Math.min(everyMs * 2 ** Math.min(failures - 1, 20), taskRetryMsMax);
  return fullMs * (1 - taskRetryJitter * chance);
}
