// Changes partitions on request, through any broker: preferred leader election and reassignment. The decisions are pure functions
// (core/cluster/leader-election.ts). They are committed like the controller's, on condition that the controller epoch, the
// partition's state and the live brokers have not changed.
import type { ElectionOutcome, PartitionDescription } from '../../../schemas/topics.ts';
import {
  brokerPath,
  decodePartitionState,
  decodeTopic,
  encodeTopic,
  partitionStatePath,
  type TopicNode,
  topicPath,
} from '../../core/cluster/cluster-nodes.ts';
import { electPreferred, type PartitionState, raiseLeaderEpoch, reassign } from '../../core/cluster/leader-election.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { IdempotencyKey } from '../../store/idempotency.ts';
import type { Store } from '../../store/store.ts';
import type { Op } from '../../store/tree/namespace.ts';
import { retryOnConflict } from '../retry-on-conflict.ts';
import { jsonContentType } from './broker-registration.ts';
import { ifExists, liveBrokers, newestControllerEpoch } from './cluster.ts';
import { controllerEpochCheck, stateChange, statesPerTransactionMax } from './partition-changes.ts';
import { describePartition } from './partition-description.ts';
import { type TopicCache, unknownPartition, unknownTopic } from './topic-cache.ts';

interface ReadState extends PartitionState {
  topic: string;
  partition: number;
  version: number;
}

export class PartitionAdmin {
  readonly #store: Store;
  readonly #topics: TopicCache;

  constructor(store: Store, topics: TopicCache) {
    this.#store = store;
    this.#topics = topics;
  }

  /** Reads a partition's state and the figures of its log. @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION */
  async describe(topic: string, partition: number): Promise<{ description: PartitionDescription; zxid: number }> {
    return this.#topics.withTopic(topic, () => this.#describe(topic, partition));
  }

