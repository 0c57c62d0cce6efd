/**
 * How a group comes to rest after something has changed: a target is computed if one is due, and every member is moved on
 * as far as it can go, in one step of the document. What is nobody's goes to its new owner without waiting for that
 * member's next heartbeat. So a member may be ahead of what it was told. That is safe: it has no partition that another
 * has, and loses none before it says so.
 */

import type { TopicPartitions } from './assignors/assignment.ts';
import { assignorNamed, defaultAssignor, fromTopicPartitions, toTopicPartitions } from './assignors/assignor.ts';
import { type GroupDocument, type GroupMember, getOwn, heldBy } from './group-document.ts';
import { dropUnsubscribed } from './group-topics.ts';
import { reconcileMember } from './member-reconciliation.ts';

/** What members say that they have, by member id; undefined = it says nothing of that. Who is not in it was not heard. */
export type Reports = ReadonlyMap<string, readonly TopicPartitions[] | undefined>;

/** Another target is due: however many changes call for it before the group is settled, the epoch rises by one. */
export function withRaisedEpoch(group: GroupDocument): GroupDocument {
  return { ...group, groupEpoch: Math.max(group.groupEpoch, group.targetEpoch + 1) };
}

/** Computes the target if it is due, and moves on every member as far as it can go, those that report first. */
export function reconcileGroup(group: GroupDocument, reports: Reports = new Map()): GroupDocument {
  const isDue = group.groupEpoch > group.targetEpoch;
  // Who has arrived changes nothing by what it says, neither for itself nor for others.
  const heard = [...reports].filter(([memberId]) => isDue || !hasReachedTarget(group, memberId));
  if (!isDue && reports.size > 0 && heard.length === 0) return group;
  const aimed = isDue ? withTarget(group) : group;
  const holdings = new Holdings(Object.values(aimed.members));
  const changed = new Map<string, GroupMember>();
  const stepOne = (memberId: string, owned: readonly TopicPartitions[] | undefined) => {
    const member = changed.get(memberId) ?? aimed.members[memberId]!;
    // Who is away uses nothing: nobody need wait for it.
    const next = step(aimed, member, member.isAway ? [] : owned, holdings);
    if (next !== member) changed.set(memberId, next);
  };
  for (const [memberId, owned] of heard) stepOne(memberId, owned);
  // One pass over all is enough: those who say nothing let go of nothing, so nothing becomes free on the way, but by
  // those who are away, which come first.
  const memberIds = Object.keys(aimed.members);
  for (const memberId of memberIds) if (aimed.members[memberId]!.isAway) stepOne(memberId, []);
  for (const memberId of memberIds) if (!aimed.members[memberId]!.isAway) stepOne(memberId, undefined);
  if (changed.size === 0) return dropUnsubscribed(aimed);
  const members = Object.fromEntries(
    Object.entries(aimed.members).map(([memberId, member]) => [memberId, changed.get(memberId) ?? member]),
  );
  return dropUnsubscribed({ ...aimed, members });
}

/** Whether there is such a member, and it has all that it shall have. */
export function hasReachedTarget(group: GroupDocument, memberId: string): boolean {
  const member = getOwn(group.members, memberId);
  return member?.state === 'stable' && member.memberEpoch === group.targetEpoch;
}

function step(
  group: GroupDocument,
  member: GroupMember,
  owned: readonly TopicPartitions[] | undefined,
  holdings: Holdings,
): GroupMember {
  const target = getOwn(group.target, member.memberId) ?? [];
  const { targetEpoch } = group;
  const { member: next, changed } = reconcileMember(member, { targetEpoch, target, owned, isFree: holdings.isFree });
  if (!changed) return member;
  holdings.replace(member, next);
  return { ...next, previousMemberEpoch: member.previousMemberEpoch };
}

/** Which partitions somebody has, kept up to date from step to step: to build it anew each time would be slow. */
class Holdings {
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
      const taken = this.#taken.get(topic);
      if (taken) for (const partition of partitions) taken.add(partition);
      else this.#taken.set(topic, new Set(partitions));
    }
  }
}

function withTarget(group: GroupDocument): GroupDocument {
  const assignor = wantedAssignor(group);
  const members = Object.values(group.members).map((member) => ({
    memberId: member.memberId,
    topics: member.topics,
    ...(member.instanceId !== undefined && { instanceId: member.instanceId }),
    owned: fromTopicPartitions(getOwn(group.target, member.memberId) ?? []),
  }));
  const topics = new Map(Object.entries(group.topics).map(([topic, info]) => [topic, info.partitionCount]));
  const assignments = assignorNamed(assignor)({ members, topics });
  const target = Object.fromEntries([...assignments].map(([memberId, given]) => [memberId, toTopicPartitions(given)]));
  return { ...group, assignor, target, targetEpoch: group.groupEpoch };
}

/** The assignor that most members ask for, the first by name among equals; Kafka's default if nobody asks. */
function wantedAssignor(group: GroupDocument): string {
  const votes = new Map<string, number>();
  for (const { assignor } of Object.values(group.members)) {
    if (assignor !== undefined) votes.set(assignor, (votes.get(assignor) ?? 0) + 1);
  }
  const most = Math.max(...votes.values());
  const first = [...votes.keys()].filter((assignor) => votes.get(assignor) === most).sort()[0];
  return first ?? defaultAssignor;
}
