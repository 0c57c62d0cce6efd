// Debounces joins of a large group. The members of a fleet that starts connect one by one, and without a wait each few of them
// would cause a rebalance of all. Kafka delays assignments likewise (KIP-1263). Heartbeats and releases do not wait: the speed
// of a rebalance depends on them.

/** A join ends the wait of all when no other follows within this time, ms. Smaller groups than this number do not wait. */
const quietMs = 15;
/** With n members, joins wait at most n ms and never longer than this, ms. */
const waitMsMax = 200;

export class JoinDebouncer {
  readonly #pending = new Map<string, { all: Promise<void>; extend(): void }>();

  /**
   * Waits until no other join of the group arrives for a moment; all waits of the group end together.
   * @param members how many the group has; with few members a rebalance is cheap, and there is no wait
   */
  wait(group: string, members: number): Promise<void> {
    const pending = this.#pending.get(group);
    if (pending) {
      pending.extend();
      return pending.all;
    }
    if (members < quietMs) return Promise.resolve();
    let resolveAll!: () => void;
    const all = new Promise<void>((resolve) => {
      resolveAll = resolve;
    });
    const end = () => {
      clearTimeout(quiet);
      clearTimeout(last);
      this.#pending.delete(group);
      resolveAll();
    };
    const quiet = setTimeout(end, quietMs);
    const last = setTimeout(end, Math.min(members, waitMsMax));
    this.#pending.set(group, { all, extend: () => quiet.refresh() });
    return all;
  }
}
