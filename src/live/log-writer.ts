// Takes the records of a request to their partitions: it chooses the partition of each, checks all before anything is
// appended, and appends. Requests for one partition that come while an append is under way share the next one.
import { randomInt } from 'node:crypto';
import { partitionForKey } from '../core/partitioner.ts';
import { type EncodedRecord, withoutTimestamp } from '../core/record-batch.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Appended, Batch, Fence, Logs } from '../store/logs.ts';
import type { Idempotency } from '../store/namespace.ts';
import type { Metrics } from './metrics.ts';
import { checkPartition, type TopicInfo, type Topics } from './topics.ts';

/** 0 = do not wait for the store, 1 = its primary has it, all = so have `min.insync.replicas` - 1 of its replicas. */
export type Acks = '0' | '1' | 'all';

export interface ProduceRequest {
  topic: string;
  records: readonly EncodedRecord[];
  /** For all records, where the request names one. */
  partition?: number | undefined;
  acks: Acks;
  fence?: Fence | undefined;
  idempotency?: Idempotency | undefined;
}

export interface ProduceResult {
  partition: number;
  count: number;
  /** With acks=0 nobody waits to learn this and the next. */
  baseOffset?: number;
  timestamp?: number;
}

export interface Produced {
  /** One for each partition, in their order. */
  results: ProduceResult[];
  /** The partition of each record, in the order of the request. */
  partitions: number[];
  /** Whether all of it was answered from an earlier request with the same Idempotency-Key. */
  replayed: boolean;
}

interface Pending {
  batch: Batch;
  resolve(appended: Appended): void;
  reject(error: unknown): void;
}

/** What one flight to a partition carries at most: it must not hold up the store. One batch always fits. */
const flightBatchesMax = 256;
const flightBytesMax = 4 * 1024 * 1024;
/** With so much under way, a request with acks=0 waits after all: or else a fast sender would fill the memory. */
const unacknowledgedBytesMax = 16 * 1024 * 1024;

export class LogWriter {
  readonly #topics: Topics;
  readonly #logs: Logs;
  /** By log, the batches that wait for its flight to return; the log has an entry while one is under way. */
  readonly #lanes = new Map<string, Pending[]>();
  /** The partition that keyless records of a topic went to last; each broker begins anywhere. */
  readonly #rotation = new WeakMap<TopicInfo, number>();
  #bytesUnderWay = 0;
  readonly #appendedRecords;
  readonly #appendedBytes;
  readonly #duration;
  readonly #unacknowledgedFailures;

