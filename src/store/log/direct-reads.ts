/**
 * Reads batches of a log by plain commands of Redis. The script that reads (lua/logs/read.lua) copies each batch from the reply of
 * Redis into Lua and from there into its own reply: a MiB takes it six times the CPU time of the commands.
 *
 * A script judges what it has read as it reads, and these commands run one after another. The last one of them reads the bounds of the
 * log, and what the others returned counts only if it is still in the log then: the log is the one that was known before, on the same
 * run of Redis, and neither its start nor its compaction has reached the offset. As a batch in the stream never changes, the result is
 * what the script would have returned at that moment. Where anything is not as expected, there is no result, and the script decides:
 * it alone knows compacted batches, logs without sizes, and errors.
 *
 * The commands are told how many batches to read, and not how many bytes. So they are used only where it is known how large the
 * batches are: those of the last read by their mean, which is expected again, and all of them by the largest one, which is the limit.
 */
import type { Redis } from 'ioredis';
import { recentlyUsed } from '../../core/recently-used.ts';
import type { StoredBatch } from '../../core/records/batch-lines.ts';
import { BatchRoom } from '../../core/records/batch-room.ts';
import type { RecordLimits } from '../../core/records/taken-batches.ts';
import { required } from '../../core/required.ts';
import type { PartitionKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import type { LogState } from './log-summary.ts';

/** What is known of the sizes of a log's batches. */
interface BatchSizes {
  createdAt: number;
  serverRun: string;
  /** The sizes of batches from this offset on are known, up to `endOffset`. */
  sizedFrom: number;
  endOffset: number;
  /** The bytes of the largest of them. */
  largest: number;
  /** The mean of those that were read last, and the least of them. */
  meanBytes: number;
  meanCount: number;
  leastBytes: number;
  leastCount: number;
  /** The end of the last one. */
  boundary: number;
}

interface DirectReadRequest {
  keys: PartitionKeys;
  offset: number;
  limits: RecordLimits;
  /** Whether the last batch may not exceed the limits either, unless it is the first. */
  withinLimits: boolean;
}

/** What a read has shown of a log. */
type LogShown = Pick<LogState, 'logStartOffset' | 'endOffset' | 'compactedUpTo' | 'createdAt'>;

interface DirectRead extends LogShown {
  batches: StoredBatch[];
  /** Whether no batch follows. */
  isComplete: boolean;
}

/** The fields of the log that are read (store/keys.ts). */
const fields = ['start', 'next', 'cleaned', 'created_at', 'total', 'sized', 'sized_from', 'largest'];
/**
 * By how much the batches of one read may exceed its limit of bytes, if all of them are as large as the largest. The first batch may
 * exceed it by as much in every read: a request body has up to so many bytes by default.
 */
const excessBytesMax = 16 * 1024 * 1024;
/** Smaller batches are read by the script, which joins them: to decode each of them costs the broker more than Redis saves. */
const meanBytesMin = 4096;
/** The number of logs whose sizes are known. */
const logsMax = 10_000;

export class DirectReads {
  readonly #connection: StoreConnection;
  readonly #sizes = recentlyUsed<BatchSizes>(logsMax);

  constructor(connection: StoreConnection) {
    this.#connection = connection;
  }

  /**
   * Notes what a read by the script has shown of a log.
   * @param sizedFrom -1 = the sizes are not known
   */
  note(
    { partition }: PartitionKeys,
    { createdAt, serverRun, endOffset }: LogState,
    { sizedFrom, largest }: { sizedFrom: number; largest: number },
    batches: readonly StoredBatch[],
  ): void {
    if (sizedFrom < 0) this.#sizes.delete(partition);
    else if (batches.length > 0)
      this.#sizes.set(partition, { createdAt, serverRun, endOffset, sizedFrom, largest, ...sizesOf(batches) });
  }

  /**
   * Reads whole batches from the one that holds an offset on, until a limit is reached; where the last one may not exceed it, until
   * not even a batch like the smallest of those before would fit.
   * @returns undefined if the script must be asked
   */
  async read({ keys, offset, limits, withinLimits }: DirectReadRequest): Promise<DirectRead | undefined> {
    const room = new BatchRoom(offset, limits, withinLimits);
    for (;;) {
      const sizes = this.#sizesAt(keys.partition, room.nextOffset);
      const count = sizes && countFor(sizes, room, withinLimits);
      if (!sizes || count === undefined) return undefined;
      const { batches, bounds } = await this.#ask(keys, room.nextOffset, count, sizes);
      if (!bounds || offset < bounds.logStartOffset || offset < bounds.compactedUpTo) return undefined;
      if (!isConsecutive(batches, room.nextOffset)) return undefined;
      for (const batch of batches) room.take(batch);
      const isComplete = room.nextOffset === bounds.endOffset;
      if (isComplete || room.isFull || (withinLimits && isNearlyFull(room, sizes)))
        return { ...bounds, batches: room.batches, isComplete };
    }
  }

  /** The sizes of the batches from an offset on, as far as they are known of the log that is there now. */
  #sizesAt(key: string, offset: number): BatchSizes | undefined {
    const sizes = this.#sizes.get(key);
    if (!sizes || offset < sizes.sizedFrom || offset >= sizes.endOffset) return undefined;
    // Another run of Redis may have lost the end of the log, and have other batches there.
    return sizes.serverRun === this.#connection.serverRunOf(key) ? sizes : undefined;
  }

  /**
   * Reads the batch that holds an offset and those behind it, and then the bounds of the log; notes the sizes.
   * @returns `bounds` = undefined if it is not the log that was known
   */
  async #ask({ log, partition }: PartitionKeys, offset: number, count: number, { serverRun, ...known }: BatchSizes) {
    // The id of a batch is the offset behind its first one, and its count (store/keys.ts).
    const ask = (client: Redis) =>
      Promise.all([
        client.xrevrangeBuffer(log, offset + 1, '-', 'COUNT', 1),
        count > 1 ? client.xrangeBuffer(log, offset + 2, known.endOffset, 'COUNT', count - 1) : [],
        client.hmget(partition, ...fields),
      ]);
    const [holding, following, shown] = await this.#connection.command(false, ask, partition, 'direct-read');
    const [logStartOffset, endOffset, compactedUpTo, createdAt, total, sized, sizedFrom, largest] = shown.map(Number);
    const bounds = { logStartOffset, endOffset, compactedUpTo, createdAt } as LogShown;
    const batches = [...holding, ...following].map(batchOf);
    const isSameLog =
      shown[1] !== null && createdAt === known.createdAt && this.#connection.serverRunOf(partition) === serverRun;
    if (!isSameLog || total !== sized || batches.length === 0) this.#sizes.delete(partition);
    else
      this.#sizes.set(partition, {
        ...known,
        serverRun,
        endOffset,
        sizedFrom,
        largest,
        ...sizesOf(batches),
      } as BatchSizes);
    return { batches, bounds: isSameLog ? bounds : undefined };
  }
}

