// A limit on a resource that several clients share, such as connections. A client may hold at most a fixed share of what is free
// plus what it holds itself. So a single client gets up to its share of the whole, and less the more others hold. Something
// always remains for new clients (the "dynamic thresholds" of Choudhury and Hahne, 1998).

/** How many clients that hold nothing are kept: to add and to delete one for each request would cost more than the rest. */
const idleClientsMax = 1000;

/** Why a client gets nothing more: `total`, the whole limit is used up; `address`, the client has used up its share. */
export type SharedLimitReason = 'total' | 'address';

export class SharedLimit {
  readonly max: number;
  /** The share in percent: integers compare exactly. */
  readonly #percent: number;
  readonly #held = new Map<string, number>();
  #used = 0;

  /** @param share the fraction of `max` that one client may hold while others hold nothing; above 0, at most 1 */
  constructor(max: number, share: number) {
    this.max = max;
    this.#percent = Math.round(share * 100);
  }

  get used(): number {
    return this.#used;
  }

  get free(): number {
    return this.max - this.#used;
  }

  /** The amount that a client holds. */
  heldBy(client: string): number {
    return this.#held.get(client) ?? 0;
  }

  /** The client that holds the largest amount, and the amount; undefined if no client holds anything. */
  largest(): { key: string; held: number } | undefined {
    let largest: { key: string; held: number } | undefined;
    for (const [client, held] of this.#held) if (held > (largest?.held ?? 0)) largest = { key: client, held };
    return largest;
  }

  /** The reason why a client may not acquire one more; undefined if it may. */
  refusalFor(client: string): SharedLimitReason | undefined {
    const { free } = this;
    if (free <= 0) return 'total';
    // The same as held / (held + free) < share, in integers.
    return this.heldBy(client) * (100 - this.#percent) < free * this.#percent ? undefined : 'address';
  }

  /** Acquires one for a client. Returns undefined on success, else the reason of the refusal. */
  acquire(client: string): SharedLimitReason | undefined {
    const problem = this.refusalFor(client);
    if (problem === undefined) this.add(client);
    return problem;
  }

  /** Adds to what a client holds, without checking the limit. */
  add(client: string, amount = 1): void {
    this.#used += amount;
    this.#held.set(client, this.heldBy(client) + amount);
  }

  /** Releases some of what a client holds. */
  release(client: string, amount = 1): void {
    this.#used -= amount;
    const held = this.heldBy(client) - amount;
    if (held > 0 || this.#held.size <= idleClientsMax) this.#held.set(client, held);
    else this.#held.delete(client);
  }
}
