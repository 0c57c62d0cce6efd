// The offsets that a member has yet to commit: the newest of each partition, one request at a time, and who waits for it.
import type { WeirError } from './errors.ts';

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

interface CommittedOffset {
  topic: string;
  partition: number;
  offset: number;
}

interface Pending extends CommittedOffset {
  waiters: Waiter[];
}

/** Offsets in one request; the server takes 2,500. */
const offsetsMax = 1000;

export class Commits {
  /** What the next request carries, by partition. */
  readonly #waiting = new Map<string, Pending>();
  #sent: Pending[] | undefined;

  /** Resolves when the server has the offset, or a newer one of the partition. */
  add(topic: string, partition: number, offset: number): Promise<void> {
    const key = `${partition} ${topic}`;
    const waiters = this.#waiting.get(key)?.waiters ?? [];
    this.#waiting.set(key, { topic, partition, offset, waiters });
    const result = new Promise<void>((resolve, reject) => waiters.push({ resolve, reject }));
    // Whoever does not wait for it has the records again after a failure.
    result.catch(() => {});
    return result;
  }

  /** Whether the server has everything that was to be committed. */
  get isEmpty(): boolean {
    return !this.#sent && this.#waiting.size === 0;
  }

  /** @returns what is to be sent now; undefined if there is nothing, or a request without a result */
  take(): CommittedOffset[] | undefined {
    if (this.#sent || this.#waiting.size === 0) return undefined;
    this.#sent = [...this.#waiting.values()].slice(0, offsetsMax);
    for (const { topic, partition } of this.#sent) this.#waiting.delete(`${partition} ${topic}`);
    return this.#sent.map(({ topic, partition, offset }) => ({ topic, partition, offset }));
  }

  /** The request has a result. What may succeed later is sent with the next one, unless something newer is to be committed. */
  answered(error?: WeirError): void {
    if (error?.retryable) {
      this.unanswered();
      return;
    }
    for (const { waiters } of this.#sent ?? []) {
      for (const { resolve, reject } of waiters) error ? reject(error) : resolve();
    }
    this.#sent = undefined;
  }

  /** The request will have no result. */
  unanswered(): void {
    for (const each of this.#sent ?? []) {
      const key = `${each.partition} ${each.topic}`;
      const newer = this.#waiting.get(key);
      if (newer) newer.waiters.push(...each.waiters);
      else this.#waiting.set(key, each);
    }
    this.#sent = undefined;
  }

  /** The member has ended. */
  failAll(error: WeirError): void {
    for (const { waiters } of [...this.#waiting.values(), ...(this.#sent ?? [])]) {
      for (const { reject } of waiters) reject(error);
    }
    this.#waiting.clear();
    this.#sent = undefined;
  }
}
