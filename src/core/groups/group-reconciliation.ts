/**
 * Reconciles a group after a change, in one update of the document: computes the target if it is due, and moves every member
 * towards it as far as possible. A free partition is assigned to its new owner at once, before that member's next heartbeat. So
 * the document may be newer than the assignment that a member knows. That is safe: no two members have the same partition, and a
 * partition is never reassigned before it is released.
 */

import { required } from '../required.ts';
import type { TopicPartitions } from './assignors/assignment.ts';
import { assignorNamed, defaultAssignor, fromTopicPartitions, toTopicPartitions } from './assignors/assignor.ts';
import { type GroupDocument, type GroupMember, getOwn, heldBy } from './group-document.ts';
import { dropUnsubscribed } from './group-topics.ts';
import { reconcileMember } from './member-reconciliation.ts';

/**
 * The partitions that members report as owned, by member id; undefined = the member does not report them. It contains only the
 * members whose requests are part of this update.
 */
type Reports = ReadonlyMap<string, readonly TopicPartitions[] | undefined>;

/** Makes a new target due by raising the group epoch. It rises by one only, however many changes precede the reconciliation. */
export function withRaisedEpoch(group: GroupDocument): GroupDocument {
  return { ...group, groupEpoch: Math.max(group.groupEpoch, group.targetEpoch + 1) };
}

/** Computes the target if it is due, and moves every member as far as possible, members with a report first. */
export function reconcileGroup(group: GroupDocument, reports: Reports = new Map()): GroupDocument {
  const isDue = group.groupEpoch > group.targetEpoch;
  // The report of a member that has its whole assignment changes nothing, neither for it nor for others.
  const reported = [...reports].filter(([memberId]) => isDue || !hasReachedTarget(group, memberId));
  if (!isDue && reports.size > 0 && reported.length === 0) return group;
  const targeted = isDue ? withTarget(group) : group;
  const taken = new TakenPartitions(Object.values(targeted.members));
  const changed = new Map<string, GroupMember>();
  const stepOne = (memberId: string, owned: readonly TopicPartitions[] | undefined) => {
    const member = changed.get(memberId) ?? required(targeted.members[memberId], 'member that reports');
    // A member that is away uses no partitions, so it releases them at once.
    const next = step(targeted, member, member.isAway ? [] : owned, taken);
    if (next !== member) changed.set(memberId, next);
  };
  for (const [memberId, owned] of reported) stepOne(memberId, owned);
  // One pass is enough. Members without a report release no partitions, except members that are away, which therefore come first.
  const entries = Object.entries(targeted.members);
  for (const [memberId, { isAway }] of entries) if (isAway) stepOne(memberId, []);
  for (const [memberId, { isAway }] of entries) if (!isAway) stepOne(memberId, undefined);
  if (changed.size === 0) return dropUnsubscribed(targeted);
  const members = Object.fromEntries(entries.map(([memberId, member]) => [memberId, changed.get(memberId) ?? member]));
  return dropUnsubscribed({ ...targeted, members });
}

/** Whether the member exists and has its whole assignment. */
export function hasReachedTarget(group: GroupDocument, memberId: string): boolean {
  const member = getOwn(group.members, memberId);
  return member?.state === 'stable' && member.memberEpoch === group.targetEpoch;
}

function step(
  group: GroupDocument,
  member: GroupMember,
  owned: readonly TopicPartitions[] | undefined,
  taken: TakenPartitions,
): GroupMember {
  const target = getOwn(group.target, member.memberId) ?? [];
  const { targetEpoch } = group;
  const { member: next, changed } = reconcileMember(member, { targetEpoch, target, owned, isFree: taken.isFree });
  if (!changed) return member;
  taken.replace(member, next);
  return { ...next, previousMemberEpoch: member.previousMemberEpoch };
}

/** The partitions that members have. It is updated after each step, as building it again would be slow. */
class TakenPartitions {
  readonly #taken = new Map<string, Set<number>>();

  constructor(members: readonly GroupMember[]) {
    for (const member of members) this.#add(member);
  }

  readonly isFree = (topic: string, partition: number): boolean => !this.#taken.get(topic)?.has(partition);

  replace(before: GroupMember, after: GroupMember): void {
    if (before.assigned === after.assigned && before.pendingRevocation === after.pendingRevocation) return;
    for (const { topic, partition } of heldBy(before)) this.#taken.get(topic)?.delete(partition);
    this.#add(after);
  }

  #add(member: GroupMember): void {
    for (const { topic, partitions } of [...member.assigned, ...member.pendingRevocation]) {
      const known = this.#taken.get(topic);
      if (known) for (const partition of partitions) known.add(partition);
      else this.#taken.set(topic, new Set(partitions));
    }
  }
}

function withTarget(group: GroupDocument): GroupDocument {
  const assignor = preferredAssignor(group);
  const members = Object.values(group.members).map((member) => ({
    memberId: member.memberId,
    topics: member.topics,
    ...(member.instanceId !== undefined && { instanceId: member.instanceId }),
    owned: fromTopicPartitions(getOwn(group.target, member.memberId) ?? []),
  }));
  const topics = new Map(Object.entries(group.topics).map(([topic, info]) => [topic, info.partitionCount]));
  const assignments = assignorNamed(assignor)({ members, topics });
  const target = Object.fromEntries(
    [...assignments].map(([memberId, partitions]) => [memberId, toTopicPartitions(partitions)]),
  );
  return { ...group, assignor, target, targetEpoch: group.groupEpoch };
}

/** The assignor that most members prefer; of several, the first by name. Kafka's default if no member prefers one. */
function preferredAssignor(group: GroupDocument): string {
  const votes = new Map<string, number>();
  for (const { assignor } of Object.values(group.members)) {
    if (assignor !== undefined) votes.set(assignor, (votes.get(assignor) ?? 0) + 1);
  }
  const most = Math.max(...votes.values());
  const first = [...votes.keys()].filter((assignor) => votes.get(assignor) === most).sort()[0];
  return first ?? defaultAssignor;
}
