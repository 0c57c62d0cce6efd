// Who has what in a group: its members against the partitions of its topics, from what the server says of the group.
import type { Group } from '@weirkeeper/client';

export type MemberOf = Group['members'][number];
export type PartitionLag = Group['partitions'][number];

/** owned: the member reads the partition. revoking: it has to release it, and may still be reading. coming: it will get it. */
export type CellState = 'owned' | 'revoking' | 'coming';

export interface TopicMatrix {
  topic: string;
  partitions: readonly PartitionLag[];
  /** For each member of the group, in its order, the partitions with a state. */
  cells: readonly ReadonlyMap<number, CellState>[];
  lag: number | null;
  withoutOwner: number;
}

/** The matrix of each topic of a group. */
export function assignmentMatrices({ members, partitions }: Pick<Group, 'members' | 'partitions'>): TopicMatrix[] {
  const byTopic = new Map<string, PartitionLag[]>();
  for (const partition of partitions) {
    const known = byTopic.get(partition.topic);
    if (known) known.push(partition);
    else byTopic.set(partition.topic, [partition]);
  }
  return [...byTopic].map(([topic, own]) => ({
    topic,
    partitions: own,
    cells: members.map((member) => cellsOf(member, topic, own)),
    lag: sumOfLag(own),
    withoutOwner: own.filter(({ owner }) => owner === null).length,
  }));
}

function cellsOf(member: MemberOf, topic: string, partitions: readonly PartitionLag[]): Map<number, CellState> {
  const cells = new Map<number, CellState>();
  const assigned = numbersIn(member.assignment, topic);
  const revoking = numbersIn(member.revoking, topic);
  for (const { partition, owner } of partitions) {
    if (revoking.has(partition)) cells.set(partition, 'revoking');
    else if (owner === member.memberId) cells.set(partition, 'owned');
    else if (assigned.has(partition)) cells.set(partition, 'coming');
  }
  return cells;
}

function numbersIn(lists: readonly { topic: string; partitions: number[] }[], topic: string): Set<number> {
  return new Set(lists.find((list) => list.topic === topic)?.partitions);
}

/** The lag of several partitions; null if one of them is not known. */
export function sumOfLag(partitions: readonly PartitionLag[]): number | null {
  return partitions.reduce<number | null>((sum, { lag }) => (sum === null || lag === null ? null : sum + lag), 0);
}

/** How long the oldest unread record of several partitions has been waiting, ms; null if it is not known. */
export function oldestAge(partitions: readonly PartitionLag[]): number | null {
  const ages = partitions.map(({ lagMs }) => lagMs);
  if (ages.some((age) => age === null || age === undefined)) return null;
  return Math.max(0, ...ages.map((age) => age ?? 0));
}

/** Numbers as people write them: `0–3, 7`. */
export function rangesOf(numbers: readonly number[]): string {
  const sorted = numbers.toSorted((a, b) => a - b);
  const ranges: [first: number, last: number][] = [];
  for (const number of sorted) {
    const last = ranges.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges
    .map(([first, last]) =>
      first === last ? `${first}` : last === first + 1 ? `${first}, ${last}` : `${first}–${last}`,
    )
    .join(', ');
}
