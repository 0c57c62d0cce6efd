// A log of the partitions that members of a group have, by the messages that each received and their times. It shows whether two
// members have a partition at once, and how long a hand-over takes.

/** Why a member no longer has a partition. `lost`: the member, its connection or its broker died. */
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
  /** When its last owner stopped using it, by performance.now(). */
  startMs: number;
  ms: number;
}

export class AssignmentHistory {
  /** `<partition>/<offset>` of every record that any member received. */
  readonly consumed = new Set<string>();
  readonly #open = new Map<string, Hold>();
  readonly #holds: Hold[] = [];
  readonly #given: { member: string; partition: number; atMs: number }[] = [];

  /** Records that a member was assigned a partition. */
  begin(member: string, partition: number): void {
    const hold = { member, partition, fromMs: performance.now(), untilMs: undefined, how: undefined };
    this.#holds.push(hold);
    this.#open.set(`${member} ${partition}`, hold);
  }

  /** Records that a member stopped using a partition; a partition that it does not have is ignored. */
  end(member: string, partition: number, how: Ending, atMs = performance.now()): void {
    const hold = this.#open.get(`${member} ${partition}`);
    if (!hold) return;
    Object.assign(hold, { untilMs: atMs, how });
    this.#open.delete(`${member} ${partition}`);
  }

  /** Records that a member stopped using all partitions. */
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

  /** Records that a member received records of a partition. */
  give(member: string, partition: number, offsets: readonly number[]): void {
    for (const offset of offsets) this.consumed.add(`${partition}/${offset}`);
    if (offsets.length > 0) this.#given.push({ member, partition, atMs: performance.now() });
  }

  /**
   * Records that a member received after another one was assigned the partition.
   * @param slackMs the time within which this process may read two connections in the wrong order
   */
  problems(slackMs: number): string[] {
    const holds = byPartition(this.#holds);
    return this.#given.flatMap(({ member, partition, atMs }) => {
      const before = (holds.get(partition) ?? []).filter(({ fromMs }) => fromMs <= atMs);
      const own = before.findLast((hold) => hold.member === member);
      const other = before.findLast((hold) => hold.member !== member && hold.fromMs <= atMs - slackMs);
      if (!own) return [`${member} was given records of ${partition}, which it was never assigned`];
      if (!other || other.fromMs < own.fromMs) return [];
      const lateMs = Math.round(atMs - other.fromMs);
      return [`${member} was given records of ${partition} ${lateMs} ms after it was assigned to ${other.member}`];
    });
  }

  /** The time between the end of one member's use of a partition and its assignment to another member. */
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
