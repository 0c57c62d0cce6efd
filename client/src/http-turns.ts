// Lets a bounded number of requests over HTTP be in flight, and a bounded number wait: each would open a connection of its own, and
// thousands at once would get no response in time.
import { bufferFull } from './errors.ts';
import { deferred, unlessAborted } from './time.ts';

const inFlightMax = 32;
export const waitingMax = 10_000;

export class HttpTurns {
  #free = inFlightMax;
  /** In the order of the calls. */
  readonly #waiting = new Set<() => void>();

  /** Does `work` when its turn has come. @throws WeirError BUFFER_FULL; the reason of the signal if it is aborted before */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= waitingMax) throw bufferFull(`${waitingMax} requests over HTTP wait to be sent`);
    const { promise, resolve } = deferred<void>();
    this.#waiting.add(resolve);
    try {
      await unlessAborted(promise, signal);
    } catch (error) {
      // It may have come in the same moment.
      if (!this.#waiting.delete(resolve)) this.#pass();
      throw error;
    }
  }

  #pass(): void {
    const [next] = this.#waiting;
    if (next) {
      this.#waiting.delete(next);
      next();
    } else this.#free += 1;
  }
}
