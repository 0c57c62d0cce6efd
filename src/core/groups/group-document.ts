/**
 * The document of a consumer group: plain JSON that any broker can read, update and commit by compare-and-set. This file defines
 * its shape, its encoding and the checks on it; `group-state.ts` updates it.
 *
 * Clients choose the names of members and topics. A name may be that of a built-in property, such as `constructor`, so lookups
 * use own properties only (getOwn).
 */

import { ServiceError } from '../service-error.ts';
import { pathProblem } from '../tree/path.ts';
import { compareText, type TopicPartitions } from './assignors/assignment.ts';
import { defaultAssignor } from './assignors/assignor.ts';
import { checkGroupDocument } from './group-document-check.ts';
import type { GroupState, MemberState } from './member-reconciliation.ts';

/** The names of topics, or a regular expression that must match the whole name of a topic. */
export type Subscription = { topics: string[] } | { pattern: string };

/** Where a member begins in a partition without a committed offset. */
export type ResetPolicy = 'earliest' | 'latest' | 'none';

/**
 * A member in the document. Its epoch may rise several times before its next heartbeat. So `previousMemberEpoch` is the last
 * epoch that it has sent or got from a join, and a heartbeat may have any epoch from that one on. Once the member has its whole
 * assignment, the epochs that it sends are not recorded. Older epochs then stay valid for longer, and get the current response.
 */
export interface GroupMember extends MemberState {
  /** The session that owns its nodes in the tree. */
  sessionId: string;
  instanceId?: string;
  clientId?: string;
  /** The address from which it joined, for operators; absent if it is not known. */
  address?: string;
  /** When its incarnation joined, ms since 1970 by the clock of the broker; absent for members of older versions. */
  joinedAt?: number;
  subscription: Subscription;
  /** The topics of its subscription, sorted: the named ones, or the existing ones that match its pattern. */
  topics: string[];
  /** The assignor that it prefers. */
  assignor?: string;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  reset: ResetPolicy;
  /**
   * Earlier member ids of this static member, newest last. A caller that still uses one gets FENCED_INSTANCE_ID.
   */
  formerIds?: string[];
  /** The identity to which it belongs; absent if it was joined without access control. */
  identity?: string;
  /** The hash of its member secret; absent for a member on a socket. */
  secretHash?: string;
  /** The secret hashes of its earlier incarnations, newest last. */
  formerSecretHashes?: string[];
  /** Set for a static member that has left temporarily: it uses no partitions, but keeps them until its session ends. */
  isAway?: true;
}

export interface SubscribedTopic {
  /** Distinguishes the topic from a deleted one with the same name. */
  topicId: string;
  partitionCount: number;
  /**
   * The number of partitions that the topic had when the group subscribed to it; 0 = the topic was created later. The group
   * reads partitions added later from their beginning. Absent = no partitions were added.
   */
  begunWith?: number;
}

/**
 * Subscriptions that no member has any more. Topics and partitions that are created later and match them are also read from
 * their beginning.
 */
export interface FormerSubscriptions {
  /** Newest last. */
  subscriptions: Subscription[];
  topics: Record<string, SubscribedTopic>;
}

export interface GroupDocument extends GroupState<GroupMember> {
  /** The name of the assignor that computed the target. */
  assignor: string;
  /** The subscribed topics that existed when the target was computed. */
  topics: Record<string, SubscribedTopic>;
  former?: FormerSubscriptions;
  /** The number of subscribed partitions that are left out, as they exceed the limit of a group (group-topics.ts). */
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
 * Encodes the document for the store. The topics that match a pattern are stored once per pattern, not per member, as
 * thousands of members may share a pattern that matches thousands of topics.
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

/**
 * Decodes the output of encodeGroup(), and documents of older versions, in which each member has its topics.
 * @throws Error if the document is damaged
 */
export function decodeGroup(stored: string): GroupDocument {
  const document = JSON.parse(stored) as GroupDocument & { matched?: Record<string, string[]> };
  checkGroupDocument(document);
  const { matched, ...group } = document;
  if (!matched) return group;
  for (const member of Object.values(group.members)) {
    if ('pattern' in member.subscription) member.topics ??= getOwn(matched, member.subscription.pattern) ?? [];
  }
  return group;
}

export function getOwn<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

/** Returns a present member. @throws ServiceError FENCED_INSTANCE_ID if another member has replaced it, else UNKNOWN_MEMBER */
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
    if (instanceId !== undefined && formerIds?.includes(memberId)) throw memberReplaced(memberId, instanceId);
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
    `Group '${group}' has ${members} ${members === 1 ? 'member' : 'members'}; the request needs an empty group. Stop its members first.`,
    { group, members },
  );
}

/** Flattens a list of partitions by topic into single partitions. */
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
 * The interval between the heartbeats of a member, ms: a third of its session timeout, and at most 5 s, Kafka's default.
 */
export function heartbeatIntervalMs(sessionTimeoutMs: number): number {
  return Math.max(1, Math.min(5000, Math.floor(sessionTimeoutMs / 3)));
}

/** Checks a name from a client that becomes a segment of a path. @throws ServiceError BAD_REQUEST */
export function checkName(what: 'group' | 'memberId' | 'instanceId', name: string): void {
  let problem: string | undefined;
  if (name.length < 1 || name.length > 249) problem = `it has ${name.length} characters, not 1 to 249`;
  else if (name.includes('/')) problem = 'it contains a slash';
  else problem = pathProblem(`/${name}`);
  if (problem) throw new ServiceError('BAD_REQUEST', `${what} is not a valid name: ${problem}.`, { field: what });
}
