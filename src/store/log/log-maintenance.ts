// What a partition's leader does to its log in the background: retention and compaction. Each call says under which leader
// epoch it is made, and the log refuses one that is over, or that another run of a broker has worked under (guarantee L6).
import { randomBytes } from 'node:crypto';
import type { StoredBatch } from '../../core/records/batch-lines.ts';
import type { BatchToCompact, CompactedBatch } from '../../core/records/compaction.ts';
import { partitionKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { bytes, integer, type ReplyValue, text } from '../scripts.ts';
import type { LogBounds } from './logs.ts';

/** What compaction reads of a log (store/keys.ts says what the words mean). */
export interface LogScan extends LogBounds {
  /** Of the Redis that was read: another one may have lost some of it. */
  runId: string;
  generation: number;
  /** Compaction has been through the log up to here. */
  cleaned: number;
  /** When the oldest tombstones were first compacted, ms; 0 = there are none. */
  tombstonesSince: number;
  /** The store's time, ms. */
  now: number;
  batches: BatchToCompact[];
}

export interface CompactionStep {
  /** Of the scan that it stands on, and of all those before it in the pass. */
  runId: string;
  /** Of the scan that it stands on. */
  generation: number;
  /** Up to where the log is compacted with this step. */
  cleaned: number;
  /** Undefined: not known yet. */
  tombstonesSince: number | undefined;
  /** Compacted batches that go. */
  removed: readonly BatchToCompact[];
  added: readonly CompactedBatch[];
}

/** Each -1 = no limit. */
export interface RetentionLimits {
  retentionMs: number;
  retentionBytes: number;
  /** By how much the timestamps of records may be after their append: others do not count. */
  timestampAfterMsMax?: number;
  /** Whether timestamps count that are probably in seconds. */
  allowsOldTimestamps?: boolean;
}

/** How many batches retention lets go of in one call. */
const retainBatchesMax = 100;

export class LogMaintenance {
  readonly #connection: StoreConnection;
  readonly #prefix: string;
  /** Tells this run of a broker from all others, those with its id, too. */
  readonly #brokerRunId = randomBytes(9).toString('base64url');

  constructor(connection: StoreConnection, prefix: string) {
    this.#connection = connection;
    this.#prefix = prefix;
  }

  /**
   * Lets go of the oldest batches that are outside the limits (-1 = no limit), a bounded number a call.
   * @returns `more` = there may be others that are due; `dueInMs` = how long until the oldest batch is too old
   * @throws ServiceError UNKNOWN_TOPIC; STALE_LEADER_EPOCH (field `leaderEpoch`) for a leader that was deposed, or whose epoch is another's
   */
  async retain(
    topicId: string,
    partition: number,
    leaderEpoch: number,
    limits: RetentionLimits,
  ): Promise<LogBounds & { more: boolean; dueInMs: number | undefined }> {
    const {
      retentionMs,
      retentionBytes,
      timestampAfterMsMax = -1,
      allowsOldTimestamps: takesOldTimestamps = true,
    } = limits;
    const ages = [retainBatchesMax, timestampAfterMsMax, takesOldTimestamps ? 1 : 0];
    const args = [leaderEpoch, this.#brokerRunId, retentionMs, retentionBytes, ...ages];
    const [start, end, more, dueIn] = await this.#call('logs/retain', topicId, partition, args);
    return {
      logStartOffset: integer(start),
      endOffset: integer(end),
      more: text(more) === '1',
      dueInMs: integer(dueIn) < 0 ? undefined : integer(dueIn),
    };
  }

  /**
   * Reads batches for compaction, about `bytes` of them: those that begin before the offset `to`, from the one that holds
   * `from` on.
   * @throws ServiceError UNKNOWN_TOPIC
   */
  async scan(topicId: string, partition: number, from: number, to: number, bytesMax: number): Promise<LogScan> {
    const reply = await this.#call('logs/scan', topicId, partition, [from, to, bytesMax]);
    const [runId, generation, start, end, cleaned, tombstonesSince, now] = reply;
    const batches: BatchToCompact[] = [];
    for (let i = 7; i + 4 < reply.length; i += 5) {
      const baseOffset = integer(reply[i]);
      const records = bytes(reply[i + 4]);
      batches.push({
        baseOffset,
        count: integer(reply[i + 1]),
        timestamp: integer(reply[i + 2]),
        tombstonesSince: integer(reply[i + 3]),
        isCompacted: baseOffset < integer(cleaned),
        records,
        storedBytes: records.length,
      });
    }
    return {
      runId: text(runId),
      generation: integer(generation),
      logStartOffset: integer(start),
      endOffset: integer(end),
      cleaned: integer(cleaned),
      tombstonesSince: integer(tombstonesSince),
      now: integer(now),
      batches,
    };
  }

  /**
   * One step of compaction: puts batches in the place of others, if the log is still of the generation of the scan, in the same run of Redis.
   * @returns the generation that it has now; undefined if it has changed meanwhile, and nothing was done
   * @throws ServiceError UNKNOWN_TOPIC; STALE_LEADER_EPOCH (field `leaderEpoch`) for a leader that was deposed, or whose epoch is another's
   */
  async compact(
    topicId: string,
    partition: number,
    leaderEpoch: number,
    step: CompactionStep,
  ): Promise<number | undefined> {
    const { runId, generation, cleaned, tombstonesSince, removed, added } = step;
    const removedBytes = removed.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    const args: (string | number | Buffer)[] = [
      leaderEpoch,
      this.#brokerRunId,
      runId,
      generation,
      cleaned,
      tombstonesSince ?? '',
      removedBytes,
      removed.length,
    ];
    for (const batch of removed) args.push(lastOffsetOf(batch));
    for (const batch of added) {
      const { baseOffset, count, timestamp, maxTimestamp, tombstonesSince: since, records } = batch;
      const head = Buffer.from(`${baseOffset} ${count} ${timestamp} ${maxTimestamp} ${since}\n`);
      args.push(lastOffsetOf(batch), Buffer.concat([head, records]));
    }
    const [now] = await this.#call('logs/compact', topicId, partition, args);
    return integer(now) < 0 ? undefined : integer(now);
  }

  #call(script: string, topicId: string, partition: number, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    return this.#connection.call(script, partitionKeys(this.#prefix, topicId, partition).partition, args);
  }
}

function lastOffsetOf({ baseOffset, count }: StoredBatch): number {
  return baseOffset + count - 1;
}
