// Appends the records of one produce request to their partitions. Everything is checked before anything is appended. A request
// with a deduplication key goes first to its home partition, which knows whether it is a repeat (docs/adr/007). With acks=all it
// waits for the replicas.
import { partitionForKey } from '../../core/records/partitioner.ts';
import { bytesAsText } from '../../core/records/record-fields.ts';
import type { RequestRecords } from '../../core/records/record-input.ts';
import { nameRefusedRecord, type RecordBatch, type Spread, spreadRecords } from '../../core/records/request-batches.ts';
import { required } from '../../core/required.ts';
import { afterPartialSuccess, hasCode, ServiceError } from '../../core/service-error.ts';
import type { AppendResult } from '../../store/log/log-replies.ts';
import type { BatchToAppend, DeduplicationKey, Fence, Logs, RequestTimestamps } from '../../store/log/logs.ts';
import type { Producers } from '../../store/log/producers.ts';
import type { Origin } from '../../store/origin.ts';
import { withTimeout } from '../../store/redis/with-timeout.ts';
import type { Store } from '../../store/store.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { StoredQuotas } from '../metadata/stored-quotas.ts';
import { checkPartition, type TopicCache, type TopicInfo } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import { AppendBatcher, AppendNotSentError } from './append-batcher.ts';
import { AppendOrder, type Turn } from './append-order.ts';
import { KeylessPartitions } from './keyless-partitions.ts';
import type { TopicTraffic } from './topic-traffic.ts';

/** What a request waits for: 0 = nothing, 1 = the primary Redis, all = also `min.insync.replicas` - 1 of its replicas. */
export type Acks = '0' | '1' | 'all';

/** Parsed once, at the edge (http/produce.ts). */
export interface ProduceRequest {
  topic: string;
  records: RequestRecords;
  /** The partition of all records, if the request names one. */
  partition?: number | undefined;
  acks: Acks;
  fence?: Fence | undefined;
  deduplicationKey?: DeduplicationKey | undefined;
  /**
   * The sender, if its requests must be appended to each partition in the order of their calls. If it is dead, what was not sent to
   * the store yet is dropped.
   */
  origin?: Origin | undefined;
}

interface PartitionResult {
  partition: number;
  count: number;
  /** Undefined with acks=0, as is the timestamp. */
  baseOffset?: number;
  timestamp?: number;
}

export interface ProduceResult {
  /** By partition, in ascending order. */
  results: PartitionResult[];
  /** The partition of each record, in the order of the request. */
  partitions: readonly number[];
  /** Whether all records were appended by an earlier request with the same deduplication key. */
  replayed: boolean;
}

/** How the records of a request are spread over partitions, and where they were appended so far. */
interface Progress {
  spread: Spread;
  done: [partition: number, appended: AppendResult][];
}

/** With so many bytes in flight, a request with acks=0 waits for its append after all, to bound memory. */
const unacknowledgedBytesMax = 16 * 1024 * 1024;

/** The batch for the home partition of a request that has no records for it: it only notes the request. */
const noRecords: RecordBatch = { count: 0, records: Buffer.alloc(0), maxTimestamp: undefined, hasAllTimestamps: false };

export class LogWriter {
  readonly #topics: TopicCache;
  readonly #quotas: Pick<StoredQuotas, 'requireRoom'>;
  readonly #logs: Logs;
  readonly #producers: Producers;
  readonly #namespace: Namespace;
  readonly #batcher: AppendBatcher;
  readonly #order = new AppendOrder();
  readonly #keyless = new KeylessPartitions();
  readonly #replyMsMax: number;
  readonly #unacknowledgedFailures;