/** How many batches fill the room; undefined if so many might be far too large, or are so small that the script is better. */
function countFor(
  { meanBytes, meanCount, largest, boundary }: BatchSizes,
  room: BatchRoom,
  withinLimits: boolean,
): number | undefined {
  // The records before the offset in its batch do not count. If all batches have as many records, so many are these:
  const before = (((room.nextOffset - boundary) % meanCount) + meanCount) % meanCount;
  const wanted = Math.min(room.bytesLeft / meanBytes, (room.recordsLeft + before) / meanCount);
  const count = Math.max(1, withinLimits ? Math.floor(wanted) : Math.ceil(wanted));
  const isBounded = count === 1 || count * largest <= room.bytesLeft + excessBytesMax;
  return isBounded && meanBytes >= meanBytesMin ? count : undefined;
}

/** Whether not even a batch like the smallest would fit. */
function isNearlyFull(room: BatchRoom, { leastBytes, leastCount }: BatchSizes): boolean {
  return room.bytesLeft < leastBytes || room.recordsLeft < leastCount;
}

/** @param batches at least one */
function sizesOf(batches: readonly StoredBatch[]) {
  const sizes = {
    meanBytes: 0,
    meanCount: 0,
    leastBytes: Number.POSITIVE_INFINITY,
    leastCount: Number.POSITIVE_INFINITY,
    boundary: 0,
  };
  for (const { baseOffset, count, records } of batches) {
    sizes.meanBytes += records.length / batches.length;
    sizes.meanCount += count / batches.length;
    sizes.leastBytes = Math.min(sizes.leastBytes, records.length);
    sizes.leastCount = Math.min(sizes.leastCount, count);
    sizes.boundary = baseOffset + count;
  }
  return sizes;
}

/** Whether the first batch holds the offset, and each of the others begins where the one before it ends. */
function isConsecutive(batches: readonly StoredBatch[], offset: number): boolean {
  let next = offset;
  for (const [index, { baseOffset, count }] of batches.entries()) {
    const isNext = index === 0 ? baseOffset <= offset && offset < baseOffset + count : baseOffset === next;
    if (!isNext) return false;
    next = baseOffset + count;
  }
  return batches.length > 0;
}

/** Decodes an entry of the stream (store/keys.ts: log). */
function batchOf([id, [, time, , , , , , records]]: [Buffer, Buffer[]]): StoredBatch {
  const [first, count] = id.toString('latin1').split('-');
  return {
    baseOffset: Number(first) - 1,
    count: Number(count),
    timestamp: Number(required(time, 'time of a batch').toString('latin1')),
    records: required(records, 'records of a batch'),
  };
}
