// A way to the store for what may hold it for a while: so much of it at a time goes, and who waits too long is told that nothing was done.
// So many at once can neither keep everybody else from the store, nor be cut off by a time-out with their fate unknown.
import { ServiceError } from '../../core/service-error.ts';

interface QueuedTask {
  weight: number;
  start(): void;
}

export class ConcurrencyLimiter {
  readonly #name: string;
  readonly #atOnce: number;
  readonly #waitMsMax: number;
  readonly #queue: QueuedTask[] = [];
  #weightInFlight = 0;
  #inFlight = 0;

  /**
   * @param name what goes here, in the plural, for the refusal
   * @param atOnce the weight of what may be under way together; a task that weighs more goes alone
   */
  constructor(name: string, atOnce: number, waitMsMax: number) {
    this.#name = name;
    this.#atOnce = atOnce;
    this.#waitMsMax = waitMsMax;
  }

  /** How many tasks are under way. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Runs `task` when its turn comes. @throws ServiceError TOO_MANY_REQUESTS if that is not soon enough; what `task` throws */
  async run<T>(task: () => Promise<T>, weight = 1): Promise<T> {
    const taken = Math.min(weight, this.#atOnce);
    if (this.#queue.length === 0 && this.#fits(taken)) this.#take(taken);
    else await this.#acquire(taken);
    try {
      return await task();
    } finally {
      this.#inFlight -= 1;
      this.#weightInFlight -= taken;
      this.#startNext();
    }
  }

  #fits(weight: number): boolean {
    return this.#weightInFlight + weight <= this.#atOnce;
  }

  #take(weight: number): void {
    this.#inFlight += 1;
    this.#weightInFlight += weight;
  }

  /** In their order, so that a heavy one has its turn, too. */
  #startNext(): void {
    for (let next = this.#queue[0]; next && this.#fits(next.weight); next = this.#queue[0]) {
      this.#queue.shift();
      this.#take(next.weight);
      next.start();
    }
  }

  #acquire(weight: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: QueuedTask = {
        weight,
        start: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#queue.splice(this.#queue.indexOf(waiting), 1);
        const detail = `There are too many ${this.#name} at once; nothing was done. Try again soon.`;
        reject(new ServiceError('TOO_MANY_REQUESTS', detail));
        // It may have been what the others waited behind.
        this.#startNext();
      }, this.#waitMsMax);
      this.#queue.push(waiting);
    });
  }
}
