// Takes the records of a request to their partitions: all is checked before anything is appended, what may be repeated goes to
// its home first (docs/adr/007), and with acks=all the replicas are waited for.
import { randomInt } from 'node:crypto';
import { partitionForKey } from '../../core/records/partitioner.ts';
import { bytesAsText } from '../../core/records/record-fields.ts';
import type { RequestRecords } from '../../core/records/record-input.ts';
import { nameRefusedRecord, type RecordBatch, type Spread, spreadRecords } from '../../core/records/request-batches.ts';
import { afterPartialSuccess, hasCode, ServiceError } from '../../core/service-error.ts';
import type { IdempotencyKey } from '../../store/idempotency.ts';
import type { AppendResult, BatchToAppend, Fence, Logs, RequestTimestamps } from '../../store/log/logs.ts';
import type { ProducerSequence, Producers } from '../../store/log/producers.ts';
import { multiStepReplyMsMax } from '../../store/redis/time-limits.ts';
import { withTimeout } from '../../store/redis/with-timeout.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import { checkPartition, type TopicCache, type TopicInfo } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import { AppendBatcher, wasNotSent } from './append-batcher.ts';

/** 0 = do not wait for the store, 1 = its primary has it, all = so have `min.insync.replicas` - 1 of its replicas. */
export type Acks = '0' | '1' | 'all';

/** What a repeat of a request is known by. */
export type DeduplicationKey = ({ kind: 'key' } & IdempotencyKey) | { kind: 'producer'; stamp: ProducerSequence };

export interface ProduceRequest {
  topic: string;
  records: RequestRecords;
  /** For all records, where the request names one. */
  partition?: number | undefined;
  acks: Acks;
  fence?: Fence | undefined;
  deduplicationKey?: DeduplicationKey | undefined;
}

export interface PartitionResult {
  partition: number;
  count: number;
  /** With acks=0 nobody waits to learn this and the next. */
  baseOffset?: number;
  timestamp?: number;
}

export interface ProduceResult {
  /** One for each partition, in their order. */
  results: PartitionResult[];
  /** The partition of each record, in the order of the request. */
  partitions: readonly number[];
  /** Whether all of it was answered from an earlier request with the same identity. */
  replayed: boolean;
}

/** How the records of a request are spread, and what its partitions have answered. */
interface Progress {
  spread: Spread;
  done: [partition: number, appended: AppendResult][];
}

/** With so much under way, a request with acks=0 waits after all: or else a fast sender would fill the memory. */
const unacknowledgedBytesMax = 16 * 1024 * 1024;

/** What the home of a request gets if its records all go elsewhere. */
const noRecords: RecordBatch = { count: 0, records: Buffer.alloc(0), maxTimestamp: undefined, hasAllTimestamps: false };

export class LogWriter {
  readonly #topics: TopicCache;
  readonly #logs: Logs;
  readonly #producers: Producers;
  readonly #namespace: Namespace;
  readonly #batcher: AppendBatcher;
  /** The partition that keyless records of a topic went to last; each broker begins anywhere. */
  readonly #rotation = new WeakMap<TopicInfo, number>();
  readonly #unacknowledgedFailures;

