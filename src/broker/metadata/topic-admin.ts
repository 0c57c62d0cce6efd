// Creates, describes, changes and deletes topics. A topic is nodes in the tree and a log for each partition, and no transaction
// spans both (store/keys.ts). So each change is a sequence of steps that may be repeated, in an order in which a broker that dies
// between two of them loses nothing that was acknowledged:
//
// - Create: first the logs, under a fresh random id; then all nodes in one transaction. A broker that dies between leaves
//   empty logs that nothing names. In the other order it would leave a topic that cannot be used.
// - Add partitions: likewise, under the topic's id.
// - Delete: first one transaction deletes the nodes and creates a marker under /admin/delete_topics; then the logs and the
//   committed offsets are deleted; then the marker. topic-deleter.ts finishes what a broker that died has left.

import { randomUUID } from 'node:crypto';
import { partitionsMax, type TopicDescription } from '../../../schemas/topics.ts';
import {
  decodeTopic,
  encodeTopic,
  partitionStatePath,
  topicPath,
  topicsPath,
} from '../../core/cluster/cluster-nodes.ts';
import type { Creator } from '../../core/creator.ts';
import {
  type ConfigInput,
  changeOverrides,
  checkTopicName,
  decodeTopicConfig,
  effectiveConfig,
  encodeTopicConfig,
} from '../../core/records/topic-config.ts';
import { required } from '../../core/required.ts';
import { findServiceError, hasCode, ServiceError } from '../../core/service-error.ts';
import type { IdempotencyKey } from '../../store/idempotency.ts';
import type { Store } from '../../store/store.ts';
import type { Op, Step } from '../../store/tree/namespace.ts';
import type { Metrics } from '../metrics.ts';
import { retryOnConflict } from '../retry-on-conflict.ts';
import { jsonContentType } from './broker-registration.ts';
import { collidingTopic } from './colliding-topic.ts';
import { describePartition } from './partition-description.ts';
import { type TopicCache, type TopicInfo, topicConfigPath, unknownTopic } from './topic-cache.ts';
import { deletionPath, encodeDeletion, finishDeletion } from './topic-deleter.ts';
import { createNode, partitionCreations, preferredLeader, topicCreations, topicDeletions } from './topic-nodes.ts';
import { placePartitions } from './topic-placement.ts';

interface TopicCreation {
  name: string;
  partitions: number;
  replicationFactor: number;
  config: ConfigInput;
}

interface TopicAdminOptions {
  /** The largest number of partitions of all topics together. */
  maxPartitions: number;
  /** Whether producing to an unknown topic creates it. */
  autoCreateTopics: boolean;
}

export class TopicAdmin {
  readonly #store: Store;
  readonly #topics: TopicCache;
  readonly #partitionsMax: number;
  readonly #autoCreates: boolean;
  readonly #refused;

