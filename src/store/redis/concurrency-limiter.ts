// A semaphore with weights, in first-come order and with a limit on the wait. It is for calls that can block Redis for long: they
// cannot keep all others from Redis, and a call that waits too long is refused before it is sent, so its fate is known. The
// usual packages (p-limit, p-queue) have no limit on the wait.
import { ServiceError } from '../../core/service-error.ts';

/** Reads so many bytes when there is room for them. */
export type LargeRead = <T>(bytes: number, read: () => Promise<T>) => Promise<T>;

interface QueuedTask {
  weight: number;
  start(): void;
}

export class ConcurrencyLimiter {
  readonly #name: string;
  readonly #weightMax: number;
  readonly #waitMsMax: number;
  readonly #queue: QueuedTask[] = [];
  #weightInFlight = 0;
  #inFlight = 0;

  /**
   * @param name what the tasks are, in the plural, for the error text
   * @param weightMax the total weight of the tasks that run at the same time; a task that weighs more runs alone
   */
  constructor(name: string, weightMax: number, waitMsMax: number) {
    this.#name = name;
    this.#weightMax = weightMax;
    this.#waitMsMax = waitMsMax;
  }

  /** How many tasks are running. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** How many tasks wait in the queue. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Runs a task when all earlier ones have started and its weight fits.
   * @throws ServiceError TOO_MANY_REQUESTS if it has not started within the limit of the wait; what `task` throws
   */
  async run<T>(task: () => Promise<T>, weight = 1): Promise<T> {
    const countedWeight = Math.min(weight, this.#weightMax);
    if (this.#queue.length === 0 && this.#fits(countedWeight)) this.#count(countedWeight);
    else await this.#acquire(countedWeight);
    try {
      return await task();
    } finally {
      this.#inFlight -= 1;
      this.#weightInFlight -= countedWeight;
      this.#startNext();
    }
  }

  #fits(weight: number): boolean {
    return this.#weightInFlight + weight <= this.#weightMax;
  }

  #count(weight: number): void {
    this.#inFlight += 1;
    this.#weightInFlight += weight;
  }

  /** Starts queued tasks in their order: a light task does not overtake a heavy one, which would otherwise never start. */
  #startNext(): void {
    for (let next = this.#queue[0]; next && this.#fits(next.weight); next = this.#queue[0]) {
      this.#queue.shift();
      this.#count(next.weight);
      next.start();
    }
  }

  #acquire(weight: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const queued: QueuedTask = {
        weight,
        start: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#queue.splice(this.#queue.indexOf(queued), 1);
        const detail =
          `Too many ${this.#name} are running; this one waited ${this.#waitMsMax} ms and was not started. ` +
          'Nothing was done; try again soon.';
        reject(new ServiceError('TOO_MANY_REQUESTS', detail));
        // The tasks behind it may have waited only for this one.
        this.#startNext();
      }, this.#waitMsMax);
      this.#queue.push(queued);
    });
  }
}