  constructor(topics: TopicCache, store: { logs: Logs; producers: Producers; namespace: Namespace }, metrics: Metrics) {
    const { logs, producers, namespace } = store;
    this.#topics = topics;
    this.#logs = logs;
    this.#producers = producers;
    this.#namespace = namespace;
    this.#batcher = new AppendBatcher(logs, metrics);
    this.#unacknowledgedFailures = metrics.counter(
      'unacknowledged_appends_failed_total',
      'Appends with acks=0 that failed, of which nobody was told.',
    );
  }

  /**
   * Appends the records of one request: those of one partition together or not at all. Everything that can be checked
   * beforehand is, for all partitions, before anything is appended. If it then fails in one partition, the error's field
   * `results` tells what was appended to others.
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION, BAD_REQUEST, TOO_LARGE, NOT_ENOUGH_REPLICAS, UNKNOWN_PRODUCER,
   *   OUT_OF_ORDER_SEQUENCE: nothing is written; IDEMPOTENCY_KEY_REUSED, PRODUCER_FENCED, FENCED, STORE_UNAVAILABLE,
   *   STORE_FULL; NOT_ENOUGH_REPLICAS_AFTER_APPEND: all is written
   */
  produce(request: ProduceRequest): Promise<ProduceResult> {
    // A store that is slow at each step, or hangs between two of them, must not make the sum of their limits of it.
    const produced = this.#topics.withTopic(request.topic, (topic) => this.#produce(topic, request));
    return withTimeout(produced, multiStepReplyMsMax, unknownFate);
  }

  async #produce(topic: TopicInfo, asked: ProduceRequest): Promise<ProduceResult> {
    const spread = this.#spread(topic, asked, topic.partitionCount);
    const request = asked.fence?.node === undefined ? asked : await this.#withNodeChecked(asked, asked.fence);
    if (request.acks === '0' && this.#batcher.bytesInFlight < unacknowledgedBytesMax) {
      this.#appendAll(topic, request, spread).catch(() => this.#unacknowledgedFailures.inc());
      const results = [...spread.batches].map(([partition, { count }]) => ({ partition, count }));
      return { results, partitions: spread.partitions, replayed: false };
    }
    const waitsForAll = request.acks === 'all';
    const replicas = topic.config['min.insync.replicas'] - 1;
    if (waitsForAll && replicas > 0) await this.#checkReplicas(topic, [...spread.batches.keys()], replicas);
    const appended = await this.#appendAll(topic, request, spread).catch((error: unknown) => {
      throw nameRefusedRecord(error, request.records);
    });
    const results = resultsOf(appended.done);
    if (waitsForAll) await this.#awaitAll(topic, appended.done, results, replicas);
    return {
      results,
      partitions: appended.spread.partitions,
      replayed: appended.done.every(([, { replayed }]) => replayed),
    };
  }

  /**
   * Looks whether the node of a fence is the one that is meant. The tree and the log have a hash slot each, so this is a look before
   * the append, which the node may not outlive; the token that the append brings is what its successor's first append refuses.
   * @throws ServiceError FENCED, unless the request may be a repeat: the log knows that, and refuses it then
   */
  async #withNodeChecked(request: ProduceRequest, fence: Fence): Promise<ProduceRequest> {
    const path = fence.node!;
    const found = await this.#namespace.stat(path).then(
      ({ stat }) => stat.czxid,
      (error: unknown) => {
        if (hasCode(error, 'NO_NODE')) return undefined;
        throw error;
      },
    );
    if (found === fence.token) return request;
    const lost =
      found === undefined
        ? `Node ${path} with czxid ${fence.token} does not exist any more; its owner has lost its place.`
        : `Node ${path} has czxid ${found}, not ${fence.token}: it was deleted and created again. Its sender has been replaced.`;
    if (request.deduplicationKey) return { ...request, fence: { ...fence, refusal: lost } };
    const token = found ?? fence.token;
    throw new ServiceError('FENCED', `${lost} Nothing was written.`, { fence: path, token });
  }

  #spread(
    topic: TopicInfo,
    { records, partition, deduplicationKey: identity }: ProduceRequest,
    partitionCount: number,
  ): Spread {
    return spreadRecords(records, {
      topic,
      partitionCount,
      requestedPartition: partition,
      // A retry through any broker must lead to where the first try went.
      chooseKeylessPartition: () =>
        identity ? keylessPartition(topic, identity, partitionCount) : this.#rotate(topic),
      checkPartition: (asked) => checkPartition(topic, asked),
    });
  }

  #rotate(topic: TopicInfo): number {
    const last = this.#rotation.get(topic) ?? randomInt(topic.partitionCount);
    const next = (last + 1) % topic.partitionCount;
    this.#rotation.set(topic, next);
    return next;
  }

  /** Appends every batch; those of a request that may be repeated after its home has said whether it is a repeat. */
  async #appendAll(topic: TopicInfo, request: ProduceRequest, asked: Spread): Promise<Progress> {
    const { deduplicationKey: identity } = request;
    const home = identity && homeOf(topic, identity);
    const done: Progress['done'] = [];
    let spread = asked;
    if (home !== undefined) {
      const first = await this.#append(topic, request, spread, home);
      if (first.count > 0) done.push([home, first]);
      // A repeat after partitions were added is spread as it was at first, to where the rest of its records may lie.
      if (first.partitions > 0 && first.partitions !== spread.partitionCount) {
        spread = this.#spread(topic, request, first.partitions);
      }
    }
    const rest = [...spread.batches.keys()].filter((partition) => partition !== home);
    const outcomes = await Promise.allSettled(
      rest.map(async (partition) => {
        done.push([partition, await this.#append(topic, request, spread, partition)]);
      }),
    );
    done.sort(([a], [b]) => a - b);
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    if (failures.length === 0) return { spread, done };
    // That one batch was not sent says nothing of another, of which nobody knows what became.
    const unknown = failures.find((error) => hasCode(error, 'STORE_UNAVAILABLE') && !wasNotSent(error));
    const failure = unknown ?? failures[0];
    throw done.length > 0 ? withResults(failure, done) : failure;
  }

  /** Appends what one partition gets; at the home of the request, that may be nothing but the note of it. */
  async #append(topic: TopicInfo, request: ProduceRequest, spread: Spread, partition: number): Promise<AppendResult> {
    const { topicId } = topic;
    const { fence, deduplicationKey: identity } = request;
    const records = spread.batches.get(partition);
    const times = timesOf(topic, spread);
    // A fence is checked where there is something to append; what no partition takes is refused at home already.
    const batch: BatchToAppend = records
      ? { ...records, fence, timestamps: times }
      : { ...noRecords, fence: fence?.refusal ? fence : undefined, timestamps: times };
    if (!identity) return this.#batcher.append(topic, partition, batch);
    const { partitionCount: partitions } = spread;
    if (identity.kind === 'key') {
      return this.#batcher.append(topic, partition, { ...batch, deduplication: { ...identity, partitions } });
    }
    const home = partition === homeOf(topic, identity);
    const known = (joined: boolean): BatchToAppend => ({
      ...batch,
      deduplication: { ...identity, partitions, home, joined },
    });
    try {
      return await this.#batcher.append(topic, partition, known(false));
    } catch (error) {
      if (!hasCode(error, 'UNKNOWN_PRODUCER')) throw error;
    }
    // The first that this log hears of the producer, or of its epoch.
    await this.#producers.registerLog(identity.stamp, { topicId, partition });
    return this.#batcher.append(topic, partition, known(true));
  }

  async #checkReplicas(topic: TopicInfo, partitions: readonly number[], needed: number): Promise<void> {
    const connected = await this.#logs.connectedReplicas(topic.topicId, partitions);
    if (connected >= needed) return;
    throw new ServiceError(
      'NOT_ENOUGH_REPLICAS',
      `The store has ${connected} replicas, and min.insync.replicas asks for ${needed}; nothing was written.`,
      { replicas: connected, needed },
    );
  }

  async #awaitAll(
    topic: TopicInfo,
    appended: readonly [partition: number, appended: AppendResult][],
    results: PartitionResult[],
    needed: number,
  ): Promise<void> {
    const confirmed = await Promise.all(
      appended.map(([partition, { runId }]) => this.#logs.waitForReplicas(topic.topicId, partition, needed, runId)),
    );
    const fewest = Math.min(...confirmed.map(({ replicas: count }) => count));
    const isSynced = confirmed.every((each) => each.isSynced);
    if (fewest >= needed && isSynced) return;
    const missing =
      fewest < needed
        ? `Only ${fewest} of the ${needed} replicas that min.insync.replicas asks for have the records in time`
        : 'The records were not synced to disk in time';
    throw new ServiceError(
      'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
      `${missing}; they are written, and a retry without the same Idempotency-Key or producer sequence writes them again.`,
      { replicas: fewest, needed, synced: isSynced, results },
    );
  }
}