  constructor(store: Store, topics: TopicCache, options: TopicAdminOptions, metrics: Metrics) {
    this.#refused = metrics.counter(
      'partitions_refused_total',
      'Requests for topics or partitions that this broker refused at WEIR_MAX_PARTITIONS.',
    );
    this.#store = store;
    this.#topics = topics;
    this.#partitionsMax = options.maxPartitions;
    this.#autoCreates = options.autoCreateTopics;
  }

  /**
   * Creates a topic.
   * @param options `creator` = the identity against which it counts, if that is limited
   * @returns `replayed` = the topic was created by an earlier request with the same Idempotency-Key
   * @throws ServiceError BAD_REQUEST (the name), INVALID_PARTITIONS, INVALID_CONFIG, INVALID_REPLICATION_FACTOR, TOPIC_EXISTS,
   *   IDEMPOTENCY_KEY_REUSED, QUOTA_EXCEEDED
   */
  async create(
    creation: TopicCreation,
    { idempotency, creator }: { idempotency?: IdempotencyKey | undefined; creator?: Creator | undefined } = {},
  ): Promise<{ topic: TopicDescription; replayed: boolean; zxid: number }> {
    const { name } = creation;
    const config = await this.#checkCreation(creation);
    // The transaction checks that, too; with an Idempotency-Key it must decide, as the topic may be from the same request.
    if (!idempotency && (await this.#exists(name))) throw topicExists(name);

    const topicId = newTopicId();
    const partitions = numbers(0, creation.partitions);
    try {
      const written = await retryOnConflict(async () => {
        const placed = await placePartitions(this.#store, creation.partitions, creation.replicationFactor);
        // After the checks of placement and limit, so that a refused request makes no logs. Repeating it does no harm.
        await this.#checkLimit(creation.partitions, creator);
        await this.#eachLog(topicId, partitions, (id, partition) => this.#store.logs.create(id, partition));
        return this.#store.namespace.write(
          [
            ...placed.checks,
            ...topicCreations(name, { topicId, config, creator: creator?.name }, placed),
            this.#counted(creation.partitions),
          ],
          { privileged: true, idempotency, creator },
        );
      }, 'NODE_EXISTS');
      if (written.replayed) await this.#removeLogs(topicId, partitions);
      await this.#topics.refresh(name);
      return { topic: await this.describe(name), replayed: written.replayed, zxid: written.zxid };
    } catch (error) {
      // If it is unknown whether the nodes were created, the logs must stay: they may belong to a topic.
      if (!hasCode(error, 'STORE_UNAVAILABLE')) await this.#removeLogs(topicId, partitions).catch(() => undefined);
      throw hasCode(error, 'NODE_EXISTS') ? topicExists(name) : overLimit(error);
    }
  }

  /** Makes the checks of create() alone. @throws ServiceError as create() */
  async check(creation: TopicCreation, creator?: Creator): Promise<void> {
    await this.#checkCreation(creation);
    if (await this.#exists(creation.name)) throw topicExists(creation.name);
    await placePartitions(this.#store, creation.partitions, creation.replicationFactor);
    await this.#checkLimit(creation.partitions, creator);
  }

  /** Checks name, number of partitions and settings. @returns the data of the topic's settings */
  async #checkCreation({ name, partitions, config }: TopicCreation): Promise<string> {
    checkTopicName(name);
    checkPartitions(partitions);
    const encoded = encodeTopicConfig(changeOverrides({}, config));
    const other = await collidingTopic(this.#store.namespace, name);
    if (other === undefined) return encoded;
    throw new ServiceError('TOPIC_EXISTS', `The name ${name} differs from topic ${other} only by '.' and '_'.`, {
      topic: other,
    });
  }

  async #exists(name: string): Promise<boolean> {
    return this.#store.namespace.stat(topicPath(name)).then(
      () => true,
      (error: unknown) => {
        if (hasCode(error, 'NO_NODE')) return false;
        throw error;
      },
    );
  }

  /**
   * The topic that records are produced to. If it is unknown and the configuration allows it, creates it with one partition.
   * @param creator as for create()
   * @throws ServiceError UNKNOWN_TOPIC, and as create()
   */
  async getOrCreate(name: string, creator?: Creator): Promise<TopicInfo> {
    try {
      return await this.#topics.get(name);
    } catch (error) {
      if (!this.#autoCreates || !hasCode(error, 'UNKNOWN_TOPIC')) throw error;
      try {
        await this.create({ name, partitions: 1, replicationFactor: 1, config: {} }, { creator });
      } catch (failure) {
        // Another request created it first.
        if (!hasCode(failure, 'TOPIC_EXISTS')) throw failure;
      }
      return this.#topics.get(name);
    }
  }

  /** Reads a topic and its partitions. @throws ServiceError UNKNOWN_TOPIC */
  describe(name: string): Promise<TopicDescription> {
    return this.#topics.withTopic(name, () => this.#describe(name));
  }

  async #describe(name: string): Promise<TopicDescription> {
    const { namespace, logs } = this.#store;
    try {
      const [topic, config] = await Promise.all([namespace.get(topicPath(name)), namespace.get(topicConfigPath(name))]);
      const { topicId, replicas } = decodeTopic(topic.data);
      const [states, bounds] = await Promise.all([
        Promise.all(replicas.map((_, partition) => namespace.get(partitionStatePath(name, partition)))),
        logs.boundsOfReachable(replicas.map((_, partition) => ({ topicId, partition }))),
      ]);
      const partitions = replicas.map((assigned, partition) => {
        const [log, state] = [bounds[partition], states[partition]];
        if (!log || !state) throw unknownTopic(name);
        return describePartition(partition, assigned, state.data, log);
      });
      return { name, topicId, config: effectiveConfig(decodeTopicConfig(config.data)), partitions };
    } catch (error) {
      throw hasCode(error, 'NO_NODE') || hasCode(error, 'INVALID_PATH') ? unknownTopic(name) : error;
    }
  }

  /**
   * Adds partitions, up to `partitions` in all, and changes settings (null = back to the default), in one transaction.
   * @throws ServiceError UNKNOWN_TOPIC, INVALID_PARTITIONS, INVALID_CONFIG, INVALID_REPLICATION_FACTOR
   */
  async alter(
    name: string,
    change: { partitions?: number | undefined; config?: ConfigInput | undefined },
    idempotency?: IdempotencyKey,
  ): Promise<{ topic: TopicDescription; replayed: boolean; zxid: number }> {
    checkTopicName(name);
    if (change.partitions !== undefined) checkPartitions(change.partitions);
    const written = await asUnknownTopic(name, () =>
      retryOnConflict(async () => {
        const ops: Step[] = [];
        if (change.config) ops.push(await this.#configChange(name, change.config));
        const added = change.partitions === undefined ? undefined : await this.#addPartitions(name, change.partitions);
        if (added) ops.push(...added.steps);
        // The check fails if the topic does not exist, even without a change. A change of the configuration alone is allowed in a full
        // store, as a shorter retention makes room.
        return this.#store.namespace.write([{ op: 'check', path: topicPath(name) }, ...ops], {
          privileged: true,
          idempotency,
          creator: added?.creator,
          allowOom: change.partitions === undefined,
        });
      }),
    );
    await this.#topics.refresh(name);
    return { topic: await this.describe(name), replayed: written.replayed, zxid: written.zxid };
  }

  /**
   * Deletes a topic with all its records.
   * @param attempt `isChanged` = an earlier attempt of the request has deleted the nodes, and only the rest is to be deleted
   * @throws ServiceError UNKNOWN_TOPIC, IDEMPOTENCY_KEY_REUSED
   */
  async delete(
    name: string,
    attempt: { idempotency?: IdempotencyKey | undefined; isChanged?: boolean } = {},
  ): Promise<void> {
    checkTopicName(name);
    if (!attempt.isChanged) await this.#deleteNodes(name, attempt.idempotency);
    await finishDeletion(this.#store, name);
    // Other brokers receive the event; the next request to this broker must already find the topic deleted.
    await this.#topics.refresh(name).catch(() => undefined);
  }

  async #deleteNodes(name: string, idempotency: IdempotencyKey | undefined): Promise<void> {
    const { namespace } = this.#store;
    await asUnknownTopic(name, () =>
      retryOnConflict(async () => {
        const { data, stat } = await namespace.get(topicPath(name));
        const { topicId, replicas, creator } = decodeTopic(data);
        // The deletion of an earlier topic of this name may be unfinished; its marker has the same path.
        await finishDeletion(this.#store, name);
        const deletes = topicDeletions(name, replicas.length);
        // Fails if the topic was deleted and created again, or has more partitions by now.
        const unchanged: Op = { op: 'check', path: topicPath(name), mzxid: stat.mzxid };
        const marker = createNode(deletionPath(name), encodeDeletion({ topicId, partitions: replicas.length }));
        // The marker is small, and a deletion makes room: so it is allowed in a full store.
        const counted = this.#counted(-replicas.length);
        await namespace.write([unchanged, ...deletes, marker, counted], {
          privileged: true,
          allowOom: true,
          idempotency,
          creator: creatorOf(creator),
        });
      }),
    );
  }

  async #configChange(name: string, input: ConfigInput): Promise<Op> {
    const { data, stat } = await this.#store.namespace.get(topicConfigPath(name));
    const changed = encodeTopicConfig(changeOverrides(decodeTopicConfig(data), input));
    const path = topicConfigPath(name);
    return { op: 'set', path, data: changed, contentType: jsonContentType, version: stat.version };
  }

  async #addPartitions(name: string, partitions: number): Promise<{ steps: Step[]; creator: Creator | undefined }> {
    const { data, stat } = await this.#store.namespace.get(topicPath(name));
    const { topicId, replicas, homePartitions, creator: creatorName } = decodeTopic(data);
    const creator = creatorOf(creatorName);
    const count = replicas.length;
    if (partitions < count) {
      throw new ServiceError(
        'INVALID_PARTITIONS',
        `Topic ${name} has ${count} partitions; the number can only grow, not become ${partitions}.`,
        { partitions: count },
      );
    }
    if (partitions === count) return { steps: [], creator: undefined };
    const first = required(replicas[0], 'partition 0');
    const placed = await placePartitions(this.#store, partitions - count, first.length, {
      count,
      firstReplica: preferredLeader(first),
    });
    await this.#checkLimit(partitions - count, creator);
    await this.#eachLog(topicId, numbers(count, partitions), (id, p) => this.#store.logs.create(id, p));
    const grown = encodeTopic({
      topicId,
      replicas: [...replicas, ...placed.replicas],
      homePartitions,
      creator: creatorName,
    });
    const steps: Step[] = [
      ...placed.checks,
      { op: 'set', path: topicPath(name), data: grown, contentType: jsonContentType, version: stat.version },
      ...partitionCreations(name, placed, count),
      this.#counted(partitions - count),
    ];
    return { steps, creator };
  }

  /** Counts partitions in the transaction that creates them, so that concurrent requests do not exceed the limit together. */
  #counted(add: number): Step {
    return { op: 'partitions', path: topicsPath, add, most: this.#partitionsMax };
  }

  /** Checks the limits before logs are created for a request that will be refused. @throws ServiceError INVALID_PARTITIONS, QUOTA_EXCEEDED */
  async #checkLimit(add: number, creator: Creator | undefined): Promise<void> {
    const trial: Step = { op: 'partitions', path: topicsPath, add, most: this.#partitionsMax, isTrial: true };
    await this.#store.namespace.write([trial], { privileged: true, creator }).catch((error) => {
      if (hasCode(error, 'INVALID_PARTITIONS')) this.#refused.inc();
      throw overLimit(error);
    });
  }

  async #eachLog(
    topicId: string,
    partitions: readonly number[],
    act: (topicId: string, partition: number) => Promise<void>,
  ): Promise<void> {
    await Promise.all(partitions.map((partition) => act(topicId, partition)));
  }

  #removeLogs(topicId: string, partitions: readonly number[]): Promise<void> {
    return this.#eachLog(topicId, partitions, (id, partition) => this.#store.logs.remove(id, partition));
  }
}

