// Collects what a part of a benchmark starts, and ends it in reverse order when the part is done.
import type { Scope } from '../../testbed/scope.ts';

export class RunScope implements Scope {
  readonly #ends: (() => unknown)[] = [];

  teardown(end: () => unknown): void {
    this.#ends.push(end);
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}
