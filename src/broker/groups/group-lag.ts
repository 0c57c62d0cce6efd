// How far a group is behind in a partition: the records that it would still read, not the offsets of those that are gone.
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

/** From where it is counted: from what is committed, or from where the reset policy would begin. */
export type LagFrom = 'committed' | Exclude<ResetPolicy, 'none'>;

/** How many records of the log are behind an offset; none of them is one that nobody can read. */
export function recordsBehind({ logStartOffset, recordsEnd }: LogSummary, offset: number): number {
  return Math.max(0, recordsEnd - Math.max(offset, logStartOffset));
}

/** Where the members of a group would begin in partitions for which it has committed nothing. */
export class StartingPoints {
  readonly #document: GroupDocument;
  readonly #owners = new Map<string, ResetPolicy>();
  /** Of a topic whose partition nobody has. */
  readonly #subscribers = new Map<string, ResetPolicy>();

  constructor(document: GroupDocument) {
    this.#document = document;
    for (const member of Object.values(document.members)) {
      for (const at of heldBy(member)) this.#owners.set(cursorKey(at), member.reset);
      for (const topic of member.topics) if (!this.#subscribers.has(topic)) this.#subscribers.set(topic, member.reset);
    }
  }

  /** Undefined where nobody reads the partition, or begins only at a committed offset. */
  of({ topic, partition }: TopicPartition): Exclude<LagFrom, 'committed'> | undefined {
    const reset = this.#owners.get(cursorKey({ topic, partition })) ?? this.#subscribers.get(topic);
    if (reset === undefined || reset === 'none') return undefined;
    return isNewerThanSubscription(this.#document, topic, partition) ? 'earliest' : reset;
  }

  /** Every partition that members subscribe to. */
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

/** The lag of a partition for which nothing is committed. */
export function lagWithoutCommit(from: Exclude<LagFrom, 'committed'>, log: LogSummary): number {
  return from === 'latest' ? 0 : recordsBehind(log, 0);
}