async function asUnknownTopic<T>(name: string, change: () => Promise<T>): Promise<T> {
  try {
    return await change();
  } catch (error) {
    throw hasCode(error, 'NO_NODE') ? unknownTopic(name) : overLimit(error);
  }
}

/** The creator of a topic, by the limits that the store has of it: who changes the topic may be another identity. */
function creatorOf(name: string | undefined): Creator | undefined {
  return name === undefined ? undefined : { name };
}

/** The refusal of too many partitions, without the fields about the transaction. */
function overLimit(error: unknown): unknown {
  const known = findServiceError(error);
  if (known?.code === 'QUOTA_EXCEEDED') {
    const { limit, used, max } = known.fields;
    return new ServiceError('QUOTA_EXCEEDED', known.message, { limit, used, max });
  }
  if (known?.code !== 'INVALID_PARTITIONS' || known.fields.maxPartitions === undefined) return error;
  const { partitions, maxPartitions } = known.fields;
  return new ServiceError('INVALID_PARTITIONS', known.message, { partitions, maxPartitions });
}

function checkPartitions(partitions: number): void {
  if (partitions >= 1 && partitions <= partitionsMax) return;
  throw new ServiceError(
    'INVALID_PARTITIONS',
    `The number of partitions is ${partitions}; it must be from 1 to ${partitionsMax}.`,
    { partitionsMax },
  );
}

function topicExists(name: string): ServiceError {
  return new ServiceError('TOPIC_EXISTS', `Topic ${name} exists already.`, { topic: name });
}

/** 22 characters, like Kafka's topic ids; none begins with a dash, which command line tools would take for an option. */
function newTopicId(): string {
  for (;;) {
    const id = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