  constructor(topics: Topics, logs: Logs, metrics: Metrics) {
    this.#topics = topics;
    this.#logs = logs;
    this.#appendedRecords = metrics.counter('records_appended_total', 'Records appended to logs by this broker.');
    this.#appendedBytes = metrics.counter('appended_bytes_total', 'Bytes of records appended to logs by this broker.');
    this.#duration = metrics.seconds('append_duration_seconds', 'Time of one append of the store, batches together.');
    this.#unacknowledgedFailures = metrics.counter(
      'unacknowledged_appends_failed_total',
      'Appends with acks=0 that failed, of which nobody was told.',
    );
  }

  /**
   * Appends the records of one request: those of one partition together or not at all. Everything that can be checked
   * beforehand is, for all partitions, before anything is appended. If it then fails in one partition, the error's field
   * `results` tells what was appended to others.
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION, BAD_REQUEST, TOO_LARGE, NOT_ENOUGH_REPLICAS: nothing is written;
   *   IDEMPOTENCY_KEY_REUSED, FENCED, STORE_UNAVAILABLE, STORE_FULL; NOT_ENOUGH_REPLICAS_AFTER_APPEND: all is written
   */
  produce(request: ProduceRequest): Promise<Produced> {
    return this.#topics.using(request.topic, (topic) => this.#produce(topic, request));
  }

  async #produce(topic: TopicInfo, request: ProduceRequest): Promise<Produced> {
    const partitions = this.#choosePartitions(topic, request);
    const batches = makeBatches(topic, request, partitions);
    if (request.acks === '0' && this.#bytesUnderWay < unacknowledgedBytesMax) {
      this.#appendAll(topic, request, batches).catch(() => this.#unacknowledgedFailures.inc());
      const results = [...batches].map(([partition, { count }]) => ({ partition, count }));
      return { results, partitions, replayed: false };
    }
    const replicas = request.acks === 'all' ? topic.config['min.insync.replicas'] - 1 : 0;
    if (replicas > 0) await this.#checkReplicas(replicas);
    const appended = await this.#appendAll(topic, request, batches);
    const results = appended.map(([partition, { baseOffset, count, timestamp }]) => ({
      partition,
      baseOffset,
      count,
      timestamp,
    }));
    if (replicas > 0) await this.#awaitReplicas(topic, results, replicas);
    return { results, partitions, replayed: appended.every(([, { replayed }]) => replayed) };
  }

  /** The partition of each record. @throws ServiceError UNKNOWN_PARTITION, BAD_REQUEST */
  #choosePartitions(topic: TopicInfo, { records, partition: asked, idempotency }: ProduceRequest): number[] {
    if (asked !== undefined) checkPartition(topic, asked);
    let forKeyless: number | undefined;
    return records.map((record, index) => {
      const { key, partition = asked } = record;
      if (asked !== undefined && partition !== asked) {
        throw new ServiceError(
          'BAD_REQUEST',
          `records.${index}.partition is ${partition}, but the request is for partition ${asked}.`,
        );
      }
      if (key === undefined && topic.config['cleanup.policy'].includes('compact')) {
        throw new ServiceError(
          'BAD_REQUEST',
          `records.${index} has no key; topic ${topic.name} is compacted, which keeps the newest record of each key.`,
        );
      }
      if (partition !== undefined) {
        checkPartition(topic, partition);
        return partition;
      }
      if (key !== undefined) return partitionForKey(bytesOf(key), topic.partitionCount);
      // A retry through any broker must lead to where the first try went.
      forKeyless ??= idempotency ? homeOf(topic, idempotency) : this.#rotate(topic);
      return forKeyless;
    });
  }

  #rotate(topic: TopicInfo): number {
    const last = this.#rotation.get(topic) ?? randomInt(topic.partitionCount);
    const next = (last + 1) % topic.partitionCount;
    this.#rotation.set(topic, next);
    return next;
  }

  /** Appends every batch. The home of an Idempotency-Key comes first: it knows whether the key stands for this request. */
  async #appendAll(
    topic: TopicInfo,
    { idempotency }: ProduceRequest,
    batches: ReadonlyMap<number, Batch>,
  ): Promise<[partition: number, appended: Appended][]> {
    const done: [number, Appended][] = [];
    const append = async (partition: number, batch: Batch) => {
      done.push([partition, await this.#append(topic.topicId, partition, batch)]);
    };
    let rest = [...batches];
    if (idempotency) {
      const home = homeOf(topic, idempotency);
      const first = batches.get(home);
      if (first) await append(home, first);
      else await this.#logs.claim(topic.topicId, home, idempotency);
      rest = rest.filter(([partition]) => partition !== home);
    }
    const outcomes = await Promise.allSettled(rest.map(([partition, batch]) => append(partition, batch)));
    done.sort(([a], [b]) => a - b);
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    if (failures.length === 0) return done;
    // That one batch was not sent says nothing of another, of which nobody knows what became.
    const unknown = failures.find((error) => hasCode(error, 'STORE_UNAVAILABLE') && error.message !== notSentDetail);
    const failure = unknown ?? failures[0];
    throw done.length > 0 ? withResults(failure, done) : failure;
  }

  /** Puts a batch on the next flight to its partition. */
  #append(topicId: string, partition: number, batch: Batch): Promise<Appended> {
    this.#bytesUnderWay += batch.records.length;
    const appended = new Promise<Appended>((resolve, reject) => {
      const pending = { batch, resolve, reject };
      const key = `${topicId}:${partition}`;
      const lane = this.#lanes.get(key);
      if (lane) {
        lane.push(pending);
        return;
      }
      const opened = [pending];
      this.#lanes.set(key, opened);
      void this.#fly(topicId, partition, opened, () => this.#lanes.delete(key));
    });
    return appended.finally(() => {
      this.#bytesUnderWay -= batch.records.length;
    });
  }

  /**
   * Makes one flight after the other while there are batches in the lane, then closes it. That must be in one step with
   * the last look into it: a batch that came in between would wait for ever.
   */
  async #fly(topicId: string, partition: number, lane: Pending[], close: () => void): Promise<void> {
    while (lane.length > 0) {
      const flight = lane.splice(0, flightSize(lane));
      const end = this.#duration.startTimer();
      try {
        const outcomes = await this.#logs.append(
          topicId,
          partition,
          flight.map(({ batch }) => batch),
        );
        for (const [index, { batch, resolve, reject }] of flight.entries()) {
          const outcome = outcomes[index]!;
          if (outcome instanceof ServiceError) {
            reject(outcome);
            continue;
          }
          if (!outcome.replayed) {
            this.#appendedRecords.inc(batch.count);
            this.#appendedBytes.inc(batch.records.length);
          }
          resolve(outcome);
        }
      } catch (error) {
        for (const { reject } of flight) reject(error);
        // Those that still wait have waited long enough: nobody is to wait twice for a store that is away (E3).
        if (hasCode(error, 'STORE_UNAVAILABLE')) for (const { reject } of lane.splice(0)) reject(notSent());
      } finally {
        end();
      }
    }
    close();
  }

  async #checkReplicas(needed: number): Promise<void> {
    const connected = await this.#logs.connectedReplicas();
    if (connected >= needed) return;
    throw new ServiceError(
      'NOT_ENOUGH_REPLICAS',
      `The store has ${connected} replicas, and min.insync.replicas asks for ${needed}; nothing was written.`,
      { replicas: connected, needed },
    );
  }

  async #awaitReplicas(topic: TopicInfo, results: ProduceResult[], needed: number): Promise<void> {
    const counts = await Promise.all(
      results.map(({ partition }) => this.#logs.replicated(topic.topicId, partition, needed)),
    );
    const fewest = Math.min(...counts);
    if (fewest >= needed) return;
    throw new ServiceError(
      'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
      `Only ${fewest} of the ${needed} replicas that min.insync.replicas asks for have the records in time; they are written, ` +
        'and a retry without the same Idempotency-Key writes them again.',
      { replicas: fewest, needed, results },
    );
  }
}

