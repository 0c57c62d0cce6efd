// Reads records for a member on a connection: partitions in rotation, each in order. It sends no more records than the member
// has credit for, and none of a partition that the member has lost.

import { setTimeout as pause } from 'node:timers/promises';
import type { GroupMember } from '../../../core/groups/group-document.ts';
import { FetchedRecords } from '../../../core/records/fetched-records.ts';
import { required } from '../../../core/required.ts';
import { hasCode } from '../../../core/service-error.ts';
import type { Logs } from '../../../store/log/logs.ts';
import type { Counter } from '../../instruments.ts';
import type { FetchResult, LogReader } from '../../log/log-reader.ts';
import {
  appendWaitMs,
  RoomWait,
  recordsToRequest,
  type StreamPosition,
  type StreamSink,
  streamBytesMax,
  takeWithinCredit,
} from '../../log/stream-reads.ts';
import type { TopicCache } from '../../metadata/topic-cache.ts';
import {
  initialOffset,
  type MemberCursor,
  mustCommitReset,
  noCommittedOffset,
  outOfRange,
  resetOffset,
  topicOf,
  unknownOffset,
} from '../member-cursors.ts';
import type { OffsetToCommit } from '../offsets/group-offsets.ts';

/** Sends records to a member. */
export interface RecordSink extends StreamSink {
  /**
   * Sends records of a partition.
   * @param records a JSON array of `count` records, at least one
   * @param nextOffset the offset to commit once they are processed
   */
  records(topic: string, partition: number, records: string, count: number, nextOffset: number): void;
}

export interface ReadCursor extends MemberCursor, StreamPosition {
  /** Aborted when the member has lost the partition. */
  over: AbortController;
}

/** Ends the waits of a cursor. An abort without a reason would create an error with a stack that is never used. */
export function endWait({ over }: ReadCursor): void {
  over.abort('over');
}

/** The member for which records are read. */
export interface StreamMember {
  group: string;
  /** The member, as this broker last read it. */
  member(): GroupMember;
  /** Whether its session cannot have expired yet. */
  isLeaseValid(): boolean;
  commit(offsets: readonly OffsetToCommit[]): Promise<void>;
  /** Called when an error shows that the group has changed. */
  changed(): void;
  /** Called when there may be work for step(). */
  wake(): void;
}

export interface StreamReaderDependencies {
  topics: TopicCache;
  reader: LogReader;
  logs: Logs;
  /** Counts the records that were sent. */
  recordsSent: Counter<'via'>;
}

