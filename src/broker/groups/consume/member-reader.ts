// Reads the logs of a member's partitions: all of them at once, each as much as every other, within the limits of a call.
// Batches come whole from the store; what a call leaves of them is kept for the next, which may find more read ahead.

import { fairShares } from '../../../core/fair-share.ts';
import type { TopicPartition } from '../../../core/groups/group-document.ts';
import type { BatchLines } from '../../../core/records/batch-lines.ts';
import { FetchedRecords, type RecordLimits } from '../../../core/records/fetched-records.ts';
import { hasCode } from '../../../core/service-error.ts';
import type { KnownPartition } from '../../../store/groups/groups.ts';
import type { LogBounds, Logs } from '../../../store/log/logs.ts';
import type { LogReader } from '../../log/log-reader.ts';
import type { TopicCache } from '../../metadata/topic-cache.ts';
import { type MemberCursor, topicOf } from '../member-cursors.ts';

/** Where a member reads one partition by consume calls. */
export interface ConsumeCursor extends MemberCursor {
  /** Whether the store has the offset as the member's position. */
  isStored: boolean;
  /** Where the reset policy has put it, which is to be committed; `isBack` = even if more is committed. */
  place?: { offset: number; isBack: boolean } | undefined;
  /** Where the records begin that this call gives out, if there are any. */
  start?: number | undefined;
  /** The log as it was seen last; undefined before that. */
  log?: LogBounds | 'gone';
  /** What was read from `offset` on, and not given out. */
  prefetched?: Prefetched | undefined;
}

interface Prefetched {
  batches: readonly BatchLines[];
  /** Where to go on reading, behind what compaction has removed, too. */
  next: number;
}

/** Records of one partition, in order. */
export class ConsumedRecords implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  readonly records: FetchedRecords;
  #json: Buffer | undefined;

  constructor({ topic, partition }: TopicPartition, records: FetchedRecords) {
    this.topic = topic;
    this.partition = partition;
    this.records = records;
  }

  /** Each as JSON with its topic and partition, with commas between them. */
  json(): Buffer {
    this.#json ??= this.records.elementsWith(`"topic":${JSON.stringify(this.topic)},"partition":${this.partition}`);
    return this.#json;
  }
}

/** What was taken at a cursor. */
export interface CursorRecords {
  cursor: ConsumeCursor;
  records: ConsumedRecords;
}

export class MemberReader {
  readonly #topics: TopicCache;
  readonly #reader: LogReader;
  readonly #logs: Logs;

  constructor(topics: TopicCache, reader: LogReader, logs: Logs) {
    this.#topics = topics;
    this.#reader = reader;
    this.#logs = logs;
  }

