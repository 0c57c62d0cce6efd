// A way to the store for what may hold it for a while: a few at a time go, and who waits too long is told that nothing was done. So
// many at once can neither keep everybody else from the store, nor be cut off by a time-out with their fate unknown.
import { ServiceError } from '../../core/service-error.ts';

export class ConcurrencyLimiter {
  readonly #name: string;
  readonly #atOnce: number;
  readonly #waitMsMax: number;
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;

  /** @param name what goes here, in the plural, for the refusal */
  constructor(name: string, atOnce: number, waitMsMax: number) {
    this.#name = name;
    this.#atOnce = atOnce;
    this.#waitMsMax = waitMsMax;
  }

  /** Runs `task` when its turn comes. @throws ServiceError TOO_MANY_REQUESTS if that is not soon enough; what `task` throws */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#inFlight >= this.#atOnce) await this.#acquire();
    else this.#inFlight += 1;
    try {
      return await task();
    } finally {
      // The place is handed on, so that nobody overtakes.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#inFlight -= 1;
    }
  }

  #acquire(): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        const detail = `There are too many ${this.#name} at once; nothing was done. Try again soon.`;
        reject(new ServiceError('TOO_MANY_REQUESTS', detail));
      }, this.#waitMsMax);
      this.#waiting.push(go);
    });
  }
}