  #describe(topic: string, partition: number): Promise<{ description: PartitionDescription; zxid: number }> {
    return asUnknownTopic(topic, async () => {
      const { topicId, replicas } = await this.#topic(topic);
      const assigned = assignedTo(topic, replicas, partition);
      const [{ data, zxid }, [log]] = await Promise.all([
        this.#store.namespace.get(partitionStatePath(topic, partition)),
        this.#store.logs.boundsOfReachable([{ topicId, partition }]),
      ]);
      if (!log) throw unknownTopic(topic);
      return { description: describePartition(partition, assigned, data, log), zxid };
    });
  }

  /**
   * Elects the preferred leader, the first of the replicas, for each partition whose preferred leader is alive.
   * @param partition absent: all partitions of the topic
   * @returns the outcome for each partition
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION
   */
  async electPreferred(topic: string, partition?: number): Promise<{ partitions: ElectionOutcome[]; zxid: number }> {
    // Kept over attempts: a transaction of an earlier attempt may have been written before a later one conflicted.
    const elected = new Set<number>();
    return asUnknownTopic(topic, () =>
      retryOnConflict(async () => {
        const { replicas } = await this.#topic(topic);
        const numbers = partition === undefined ? [...replicas.keys()] : [partition];
        const [states, live, controller] = await Promise.all([
          Promise.all(numbers.map((number) => this.#state(topic, number, assignedTo(topic, replicas, number)))),
          this.#liveIds(),
          newestControllerEpoch(this.#store.namespace),
        ]);
        let zxid = Math.max(...states.map((state) => state.zxid));
        const decided = states.map((state) => ({ state, next: electPreferred(state, live) }));
        const due = decided.flatMap(({ state, next }) => (next ? [{ state, next }] : []));
        for (let i = 0; i < due.length; i += statesPerTransactionMax) {
          const step = due.slice(i, i + statesPerTransactionMax);
          const written = await this.#store.namespace.write(
            [
              ...(controller ? [controllerEpochCheck(controller)] : []),
              ...checksOf(new Set(step.map(({ next }) => next.leader)), live),
              ...step.map(({ state, next }) => stateChange(state, next, controller?.epoch ?? 0)),
            ],
            { privileged: true, allowOom: true },
          );
          zxid = written.zxid;
          for (const { state } of step) elected.add(state.partition);
        }
        const partitions = decided.map(({ state, next }): ElectionOutcome => {
          const { leader, leaderEpoch } = next ?? state;
          const outcome = elected.has(state.partition)
            ? 'elected'
            : leader === state.replicas[0]
              ? 'notNeeded'
              : 'preferredUnavailable';
          return { partition: state.partition, leader, leaderEpoch, outcome };
        });
        return { partitions, zxid };
      }),
    );
  }

  /**
   * Replaces the replicas of a partition; the first one is the preferred leader. The log is in the store, so no data is copied,
   * and live replicas are in sync at once. The present list changes nothing.
   * @param replicas not empty, each once
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION, INVALID_REPLICA_ASSIGNMENT: a new replica, or all, are not alive
   */
  async reassign(
    topic: string,
    partition: number,
    replicas: number[],
    idempotency?: IdempotencyKey,
  ): Promise<{ description: PartitionDescription; zxid: number; replayed: boolean }> {
    const reassigned = await asUnknownTopic(topic, () =>
      retryOnConflict(async () => {
        const { namespace } = this.#store;
        const now = await this.#topic(topic);
        const assigned = assignedTo(topic, now.replicas, partition);
        const [state, live, controller] = await Promise.all([
          this.#state(topic, partition, assigned),
          this.#liveIds(),
          newestControllerEpoch(namespace),
        ]);
        checkAlive(replicas, assigned, live);
        const next = reassign(state, replicas, live);
        if (!next) return undefined;
        const all = encodeTopic({ ...now, replicas: now.replicas.with(partition, replicas) });
        return namespace.write(
          [
            ...(controller ? [controllerEpochCheck(controller)] : []),
            ...checksOf(new Set(replicas), live),
            { op: 'set', path: topicPath(topic), data: all, contentType: jsonContentType, version: now.version },
            stateChange(state, next, controller?.epoch ?? 0),
          ],
          { privileged: true, allowOom: true, idempotency },
        );
      }),
    );
    const { description, zxid } = await this.describe(topic, partition);
    const replayed = reassigned?.replayed ?? false;
    return { description, zxid: Math.max(zxid, reassigned?.zxid ?? 0), replayed };
  }

  /**
   * Raises the leader epoch of a partition above the one that its log has seen, if the tree does not know that epoch or has given it
   * twice: then the store has lost an election, and the log would refuse the leader.
   * @param leader the broker that the log has refused
   * @returns whether the epoch was raised
   */
  async raiseLeaderEpoch(
    { name, topicId }: { name: string; topicId: string },
    partition: number,
    leader: number,
    logEpoch: number,
  ): Promise<boolean> {
    const written = await ifExists(
      retryOnConflict(async () => {
        const now = await this.#topic(name);
        if (now.topicId !== topicId) return undefined;
        const [state, live, controller] = await Promise.all([
          this.#state(name, partition, assignedTo(name, now.replicas, partition)),
          this.#liveIds(),
          newestControllerEpoch(this.#store.namespace),
        ]);
        const next = raiseLeaderEpoch(state, leader, logEpoch, live);
        if (!next) return undefined;
        return this.#store.namespace.write(
          [
            ...(controller ? [controllerEpochCheck(controller)] : []),
            ...checksOf(new Set([leader]), live),
            stateChange(state, next, controller?.epoch ?? 0),
          ],
          { privileged: true, allowOom: true },
        );
      }),
    );
    return written !== undefined;
  }

  async #topic(topic: string): Promise<TopicNode & { version: number }> {
    const { data, stat } = await this.#store.namespace.get(topicPath(topic));
    return { ...decodeTopic(data), version: stat.version };
  }

  async #state(topic: string, partition: number, replicas: readonly number[]): Promise<ReadState & { zxid: number }> {
    const { data, stat, zxid } = await this.#store.namespace.get(partitionStatePath(topic, partition));
    return { ...decodePartitionState(data, replicas), topic, partition, version: stat.version, zxid };
  }

  async #liveIds(): Promise<ReadonlySet<number>> {
    return new Set((await liveBrokers(this.#store)).map(({ id }) => id));
  }
}

/** Operations that fail the transaction if one of these brokers has died or come back meanwhile. */
function checksOf(ids: ReadonlySet<number>, live: ReadonlySet<number>): Op[] {
  return [...ids].map((id) => ({ op: 'check', path: brokerPath(id), ...(!live.has(id) && { exists: false }) }));
}

/** The replicas of a partition. @throws ServiceError UNKNOWN_PARTITION */
function assignedTo(topic: string, replicas: readonly number[][], partition: number): number[] {
  const assigned = replicas[partition];
  if (!assigned) throw unknownPartition(topic, partition, replicas.length);
  return assigned;
}

/** As in Kafka, added replicas must be alive. Besides, at least one of all replicas must be alive, to lead the partition. */
function checkAlive(replicas: readonly number[], assigned: readonly number[], live: ReadonlySet<number>): void {
  const dead = replicas.filter((id) => !live.has(id) && !assigned.includes(id));
  if (dead.length === 0 && replicas.some((id) => live.has(id))) return;
  throw new ServiceError(
    'INVALID_REPLICA_ASSIGNMENT',
    dead.length > 0
      ? `Of the new replicas [${replicas}] these are not live brokers: [${dead}]. The live brokers are [${[...live]}].`
      : `None of the replicas [${replicas}] is alive, so none could lead. The live brokers are [${[...live]}].`,
    { liveBrokers: [...live] },
  );
}

async function asUnknownTopic<T>(topic: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    throw hasCode(error, 'NO_NODE') || hasCode(error, 'INVALID_PATH') ? unknownTopic(topic) : error;
  }
}