/** Offsets in one commit. A member may have thousands of partitions, and each committed offset is a node of the tree. */
const offsetsPerCommit = 1000;
/** Delay before a retry after a change of the group, ms. */
const retryMs = 500;
/** Delay before a partition of a deleted topic is read again, ms: the group will revoke it soon. */
const waitForTopicMs = 1000;
/** Error codes of a commit for a partition that does not exist any more, or that another member has. */
const changedCodes = ['UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'STALE_MEMBER_EPOCH', 'FENCED_MEMBER_EPOCH'] as const;

export class StreamRecordReader {
  readonly #of: StreamMember;
  readonly #sink: RecordSink;
  readonly #parts: StreamReaderDependencies;
  /** Partitions that may have records, in the order of reading. After a read the partition moves to the end. */
  #ready: ReadCursor[] = [];
  /** Partitions without a committed offset whose start is not chosen yet. */
  #unstarted: ReadCursor[] = [];
  readonly #roomWait = new RoomWait();

  constructor(of: StreamMember, sink: RecordSink, parts: StreamReaderDependencies) {
    this.#of = of;
    this.#sink = sink;
    this.#parts = parts;
  }

  add(cursor: ReadCursor): void {
    (cursor.offset === unknownOffset ? this.#unstarted : this.#ready).push(cursor);
  }

  /** Removes the cursors that have ended. */
  drop(): void {
    const isOn = ({ over }: ReadCursor) => !over.signal.aborted;
    this.#ready = this.#ready.filter(isOn);
    this.#unstarted = this.#unstarted.filter(isOn);
  }

  /** Whether there may be records that only a lack of credit holds back. */
  get isHeldBack(): boolean {
    return this.#ready.length > 0 && this.#sink.credit() === 0;
  }

  /** Whether there are records to read. */
  async hasMore(): Promise<boolean> {
    const waiting = [...this.#ready];
    const bounds = await this.#parts.logs.bounds(waiting);
    return waiting.some(({ offset }, i) => offset < (bounds[i]?.endOffset ?? 0));
  }

  /**
   * Reads and sends the next records. Returns undefined if there is nothing to do; `wake` is called when that changes.
   * @throws ServiceError NO_COMMITTED_OFFSET and OFFSET_OUT_OF_RANGE for the reset policy `none`, STORE_UNAVAILABLE
   */
  step(signal: AbortSignal): Promise<void> | undefined {
    if (this.#unstarted.length > 0) return this.#chooseOffsets(this.#unstarted);
    const mayRead = this.#of.isLeaseValid() && this.#roomWait.hasRoom(this.#sink, () => this.#of.wake());
    const cursor = mayRead ? this.#ready[0] : undefined;
    return cursor && this.#read(cursor, signal);
  }

  /** Chooses the offset for partitions without a committed offset. */
  async #chooseOffsets(cursors: readonly ReadCursor[]): Promise<void> {
    const { reset } = this.#of.member();
    if (reset === 'none') throw noCommittedOffset(this.#of.group, required(cursors[0], 'partition to begin'));
    const bounds = await this.#parts.logs.bounds(cursors);
    const chosen = cursors.map((cursor, i) => ({ cursor, offset: initialOffset(reset, cursor, bounds[i]) }));
    if (!(await this.#commitChosen(chosen))) return;
    for (const { cursor, offset } of chosen) cursor.offset = offset;
    this.#ready.push(...cursors);
    this.#unstarted = [];
  }

  /**
   * Commits the chosen offsets that must be committed.
   * @returns false if the group has changed, or will change because a topic was deleted
   */
  async #commitChosen(chosen: readonly { cursor: ReadCursor; offset: number }[]): Promise<boolean> {
    const { reset } = this.#of.member();
    const committed = chosen.filter(({ cursor, offset }) => mustCommitReset(reset, cursor.offset, offset));
    if (committed.length === 0) return true;
    try {
      const offsets = committed.map(({ cursor: { topic, partition }, offset }) => ({ topic, partition, offset }));
      for (let i = 0; i < offsets.length; i += offsetsPerCommit)
        await this.#of.commit(offsets.slice(i, i + offsetsPerCommit));
      return true;
    } catch (error) {
      if (!changedCodes.some((code) => hasCode(error, code))) throw error;
      this.#of.changed();
      await pause(retryMs, undefined, { signal: chosen[0]?.cursor.over.signal }).catch(() => undefined);
      return false;
    }
  }

  async #read(cursor: ReadCursor, signal: AbortSignal): Promise<void> {
    const fetched = await this.#fetch(cursor);
    // The member may have lost the partition during the read; another member reads it then.
    if (signal.aborted || cursor.over.signal.aborted || !this.#of.isLeaseValid()) return;
    this.#ready.shift();
    if (!fetched) {
      this.#enqueue(cursor, waitForTopicMs);
      return;
    }
    const records = takeWithinCredit(cursor, fetched, this.#sink.credit());
    const { count } = records;
    if (cursor.isAtEnd) this.#enqueue(cursor, appendWaitMs);
    else this.#ready.push(cursor);
    if (count === 0) return;
    this.#parts.recordsSent.inc({ via: 'socket' }, count);
    this.#sink.records(cursor.topic, cursor.partition, records.array(), count, cursor.offset);
  }

  /** Fetches records from the cursor on; undefined if the topic is gone. */
  async #fetch(cursor: ReadCursor): Promise<FetchResult | undefined> {
    const { partition, offset } = cursor;
    const maxRecords = recordsToRequest(cursor, this.#sink.credit());
    try {
      const topic = await topicOf(this.#parts.topics, cursor);
      if (!topic) return undefined;
      const limits = { maxRecords, maxBytes: streamBytesMax };
      return await this.#parts.reader.fetch({
        topic,
        partition,
        offset,
        ...limits,
        askedAt: this.#roomWait.noteRead(cursor),
      });
    } catch (error) {
      if (hasCode(error, 'UNKNOWN_TOPIC')) {
        // The topic may exist and the store may have lost its log.
        return (await this.#parts.topics.recreateLostLogs([cursor])) ? this.#fetch(cursor) : undefined;
      }
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
    }
    // Retention has deleted the records at the offset, or the store has lost records.
    const { reset } = this.#of.member();
    const [bounds] = await this.#parts.logs.bounds([cursor]);
    if (!bounds) return undefined;
    if (reset === 'none') throw outOfRange(this.#of.group, cursor, bounds);
    const nextOffset = resetOffset(reset, bounds);
    if (!(await this.#commitChosen([{ cursor, offset: nextOffset }]))) return undefined;
    return { ...bounds, records: FetchedRecords.none, nextOffset };
  }

  /** Makes a partition ready again when its log has grown. */
  #enqueue(cursor: ReadCursor, forMs: number): void {
    const { topicId, partition, offset, over } = cursor;
    void this.#parts.reader.waitForAppend([{ topicId, partition, endOffset: offset }], forMs, over.signal).then(() => {
      if (over.signal.aborted) return;
      this.#ready.push(cursor);
      this.#of.wake();
    });
  }
}
