/**
 * What the service knows of a consumer group: one plain JSON document, which any broker may read, decide over and commit
 * by compare-and-set. Here are its shape and what is read off it; `group-state.ts` changes it.
 *
 * Members are looked up by names that clients choose ('constructor' is one), so own keys alone count.
 */

import { ServiceError } from '../service-error.ts';
import { pathProblem } from '../tree/path.ts';
import { compareText, type TopicPartitions } from './assignors/assignment.ts';
import { defaultAssignor } from './assignors/assignor.ts';
import type { GroupState, MemberState } from './member-reconciliation.ts';

/** Topics by name, or a regular expression that a topic's whole name must match. */
export type Subscription = { topics: string[] } | { pattern: string };

/** Where a member begins in a partition for which the group has committed nothing. */
export type ResetPolicy = 'earliest' | 'latest' | 'none';

/**
 * A group may move a member on several times before that member is heard again. So `previousMemberEpoch` is here an epoch
 * that it has sent, or was told when it joined, and every one since then is good. Once it has all that it shall have, what
 * it sends is noted no more: older epochs stay good for longer, and do nothing but get the newest answer again.
 */
export interface GroupMember extends MemberState {
  /** The session that its nodes in the tree live with. */
  sessionId: string;
  instanceId?: string;
  clientId?: string;
  subscription: Subscription;
  /** The topics that it subscribes to, sorted: as it named them, or those that match its pattern now. */
  topics: string[];
  /** The assignor that it would like. */
  assignor?: string;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  reset: ResetPolicy;
  /** The member ids that this static member had before, newest last: who still uses one is told that it was replaced. */
  formerIds?: string[];
  /** Of the secret that its calls over HTTP name; absent for a member on a socket. */
  secretHash?: string;
  /** Of its earlier incarnations, newest last. */
  formerSecretHashes?: string[];
  /** A static member that has left and will be back: it uses nothing, and what it has is kept until its session ends. */
  isAway?: true;
}

export interface SubscribedTopic {
  /** Sets a topic apart from an earlier one of its name. */
  topicId: string;
  partitionCount: number;
  /**
   * How many partitions the topic had when the group began to subscribe to it; 0 = the topic itself came later. What came
   * later is read from its beginning. Absent = none did.
   */
  begunWith?: number;
}

/** What members have subscribed to and do no more: what comes under it meanwhile is read from its beginning, too. */
export interface FormerSubscriptions {
  /** The newest last. */
  subscriptions: Subscription[];
  topics: Record<string, SubscribedTopic>;
}

export interface GroupDocument extends GroupState<GroupMember> {
  /** The one in use. */
  assignor: string;
  /** The subscribed topics that exist, as the target was computed with. */
  topics: Record<string, SubscribedTopic>;
  former?: FormerSubscriptions;
  /** How many partitions came under the group's subscriptions that it has no room for (group-topics.ts). */
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
 * The document as it is stored. What a pattern matches stands in it once, and not with each of the members that have it: that
 * would be thousands of names for each of thousands of members.
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

/** Reads what encodeGroup() made, or a document that was stored with the topics of each member. */
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

/** The member, which is there. @throws ServiceError FENCED_INSTANCE_ID if another has taken its place, UNKNOWN_MEMBER */
export function memberOf(group: Pick<GroupDocument, 'members'>, memberId: string): GroupMember {
  const member = getOwn(group.members, memberId);
  if (member && !member.isAway) return member;
  if (member) {
    throw new ServiceError(
      'UNKNOWN_MEMBER',
      `Member '${memberId}' has left for a while; join again with its instance id '${member.instanceId}'.`,
      { memberId, instanceId: member.instanceId },
    );
  }
  for (const { instanceId, formerIds } of Object.values(group.members)) {
    if (formerIds?.includes(memberId)) throw memberReplaced(memberId, instanceId!);
  }
  throw new ServiceError(
    'UNKNOWN_MEMBER',
    `The group has no member '${memberId}': it left, or its session timed out. Let go of all partitions and join again.`,
    { memberId },
  );
}

export function memberReplaced(memberId: string, instanceId: string): ServiceError {
  return new ServiceError(
    'FENCED_INSTANCE_ID',
    `Member '${memberId}' was replaced by another with the instance id '${instanceId}'; stop this one.`,
    { memberId, instanceId },
  );
}

export function memberSuperseded(memberId: string): ServiceError {
  return new ServiceError(
    'MEMBER_SUPERSEDED',
    `Member '${memberId}' has a newer connection or consume call; this one is over.`,
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
  const detail = `There is no group '${group}'; it begins when its first member joins.`;
  return new ServiceError('UNKNOWN_GROUP', detail, { group });
}

/** @throws ServiceError GROUP_NOT_EMPTY */
export function checkEmpty(group: string, document: GroupDocument): void {
  if (isEmpty(document)) return;
  const members = Object.keys(document.members).length;
  throw new ServiceError(
    'GROUP_NOT_EMPTY',
    `Group '${group}' has ${members} ${members === 1 ? 'member' : 'members'}; this needs an empty group. Stop them first.`,
    { group, members },
  );
}

/** Every partition of a list, one by one. */
export function eachPartition(list: readonly TopicPartitions[]): TopicPartition[] {
  return list.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })));
}

/** The order of partitions in lists: by topic, then by number. */
export function comparePartitions(a: TopicPartition, b: TopicPartition): number {
  return compareText(a.topic, b.topic) || a.partition - b.partition;
}

/** All that a member has: what it may use, and what it must let go of and may still be using. */
export function heldBy(member: MemberState): TopicPartition[] {
  return eachPartition([...member.assigned, ...member.pendingRevocation]);
}

/** How often a member should be heard: three times within its session timeout, and at least every 5 s, Kafka's default. */
export function heartbeatIntervalMs(sessionTimeoutMs: number): number {
  return Math.max(1, Math.min(5000, Math.floor(sessionTimeoutMs / 3)));
}

/** Names become parts of paths. @throws ServiceError BAD_REQUEST saying what is wrong with a group's or member's name */
export function checkName(what: 'group' | 'memberId' | 'instanceId', name: string): void {
  let problem: string | undefined;
  if (name.length < 1 || name.length > 249) problem = `it has ${name.length} characters, not 1 to 249`;
  else if (name.includes('/')) problem = 'it has a slash';
  else problem = pathProblem(`/${name}`);
  if (problem) throw new ServiceError('BAD_REQUEST', `${what} is no valid name: ${problem}.`, { field: what });
}
