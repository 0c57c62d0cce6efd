// What a question has started, ended in the opposite order when it is answered.
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