  /** Sees where the logs of the cursors begin and end. Those that the store has lost are opened anew. */
  async look(cursors: Iterable<ConsumeCursor>): Promise<void> {
    const seen = [...cursors];
    let found = await this.#logs.bounds(seen);
    const missing = seen.filter((_, index) => !found[index]);
    if (missing.length > 0 && (await this.#topics.recreateLostLogs(missing))) found = await this.#logs.bounds(seen);
    for (const [index, cursor] of seen.entries()) cursor.log = found[index] ?? 'gone';
  }

  /**
   * Takes what there is, as far as the logs were seen to go, and moves the cursors on: each gives as many records as every
   * other, as far as it has them, and the bytes go with the records. If there are more partitions than records to give,
   * chance says which ones have a turn.
   */
  async take(cursors: Iterable<ConsumeCursor>, { maxRecords, maxBytes }: RecordLimits): Promise<CursorRecords[]> {
    const behind = [...cursors].filter((cursor) => lagOf(cursor) > 0);
    const first = Math.floor(Math.random() * behind.length);
    const turns = sharesOf([...behind.slice(first), ...behind.slice(0, first)], { maxRecords, maxBytes });
    const reads = turns.map(async ({ cursor, limits }) => {
      const read = prefetchedRecords(cursor, limits);
      if (read.isCut || read.count >= limits.maxRecords || !(await this.#readOn(cursor, limits))) return read;
      return prefetchedRecords(cursor, limits);
    });
    let bytes = 0;
    const taken: CursorRecords[] = [];
    for (const [i, records] of (await Promise.all(reads)).entries()) {
      const { cursor } = turns[i]!;
      // Records that are larger than the share of their partition wait for the next call, but for the first one of all.
      if (taken.length > 0 && bytes + records.bytes > maxBytes) continue;
      bytes += records.bytes;
      if (records.count > 0) {
        taken.push({ cursor, records: new ConsumedRecords(cursor, records) });
        cursor.start ??= cursor.offset;
      }
      advance(cursor, records);
    }
    return taken;
  }

  /** Reads ahead for the next call, if it has the same limits; cursors that are outside of their logs have nothing ahead. */
  async prefetch(cursors: Iterable<ConsumeCursor>, { maxRecords, maxBytes }: RecordLimits): Promise<void> {
    const all = [...cursors];
    await this.look(all);
    for (const cursor of all) if (isOutOfRange(cursor)) cursor.prefetched = undefined;
    const behind = all.filter((cursor) => lagOf(cursor) > 0);
    const short = sharesOf(behind, { maxRecords, maxBytes }).filter(({ cursor, limits }) => {
      const { prefetched: ahead, offset } = cursor;
      return !ahead || ahead.next - offset < limits.maxRecords;
    });
    // By bytes alone: a call that wants few records leaves some for those behind it.
    const maxAhead = Number.MAX_SAFE_INTEGER;
    await Promise.all(short.map(({ cursor, limits }) => this.#readOn(cursor, { ...limits, maxRecords: maxAhead })));
  }

  /** The records that are left of those from `start` up to `end`; undefined if there are none. */
  async range(at: KnownPartition, start: number, end: number): Promise<ConsumedRecords | undefined> {
    for (;;) {
      const [log] = await this.#logs.bounds([at]);
      const topic = log && (await topicOf(this.#topics, at));
      const offset = Math.max(start, log?.logStartOffset ?? end);
      if (!topic || offset >= Math.min(end, log.endOffset)) return undefined;
      const limits = { maxRecords: end - offset, maxBytes: Number.MAX_SAFE_INTEGER };
      try {
        const { records } = await this.#reader.fetch({ topic, partition: at.partition, offset, ...limits });
        // Compaction may have made room for some that come behind.
        const count = records.records.filter((record) => record.offset < end).length;
        return count === 0 ? undefined : new ConsumedRecords(at, records.first(count));
      } catch (error) {
        // Retention was faster.
        if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
      }
    }
  }

  /** Waits until there is something new in the logs, as they were seen, or `signal` is aborted. */
  async waitForMore(cursors: Iterable<ConsumeCursor>, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const logs = [...cursors].flatMap(({ topicId, partition, log }) =>
      log && log !== 'gone' ? [{ topicId, partition, endOffset: log.endOffset }] : [],
    );
    await this.#reader.waitForAppend(logs, timeoutMs, signal);
  }

  /** Reads behind what is ahead. @returns false if there is nothing any more */
  async #readOn(cursor: ConsumeCursor, limits: RecordLimits): Promise<boolean> {
    const { partition, prefetched: ahead } = cursor;
    try {
      const topic = await topicOf(this.#topics, cursor);
      if (!topic) return false;
      const from = ahead?.next ?? cursor.offset;
      const { records, nextOffset } = await this.#reader.fetch({ topic, partition, offset: from, ...limits });
      const { batches } = records;
      const last = batches.at(-1);
      const next = records.isCut && last ? last.baseOffset + last.count : nextOffset;
      cursor.prefetched = { batches: [...(ahead?.batches ?? []), ...batches], next };
      return true;
    } catch (error) {
      // Retention or a deletion was faster; the next round sees the log as it is then.
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE') && !hasCode(error, 'UNKNOWN_TOPIC')) throw error;
      return false;
    }
  }
}

/** Whether the log, as it was seen, does not have the offset of the cursor. */
export function isOutOfRange({ log, offset }: ConsumeCursor): boolean {
  return log !== undefined && log !== 'gone' && (offset < log.logStartOffset || offset > log.endOffset);
}

/** How many offsets of the log, as it was seen, are left to be read. */
export function lagOf({ log, offset }: ConsumeCursor): number {
  return log === undefined || log === 'gone' ? 0 : log.endOffset - offset;
}

/** The bytes of memory that is held by what was read ahead. */
export function prefetchedBytesOf(cursors: Iterable<ConsumeCursor>): number {
  const buffers = new Set<ArrayBufferLike>();
  for (const { prefetched: ahead } of cursors) for (const { bytes } of ahead?.batches ?? []) buffers.add(bytes.buffer);
  let sum = 0;
  for (const { byteLength } of buffers) sum += byteLength;
  return sum;
}

/** What each of the cursors may give, of those that may give something. */
function sharesOf(cursors: readonly ConsumeCursor[], { maxRecords, maxBytes }: RecordLimits) {
  const shares = fairShares(cursors.map(lagOf), maxRecords);
  const all = shares.reduce((sum, share) => sum + share, 0);
  return cursors.flatMap((cursor, i) => {
    const share = shares[i]!;
    const limits = { maxRecords: share, maxBytes: Math.max(1, Math.floor((maxBytes * share) / all)) };
    return share > 0 ? [{ cursor, limits }] : [];
  });
}

/** What is ahead of a cursor, within limits. */
function prefetchedRecords({ prefetched: ahead, offset }: ConsumeCursor, limits: RecordLimits): FetchedRecords {
  return ahead ? new FetchedRecords(ahead.batches, offset, limits) : FetchedRecords.none;
}

/** Moves a cursor behind what was cut off from what is ahead of it. */
function advance(cursor: ConsumeCursor, records: FetchedRecords): void {
  const { prefetched: ahead, offset } = cursor;
  if (!ahead) return;
  cursor.offset = records.isCut ? records.nextOffset : ahead.next;
  const batches = ahead.batches.filter(({ baseOffset, count }) => baseOffset + count > cursor.offset);
  cursor.prefetched = records.isCut && batches.length > 0 ? { ...ahead, batches } : undefined;
  if (cursor.offset !== offset) cursor.isStored = false;
}
