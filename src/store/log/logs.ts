// The logs of partitions: typed calls of lua/logs, and the channel that tells of appends. Each partition stands for itself
// (its keys have a tag of their own); what spans several, or a topic and its node in the tree, is the caller's to order.
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { StoredBatch } from '../../core/records/batch-lines.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { IdempotencyKey } from '../idempotency.ts';
import { logIdempotencyArguments, storedResponseLimits } from '../idempotency.ts';
import { appendsChannel, type PartitionKeys, partitionKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { Replication, type ReplicationResult } from '../redis/replication.ts';
import { bytes, decodeReply, integer, type ReplyValue, text } from '../scripts.ts';
import { defaultStoredLimits, type StoredLimits } from '../stored-limits.ts';
import { type BatchToAppend, encodeChecks } from './batch.ts';

export type { BatchDeduplication, BatchToAppend, Fence, RequestTimestamps } from './batch.ts';

export interface AppendResult {
  /** -1 where there were no records for this partition. */
  baseOffset: number;
  count: number;
  /** When it was appended, by the store's clock, ms. */
  timestamp: number;
  /** Whether this is the kept answer of an earlier request with the same identity. */
  replayed: boolean;
  /** The number of partitions by which that request's records were spread; 0 = not known. */
  partitions: number;
  /** The run of the Redis that has it: what replicated() has to hold it against. */
  runId: string;
}

export interface LogBounds {
  logStartOffset: number;
  /** The offset of the next record. */
  endOffset: number;
}

export interface LogSummary extends LogBounds {
  /** Behind the last record that is there: before `endOffset` where compaction has removed what was at the end. */
  recordsEnd: number;
  /** Of the records in it. */
  bytes: number;
}

/** An append somewhere in the cluster. */
export interface AppendNotice {
  topicId: string;
  partition: number;
  endOffset: number;
}

interface LogId {
  topicId: string;
  partition: number;
}

type Arguments = (string | number | Buffer)[];

/** How many batches a search by time looks at before others have their turn. */
const seekBatchesMax = 200;
/** How many partitions one round of plain reads asks at once. */
const boundsAtOnceMax = 500;
/** What `bounds` reads of a log. */
const boundsFields = ['start', 'next', 'total', 'trimmed', 'compacted', 'cleaned', 'records_end'] as const;

export class Logs {
  readonly #connection: StoreConnection;
  readonly #prefix: string;
  readonly #log: Logger;
  readonly #channel: string;
  readonly #replication: Replication;
  readonly #fencesMax: number;
  /** Limits of kept answers, as lua/lib/record-quota.lua reads them. */
  readonly #responseLimits: string;

  constructor(connection: StoreConnection, prefix: string, log: Logger, limits: StoredLimits = defaultStoredLimits) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#log = log;
    this.#channel = appendsChannel(prefix);
    this.#replication = new Replication(connection);
    this.#fencesMax = limits.fencesMax;
    this.#responseLimits = storedResponseLimits(limits.appendsMax, limits.appendBytesMax);
  }

  /** Makes an empty log; one that is there already stays as it is. */
  async create(topicId: string, partition: number): Promise<void> {
    await this.#call('logs/open', topicId, partition, ['new']);
  }

  /**
   * Makes an empty log in the place of one that the store has lost as a whole.
   * @returns whether it was made (`opened`), is `there`, or was `refused`, as it was removed a moment ago or something is left of it
   */
  async recreateLost(topicId: string, partition: number): Promise<'opened' | 'there' | 'refused'> {
    const [outcome] = await this.#call('logs/open', topicId, partition, ['lost']);
    return text(outcome) as 'opened' | 'there' | 'refused';
  }

  /** Removes a log with all its records; one that is gone already is no fault. */
  async remove(topicId: string, partition: number): Promise<void> {
    await this.#call('logs/remove', topicId, partition, []);
  }

  /**
   * Appends batches to one partition, each judged by itself.
   * @returns for each batch, in order, what became of it or why it was refused: IDEMPOTENCY_KEY_REUSED, FENCED,
   *   BAD_REQUEST (a timestamp), TOO_MANY_REQUESTS (no room for another fence or kept answer), PRODUCER_FENCED, OUT_OF_ORDER_SEQUENCE, or UNKNOWN_PRODUCER if the producer has to join first
   * @throws ServiceError UNKNOWN_TOPIC for all of them
   */
  async append(
    topicId: string,
    partition: number,
    batches: readonly BatchToAppend[],
  ): Promise<(AppendResult | ServiceError)[]> {
    const args: Arguments = [this.#channel, `${topicId}:${partition}:`, this.#responseLimits, this.#fencesMax];
    for (const batch of batches) {
      const { count, records, maxTimestamp, hasAllTimestamps } = batch;
      const own = maxTimestamp === undefined ? '' : hasAllTimestamps ? maxTimestamp : `~${maxTimestamp}`;
      args.push(count, records, own, encodeChecks(batch));
    }
    const answers = await this.#call('logs/append', topicId, partition, args);
    const runId = this.#connection.runIdOf(this.#keys(topicId, partition).partition);
    return answers.map((answer) => decodeAppendReply(answer, runId));
  }

  /** Tells a log a producer's new epoch: nothing of an older one is appended from then on. */
  async fenceProducer(topicId: string, partition: number, id: string, epoch: number): Promise<void> {
    await this.#call('logs/fence-producer', topicId, partition, [id, epoch]);
  }

  /**
   * Forgets a producer if it was idle in this log for `idleMs`.
   * @returns when it was last used here, ms; undefined if this log does not know it (any more)
   */
  async expireProducer(topicId: string, partition: number, id: string, idleMs: number): Promise<number | undefined> {
    const [used] = await this.#call('logs/expire-producer', topicId, partition, [id, idleMs]);
    return integer(used) || undefined;
  }

  /**
   * Reads whole batches from the one that holds `offset` on, until there are enough; the first one always comes.
   * @returns `offset` = the one asked for, as a number; `isComplete` = nothing follows in the log, which may all the same end
   *   later than the last batch, if compaction has removed what was there
   * @throws ServiceError UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE (fields `logStartOffset`, `endOffset`)
   */
  async read(
    topicId: string,
    partition: number,
    offset: number | 'earliest' | 'latest',
    limits: { maxRecords: number; maxBytes: number },
  ): Promise<LogBounds & { offset: number; isComplete: boolean; batches: StoredBatch[] }> {
    const args = [offset, limits.maxRecords, limits.maxBytes];
    const reply = await this.#call('logs/read', topicId, partition, args);
    return {
      offset: integer(reply[0]),
      logStartOffset: integer(reply[1]),
      endOffset: integer(reply[2]),
      isComplete: text(reply[3]) === '1',
      batches: readBatches(text(reply[4]), reply.slice(5)),
    };
  }

  /**
   * The first batch, from `offset` on, with a record whose timestamp is `momentMs` or later.
   * @returns the batch, or the end offset if there is none
   * @throws ServiceError UNKNOWN_TOPIC
   */
  async findByTimestamp(
    topicId: string,
    partition: number,
    offset: number,
    momentMs: number,
  ): Promise<{ batch: StoredBatch } | { endOffset: number }> {
    let from = offset;
    for (;;) {
      const reply = await this.#call('logs/seek', topicId, partition, [from, momentMs, seekBatchesMax]);
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
   * @returns `replayed` = this is the answer to an earlier request with the same Idempotency-Key
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
    // The log starts where it should; what is left below is freed in steps.
    for (let more = text(first[2]); more === '1'; ) {
      const next = await this.#call('logs/delete-records', topicId, partition, [
        integer(first[0]),
        ...logIdempotencyArguments(undefined, this.#responseLimits),
      ]);
      more = text(next[2]);
    }
    return { logStartOffset: integer(first[0]), endOffset: integer(first[1]), replayed: integer(first[3]) === 1 };
  }

  /** The bounds of logs and the bytes of records in them, in the order asked; undefined where there is no such log. */
  async bounds(partitions: readonly LogId[]): Promise<(LogSummary | undefined)[]> {
    const found: (LogSummary | undefined)[] = [];
    for (let i = 0; i < partitions.length; i += boundsAtOnceMax) {
      const some = partitions.slice(i, i + boundsAtOnceMax);
      found.push(...(await Promise.all(some.map((log) => this.#summary(this.#keysOf(log))))));
    }
    return found;
  }

  /** As bounds(), for those who want to know as much as there is: `away` where the machine that has the log cannot be reached. */
  async boundsOfReachable(partitions: readonly LogId[]): Promise<(LogSummary | 'away' | undefined)[]> {
    const found: (LogSummary | 'away' | undefined)[] = [];
    // A machine that does not answer is waited for once.
    const away = new Set<unknown>();
    for (let i = 0; i < partitions.length; i += boundsAtOnceMax) {
      const some = partitions.slice(i, i + boundsAtOnceMax).map(async (log) => {
        const keys = this.#keysOf(log);
        if (away.size > 0 && away.has(this.#connection.shardOf(keys.partition))) return 'away';
        try {
          return await this.#summary(keys);
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

  async #summary({ partition: key }: PartitionKeys): Promise<LogSummary | undefined> {
    const read = (client: Redis) => client.hmget(key, ...boundsFields);
    const [start, next, total, trimmed, compacted, cleaned, end] = await this.#connection.command(false, read, key);
    if (!next) return undefined;
    const bytes = Number(compacted) + Number(total) - Number(trimmed);
    const isAllCompacted = end != null && Number(cleaned) >= Number(next);
    const recordsEnd = Math.max(Number(start), Number(isAllCompacted ? end : next));
    return { logStartOffset: Number(start), endOffset: Number(next), recordsEnd, bytes };
  }

  /**
   * Hears of appends of all brokers, on a connection of its own, until `signal` is aborted. A notice may be lost while the
   * connection is; `onGap` says that this may have happened.
   */
  subscribeToAppends(onAppend: (notice: AppendNotice) => void, onGap: () => void, signal: AbortSignal): void {
    const client = this.#connection.createDedicatedClient();
    client.on('message', (_channel: string, message: string) => {
      const [topicId, partition, endOffset] = message.split(':');
      onAppend({ topicId: topicId!, partition: Number(partition), endOffset: Number(endOffset) });
    });
    client.on('ready', () => {
      client.subscribe(this.#channel).then(onGap, (error: unknown) => {
        // The connection was lost again; the client goes on trying, and comes back here.
        if (!signal.aborted) this.#log.debug({ err: error }, 'Appends are not heard of; readers find them by looking');
      });
    });
    // If this first attempt fails, the client tries again like after any loss.
    client.connect().catch(() => undefined);
    signal.addEventListener('abort', () => client.disconnect(), { once: true });
  }

  /**
   * Waits until `count` replicas of the store, and its disk where it can tell, have what was appended to this partition
   * before, but not for long.
   * @param runId that of the append
   * @returns who has it: fewer than `count`, or not the disk, if it took too long
   * @throws ServiceError STORE_UNAVAILABLE if they cannot tell any more
   */
  waitForReplicas(topicId: string, partition: number, count: number, runId: string): Promise<ReplicationResult> {
    return this.#replication.waitForReplicas(this.#keys(topicId, partition).replicated, count, runId);
  }

  /** How many replicas each Redis has at least, now, of those that have these partitions. */
  connectedReplicas(topicId: string, partitions: readonly number[]): Promise<number> {
    return this.#replication.connectedReplicas(partitions.map((partition) => this.#keys(topicId, partition).partition));
  }

  #keys(topicId: string, partition: number): PartitionKeys {
    return partitionKeys(this.#prefix, topicId, partition);
  }

  #keysOf({ topicId, partition }: LogId): PartitionKeys {
    return this.#keys(topicId, partition);
  }

  #call(script: string, topicId: string, partition: number, args: Arguments): Promise<ReplyValue[]> {
    return this.#connection.call(script, this.#keys(topicId, partition).partition, args);
  }
}

/** @param texts the records of all batches, one behind the other; each text ends where a batch does */
function readBatches(heads: string, texts: readonly ReplyValue[]): StoredBatch[] {
  const batches: StoredBatch[] = [];
  let [next, at] = [0, 0];
  let records: Buffer = Buffer.alloc(0);
  for (const head of heads.split('\n')) {
    if (head === '') break;
    const [baseOffset, count, timestamp, length] = head.split(' ').map(Number) as [number, number, number, number];
    if (length > 0 && at === records.length) {
      records = bytes(texts[next]);
      next += 1;
      at = 0;
    }
    batches.push({ baseOffset, count, timestamp, records: records.subarray(at, at + length) });
    at += length;
  }
  return batches;
}

function decodeAppendReply(answer: ReplyValue, runId: string): AppendResult | ServiceError {
  try {
    const [replayed, baseOffset, count, timestamp, partitions] = decodeReply('logs/append', answer);
    return {
      replayed: integer(replayed) === 1,
      baseOffset: integer(baseOffset),
      count: integer(count),
      timestamp: integer(timestamp),
      partitions: integer(partitions),
      runId,
    };
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}
