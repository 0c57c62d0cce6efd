// Retention and compaction of a log: typed calls of scripts of lua/logs, made by the partition's leader. Each call carries its
// leader epoch. The log refuses a superseded epoch, and an epoch that another process has used before (guarantee L6).
import { randomBytes } from 'node:crypto';
import type { StoredBatch } from '../../core/records/batch-lines.ts';
import type { BatchToCompact, CompactedBatch } from '../../core/records/compaction.ts';
import { partitionKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { bytes, integer, type ReplyValue, type ScriptArguments, text } from '../scripts.ts';
import type { LogBounds } from './logs.ts';

/** What compaction reads of a log; store/keys.ts (partitionKeys) describes the fields. */
export interface LogScan extends LogBounds {
  /** The run id of the Redis that was read: after a failover another Redis may have lost a part of the log. */
  runId: string;
  generation: number;
  /** The log is compacted up to this offset. */
  cleaned: number;
  /** When the oldest tombstones were first compacted, ms; 0 = there are none. */
  tombstonesSince: number;
  /** The time by Redis' clock, ms. */
  now: number;
  batches: BatchToCompact[];
}

interface CompactionStep {
  /** The run id of the scan that this step is based on, and of all earlier scans in the pass. */
  runId: string;
  /** The generation of the scan that this step is based on. */
  generation: number;
  /** The offset up to which the log is compacted after this step. */
  cleaned: number;
  /** Undefined = not known yet. */
  tombstonesSince: number | undefined;
  /** Compacted batches to delete. */
  removed: readonly BatchToCompact[];
  added: readonly CompactedBatch[];
}

/** Each -1 = no limit. */
interface RetentionLimits {
  retentionMs: number;
  retentionBytes: number;
  /** How far a record's timestamp may be after its append to count for retention; one further off is ignored. */
  timestampAfterMsMax?: number;
  /** Whether timestamps that are probably in seconds count. */
  allowsOldTimestamps?: boolean;
}

/** How many batches one call of retention deletes at most. */
const retainBatchesMax = 100;

export class LogMaintenance {
  readonly #connection: StoreConnection;
  readonly #prefix: string;
  /** Identifies this process, also among earlier and later processes with the same broker id. */
  readonly #brokerRunId = randomBytes(9).toString('base64url');

  constructor(connection: StoreConnection, prefix: string) {
    this.#connection = connection;
    this.#prefix = prefix;
  }

  /**
   * Deletes the oldest batches beyond the limits (-1 = no limit), at most retainBatchesMax a call.
   * @returns `more` = more batches may be beyond the limits; `dueInMs` = when the oldest batch will be too old
   * @throws ServiceError UNKNOWN_TOPIC; STALE_LEADER_EPOCH (field `leaderEpoch`) if the epoch is superseded, or another process uses it
   */
  async retain(
    topicId: string,
    partition: number,
    leaderEpoch: number,
    limits: RetentionLimits,
  ): Promise<LogBounds & { more: boolean; dueInMs: number | undefined }> {
    const { retentionMs, retentionBytes, timestampAfterMsMax = -1, allowsOldTimestamps = true } = limits;
    const args = [
      leaderEpoch,
      this.#brokerRunId,
      retentionMs,
      retentionBytes,
      retainBatchesMax,
      timestampAfterMsMax,
      allowsOldTimestamps ? 1 : 0,
    ];
    const [start, end, more, dueIn] = await this.#call('logs/retain', topicId, partition, args);
    return {
      logStartOffset: integer(start),
      endOffset: integer(end),
      more: text(more) === '1',
      dueInMs: integer(dueIn) < 0 ? undefined : integer(dueIn),
    };
  }

  /**
   * Reads batches for compaction, of about `bytesMax` bytes: from the one that holds the offset `from` to the last that begins before
   * `to`.
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
   * One step of compaction: replaces batches by others, if the log still has the generation of the scan, in the same run of Redis.
   * @returns the new generation; undefined if the log has changed since the scan, so that nothing was done
   * @throws ServiceError UNKNOWN_TOPIC; STALE_LEADER_EPOCH (field `leaderEpoch`) if the epoch is superseded, or another process uses it
   */
  async compact(
    topicId: string,
    partition: number,
    leaderEpoch: number,
    step: CompactionStep,
  ): Promise<number | undefined> {
    const { runId, generation, cleaned, tombstonesSince, removed, added } = step;
    const removedBytes = removed.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    const args: ScriptArguments = [
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

  #call(script: string, topicId: string, partition: number, args: ScriptArguments): Promise<ReplyValue[]> {
    return this.#connection.call(script, partitionKeys(this.#prefix, topicId, partition).partition, args);
  }
}

function lastOffsetOf({ baseOffset, count }: StoredBatch): number {
  return baseOffset + count - 1;
}
