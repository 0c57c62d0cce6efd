// When a connection that says nothing is asked for a response, and when it counts as dead: a peer that is gone closes nothing.

const silenceMsMax = 10_000;
/** Shorter times to live do not make a busy machine look dead. */
const silenceMsMin = 1000;

export class Silence {
  readonly #allowedMs: number;
  #askedAt = 0;

  /** @param allowedMs how long a response may take; it is kept within bounds */
  constructor(allowedMs: number) {
    this.#allowedMs = Math.max(silenceMsMin, Math.min(silenceMsMax, allowedMs));
  }

  /** There is a new connection. */
  reset(): void {
    this.#askedAt = 0;
  }

  /** A request was sent to which there will be a response. */
  asked(receivedAt: number, time: number): void {
    if (this.#askedAt <= receivedAt) this.#askedAt = time;
  }

  /** Whether nothing has come since the peer was asked, for too long. */
  isDead(receivedAt: number, time: number): boolean {
    return this.#askedAt > receivedAt && time - this.#askedAt > this.#allowedMs;
  }

  /** Whether it has been silent for so long that it must be asked now; then it counts as asked. */
  isToBeAsked(receivedAt: number, time: number): boolean {
    if (this.#askedAt > receivedAt || time - receivedAt <= silenceMsMax) return false;
    this.#askedAt = time;
    return true;
  }
}
