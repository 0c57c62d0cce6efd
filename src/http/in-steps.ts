// Long work on the event loop, such as reading a body of many MiB: it is interrupted, so that no other request waits for its end.
import { setImmediate } from 'node:timers/promises';
import type { Steps } from '../core/steps.ts';

/** For so long the loop is kept, ms: a body of the usual size is read within it, and so at once. */
const sliceMs = 10;

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
