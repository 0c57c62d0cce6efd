// Where a member of a group reads: one cursor for each partition that it has. What consume calls and sockets of members
// have in common; how they read, and when, is their own affair.
import { type TopicPartitions, toTopicPartitions } from '../../core/groups/assignors/assignor.ts';
import {
  type GroupDocument,
  type GroupMember,
  getOwn,
  type ResetPolicy,
  type TopicPartition,
} from '../../core/groups/group-document.ts';
import { isNewerThanSubscription } from '../../core/groups/group-topics.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { KnownPartition, PartitionPosition } from '../../store/groups/groups.ts';
import type { LogBounds } from '../../store/log/logs.ts';
import type { TopicCache, TopicInfo } from '../metadata/topic-cache.ts';

export interface MemberCursor extends KnownPartition {
  /** The member epoch at which the partition was given: given anew, another may have read in it. */
  epoch: number;
  /** The partition came while the group subscribed to its topic: it is read from its beginning. */
  isNewPartition: boolean;
  /** Of the next record; `unknownOffset` before the cursor is placed. */
  offset: number;
}

export const unknownOffset = -1;

export function cursorKey({ topic, partition }: TopicPartition): string {
  return `${topic}:${partition}`;
}

/** The partition with the id of the topic that the group means. */
export function knownPartition(document: GroupDocument, { topic, partition }: TopicPartition): KnownPartition {
  return { topic, partition, topicId: getOwn(document.topics, topic)!.topicId };
}

/** The cursors that stay good for what the member may use, by key, and new ones, not placed yet, for the rest. */
export function cursorsOf<C extends MemberCursor>(
  document: GroupDocument,
  member: GroupMember,
  current: ReadonlyMap<string, C>,
): { kept: Map<string, C>; wanted: MemberCursor[] } {
  const kept = new Map<string, C>();
  const wanted: MemberCursor[] = [];
  for (const { topic, partitions, epochs } of member.assigned) {
    for (const [i, partition] of partitions.entries()) {
      const at = knownPartition(document, { topic, partition });
      const epoch = epochs[i]!;
      const cursor = current.get(cursorKey(at));
      if (cursor?.epoch === epoch && cursor.topicId === at.topicId) kept.set(cursorKey(at), cursor);
      else
        wanted.push({
          ...at,
          epoch,
          isNewPartition: isNewerThanSubscription(document, topic, partition),
          offset: unknownOffset,
        });
    }
  }
  return { kept, wanted };
}

export function partitionsOf(cursors: readonly MemberCursor[]): TopicPartitions[] {
  const partitions = new Map<string, number[]>();
  for (const { topic, partition } of cursors) {
    const known = partitions.get(topic);
    if (known) known.push(partition);
    else partitions.set(topic, [partition]);
  }
  return toTopicPartitions(partitions);
}

/** The cursors where the group has committed, which they come with. */
export function withCommittedOffsets(
  cursors: readonly MemberCursor[],
  positions: readonly PartitionPosition[],
): MemberCursor[] {
  return cursors.map((cursor, index) => ({ ...cursor, offset: positions[index]?.committed ?? unknownOffset }));
}

/** Whether two states of a member hold the same; what was not touched between them is the same list. */
export function hasSamePartitions(a: GroupMember, b: GroupMember): boolean {
  if (a.assigned === b.assigned && a.pendingRevocation === b.pendingRevocation) return true;
  return holdings(a) === holdings(b);
}

function holdings({ assigned, pendingRevocation }: GroupMember): string {
  return JSON.stringify([assigned, pendingRevocation]);
}

/** Where a member begins in a partition for which the group has committed nothing. */
export function initialOffset(
  reset: Exclude<ResetPolicy, 'none'>,
  { isNewPartition }: MemberCursor,
  bounds: LogBounds | undefined,
) {
  return resetOffset(isNewPartition ? 'earliest' : reset, bounds);
}

/**
 * Whether the group commits at once that it goes on at `offset`, where the reset policy has put it. Else what is appended from
 * here on would be passed over by whoever must find the place again: this member after a lost answer, or the next owner. A
 * log that ends before what was committed has lost something; when it has grown again that offset would look as if it were good.
 */
export function mustCommitReset(reset: ResetPolicy, before: number, offset: number): boolean {
  return reset === 'latest' || before > offset;
}

/**
 * Where a member goes on in a log by its reset policy.
 * @param bounds undefined if there is no such log any more
 */
export function resetOffset(reset: Exclude<ResetPolicy, 'none'>, bounds: LogBounds | undefined): number {
  return (reset === 'earliest' ? bounds?.logStartOffset : bounds?.endOffset) ?? 0;
}

/** The topic, if it is still the one that the member was given; if not, the group will learn of that soon. */
export async function topicOf(topics: TopicCache, at: KnownPartition): Promise<TopicInfo | undefined> {
  try {
    const cached = await topics.get(at.topic);
    const isRight = (topic: TopicInfo) => topic.topicId === at.topicId && at.partition < topic.partitionCount;
    if (isRight(cached)) return cached;
    const fresh = await topics.refresh(at.topic);
    return isRight(fresh) ? fresh : undefined;
  } catch (error) {
    if (hasCode(error, 'UNKNOWN_TOPIC')) return undefined;
    throw error;
  }
}

export function noCommittedOffset(group: string, { topic, partition }: TopicPartition): ServiceError {
  return new ServiceError(
    'NO_COMMITTED_OFFSET',
    `Group '${group}' has committed no offset for partition ${partition} of topic '${topic}', and the member joined with ` +
      'reset none; commit one, or join with reset earliest or latest.',
    { group, topic, partition },
  );
}

export function outOfRange(
  group: string,
  cursor: MemberCursor,
  { logStartOffset, endOffset }: LogBounds,
): ServiceError {
  const { topic, partition, offset } = cursor;
  return new ServiceError(
    'OFFSET_OUT_OF_RANGE',
    `Group '${group}' would read partition ${partition} of topic '${topic}' at offset ${offset}, but the log has ` +
      `${logStartOffset} to ${endOffset}; reset the group's offsets, or join with reset earliest or latest.`,
    { topic, partition, offset, logStartOffset, endOffset },
  );
}

export function releaseOverdue({ memberId, memberEpoch, rebalanceTimeoutMs }: GroupMember): ServiceError {
  return new ServiceError(
    'FENCED_MEMBER_EPOCH',
    `Member '${memberId}' did not release what was being revoked within its rebalance timeout of ${rebalanceTimeoutMs} ms, ` +
      'and was taken out; let go of all partitions and join again.',
    { memberId, memberEpoch },
  );
}

export function memberStuck({ memberId, memberEpoch, rebalanceTimeoutMs }: GroupMember): ServiceError {
  return new ServiceError(
    'FENCED_MEMBER_EPOCH',
    `Member '${memberId}' has records waiting, gave no credit and sent no frame for its rebalance timeout of ` +
      `${rebalanceTimeoutMs} ms, and was taken out; let go of all partitions and join again.`,
    { memberId, memberEpoch },
  );
}
