// What members of a group hold, by what each was told and when, in one log: to see that no two have a partition at once, and
// how long a hand-over takes.

/** How a member came to hold a partition no more. `lost`: it or its connection died, or its broker did. */
export type Ending = 'released' | 'left' | 'lost';

interface Hold {
  member: string;
  partition: number;
  fromMs: number;
  untilMs: number | undefined;
  how: Ending | undefined;
}

export interface HandOver {
  partition: number;
  from: string;
  to: string;
  how: Ending;
  /** When the last one used it no more, by performance.now(). */
  startMs: number;
  ms: number;
}

export class HoldingLog {
  /** `<partition>/<offset>` of every record that any member was given. */
  readonly consumed = new Set<string>();
  readonly #open = new Map<string, Hold>();
  readonly #holds: Hold[] = [];
  readonly #given: { member: string; partition: number; atMs: number }[] = [];

  /** A member is told that it has a partition. */
  begin(member: string, partition: number): void {
    const hold = { member, partition, fromMs: performance.now(), untilMs: undefined, how: undefined };
    this.#holds.push(hold);
    this.#open.set(`${member} ${partition}`, hold);
  }

  /** A member uses a partition no more; one that it does not hold is passed over. */
  end(member: string, partition: number, how: Ending, atMs = performance.now()): void {
    const hold = this.#open.get(`${member} ${partition}`);
    if (!hold) return;
    Object.assign(hold, { untilMs: atMs, how });
    this.#open.delete(`${member} ${partition}`);
  }

  /** A member uses nothing any more. */
  endAll(member: string, how: Ending, atMs = performance.now()): void {
    for (const hold of [...this.#open.values()])
      if (hold.member === member) this.end(member, hold.partition, how, atMs);
  }

  heldBy(member: string): number[] {
    return [...this.#open.values()].filter((hold) => hold.member === member).map(({ partition }) => partition);
  }

  isHeld(member: string, partition: number): boolean {
    return this.#open.has(`${member} ${partition}`);
  }

  /** A member is given records of a partition. */
  give(member: string, partition: number, offsets: readonly number[]): void {
    for (const offset of offsets) this.consumed.add(`${partition}/${offset}`);
    if (offsets.length > 0) this.#given.push({ member, partition, atMs: performance.now() });
  }

  /**
   * Records that a member was given when another had already been told that the partition is its own.
   * @param slackMs what this process may take to read two connections in the wrong order
   */
  problems(slackMs: number): string[] {
    const holds = byPartition(this.#holds);
    return this.#given.flatMap(({ member, partition, atMs }) => {
      const before = (holds.get(partition) ?? []).filter(({ fromMs }) => fromMs <= atMs);
      const own = before.findLast((hold) => hold.member === member);
      const other = before.findLast((hold) => hold.member !== member && hold.fromMs <= atMs - slackMs);
      if (!own) return [`${member} was given records of ${partition}, which it was never told to have`];
      if (!other || other.fromMs < own.fromMs) return [];
      const lateMs = Math.round(atMs - other.fromMs);
      return [`${member} was given records of ${partition} ${lateMs} ms after ${other.member} was told to have it`];
    });
  }

  /** From the moment at which a member used a partition no more to that at which another one was told to have it. */
  handOvers(): HandOver[] {
    const found: HandOver[] = [];
    for (const holds of byPartition(this.#holds).values()) {
      for (const next of holds) {
        const last = holds
          .filter(({ untilMs }) => untilMs !== undefined && untilMs <= next.fromMs)
          .reduce<Hold | undefined>((a, b) => (a && a.untilMs! > b.untilMs! ? a : b), undefined);
        if (!last || last.member === next.member) continue;
        const { member: from, partition, untilMs, how } = last;
        found.push({ partition, from, to: next.member, how: how!, startMs: untilMs!, ms: next.fromMs - untilMs! });
      }
    }
    return found;
  }
}

function byPartition(holds: readonly Hold[]): Map<number, Hold[]> {
  const groups = new Map<number, Hold[]>();
  for (const hold of holds) groups.set(hold.partition, [...(groups.get(hold.partition) ?? []), hold]);
  return groups;
}
