// A rate limit that costs what is used: a token bucket that may be overdrawn, as the cost of a request, such as the bytes of its
// response, is often known only afterwards. What was used too much must flow in again before anything more is let through.

export class TokenBucket {
  readonly perSecond: number;
  /** What may be used at once. */
  readonly burst: number;
  #level: number;
  #at: number;

  /**
   * @param now ms, of any clock that never goes back; every call gives the time of the same one
   * @param burst that of a second, at least one, unless given
   */
  constructor(perSecond: number, now: number, burst = Math.max(1, perSecond)) {
    this.perSecond = perSecond;
    this.burst = burst;
    this.#level = this.burst;
    this.#at = now;
  }

  /** Counts what was used, and may overdraw the bucket. */
  use(amount: number, now: number): void {
    this.#fill(now);
    this.#level -= amount;
  }

  /** Uses one if there is one. @returns whether there was */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#level < 1) return false;
    this.#level -= 1;
    return true;
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
