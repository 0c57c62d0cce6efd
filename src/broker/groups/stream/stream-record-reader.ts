// The records of a member on a connection: those of each partition in order, the partitions in turn, only as many as the
// member takes, and none of what it may not use any more.
import { setTimeout as pause } from 'node:timers/promises';
import type { Counter } from 'prom-client';
import type { GroupMember } from '../../../core/groups/group-document.ts';
import { FetchedRecords } from '../../../core/records/fetched-records.ts';
import { hasCode } from '../../../core/service-error.ts';
import type { Logs } from '../../../store/log/logs.ts';
import type { FetchResult, LogReader } from '../../log/log-reader.ts';
import { streamBytesMax, streamRecordsMax } from '../../log/topic-tail.ts';
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

/** Where the records of a member go. */
export interface RecordSink {
  /** Undefined if it takes records now, at least one; else settles when it may, or when it is closed. */
  room(): Promise<void> | undefined;
  /** How many records it takes. */
  credit(): number;
  /** Takes at least one record of a partition, as a JSON array; `nextOffset` is what to commit once they are dealt with. */
  records(topic: string, partition: number, records: string, count: number, nextOffset: number): void;
}

export interface ReadCursor extends MemberCursor {
  /** Whether the last look came to the end of the log: then what is read next is what all readers there read. */
  isAtEnd: boolean;
  /** Aborted when there is nothing more to read for the member. */
  over: AbortController;
}

/** Nothing more is read for the member. Without a reason each abort would make an error with a stack, which nobody reads. */
export function endWait({ over }: ReadCursor): void {
  over.abort('over');
}

/** The member that reads. */
export interface StreamMember {
  group: string;
  /** As the group last had it. */
  member(): GroupMember;
  /** Whether it is sure to be a member now. */
  isLeaseValid(): boolean;
  commit(offsets: readonly OffsetToCommit[]): Promise<void>;
  /** The group must have changed. */
  changed(): void;
  /** There may be something to do again. */
  wake(): void;
}

export interface StreamReaderDependencies {
  topics: TopicCache;
  reader: LogReader;
  logs: Logs;
  /** Counts the records that were given out. */
  given: Counter<'via'>;
}

