/**
 * Long work in steps: a generator that yields where other work may run, and returns the result. The caller decides when to
 * pause (http/in-slices.ts).
 */
export type Steps<T> = Generator<void, T, void>;

/** Runs all steps without a pause, for work that is known to be short. */
export function runSteps<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
