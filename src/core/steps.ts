/**
 * Long work in steps: a generator yields where others may go first, and gives its result in the end. Whoever runs it decides how
 * long it may go on (http/in-steps.ts).
 */
export type Steps<T> = Generator<void, T, void>;

/** Runs all steps at once, for work that is known to be short. */
export function runSteps<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
