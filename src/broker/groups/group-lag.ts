// The lag of a group in a partition: the records that it has yet to read. Offsets of removed records do not count.
import {
  type GroupDocument,
  getOwn,
  heldBy,
  type ResetPolicy,
  type TopicPartition,
} from '../../core/groups/group-document.ts';
import { isNewerThanSubscription } from '../../core/groups/group-topics.ts';
import type { LogSummary } from '../../store/log/logs.ts';
import { cursorKey } from './member-cursors.ts';

/** Where the lag is counted from: the committed offset, or the start by the reset policy. */
type LagFrom = 'committed' | Exclude<ResetPolicy, 'none'>;

/** How many records follow an offset. */
export function recordsBehind({ logStartOffset, recordsEnd }: LogSummary, offset: number): number {
  return Math.max(0, recordsEnd - Math.max(offset, logStartOffset));
}

/** Where the members of a group would begin to read partitions without a committed offset. */
export class StartingPoints {
  readonly #document: GroupDocument;
  readonly #owners = new Map<string, ResetPolicy>();
  /** By topic, for partitions without an owner. */
  readonly #subscribers = new Map<string, ResetPolicy>();

  constructor(document: GroupDocument) {
    this.#document = document;
    for (const member of Object.values(document.members)) {
      for (const at of heldBy(member)) this.#owners.set(cursorKey(at), member.reset);
      for (const topic of member.topics) if (!this.#subscribers.has(topic)) this.#subscribers.set(topic, member.reset);
    }
  }

  /** Undefined if no member reads the partition, or the reset policy is `none`. */
  of({ topic, partition }: TopicPartition): Exclude<LagFrom, 'committed'> | undefined {
    const reset = this.#owners.get(cursorKey({ topic, partition })) ?? this.#subscribers.get(topic);
    if (reset === undefined || reset === 'none') return undefined;
    return isNewerThanSubscription(this.#document, topic, partition) ? 'earliest' : reset;
  }

  /** All partitions to which members subscribe. */
  *partitions(): Generator<TopicPartition & { topicId: string }> {
    for (const topic of this.#subscribers.keys()) {
      const info = getOwn(this.#document.topics, topic);
      if (!info) continue;
      for (let partition = 0; partition < info.partitionCount; partition += 1) {
        yield { topic, topicId: info.topicId, partition };
      }
    }
  }
}

/** The lag in a partition without a committed offset. */
export function lagWithoutCommit(from: Exclude<LagFrom, 'committed'>, log: LogSummary): number {
  return from === 'latest' ? 0 : recordsBehind(log, 0);
}