  /** @param quotas refuses what the creator of a topic may not store */
  constructor(
    topics: TopicCache,
    store: Pick<Store, 'connection' | 'logs' | 'producers' | 'namespace'>,
    { traffic, quotas }: { traffic: TopicTraffic; quotas: Pick<StoredQuotas, 'requireRoom'> },
    metrics: Metrics,
  ) {
    const { connection, logs, producers, namespace } = store;
    this.#replyMsMax = connection.timeouts.replyMs;
    this.#topics = topics;
    this.#quotas = quotas;
    this.#logs = logs;
    this.#producers = producers;
    this.#namespace = namespace;
    this.#batcher = new AppendBatcher(logs, traffic, metrics);
    this.#unacknowledgedFailures = metrics.counter(
      'unacknowledged_appends_failed_total',
      'Appends with acks=0 that failed after the response was sent.',
    );
  }

  /**
   * Appends the records of one request, those of each partition together or not at all. If one partition fails after others
   * have their records, the error's field `results` says what was appended.
   * @param known the topic's metadata, if the caller has just looked them up
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION, BAD_REQUEST, QUOTA_EXCEEDED, TOO_LARGE, NOT_ENOUGH_REPLICAS, UNKNOWN_PRODUCER,
   *   OUT_OF_ORDER_SEQUENCE: nothing is written; IDEMPOTENCY_KEY_REUSED, FORBIDDEN (producer), PRODUCER_FENCED, FENCED, STORE_UNAVAILABLE,
   *   STORE_FULL; NOT_ENOUGH_REPLICAS_AFTER_APPEND: all is written
   */
  produce(request: ProduceRequest, known?: TopicInfo): Promise<ProduceResult> {
    const { origin, topic: name } = request;
    const turn = origin && this.#order.enter(origin, name);
    const produced = turn
      ? this.#topics
          .withTopic(name, (topic) => turn.try(() => this.#produce(topic, request, turn)), known)
          .finally(() => turn.leave())
      : this.#topics.withTopic(name, (topic) => this.#produce(topic, request), known);
    // One limit for all steps: a store that is slow at each of them must not use the time limit of each.
    return withTimeout(produced, this.#replyMsMax, unknownFate);
  }

  async #produce(topic: TopicInfo, unchecked: ProduceRequest, turn?: Turn): Promise<ProduceResult> {
    this.#quotas.requireRoom(topic);
    const spread = this.#spread(topic, unchecked, topic.partitionCount);
    const { fence } = unchecked;
    const request = fence?.node === undefined ? unchecked : await this.#checkFenceNode(unchecked, fence, fence.node);
    if (request.acks === '0' && this.#batcher.bytesInFlight < unacknowledgedBytesMax) {
      const append = this.#appendAll(topic, request, spread, turn).catch(() => this.#unacknowledgedFailures.inc());
      turn?.keepUntil(append);
      const results = [...spread.batches].map(([partition, { count }]) => ({ partition, count }));
      return { results, partitions: spread.partitions, replayed: false };
    }
    const waitsForAll = request.acks === 'all';
    const replicas = topic.config['min.insync.replicas'] - 1;
    if (waitsForAll && replicas > 0) await this.#checkReplicas(topic, [...spread.batches.keys()], replicas);
    const appended = await this.#appendAll(topic, request, spread, turn).catch((error: unknown) => {
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
   * Checks that the node of a fence still has the czxid that the request names. The tree and the log are in different hash slots, so
   * the check comes before the append, and the node may be deleted in between: then the log refuses the request's token once the
   * next owner has appended.
   * @throws ServiceError FENCED, unless the request has a deduplication key: then the log decides, as it may be a repeat
   */
  async #checkFenceNode(request: ProduceRequest, fence: Fence, path: string): Promise<ProduceRequest> {
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
        ? `Node ${path} with czxid ${fence.token} does not exist any more: the sender does not hold it.`
        : `Node ${path} has czxid ${found}, not ${fence.token}: it was deleted and created again, and the sender does not hold it.`;
    if (request.deduplicationKey) return { ...request, fence: { ...fence, refusal: lost } };
    const token = found ?? fence.token;
    throw new ServiceError('FENCED', `${lost} Nothing was written.`, { fence: path, token });
  }

  #spread(topic: TopicInfo, { records, partition, deduplicationKey }: ProduceRequest, partitionCount: number): Spread {
    let chosen: number | undefined;
    const spread = spreadRecords(records, {
      topic,
      partitionCount,
      requestedPartition: partition,
      chooseKeylessPartition: () => {
        // A repeat through any broker must choose the same partitions.
        if (deduplicationKey) return keylessPartition(topic, deduplicationKey, partitionCount);
        chosen = this.#keyless.choose(topic);
        return chosen;
      },
      checkPartition: (number) => checkPartition(topic, number),
    });
    if (chosen !== undefined) this.#keyless.note(topic, spread.batches.get(chosen)?.records.length ?? 0);
    return spread;
  }

  /** Appends every batch; with a deduplication key first the one at home, which shows whether the request is a repeat. */
  async #appendAll(topic: TopicInfo, request: ProduceRequest, firstSpread: Spread, turn?: Turn): Promise<Progress> {
    const { deduplicationKey } = request;
    const home = deduplicationKey && homeOf(topic, deduplicationKey);
    const done: Progress['done'] = [];
    let spread = firstSpread;
    await turn?.wait(topic);
    if (home !== undefined) {
      const atHome = this.#append(topic, request, spread, home);
      if (isOnlyAt(home, spread)) turn?.sent(topic, [home], deduplicationKey);
      const first = await atHome;
      if (first.count > 0) done.push([home, first]);
      // Partitions were added since the first try: a repeat is spread over as many as then, where its records may be already.
      if (first.partitions > 0 && first.partitions !== spread.partitionCount) {
        spread = this.#spread(topic, request, first.partitions);
      }
    }
    const rest = [...spread.batches.keys()].filter((partition) => partition !== home);
    const appending = Promise.allSettled(rest.map((partition) => this.#append(topic, request, spread, partition)));
    turn?.sent(topic, rest, deduplicationKey);
    const failures: unknown[] = [];
    for (const [index, append] of (await appending).entries()) {
      if (append.status === 'rejected') failures.push(append.reason);
      else done.push([required(rest[index], 'partition of an append'), append.value]);
    }
    done.sort(([a], [b]) => a - b);
    if (failures.length === 0) {
      turn?.settled(topic, home === undefined ? rest : [home, ...rest], deduplicationKey);
      return { spread, done };
    }
    // An append without a reply comes before one that was not sent: whether its records are written is unknown.
    const unknown = failures.find(
      (error) => hasCode(error, 'STORE_UNAVAILABLE') && !(error instanceof AppendNotSentError),
    );
    const failure = unknown ?? failures[0];
    throw done.length > 0 ? withResults(failure, { spread, done }) : failure;
  }

  /** Appends the records for one partition; at the home partition that may be no records, only the note of the request. */
  #append(topic: TopicInfo, request: ProduceRequest, spread: Spread, partition: number): Promise<AppendResult> {
    const { fence, deduplicationKey: key, origin } = request;
    const records = spread.batches.get(partition);
    const timestamps = timesOf(topic, spread);
    // A fence is checked where there are records to append; one whose node is lost is refused at the home partition already.
    const checked = records ? fence : fence?.refusal ? fence : undefined;
    const found = records ?? noRecords;
    const batch: BatchToAppend = checked || timestamps ? { ...found, fence: checked, timestamps } : found;
    return key
      ? this.#appendOnce(topic, spread, partition, batch, key, origin)
      : this.#batcher.append(topic, partition, batch, origin);
  }

  /** Appends a batch that may be a repeat. */
  async #appendOnce(
    topic: TopicInfo,
    spread: Spread,
    partition: number,
    batch: BatchToAppend,
    key: DeduplicationKey,
    origin: Origin | undefined,
  ): Promise<AppendResult> {
    const { topicId } = topic;
    const { partitionCount: partitions } = spread;
    if (key.kind === 'key') {
      return this.#batcher.append(topic, partition, { ...batch, deduplication: { ...key, partitions } }, origin);
    }
    const home = partition === homeOf(topic, key);
    const withProducer = (joined: boolean, identity?: string): BatchToAppend => ({
      ...batch,
      deduplication: { ...key, partitions, home, joined, identity },
    });
    try {
      return await this.#batcher.append(topic, partition, withProducer(false), origin);
    } catch (error) {
      if (!hasCode(error, 'UNKNOWN_PRODUCER')) throw error;
    }
    // This log does not know the producer, or not this epoch: it is registered with the producer, and the append tried again.
    const identity = await this.#producers.registerLog(key, { topicId, partition });
    return this.#batcher.append(topic, partition, withProducer(true, identity), origin);
  }

  async #checkReplicas(topic: TopicInfo, partitions: readonly number[], needed: number): Promise<void> {
    const connected = await this.#logs.connectedReplicas(topic.topicId, partitions);
    if (connected >= needed) return;
    throw new ServiceError(
      'NOT_ENOUGH_REPLICAS',
      `The store has ${connected} connected replicas; min.insync.replicas of topic ${topic.name} needs ${needed}. Nothing was written.`,
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
    const fewest = Math.min(...confirmed.map(({ replicas }) => replicas));
    const isSynced = confirmed.every((each) => each.isSynced);
    if (fewest >= needed && isSynced) return;
    const missing =
      fewest < needed
        ? `Only ${fewest} of the ${needed} replicas that min.insync.replicas needs had the records in time`
        : 'The records were not synced to disk in time';
    throw new ServiceError(
      'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
      `${missing}; they are written, and a retry without the same Idempotency-Key or producer sequence writes them again.`,
      { replicas: fewest, needed, synced: isSynced, results },
    );
  }
}