/** How many places one commit takes: a member may have thousands of partitions, and each is a node of the tree. */
const offsetsPerCommit = 1000;
/** How soon it tries again what the group's change has hindered, ms. */
const retryMs = 500;
/** How long it waits for news of a log before it looks by itself, ms. The log reader finds lost news much sooner. */
const waitMs = 300_000;
/** How soon a partition is looked at again whose topic has gone: the group is about to take it away. */
const waitForTopicMs = 1000;
/** What a commit is answered with when the partition has gone, or is another's. */
const changedCodes = ['UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'STALE_MEMBER_EPOCH', 'FENCED_MEMBER_EPOCH'] as const;

export class StreamRecordReader {
  readonly #of: StreamMember;
  readonly #sink: RecordSink;
  readonly #parts: StreamReaderDependencies;
  /** Those with records to read, as far as is known: the next one first. Each read one goes to the end of the queue. */
  #ready: ReadCursor[] = [];
  /** Those for which the group has committed nothing, and for which it is still to be found where to begin. */
  #unplaced: ReadCursor[] = [];
  #full: Promise<void> | undefined;

  constructor(of: StreamMember, sink: RecordSink, parts: StreamReaderDependencies) {
    this.#of = of;
    this.#sink = sink;
    this.#parts = parts;
  }

  add(cursor: ReadCursor): void {
    (cursor.offset === unknownOffset ? this.#unplaced : this.#ready).push(cursor);
  }

  /** Forgets those that are over. */
  drop(): void {
    const isOn = ({ over }: ReadCursor) => !over.signal.aborted;
    this.#ready = this.#ready.filter(isOn);
    this.#unplaced = this.#unplaced.filter(isOn);
  }

  /** Whether there may be something to read, and the member has not said that it takes it. */
  get isHeldBack(): boolean {
    return this.#ready.length > 0 && this.#sink.credit() === 0;
  }

  /** Whether there is something to read indeed. */
  async hasMore(): Promise<boolean> {
    const waiting = [...this.#ready];
    const bounds = await this.#parts.logs.bounds(waiting);
    return waiting.some(({ offset }, i) => offset < (bounds[i]?.endOffset ?? 0));
  }

  /**
   * Gives out the next records. Undefined if there is nothing to do; `wake` is called when there is.
   * @throws ServiceError NO_COMMITTED_OFFSET and OFFSET_OUT_OF_RANGE for the reset policy `none`, STORE_UNAVAILABLE
   */
  step(signal: AbortSignal): Promise<void> | undefined {
    if (this.#unplaced.length > 0) return this.#place(this.#unplaced);
    const cursor = this.#of.isLeaseValid() && this.#hasRoom() ? this.#ready[0] : undefined;
    return cursor && this.#read(cursor, signal);
  }

  #hasRoom(): boolean {
    if (this.#full !== undefined) return false;
    this.#full = this.#sink.room();
    void this.#full?.then(() => {
      this.#full = undefined;
      this.#of.wake();
    });
    return !this.#full;
  }

  /** Finds where to begin in partitions for which nothing is committed. */
  async #place(cursors: readonly ReadCursor[]): Promise<void> {
    const { reset } = this.#of.member();
    if (reset === 'none') throw noCommittedOffset(this.#of.group, cursors[0]!);
    const bounds = await this.#parts.logs.bounds(cursors);
    const places = cursors.map((cursor, i) => ({ cursor, offset: initialOffset(reset, cursor, bounds[i]) }));
    if (!(await this.#commitPlaces(places))) return;
    for (const { cursor, offset } of places) cursor.offset = offset;
    this.#ready.push(...cursors);
    this.#unplaced = [];
  }

  /** Commits those of the places that are to be. @returns false if the group has changed, or is about to, as a topic has gone */
  async #commitPlaces(places: readonly { cursor: ReadCursor; offset: number }[]): Promise<boolean> {
    const { reset } = this.#of.member();
    const committed = places.filter(({ cursor, offset }) => mustCommitReset(reset, cursor.offset, offset));
    if (committed.length === 0) return true;
    try {
      const offsets = committed.map(({ cursor: { topic, partition }, offset }) => ({ topic, partition, offset }));
      for (let i = 0; i < offsets.length; i += offsetsPerCommit)
        await this.#of.commit(offsets.slice(i, i + offsetsPerCommit));
      return true;
    } catch (error) {
      if (!changedCodes.some((code) => hasCode(error, code))) throw error;
      this.#of.changed();
      await pause(retryMs, undefined, { signal: places[0]!.cursor.over.signal }).catch(() => undefined);
      return false;
    }
  }

  async #read(cursor: ReadCursor, signal: AbortSignal): Promise<void> {
    const fetched = await this.#fetch(cursor);
    // What the member has lost meanwhile is another's to read.
    if (signal.aborted || cursor.over.signal.aborted || !this.#of.isLeaseValid()) return;
    this.#ready.shift();
    if (!fetched) {
      this.#enqueue(cursor, waitForTopicMs);
      return;
    }
    const records = fetched.records.first(this.#sink.credit());
    const { count } = records;
    const isCut = count < fetched.records.count;
    cursor.offset = isCut ? records.nextOffset : fetched.nextOffset;
    cursor.isAtEnd = !isCut && fetched.nextOffset >= fetched.endOffset;
    if (cursor.isAtEnd) this.#enqueue(cursor, waitMs);
    else this.#ready.push(cursor);
    if (count === 0) return;
    this.#parts.given.inc({ via: 'socket' }, count);
    this.#sink.records(cursor.topic, cursor.partition, records.array(), count, cursor.offset);
  }

  /** Records from the cursor on; undefined if the topic has gone. */
  async #fetch(cursor: ReadCursor): Promise<FetchResult | undefined> {
    const { partition, offset } = cursor;
    // At the end all readers ask for the same, so that they share one read; what is over a reader's credit it reads again.
    const maxRecords = cursor.isAtEnd ? streamRecordsMax : Math.min(streamRecordsMax, this.#sink.credit());
    try {
      const topic = await topicOf(this.#parts.topics, cursor);
      if (!topic) return undefined;
      return await this.#parts.reader.fetch({ topic, partition, offset, maxRecords, maxBytes: streamBytesMax });
    } catch (error) {
      if (hasCode(error, 'UNKNOWN_TOPIC')) {
        // Perhaps it is not the topic that has gone, but the log that the store has lost.
        return (await this.#parts.topics.recreateLostLogs([cursor])) ? this.#fetch(cursor) : undefined;
      }
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
    }
    // Retention was faster, or the store has lost something.
    const { reset } = this.#of.member();
    const [bounds] = await this.#parts.logs.bounds([cursor]);
    if (!bounds) return undefined;
    if (reset === 'none') throw outOfRange(this.#of.group, cursor, bounds);
    const nextOffset = resetOffset(reset, bounds);
    if (!(await this.#commitPlaces([{ cursor, offset: nextOffset }]))) return undefined;
    return { ...bounds, records: FetchedRecords.none, nextOffset };
  }

  /** Puts a partition, of which all is read, among those to be read when there is more. */
  #enqueue(cursor: ReadCursor, forMs: number): void {
    const { topicId, partition, offset, over } = cursor;
    void this.#parts.reader.waitForAppend([{ topicId, partition, endOffset: offset }], forMs, over.signal).then(() => {
      if (over.signal.aborted) return;
      this.#ready.push(cursor);
      this.#of.wake();
    });
  }
}
