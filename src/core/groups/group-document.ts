/**
 * The document of a consumer group: plain JSON that any broker may read, update and commit by compare-and-set. This file has
 * its shape and what is derived from it; `group-state.ts` updates it.
 *
 * Clients choose the names of members, and a name may be that of a built-in property (`constructor`): only own properties
 * count.
 */

import { ServiceError } from '../service-error.ts';
import { pathProblem } from '../tree/path.ts';
import { compareText, type TopicPartitions } from './assignors/assignment.ts';
import { defaultAssignor } from './assignors/assignor.ts';
import type { GroupState, MemberState } from './member-reconciliation.ts';

/** Topics by name, or a regular expression that a topic's whole name must match. */
export type Subscription = { topics: string[] } | { pattern: string };

/** Where a member begins in a partition without a committed offset. */
export type ResetPolicy = 'earliest' | 'latest' | 'none';

/**
 * The epoch of a member may rise several times before its next heartbeat. So `previousMemberEpoch` is an epoch that it has
 * sent, or got when it joined, and every epoch since then is valid. Once a member has its whole assignment, its epoch is not
 * recorded any more: older epochs stay valid for longer, and only get the current response again.
 */
export interface GroupMember extends MemberState {
  /** The session that owns its nodes in the tree. */
  sessionId: string;
  instanceId?: string;
  clientId?: string;
  subscription: Subscription;
  /** The topics of its subscription, sorted: as it named them, or those that match its pattern now. */
  topics: string[];
  /** The assignor that it prefers. */
  assignor?: string;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  reset: ResetPolicy;
  /**
   * Earlier member ids of this static member, newest last. A caller that still uses one learns that the member was replaced.
   */
  formerIds?: string[];
  /** The hash of the secret that its calls over HTTP send; absent for a member on a socket. */
  secretHash?: string;
  /** The hashes of its earlier incarnations, newest last. */
  formerSecretHashes?: string[];
  /** A static member that has left and will come back: it uses nothing, and keeps its partitions until its session ends. */
  isAway?: true;
}

export interface SubscribedTopic {
  /** Tells the topic from an earlier one of its name. */
  topicId: string;
  partitionCount: number;
  /**
   * How many partitions the topic had when the group subscribed to it; 0 = the topic was created later. Later partitions are
   * read from their beginning. Absent = there are none.
   */
  begunWith?: number;
}

/**
 * Subscriptions that no member has any more: topics and partitions that are created under them are read from the beginning,
 * too.
 */
export interface FormerSubscriptions {
  /** Newest last. */
  subscriptions: Subscription[];
  topics: Record<string, SubscribedTopic>;
}

export interface GroupDocument extends GroupState<GroupMember> {
  /** The assignor in use. */
  assignor: string;
  /** The subscribed topics that existed when the target was computed. */
  topics: Record<string, SubscribedTopic>;
  former?: FormerSubscriptions;
  /** Partitions under the subscriptions of the group that exceed its limit (group-topics.ts). */
  leftOut?: number;
}

export interface TopicPartition {
  topic: string;
  partition: number;
}

export function emptyGroup(): GroupDocument {
  return { groupEpoch: 0, targetEpoch: 0, assignor: defaultAssignor, members: {}, target: {}, topics: {} };
}

/**
 * Encodes the document for the store. The topics that match a pattern are stored once, not with each member that has the
 * pattern: that would be thousands of names for thousands of members.
 */
export function encodeGroup(group: GroupDocument): string {
  const matched = new Map<string, string[]>();
  const members = Object.entries(group.members).map(([memberId, member]) => {
    if (!('pattern' in member.subscription)) return [memberId, member] as const;
    const { pattern } = member.subscription;
    const { topics, ...rest } = member;
    const known = matched.get(pattern);
    if (!known) matched.set(pattern, topics);
    const isSame = !known || known === topics || known.join() === topics.join();
    return [memberId, isSame ? rest : member] as const;
  });
  if (matched.size === 0) return JSON.stringify(group);
  return JSON.stringify({ ...group, members: Object.fromEntries(members), matched: Object.fromEntries(matched) });
}

