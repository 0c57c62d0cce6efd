// Does long work on the event loop in slices, such as parsing a body of many MiB, so that other requests do not wait for its end.
import { setImmediate } from 'node:timers/promises';
import type { Steps } from '../core/steps.ts';

/** Duration of a slice, ms. A body of the usual size is parsed within one. */
const sliceMs = 10;

/** Runs a generator to its end and returns its result; it yields to the event loop after each slice. */
export async function inSteps<T>(steps: Steps<T>): Promise<T> {
  let until = performance.now() + sliceMs;
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() < until) continue;
    await setImmediate();
    until = performance.now() + sliceMs;
  }
}