/** [partition, offset] of each record, in the order of the request. Those of one partition are contiguous. */
export function offsetsOf({ partitions, results }: ProduceResult): [partition: number, offset: number][] {
  const next = new Map(results.map(({ partition, baseOffset }) => [partition, baseOffset]));
  const offsets: [number, number][] = [];
  for (const partition of partitions) {
    const offset = next.get(partition);
    if (offset === undefined) continue;
    offsets.push([partition, offset]);
    next.set(partition, offset + 1);
  }
  return offsets;
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
    'The store did not reply in time. Whether the records are written, and replicated, is unknown: retry with the same ' +
      'Idempotency-Key, or read them.',
  );
}

/** The home partition of a request, which knows whether it is a repeat: the same on every broker, also after partitions are added. */
function homeOf(topic: TopicInfo, key: DeduplicationKey): number {
  const name = key.kind === 'key' ? key.key : key.id;
  return partitionForKey(bytesAsText(name), topic.homePartitions);
}

function isOnlyAt(home: number, { batches }: Spread): boolean {
  return batches.size === 0 || (batches.size === 1 && batches.has(home));
}

/** The partition of keyless records: for an idempotency key its home; for a producer the next one with each request. */
function keylessPartition(topic: TopicInfo, key: DeduplicationKey, partitionCount: number): number {
  const home = homeOf(topic, key);
  return key.kind === 'key' ? home : (home + key.sequence) % partitionCount;
}

function resultsOf(done: Progress['done']): Required<PartitionResult>[] {
  return done.map(([partition, { baseOffset, count, timestamp }]) => ({ partition, baseOffset, count, timestamp }));
}

/** What a request that failed has appended before: the cause of its error has it. */
class PartlyAppended extends Error {
  readonly appended: Pick<ProduceResult, 'results' | 'partitions'>;

  constructor({ spread, done }: Progress) {
    super('A part of the records was appended');
    this.appended = { results: resultsOf(done), partitions: spread.partitions };
  }
}

/** The records of a failed request that were appended, if some were: with `results` those of whole partitions. */
export function appendedBefore(error: unknown): Pick<ProduceResult, 'results' | 'partitions'> | undefined {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof PartlyAppended) return e.appended;
  return undefined;
}

function withResults(error: unknown, progress: Progress): unknown {
  if (!(error instanceof ServiceError)) return error;
  return new ServiceError(
    error.code,
    `${afterPartialSuccess(error.message)} Other partitions have their records: see results.`,
    {
      ...error.fields,
      results: resultsOf(progress.done),
    },
    { cause: new PartlyAppended(progress) },
  );
}
