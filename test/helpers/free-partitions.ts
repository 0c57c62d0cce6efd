// Computes the free partitions of a group from all of its members. The broker keeps a running count instead.
import type { MemberState } from '../../src/core/groups/member-reconciliation.ts';

/** Returns a test whether no member uses or must release a partition. Create it again after each change of a member. */
export function freePartitions(
  members: Readonly<Record<string, MemberState>>,
): (topic: string, partition: number) => boolean {
  const taken = new Set(
    Object.values(members).flatMap((member) =>
      [...member.assigned, ...member.pendingRevocation].flatMap(({ topic, partitions }) =>
        partitions.map((partition) => `${topic}:${partition}`),
      ),
    ),
  );
  return (topic, partition) => !taken.has(`${topic}:${partition}`);
}
