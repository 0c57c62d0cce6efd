// Joins of a large group wait a moment for each other. A fleet that starts opens its connections one by one, each a little
// later than the one before; to decide over each few that are there would be a rebalance of all members each time. Kafka's
// coordinator holds back assignments likewise (KIP-1263). Nothing else that is asked of the group waits: on that hangs when
// members get what they shall have.

/** They go on when none has come for so long; a group of fewer members than these is assigned anew sooner than that. */
const quietMs = 15;
/** Joins through one broker assign a group of n members anew at most every n ms; but nobody waits for longer than this. */
const waitMsMax = 200;

export class JoinDebouncer {
  readonly #pending = new Map<string, { all: Promise<void>; another(): void }>();

  /**
   * Resolves when no other has come for a moment, for all that wait at once; so they are decided together.
   * @param members that the group has; with few of them there is little to save, and nobody waits
   */
  wait(group: string, members: number): Promise<void> {
    const known = this.#pending.get(group);
    if (known) {
      known.another();
      return known.all;
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
    this.#pending.set(group, { all, another: () => quiet.refresh() });
    return all;
  }
}