/** The batch of each partition, checked. @throws ServiceError TOO_LARGE */
function makeBatches(topic: TopicInfo, request: ProduceRequest, partitions: readonly number[]): Map<number, Batch> {
  const { fence, idempotency } = request;
  const byPartition = new Map<number, EncodedRecord[]>();
  const logTime = topic.config['message.timestamp.type'] === 'LogAppendTime';
  for (const [index, given] of request.records.entries()) {
    const record = logTime ? withoutTimestamp(given) : given;
    const partition = partitions[index]!;
    const records = byPartition.get(partition);
    if (records) records.push(record);
    else byPartition.set(partition, [record]);
  }
  const maxBytes = topic.config['max.message.bytes'];
  const batches = new Map<number, Batch>();
  for (const [partition, records] of byPartition) {
    const lines = records.map(({ line }) => line).join('\n');
    // A character has at most three bytes, so most batches need not be counted.
    const size = lines.length * 3 > maxBytes ? Buffer.byteLength(lines) : lines.length;
    if (size > maxBytes) {
      throw new ServiceError(
        'TOO_LARGE',
        `The records for partition ${partition} have ${size} bytes together; max.message.bytes of topic ${topic.name} is ` +
          `${maxBytes}. Send fewer at once, or as application/x-ndjson; nothing was written.`,
        { partition, bytes: size, maxBytes },
      );
    }
    let ownTimestampMax: number | undefined;
    let ownTimestamps = true;
    for (const { timestamp } of records) {
      if (timestamp === undefined) ownTimestamps = false;
      else if (ownTimestampMax === undefined || timestamp > ownTimestampMax) ownTimestampMax = timestamp;
    }
    batches.set(partition, {
      count: records.length,
      records: lines,
      ownTimestampMax,
      ownTimestamps,
      fence,
      idempotency,
    });
  }
  return batches;
}

/** The partition that an Idempotency-Key leads to, on every broker the same. */
function homeOf(topic: TopicInfo, { key }: Idempotency): number {
  return partitionForKey(bytesOf(key), topic.partitionCount);
}

function bytesOf(key: string | Buffer): Buffer {
  return typeof key === 'string' ? Buffer.from(key) : key;
}

/** How many of the waiting batches fit on one flight. */
function flightSize(lane: readonly Pending[]): number {
  let bytes = 0;
  let count = 0;
  for (const { batch } of lane) {
    bytes += batch.records.length;
    if (count > 0 && (count === flightBatchesMax || bytes > flightBytesMax)) break;
    count += 1;
  }
  return count;
}

function withResults(error: unknown, done: readonly [partition: number, appended: Appended][]): unknown {
  if (!(error instanceof ServiceError)) return error;
  const results = done.map(([partition, { baseOffset, count, timestamp }]) => ({
    partition,
    baseOffset,
    count,
    timestamp,
  }));
  return new ServiceError(error.code, `${error.message} Other partitions have their records: see results.`, {
    ...error.fields,
    results,
  });
}

const notSentDetail = 'The store did not answer those before; nothing was written.';

function notSent(): ServiceError {
  return new ServiceError('STORE_UNAVAILABLE', notSentDetail);
}
