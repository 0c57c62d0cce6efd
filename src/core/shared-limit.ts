// A limit on how much of something is held at once, shared between clients: one client may hold its share of what would be left if
// it held nothing more, so it gets its share of the whole while others want nothing, and the more others hold, the less it may add.
// Something is always left for a client that comes later ("dynamic thresholds" of Choudhury and Hahne, 1998).

/** Why nothing more is given: all of it is taken, or the client has its share. */
export type SharedLimitReason = 'total' | 'address';

export class SharedLimit {
  readonly max: number;
  /** In percent, as whole numbers compare exactly. */
  readonly #percent: number;
  readonly #held = new Map<string, number>();
  #used = 0;

  /** @param share of `max` that one client may hold if others hold nothing, above 0 and up to 1 */
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

  /** How much a client holds. */
  heldBy(client: string): number {
    return this.#held.get(client) ?? 0;
  }

  /** The client that holds most, and how much. */
  largest(): { key: string; held: number } | undefined {
    let largest: { key: string; held: number } | undefined;
    for (const [client, held] of this.#held) if (!largest || held > largest.held) largest = { key: client, held };
    return largest;
  }

  /** Why a client may hold nothing more; undefined if it may. */
  refusalFor(client: string): SharedLimitReason | undefined {
    const { free } = this;
    if (free <= 0) return 'total';
    // Alone: held / (held + free) is below the share.
    return this.heldBy(client) * (100 - this.#percent) < free * this.#percent ? undefined : 'address';
  }

  /** Takes one for a client, or says why not. */
  acquire(client: string): SharedLimitReason | undefined {
    const problem = this.refusalFor(client);
    if (problem === undefined) this.add(client);
    return problem;
  }

  /** Takes one or more, whatever the limit. */
  add(client: string, amount = 1): void {
    this.#used += amount;
    this.#held.set(client, this.heldBy(client) + amount);
  }

  /** Gives one or more back. */
  release(client: string, amount = 1): void {
    this.#used -= amount;
    const held = this.heldBy(client) - amount;
    if (held > 0) this.#held.set(client, held);
    else this.#held.delete(client);
  }
}
