// The cursors of a member: one for each partition that it has. Consume calls and sockets share them; how they read differs.

import { type TopicPartitions, toTopicPartitions } from '../../core/groups/assignors/assignor.ts';
import {
  type GroupDocument,
  type GroupMember,
  getOwn,
  type ResetPolicy,
  type TopicPartition,
} from '../../core/groups/group-document.ts';
import { isNewerThanSubscription } from '../../core/groups/group-topics.ts';
import { required } from '../../core/required.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { KnownPartition, PartitionPosition } from '../../store/groups/groups.ts';
import type { LogBounds } from '../../store/log/logs.ts';
import type { TopicCache, TopicInfo } from '../metadata/topic-cache.ts';

export interface MemberCursor extends KnownPartition {
  /**
   * The member epoch at which the member got the partition. If it gets the partition again, another member may have read in
   * between.
   */
  epoch: number;
  /** Whether the partition was created while the group was subscribed to its topic: it is read from its beginning. */
  isNewPartition: boolean;
  /** Of the next record; `unknownOffset` until the start is chosen. */
  offset: number;
}

export const unknownOffset = -1;

export function cursorKey({ topic, partition }: TopicPartition): string {
  return `${topic}:${partition}`;
}

/** The partition with the topic id that is in the group document. */
export function knownPartition(document: GroupDocument, { topic, partition }: TopicPartition): KnownPartition {
  return { topic, partition, topicId: required(getOwn(document.topics, topic), 'topic in the group document').topicId };
}

/**
 * By key, the cursors that stay valid for the assignment of the member (`valid`), and new ones, without an offset yet, for the
 * other partitions (`added`).
 */
export function cursorsOf<C extends MemberCursor>(
  document: GroupDocument,
  member: GroupMember,
  current: ReadonlyMap<string, C>,
): { valid: Map<string, C>; added: MemberCursor[] } {
  const valid = new Map<string, C>();
  const added: MemberCursor[] = [];
  for (const { topic, partitions, epochs } of member.assigned) {
    for (const [i, partition] of partitions.entries()) {
      const at = knownPartition(document, { topic, partition });
      const epoch = required(epochs[i], 'epoch of an assigned partition');
      const cursor = current.get(cursorKey(at));
      if (cursor?.epoch === epoch && cursor.topicId === at.topicId) valid.set(cursorKey(at), cursor);
      else
        added.push({
          ...at,
          epoch,
          isNewPartition: isNewerThanSubscription(document, topic, partition),
          offset: unknownOffset,
        });
    }
  }
  return { valid, added };
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

/** The cursors at the committed offsets. */
export function withCommittedOffsets(
  cursors: readonly MemberCursor[],
  positions: readonly PartitionPosition[],
): MemberCursor[] {
  return cursors.map((cursor, index) => ({ ...cursor, offset: positions[index]?.committed ?? unknownOffset }));
}

/** Whether the member has the same partitions in both states. Lists that did not change are the same object. */
export function hasSamePartitions(a: GroupMember, b: GroupMember): boolean {
  if (a.assigned === b.assigned && a.pendingRevocation === b.pendingRevocation) return true;
  return holdings(a) === holdings(b);
}

function holdings({ assigned, pendingRevocation }: GroupMember): string {
  return JSON.stringify([assigned, pendingRevocation]);
}

/** The offset at which a member begins in a partition without a committed offset. */
export function initialOffset(
  reset: Exclude<ResetPolicy, 'none'>,
  { isNewPartition }: MemberCursor,
  bounds: LogBounds | undefined,
) {
  return resetOffset(isNewPartition ? 'earliest' : reset, bounds);
}

/**
 * Whether the offset chosen by the reset policy must be committed at once. With `latest`, records appended from now on would be
 * skipped if the start were chosen again: by this member after a lost response, or by the next owner. An offset before the
 * committed one means that the log has lost records; when it has grown again, the old committed offset would look valid.
 */
export function mustCommitReset(reset: ResetPolicy, before: number, offset: number): boolean {
  return reset === 'latest' || before > offset;
}

/** The offset in a log by the reset policy. @param bounds undefined if the log does not exist any more */
export function resetOffset(reset: Exclude<ResetPolicy, 'none'>, bounds: LogBounds | undefined): number {
  return (reset === 'earliest' ? bounds?.logStartOffset : bounds?.endOffset) ?? 0;
}

/** The topic, if its id is still the one of the cursor; else the group will soon learn that the topic is another. */
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
      'and was removed from the group; release all partitions and join again.',
    { memberId, memberEpoch },
  );
}

export function memberStuck({ memberId, memberEpoch, rebalanceTimeoutMs }: GroupMember): ServiceError {
  return new ServiceError(
    'FENCED_MEMBER_EPOCH',
    `Member '${memberId}' has records to read, but gave no credit and sent no frame for its rebalance timeout of ` +
      `${rebalanceTimeoutMs} ms, and was removed from the group; release all partitions and join again.`,
    { memberId, memberEpoch },
  );
}