/** Decodes the output of encodeGroup(), and documents of older versions that have the topics with each member. */
export function decodeGroup(stored: string): GroupDocument {
  const { matched, ...group } = JSON.parse(stored) as GroupDocument & { matched?: Record<string, string[]> };
  if (!matched) return group;
  for (const member of Object.values(group.members)) {
    if ('pattern' in member.subscription) member.topics ??= getOwn(matched, member.subscription.pattern) ?? [];
  }
  return group;
}

export function getOwn<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

/** Returns a member. @throws ServiceError FENCED_INSTANCE_ID if another member has replaced it, UNKNOWN_MEMBER */
export function memberOf(group: Pick<GroupDocument, 'members'>, memberId: string): GroupMember {
  const member = getOwn(group.members, memberId);
  if (member && !member.isAway) return member;
  if (member) {
    throw new ServiceError(
      'UNKNOWN_MEMBER',
      `Member '${memberId}' has left temporarily; join again with its instance id '${member.instanceId}'.`,
      { memberId, instanceId: member.instanceId },
    );
  }
  for (const { instanceId, formerIds } of Object.values(group.members)) {
    if (formerIds?.includes(memberId)) throw memberReplaced(memberId, instanceId!);
  }
  throw new ServiceError(
    'UNKNOWN_MEMBER',
    `The group has no member '${memberId}': it left, or its session expired. Release all partitions and join again.`,
    { memberId },
  );
}

export function memberReplaced(memberId: string, instanceId: string): ServiceError {
  return new ServiceError(
    'FENCED_INSTANCE_ID',
    `Member '${memberId}' was replaced by a member with the same instance id '${instanceId}'; stop this member.`,
    { memberId, instanceId },
  );
}

export function memberSuperseded(memberId: string): ServiceError {
  return new ServiceError(
    'MEMBER_SUPERSEDED',
    `Member '${memberId}' has a newer connection or consume call; this one has ended.`,
    {
      memberId,
    },
  );
}

export function isEmpty(group: GroupDocument): boolean {
  return Object.keys(group.members).length === 0;
}

/** @throws ServiceError UNKNOWN_GROUP */
export function requireGroup(group: string, document: GroupDocument | undefined): GroupDocument {
  if (document) return document;
  throw unknownGroup(group);
}

export function unknownGroup(group: string): ServiceError {
  const detail = `There is no group '${group}'; a group is created when its first member joins.`;
  return new ServiceError('UNKNOWN_GROUP', detail, { group });
}

/** @throws ServiceError GROUP_NOT_EMPTY */
export function checkEmpty(group: string, document: GroupDocument): void {
  if (isEmpty(document)) return;
  const members = Object.keys(document.members).length;
  throw new ServiceError(
    'GROUP_NOT_EMPTY',
    `Group '${group}' has ${members} ${members === 1 ? 'member' : 'members'}; this needs an empty group. Stop its members first.`,
    { group, members },
  );
}

/** The partitions of a list, as single ones. */
export function eachPartition(list: readonly TopicPartitions[]): TopicPartition[] {
  return list.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })));
}

/** Compares by topic, then by partition. */
export function comparePartitions(a: TopicPartition, b: TopicPartition): number {
  return compareText(a.topic, b.topic) || a.partition - b.partition;
}

/** All partitions of a member: those it may use, and those it must release and may still be using. */
export function heldBy(member: MemberState): TopicPartition[] {
  return eachPartition([...member.assigned, ...member.pendingRevocation]);
}

/**
 * How often a member sends a heartbeat, ms: three times within its session timeout, and at least every 5 s, the default of
 * Kafka.
 */
export function heartbeatIntervalMs(sessionTimeoutMs: number): number {
  return Math.max(1, Math.min(5000, Math.floor(sessionTimeoutMs / 3)));
}

/** Checks a name that becomes part of a path. @throws ServiceError BAD_REQUEST */
export function checkName(what: 'group' | 'memberId' | 'instanceId', name: string): void {
  let problem: string | undefined;
  if (name.length < 1 || name.length > 249) problem = `it has ${name.length} characters, not 1 to 249`;
  else if (name.includes('/')) problem = 'it has a slash';
  else problem = pathProblem(`/${name}`);
  if (problem) throw new ServiceError('BAD_REQUEST', `${what} is not a valid name: ${problem}.`, { field: what });
}
