// Reads the logs of all partitions of a member at once. They share the limits of a call: equally, where equal shares are large enough to
// be worth a read, else the partitions take turns, and one that has few records gives all of them. The store returns whole batches; records
// over the limits stay cached for the next call.

import { largeShares } from '../../../core/fair-share.ts';
import type { TopicPartition } from '../../../core/groups/group-document.ts';
import type { BatchLines } from '../../../core/records/batch-lines.ts';
import { FetchedRecords } from '../../../core/records/fetched-records.ts';
import type { RecordLimits } from '../../../core/records/taken-batches.ts';
import { required } from '../../../core/required.ts';
import { hasCode } from '../../../core/service-error.ts';
import type { KnownPartition } from '../../../store/groups/groups.ts';
import type { LogBounds, Logs } from '../../../store/log/logs.ts';
import { decompressCut } from '../../log/batch-compression.ts';
import type { LogReader } from '../../log/log-reader.ts';
import type { FetchedContent, ReadForm } from '../../log/read-forms.ts';
import type { TopicCache } from '../../metadata/topic-cache.ts';
import { type MemberCursor, topicOf } from '../member-cursors.ts';

/** The cursor of a member in one partition that it reads by consume calls. */
export interface ConsumeCursor extends MemberCursor {
  /** Whether the offset is stored as the position of the member. */
  isStored: boolean;
  /** Whether the stored position is known to be committed as an offset, or below the committed one. */
  isCommitted?: boolean;
  /** An offset chosen by the reset policy, to be committed; with `isBack` even if a higher offset is committed. */
  resetTo?: { offset: number; isBack: boolean } | undefined;
  /** The offset of the first record that this call returns; undefined if it returns none of the partition. */
  start?: number | undefined;
  /** The bounds of the log when they were read last; undefined before that. */
  log?: LogBounds | 'missing';
  /** Just before that, as performance.now(). */
  boundsReadAt?: number;
  /** The turn in which records were taken last; below 0 and random before that. */
  turn?: number;
  /** Batches that were read from `offset` on and not returned yet. */
  prefetched?: Prefetched | undefined;
}

interface Prefetched {
  /** Compressed ones only if the call that they are read for takes them. */
  batches: readonly BatchLines[];
  /** The offset after the batches and after records that compaction has removed behind them. */
  next: number;
}

/** Records of one partition, in order. */
export class ConsumedRecords implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  readonly records: FetchedContent;
  #parts: Buffer[] | undefined;

  constructor({ topic, partition }: TopicPartition, records: FetchedContent) {
    this.topic = topic;
    this.partition = partition;
    this.records = records;
  }

  /** The text, with topic and partition: the records as JSON objects separated by commas, or the batches (FetchedBatches). */
  parts(): Buffer[] {
    const fields = `"topic":${JSON.stringify(this.topic)},"partition":${this.partition}`;
    this.#parts ??=
      this.records instanceof FetchedRecords ? [this.records.elementsWith(fields)] : this.records.parts(fields);
    return this.#parts;
  }
}

/** What a call reads at most, and in which form. */
export interface ConsumeLimits extends RecordLimits {
  form: ReadForm<FetchedContent>;
}

/** Records taken at a cursor. */
export interface CursorRecords {
  cursor: ConsumeCursor;
  records: ConsumedRecords;
}

/**
 * The share of a partition for which it is worth being read, and its offset stored, in records: as many as Kafka's consumer returns at
 * once, which takes them from one partition as well.
 */
const worthwhileShare = 500;
/** Records that one prefetch reads of a partition, at most: a call for few records leaves some for the calls after it. */
const prefetchedRecordsMax = 4 * worthwhileShare;
/** How old the known bounds of a log may be when records are prefetched, ms. */
const boundsAgeMsMax = 50;

export class MemberReader {
  /** How many calls have taken records so far. */
  #turns = 0;
  readonly #topics: TopicCache;
  readonly #reader: LogReader;
  readonly #logs: Logs;

  constructor(topics: TopicCache, reader: LogReader, logs: Logs) {
    this.#topics = topics;
    this.#reader = reader;
    this.#logs = logs;
  }

