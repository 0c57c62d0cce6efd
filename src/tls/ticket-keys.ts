// The keys of TLS session tickets, with which a client resumes a session by any worker of the server. Each period has keys of its own, made
// from those before by a hash: who reads the memory of a process learns none of earlier periods.
import { createHash, randomBytes } from 'node:crypto';

/** From which the keys of a period are made. */
export interface TicketSeed {
  seed: Uint8Array;
  /** The number of the period, counted from 1970. */
  period: number;
}

/** How long keys are used, ms. */
const periodMs = 12 * 3_600_000;
const seedBytes = 32;

export class TicketKeys {
  readonly #now: () => number;
  #seed: Uint8Array;
  #period: number;

  /**
   * @param from the seed of the server, if this is one of its workers; else a new one
   * @param now the time, ms since 1970
   */
  constructor(from?: TicketSeed, now: () => number = Date.now) {
    this.#now = now;
    this.#seed = from?.seed ?? randomBytes(seedBytes);
    this.#period = from?.period ?? periodAt(now());
  }

  /** The seed of the present period, for a worker. */
  get seed(): TicketSeed {
    this.advance();
    return { seed: this.#seed, period: this.#period };
  }

  /** Goes on to the present period. @returns whether it is a new one */
  advance(): boolean {
    const period = periodAt(this.#now());
    // A clock that was set back changes nothing.
    const isNew = period > this.#period;
    for (; this.#period < period; this.#period += 1) this.#seed = createHash('sha256').update(this.#seed).digest();
    return isNew;
  }

  /**
   * The keys of the present period, as Node takes them.
   * @param authorities those of client certificates: a ticket holds a certificate that was verified by them
   */
  keysFor(authorities: string): Buffer {
    // 48 bytes.
    return createHash('sha384').update(this.#seed).update('ticket').update(authorities).digest();
  }
}

function periodAt(ms: number): number {
  return Math.floor(ms / periodMs);
}
