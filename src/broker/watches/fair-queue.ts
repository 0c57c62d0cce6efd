// A queue in which each owner has a place of its own: they are served in rotation, so that who has queued thousands does not keep
// another's single item waiting. The items of one owner stay in order.
export class FairQueue<O, T> {
  readonly #byOwner = new Map<O, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(owner: O, item: T): void {
    const own = this.#byOwner.get(owner);
    if (own) own.push(item);
    else this.#byOwner.set(owner, [item]);
    this.#size += 1;
  }

  /** Takes up to `count` items. */
  take(count: number): T[] {
    const taken: T[] = [];
    for (const [owner, items] of this.#byOwner) {
      if (taken.length >= count) break;
      // Behind the others: the iteration comes to it again.
      this.#byOwner.delete(owner);
      taken.push(items.shift()!);
      this.#size -= 1;
      if (items.length > 0) this.#byOwner.set(owner, items);
    }
    return taken;
  }
}