  /** Reads the bounds of the logs, if they are not known or older than `ageMsMax`. Logs that the store has lost are created again. */
  async refreshBounds(cursors: Iterable<ConsumeCursor>, ageMsMax = 0): Promise<void> {
    const boundsReadAt = performance.now();
    const isOld = ({ boundsReadAt: at }: ConsumeCursor) => at === undefined || boundsReadAt - at >= ageMsMax;
    const seen = [...cursors].filter(isOld);
    if (seen.length === 0) return;
    let found = await this.#logs.bounds(seen);
    const missing = seen.filter((_, index) => !found[index]);
    if (missing.length > 0 && (await this.#topics.recreateLostLogs(missing))) found = await this.#logs.bounds(seen);
    for (const [index, cursor] of seen.entries()) {
      cursor.log = found[index] ?? 'missing';
      cursor.boundsReadAt = boundsReadAt;
    }
  }

  /**
   * Takes records up to the ends of the logs as they were read, and advances the cursors. The partitions have shares of the limits
   * (sharesOf).
   */
  async takeRecords(
    cursors: Iterable<ConsumeCursor>,
    { maxRecords, maxBytes, form }: ConsumeLimits,
  ): Promise<CursorRecords[]> {
    const turns = sharesOf(cursors, { maxRecords, maxBytes });
    this.#turns += 1;
    const reads = turns.map(async ({ cursor, limits }) => {
      const read = await prefetchedRecords(cursor, limits, form);
      if (read.isCut || read.count >= limits.maxRecords) return read;
      const more = await this.#readMore(cursor, { ...limits, form });
      if (!more) return read;
      // If nothing was prefetched, the records were fetched with these very limits.
      return more.isFirst ? more.records : prefetchedRecords(cursor, limits, form);
    });
    let bytes = 0;
    const taken: CursorRecords[] = [];
    for (const [i, records] of (await Promise.all(reads)).entries()) {
      const { cursor } = required(turns[i], 'turn of a read');
      // Records that are larger than the share of their partition wait for the next call, unless they are the first.
      if (taken.length > 0 && bytes + records.bytes > maxBytes) continue;
      bytes += records.bytes;
      if (records.count > 0) {
        taken.push({ cursor, records: new ConsumedRecords(cursor, records) });
        cursor.start ??= cursor.offset;
        cursor.turn = this.#turns;
      }
      advance(cursor, records);
    }
    return taken;
  }

  /** Prefetches records for the next call, which may have the same limits. Cursors outside of their logs get none. */
  async prefetch(cursors: Iterable<ConsumeCursor>, { maxRecords, maxBytes, form }: ConsumeLimits): Promise<void> {
    const all = [...cursors];
    await this.refreshBounds(all, boundsAgeMsMax);
    for (const cursor of all) if (isOutOfRange(cursor)) cursor.prefetched = undefined;
    const short = sharesOf(all, { maxRecords, maxBytes }).filter(({ cursor, limits }) => {
      const { prefetched, offset } = cursor;
      return !prefetched || prefetched.next - offset < limits.maxRecords;
    });
    await Promise.all(
      short.map(({ cursor, limits }) => {
        const maxRecords = Math.max(limits.maxRecords, prefetchedRecordsMax);
        return this.#readMore(cursor, { ...limits, maxRecords, form });
      }),
    );
  }

  /** The records from `start` up to `end` that the log still has; undefined if there are none. */
  async range(
    at: KnownPartition,
    start: number,
    end: number,
    form: ReadForm<FetchedContent>,
  ): Promise<ConsumedRecords | undefined> {
    for (;;) {
      const [log] = await this.#logs.bounds([at]);
      const topic = log && (await topicOf(this.#topics, at));
      const offset = Math.max(start, log?.logStartOffset ?? end);
      if (!topic || offset >= Math.min(end, log.endOffset)) return undefined;
      const limits = { maxRecords: end - offset, maxBytes: Number.MAX_SAFE_INTEGER, end };
      try {
        const { records } = await this.#reader.fetch({ topic, partition: at.partition, offset, ...limits }, form);
        return records.count === 0 ? undefined : new ConsumedRecords(at, records);
      } catch (error) {
        // Retention was faster.
        if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
      }
    }
  }

  /** Waits until one of the logs has grown beyond its known end, or `signal` is aborted. */
  async waitForMore(cursors: Iterable<ConsumeCursor>, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const logs = [...cursors].flatMap(({ topicId, partition, log }) =>
      log && log !== 'missing' ? [{ topicId, partition, endOffset: log.endOffset }] : [],
    );
    await this.#reader.waitForAppend(logs, timeoutMs, signal);
  }

  /** Reads the records after the prefetched ones. @returns undefined if there are none */
  async #readMore(
    cursor: ConsumeCursor,
    { form, ...limits }: ConsumeLimits,
  ): Promise<{ records: FetchedContent; isFirst: boolean } | undefined> {
    const { partition, prefetched, boundsReadAt } = cursor;
    try {
      const topic = await topicOf(this.#topics, cursor);
      if (!topic) return undefined;
      const from = prefetched?.next ?? cursor.offset;
      const { records, nextOffset } = await this.#reader.fetch(
        { topic, partition, offset: from, ...limits, ...(boundsReadAt !== undefined && { askedAt: boundsReadAt }) },
        form,
      );
      const { batches } = records;
      const last = batches.at(-1);
      const next = records.isCut && last ? last.baseOffset + last.count : nextOffset;
      cursor.prefetched = { batches: [...(prefetched?.batches ?? []), ...batches], next };
      return { records, isFirst: !prefetched };
    } catch (error) {
      // Retention or a deletion was faster; the next read of the bounds shows it.
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE') && !hasCode(error, 'UNKNOWN_TOPIC')) throw error;
      return undefined;
    }
  }
}

/** Whether the offset of the cursor is outside of the bounds of the log, as they were read. */
export function isOutOfRange({ log, offset }: ConsumeCursor): boolean {
  return log !== undefined && log !== 'missing' && (offset < log.logStartOffset || offset > log.endOffset);
}

/** How many offsets are left up to the end of the log, as it was read. */
export function lagOf({ log, offset }: ConsumeCursor): number {
  return log === undefined || log === 'missing' ? 0 : log.endOffset - offset;
}

/** Bytes of memory that prefetched batches hold. */
export function prefetchedBytesOf(cursors: Iterable<ConsumeCursor>): number {
  const buffers = new Set<ArrayBufferLike>();
  for (const { prefetched } of cursors) for (const { bytes } of prefetched?.batches ?? []) buffers.add(bytes.buffer);
  let sum = 0;
  for (const { byteLength } of buffers) sum += byteLength;
  return sum;
}

/**
 * The limits of each cursor that has records and a share, as core/fair-share.ts divides them. Where not all have one, those come first from
 * which records were taken longest ago.
 */
function sharesOf(cursors: Iterable<ConsumeCursor>, { maxRecords, maxBytes }: RecordLimits) {
  const behind = [...cursors].filter((cursor) => lagOf(cursor) > 0);
  // Calls that begin without a cached state would else always begin with the same partition.
  for (const cursor of behind) cursor.turn ??= -Math.random();
  behind.sort((one, other) => (one.turn ?? 0) - (other.turn ?? 0));
  const shares = largeShares(behind.map(lagOf), maxRecords, worthwhileShare);
  const all = shares.reduce((sum, share) => sum + share, 0);
  return behind.flatMap((cursor, i) => {
    const share = shares[i] ?? 0;
    const limits = { maxRecords: share, maxBytes: Math.max(1, Math.floor((maxBytes * share) / all)) };
    return share > 0 ? [{ cursor, limits }] : [];
  });
}

/** The prefetched records of a cursor, within limits. */
async function prefetchedRecords(
  cursor: ConsumeCursor,
  limits: RecordLimits,
  form: ReadForm<FetchedContent>,
): Promise<FetchedContent> {
  const { prefetched, offset } = cursor;
  if (!prefetched) return form.none;
  const batches = await decompressCut(prefetched.batches, offset, limits);
  if (batches !== prefetched.batches) cursor.prefetched = { ...prefetched, batches };
  return form.take(batches, offset, limits);
}

/** Drops prefetched batches that are compressed, if the form does not take them: the calls of a member may differ in it. */
export function dropUnreadable(cursor: ConsumeCursor, { takesCompressed }: ReadForm<FetchedContent>): void {
  if (!takesCompressed && cursor.prefetched?.batches.some(({ isCompressed }) => isCompressed)) {
    cursor.prefetched = undefined;
  }
}

/** Advances a cursor past the records, and drops the prefetched batches before it. */
function advance(cursor: ConsumeCursor, records: FetchedContent): void {
  const { prefetched, offset } = cursor;
  if (!prefetched) return;
  cursor.offset = records.isCut ? records.nextOffset : prefetched.next;
  const batches = prefetched.batches.filter(({ baseOffset, count }) => baseOffset + count > cursor.offset);
  cursor.prefetched = records.isCut && batches.length > 0 ? { ...prefetched, batches } : undefined;
  if (cursor.offset !== offset) cursor.isStored = false;
}
