// A rate limit that costs what is used: a token bucket that may be overdrawn, as the cost of a request, such as the bytes of its
// response, is often known only afterwards. What was used too much must flow in again before anything more is let through.

export class TokenBucket {
  readonly perSecond: number;
  /** What may be used at once: that of a second, at least one. */
  readonly burst: number;
  #level: number;
  #at: number;

  /** @param now ms, of any clock that never goes back; every call gives the time of the same one */
  constructor(perSecond: number, now: number) {
    this.perSecond = perSecond;
    this.burst = Math.max(1, perSecond);
    this.#level = this.burst;
    this.#at = now;
  }

  /** Counts what was used, and may overdraw the bucket. */
  use(amount: number, now: number): void {
    this.#fill(now);
    this.#level -= amount;
  }

  /** How long until anything more may be used, ms; 0 = now. */
  waitMs(now: number): number {
    this.#fill(now);
    return this.#level > 0 ? 0 : Math.max(1, Math.ceil((-this.#level / this.perSecond) * 1000));
  }

  /** What could be used at once; negative if it is overdrawn. */
  left(now: number): number {
    this.#fill(now);
    return this.#level;
  }

  #fill(now: number): void {
    this.#level = Math.min(this.burst, this.#level + ((now - this.#at) / 1000) * this.perSecond);
    this.#at = now;
  }
}
