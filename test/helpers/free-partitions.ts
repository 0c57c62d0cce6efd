// Which partitions of a group are free, worked out from all its members at once: the broker keeps count as it goes.
import type { MemberState } from '../../src/core/groups/member-reconciliation.ts';

/** The test for partitions that no member has, neither to use nor to release. Make it again after each change of a member. */
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
