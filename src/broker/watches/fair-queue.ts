// A queue that serves its owners in rotation: an owner with thousands of items does not delay another's only item. The items
// of one owner stay in order.
export class FairQueue<O, T> {
  readonly #byOwner = new Map<O, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(owner: O, item: T): void {
    const items = this.#byOwner.get(owner);
    if (items) items.push(item);
    else this.#byOwner.set(owner, [item]);
    this.#size += 1;
  }

  /** Removes and returns up to `count` items, one of each owner in turn. */
  take(count: number): T[] {
    const taken: T[] = [];
    for (const [owner, items] of this.#byOwner) {
      if (taken.length >= count) break;
      // Deleted and set again, the owner comes last, and this iteration reaches it again.
      this.#byOwner.delete(owner);
      taken.push(...items.splice(0, 1));
      this.#size -= 1;
      if (items.length > 0) this.#byOwner.set(owner, items);
    }
    return taken;
  }
}
