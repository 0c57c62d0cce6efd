// The signal of a request that waits or reads for long: aborted when its client disconnects or the broker ends all waits.
//
// It is never made by AbortSignal.any from a signal that lives as long as the process: on Node 20 each combination leaves an
// entry on that signal for ever. Instead the controllers of the requests in flight are in a set, and are removed from it.
import type { ServerResponse } from 'node:http';

export class RequestSignals {
  readonly #open = new Set<AbortController>();
  readonly #stopping: AbortSignal;

  /** @param stopping aborted once, when the broker ends all waits */
  constructor(stopping: AbortSignal) {
    this.#stopping = stopping;
    stopping.addEventListener('abort', () => {
      for (const controller of this.#open) controller.abort();
    });
  }

  /** How many requests have a signal now. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Runs `work` with a signal that is aborted when the connection of `response` closes or the broker ends all waits.
   * @returns what `work` returns; it decides itself what an aborted signal means
   */
  async run<T>(response: ServerResponse, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const abort = () => controller.abort();
    // The client may have gone, or the broker begun to stop, while the request was still being read.
    if (this.#stopping.aborted || response.destroyed) abort();
    this.#open.add(controller);
    response.once('close', abort);
    try {
      return await work(controller.signal);
    } finally {
      response.off('close', abort);
      this.#open.delete(controller);
    }
  }
}