function timesOf({ config }: TopicInfo, { timestamps }: Spread): RequestTimestamps | undefined {
  const limit = (ms: number) => (ms < 0 ? undefined : ms);
  return (
    timestamps && {
      ...timestamps,
      beforeMsMax: limit(config['message.timestamp.before.max.ms']),
      afterMsMax: limit(config['message.timestamp.after.max.ms']),
    }
  );
}

function unknownFate(): ServiceError {
  return new ServiceError(
    'STORE_UNAVAILABLE',
    'The store did not answer in time. Whether the records are written, and replicated, is unknown: retry with the same ' +
      'Idempotency-Key, or read them.',
  );
}

/** The partition that knows whether a request is a repeat: on every broker the same, however many are added. */
function homeOf(topic: TopicInfo, identity: DeduplicationKey): number {
  const name = identity.kind === 'key' ? identity.key : identity.stamp.id;
  return partitionForKey(bytesAsText(name), topic.homePartitions);
}

/** Where keyless records go: with a key straight to its home; a producer's go round, request by request. */
function keylessPartition(topic: TopicInfo, identity: DeduplicationKey, partitionCount: number): number {
  const home = homeOf(topic, identity);
  return identity.kind === 'key' ? home : (home + identity.stamp.sequence) % partitionCount;
}

function resultsOf(done: Progress['done']): Required<PartitionResult>[] {
  return done.map(([partition, { baseOffset, count, timestamp }]) => ({ partition, baseOffset, count, timestamp }));
}

function withResults(error: unknown, done: Progress['done']): unknown {
  if (!(error instanceof ServiceError)) return error;
  return new ServiceError(
    error.code,
    `${afterPartialSuccess(error.message)} Other partitions have their records: see results.`,
    {
      ...error.fields,
      results: resultsOf(done),
    },
  );
}
