// The logs of partitions: typed calls of lua/logs. Each partition has keys with a hash tag of its own. The caller orders steps that span several partitions, or a topic and its node in the tree.
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { StoredBatch } from '../../core/records/batch-lines.ts';
import { required } from '../../core/required.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import { type IdempotencyKey, logIdempotencyArguments, storedResponseLimits } from '../idempotency.ts';
import { appendsChannel, type PartitionKeys, partitionKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { Replication, type ReplicationResult } from '../redis/replication.ts';
import { bytes, integer, type ReplyValue, type ScriptArguments, text } from '../scripts.ts';
import { defaultStoredLimits, type StoredLimits } from '../stored-limits.ts';
import { type BatchToAppend, encodeChecks } from './batch.ts';
import { DirectReads } from './direct-reads.ts';
import { type LogNoticeListener, subscribeToLogs } from './log-notices.ts';
import { type AppendResult, decodeAppendReply, decodeBatches } from './log-replies.ts';
import type { LogBounds, LogState, LogSummary } from './log-summary.ts';
import type { LogId } from './producers.ts';

export type { BatchDeduplication, BatchToAppend, DeduplicationKey, Fence, RequestTimestamps } from './batch.ts';
export type { LogBounds, LogState, LogSummary } from './log-summary.ts';

/** Is told what calls of the store show of logs. */
interface LogObserver {
  /** A log was seen; undefined: it does not exist. */
  onState(log: LogId, state: LogState | undefined): void;
  /** Consecutive batches of a log were appended or read. */
  onBatches(log: LogId, state: LogState, batches: readonly StoredBatch[], wereAppended: boolean): void;
}

/** How many batches one call of a search by time reads, so that it does not block Redis for long. */
const seekBatchesMax = 200;
/** How many logs are read at the same time. */
const boundsAtOnceMax = 500;
/** Is never the server that serves a log now. */
const unknownServer = 'unknown';
/** The fields that bounds() reads of a log (store/keys.ts). */
const boundsFields = [
  'start',
  'next',
  'total',
  'trimmed',
  'compacted',
  'cleaned',
  'records_end',
  'created_at',
] as const;

export class Logs {
  readonly #connection: StoreConnection;
  readonly #prefix: string;
  readonly #log: Logger;
  readonly #channel: string;
  readonly #replication: Replication;
  readonly #fencesMax: number;
  /** The limits of stored results (storedResponseLimits). */
  readonly #responseLimits: string;
  readonly #directReads: DirectReads;
  #observer: LogObserver | undefined;

  constructor(connection: StoreConnection, prefix: string, log: Logger, limits: StoredLimits = defaultStoredLimits) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#log = log;
    this.#channel = appendsChannel(prefix);
    this.#replication = new Replication(connection);
    this.#directReads = new DirectReads(connection);
    this.#fencesMax = limits.fencesMax;
    this.#responseLimits = storedResponseLimits(limits.appendsMax, limits.appendBytesMax);
  }

  /** Creates an empty log; an existing one stays as it is. */
  async create(topicId: string, partition: number): Promise<void> {
    await this.#call('logs/open', topicId, partition, ['new']);
  }

  /**
   * Creates an empty log in place of one that Redis has lost completely.
   * @returns `opened` = created; `there` = it exists; `refused` = it was removed shortly before, or some of its keys are left
   */
  async recreateLost(topicId: string, partition: number): Promise<'opened' | 'there' | 'refused'> {
    const [outcome] = await this.#call('logs/open', topicId, partition, ['lost']);
    return text(outcome) as 'opened' | 'there' | 'refused';
  }

  /** Removes a log with all its records, if it exists. */
  async remove(topicId: string, partition: number): Promise<void> {
    await this.#call('logs/remove', topicId, partition, []);
  }

  /**
   * Appends batches to one partition, each of which is validated by itself.
   * @returns for each batch, in order, its result or error: IDEMPOTENCY_KEY_REUSED, FENCED, BAD_REQUEST (a timestamp),
   *   TOO_MANY_REQUESTS (limit of fences or stored results), PRODUCER_FENCED, OUT_OF_ORDER_SEQUENCE, or UNKNOWN_PRODUCER if
   *   Producers.registerLog() must be called first
   * @throws ServiceError UNKNOWN_TOPIC for all of them
   */
  async append(
    topicId: string,
    partition: number,
    batches: readonly BatchToAppend[],
  ): Promise<(AppendResult | ServiceError)[]> {
    const args: ScriptArguments = [this.#channel, `${topicId}:${partition}:`, this.#responseLimits, this.#fencesMax];
    for (const batch of batches) {
      const { count, records, maxTimestamp, hasAllTimestamps } = batch;
      const own = maxTimestamp === undefined ? '' : hasAllTimestamps ? maxTimestamp : `~${maxTimestamp}`;
      args.push(count, records, own, encodeChecks(batch));
    }
    const seen = this.#beginCall(topicId, partition);
    const [shown, ...replies] = await this.#call('logs/append', topicId, partition, args);
    const [start, end, cleaned, createdAt, time] = shown as ReplyValue[];
    const call = {
      timestamp: integer(time),
      runId: this.#connection.runIdOf(this.#keys(topicId, partition).partition),
    };
    const appended: StoredBatch[] = [];
    const results = batches.map((batch, index) => {
      const result = decodeAppendReply(required(replies[index], 'result of a batch'), batch, call);
      if (!(result instanceof ServiceError) && !result.replayed && result.count > 0) {
        const { baseOffset, count, timestamp } = result;
        appended.push({ baseOffset, count, timestamp, records: batch.records });
      }
      return result;
    });
    if (appended.length > 0)
      this.#observer?.onBatches({ topicId, partition }, seen(start, end, cleaned, createdAt), appended, true);
    return results;
  }

  /** Subscribes to the changes of logs by all brokers, on a connection of its own, until `signal` is aborted. */
  subscribe(listener: LogNoticeListener, signal: AbortSignal): void {
    subscribeToLogs(this.#connection, this.#prefix, listener, this.#log, signal);
  }

  /** Tells `observer` from now on what calls show of logs. */
  observe(observer: LogObserver): void {
    this.#observer = observer;
  }

  /** Identifies the server that serves a log now, as LogState.serverRun. */
  serverRunOf(topicId: string, partition: number): string {
    return this.#connection.serverRunOf(this.#keys(topicId, partition).partition);
  }

  /** Begins a call that shows the state of a log. @returns makes it of the values in the reply */
  #beginCall(topicId: string, partition: number) {
    const calledAt = performance.now();
    const serverRun = this.serverRunOf(topicId, partition);
    return (start?: ReplyValue, end?: ReplyValue, cleaned?: ReplyValue, createdAt?: ReplyValue): LogState => ({
      logStartOffset: integer(start),
      endOffset: integer(end),
      compactedUpTo: integer(cleaned),
      createdAt: integer(createdAt),
      // If it has changed meanwhile, it is not known which server has replied.
      serverRun: this.serverRunOf(topicId, partition) === serverRun ? serverRun : unknownServer,
      calledAt,
    });
  }

  /** Sets a producer's epoch in a log, and the identity to which it belongs: from then on the log refuses older epochs and others. */
  async fenceProducer(
    topicId: string,
    partition: number,
    { id, epoch, identity }: { id: string; epoch: number; identity: string | undefined },
  ): Promise<void> {
    await this.#call('logs/fence-producer', topicId, partition, [id, epoch, identity ?? '']);
  }

  /**
   * Deletes a producer from a log if it has not used the log for `idleMs`.
   * @returns when it last used this log, ms; undefined if the log does not have it (any more)
   */
  async expireProducer(topicId: string, partition: number, id: string, idleMs: number): Promise<number | undefined> {
    const [used] = await this.#call('logs/expire-producer', topicId, partition, [id, idleMs]);
    return integer(used) || undefined;
  }

  /**
   * Reads whole batches from the one that holds `offset`, until a limit is reached; at least one.
   * @param withinLimits whether the last batch may not exceed the limits either, unless it is the first
   * @returns `offset` = the requested one, as a number; `isComplete` = no batch follows. The log may still end at a higher offset, if
   *   compaction has removed the last records
   * @throws ServiceError UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE (fields `logStartOffset`, `endOffset`)
   */
  async read(
    topicId: string,
    partition: number,
    offset: number | 'earliest' | 'latest',
    limits: { maxRecords: number; maxBytes: number },
    withinLimits = false,
  ): Promise<LogBounds & { offset: number; isComplete: boolean; batches: StoredBatch[] }> {
    const log = { topicId, partition };
    const keys = this.#keysOf(log);
    const seen = this.#beginCall(topicId, partition);
    const direct = typeof offset === 'number' && (await this.#directReads.read({ keys, offset, limits, withinLimits }));
    if (direct) {
      const { batches, isComplete, logStartOffset, endOffset, compactedUpTo, createdAt } = direct;
      this.#observer?.onBatches(log, seen(logStartOffset, endOffset, compactedUpTo, createdAt), batches, false);
      return { offset, logStartOffset, endOffset, isComplete, batches };
    }
    const args = [offset, limits.maxRecords, limits.maxBytes, withinLimits ? 1 : 0];
    const reply = await this.#call('logs/read', topicId, partition, args);
    const [from, start, end, cleaned, createdAt, isComplete, sizedFrom, largest, heads, ...texts] = reply;
    const batches = decodeBatches(text(heads), texts);
    const state = seen(start, end, cleaned, createdAt);
    this.#directReads.note(keys, state, { sizedFrom: integer(sizedFrom), largest: integer(largest) }, batches);
    this.#observer?.onBatches(log, state, batches, false);
    const { logStartOffset, endOffset } = state;
    return { offset: integer(from), logStartOffset, endOffset, isComplete: text(isComplete) === '1', batches };
  }

  /**
   * Finds the first batch from `offset` on that has a record with a timestamp of at least `timestampMs`.
   * @returns the batch, or the end offset if there is none
   * @throws ServiceError UNKNOWN_TOPIC
   */
  async findByTimestamp(
    topicId: string,
    partition: number,
    offset: number,
    timestampMs: number,
  ): Promise<{ batch: StoredBatch } | { endOffset: number }> {
    let from = offset;
    for (;;) {
      const reply = await this.#call('logs/seek', topicId, partition, [from, timestampMs, seekBatchesMax]);
      const outcome = text(reply[0]);
      if (outcome === 'end') return { endOffset: integer(reply[1]) };
      if (outcome === 'found') {
        const [, baseOffset, count, timestamp, records] = reply;
        return {
          batch: {
            baseOffset: integer(baseOffset),
            count: integer(count),
            timestamp: integer(timestamp),
            records: bytes(records),
          },
        };
      }
      from = integer(reply[1]);
    }
  }

  /**
   * Deletes the records before an offset.
   * @returns `replayed` = this is the stored result of an earlier request with the same Idempotency-Key
   * @throws ServiceError UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE (fields `logStartOffset`, `endOffset`), IDEMPOTENCY_KEY_REUSED,
   *   TOO_MANY_REQUESTS
   */
  async deleteRecords(
    topicId: string,
    partition: number,
    before: number | 'latest',
    idempotency?: IdempotencyKey,
  ): Promise<LogBounds & { replayed: boolean }> {
    const args = [before, ...logIdempotencyArguments(idempotency, this.#responseLimits)];
    const first = await this.#call('logs/delete-records', topicId, partition, args);
    // The log start offset is set by the first call; the memory of the records before it is freed in steps.
    for (let more = text(first[2]); more === '1'; ) {
      const next = await this.#call('logs/delete-records', topicId, partition, [
        integer(first[0]),
        ...logIdempotencyArguments(undefined, this.#responseLimits),
      ]);
      more = text(next[2]);
    }
    return { logStartOffset: integer(first[0]), endOffset: integer(first[1]), replayed: integer(first[3]) === 1 };
  }

  /** The bounds and sizes of logs, in the order of `partitions`; undefined for a log that does not exist. */
  async bounds(partitions: readonly LogId[]): Promise<(LogSummary | undefined)[]> {
    const found: (LogSummary | undefined)[] = [];
    for (let i = 0; i < partitions.length; i += boundsAtOnceMax) {
      const some = partitions.slice(i, i + boundsAtOnceMax);
      found.push(...(await Promise.all(some.map((log) => this.#summary(log)))));
    }
    return found;
  }

  /** How long ago the first record at an offset or behind it was appended, ms; 0 if there is none. @throws ServiceError UNKNOWN_TOPIC */
  async ageAt({ topicId, partition, offset }: LogId & { offset: number }): Promise<number> {
    return integer((await this.#call('logs/age-at', topicId, partition, [offset]))[0]);
  }

  /** As bounds(), but `away` for a log whose Redis server cannot be reached, instead of an error for all of them. */
  async boundsOfReachable(partitions: readonly LogId[]): Promise<(LogSummary | 'away' | undefined)[]> {
    const found: (LogSummary | 'away' | undefined)[] = [];
    // Only the first log on a server that does not reply waits for it.
    const away = new Set<unknown>();
    for (let i = 0; i < partitions.length; i += boundsAtOnceMax) {
      const some = partitions.slice(i, i + boundsAtOnceMax).map(async (log) => {
        const keys = this.#keysOf(log);
        if (away.size > 0 && away.has(this.#connection.shardOf(keys.partition))) return 'away';
        try {
          return await this.#summary(log);
        } catch (error) {
          if (!hasCode(error, 'STORE_UNAVAILABLE')) throw error;
          away.add(this.#connection.shardOf(keys.partition));
          return 'away';
        }
      });
      found.push(...(await Promise.all(some)));
    }
    return found;
  }

  async #summary(log: LogId): Promise<LogSummary | undefined> {
    const { partition: key } = this.#keysOf(log);
    const read = (client: Redis) => client.hmget(key, ...boundsFields);
    const seen = this.#beginCall(log.topicId, log.partition);
    const fields = await this.#connection.command(false, read, key);
    const [start, next, total, trimmed, compacted, cleaned, end, createdAt] = fields;
    if (!next) {
      this.#observer?.onState(log, undefined);
      return undefined;
    }
    this.#observer?.onState(log, seen(Number(start), Number(next), Number(cleaned), Number(createdAt)));
    const bytes = Number(compacted) + Number(total) - Number(trimmed);
    const isAllCompacted = end != null && Number(cleaned) >= Number(next);
    const recordsEnd = Math.max(Number(start), Number(isAllCompacted ? end : next));
    return { logStartOffset: Number(start), endOffset: Number(next), recordsEnd, bytes };
  }

  /**
   * Waits until `count` replicas, and the primary's disk, have everything that was appended to this partition before; for 1.5 s at most
   * (Replication.waitForReplicas).
   * @param runId the run id in the result of the append
   * @throws ServiceError STORE_UNAVAILABLE, also if Redis has failed over or restarted since the append
   */
  waitForReplicas(topicId: string, partition: number, count: number, runId: string): Promise<ReplicationResult> {
    return this.#replication.waitForReplicas(this.#keys(topicId, partition).replicated, count, runId);
  }

  /** The smallest number of connected replicas among the servers that hold these partitions. */
  connectedReplicas(topicId: string, partitions: readonly number[]): Promise<number> {
    return this.#replication.connectedReplicas(partitions.map((partition) => this.#keys(topicId, partition).partition));
  }

  #keys(topicId: string, partition: number): PartitionKeys {
    return partitionKeys(this.#prefix, topicId, partition);
  }

  #keysOf({ topicId, partition }: LogId): PartitionKeys {
    return this.#keys(topicId, partition);
  }

  #call(script: string, topicId: string, partition: number, args: ScriptArguments): Promise<ReplyValue[]> {
    return this.#connection.call(script, this.#keys(topicId, partition).partition, args);
  }
}
