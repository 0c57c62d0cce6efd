// What happened in a group: who joined and left, and which partitions went from whom to whom, told from the changes of its nodes below
// /consumers, as Kafka on ZooKeeper lays them out.

/** An event of a watch, or of the history. */
export interface TreeEvent {
  type: string;
  path: string;
  stat?: { mtime: number } | undefined;
  data?: string | undefined;
}

export interface TreeTransaction {
  zxid: number;
  events: readonly TreeEvent[];
}

/** joined, left: a member. released, assigned: partitions of a topic. */
export interface GroupChange {
  kind: 'joined' | 'left' | 'assigned' | 'released';
  /** Of released partitions it is not known; they are named by the transaction before. */
  member: string | undefined;
  topic: string | undefined;
  partitions: readonly number[];
}

export interface GroupStep {
  zxid: number;
  /** When it was, ms since the epoch; undefined if the transaction only deleted nodes: those have no time. */
  at: number | undefined;
  changes: readonly GroupChange[];
}

/** What transactions mean for a group; those that mean nothing, such as commits, are left out. The order stays as it is. */
export function groupSteps(group: string, transactions: readonly TreeTransaction[]): GroupStep[] {
  const base = `/consumers/${group}/`;
  return transactions.flatMap(({ zxid, events }) => {
    const changes: GroupChange[] = [];
    const moved = new Map<string, { change: Pick<GroupChange, 'kind' | 'member' | 'topic'>; partitions: number[] }>();
    let at: number | undefined;
    for (const { type, path, stat, data } of events) {
      if (!path.startsWith(base)) continue;
      const [folder, first, second] = path.slice(base.length).split('/');
      if (
        folder === 'ids' &&
        first !== undefined &&
        second === undefined &&
        type !== 'changed' &&
        type !== 'children'
      ) {
        changes.push({ kind: type === 'created' ? 'joined' : 'left', member: first, topic: undefined, partitions: [] });
      } else if (folder === 'owners' && first !== undefined && second !== undefined && type !== 'children') {
        const kind = type === 'deleted' ? ('released' as const) : ('assigned' as const);
        const member = kind === 'assigned' ? data : undefined;
        const key = JSON.stringify([kind, member, first]);
        const known = moved.get(key) ?? { change: { kind, member, topic: first }, partitions: [] };
        known.partitions.push(Number(second));
        moved.set(key, known);
      } else continue;
      at = stat?.mtime ?? at;
    }
    changes.push(
      ...[...moved.values()].map(({ change, partitions }) => ({
        ...change,
        partitions: partitions.sort((a, b) => a - b),
      })),
    );
    return changes.length === 0 ? [] : [{ zxid, at, changes }];
  });
}

/** Adds new steps in front of older ones, the newest first, each once. */
export function withSteps(older: readonly GroupStep[], arrived: readonly GroupStep[], max: number): GroupStep[] {
  const known = new Set(older.map(({ zxid }) => zxid));
  const fresh = arrived.filter(({ zxid }) => !known.has(zxid));
  return [...fresh, ...older].sort((a, b) => b.zxid - a.zxid).slice(0, max);
}

/** Gives steps without a time that of the next newer or older one, as they are close to each other. @param steps the newest first */
export function withTimes(steps: readonly GroupStep[]): GroupStep[] {
  let known: number | undefined;
  const fromOlder = steps.toReversed().map((step) => {
    known = step.at ?? known;
    return { ...step, at: known };
  });
  return fromOlder.reverse();
}
