// Does long work on the event loop in slices, such as parsing a body of many MiB, so that other requests do not wait for its end.
import type { Steps } from '../core/steps.ts';

/** Duration of a slice, ms. A body of the usual size is parsed within one. */
const sliceMs = 10;

/**
 * Runs a generator to its end and returns its result.
 * @param turn called after each slice: it resolves when the next one may run
 */
export async function inSlices<T>(steps: Steps<T>, turn: () => Promise<void>): Promise<T> {
  let until = performance.now() + sliceMs;
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() < until) continue;
    await turn();
    until = performance.now() + sliceMs;
  }
}
