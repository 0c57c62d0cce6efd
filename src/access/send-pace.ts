// How fast a reader is sent something: no faster than its identity may use bytes.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Account } from './accounts.ts';

export class SendPace {
  readonly #of: { readonly account: Account | undefined };
  #wait: Promise<void> | undefined;

  /** @param of the request or handshake of the reader, whose account may change with the policy */
  constructor(of: { readonly account: Account | undefined }) {
    this.#of = of;
  }

  /** Counts what is sent. */
  sent(bytes: number): void {
    this.#of.account?.useBytes(bytes);
  }

  /** Undefined if more may be sent; else a promise that settles when that may be so. */
  wait(): Promise<void> | undefined {
    const waitMs = this.#of.account?.sendWaitMs ?? 0;
    if (waitMs === 0) return undefined;
    this.#wait ??= sleep(waitMs, undefined, { ref: false }).then(() => {
      this.#wait = undefined;
    });
    return this.#wait;
  }

  get isOpen(): boolean {
    return (this.#of.account?.sendWaitMs ?? 0) === 0;
  }
}
