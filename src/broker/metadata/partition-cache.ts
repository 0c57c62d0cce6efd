// Caches the state of every partition: replicas, leader, leader epoch and ISR, updated by the event stream. So it costs one map
// look-up to know whether this broker leads a partition. A state may be out of date until its event arrives; every use of it
// passes the leader epoch or the version, which the store checks.

import type { Logger } from 'pino';
import type { Stat } from '../../../schemas/common.ts';
import {
  decodePartitionState,
  decodeTopic,
  partitionStatePath,
  topicPath,
  topicsPath,
} from '../../core/cluster/cluster-nodes.ts';
import type { PartitionState } from '../../core/cluster/leader-election.ts';
import { required } from '../../core/required.ts';
import type { Namespace, NodeData } from '../../store/tree/namespace.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';
import type { EventTail } from '../watches/event-tail.ts';
import type { BrokerRegistration } from './broker-registration.ts';
import { ifExists } from './cluster.ts';
import type { TopicInfo } from './topic-cache.ts';

export interface PartitionInfo extends PartitionState {
  readonly topic: string;
  readonly partition: number;
  /** The version of the node that holds the state: a change must be conditional on it. */
  readonly version: number;
  /** The zxid of the last change of the state: a broker that registered later has restarted since. */
  readonly mzxid: number;
}

/** A topic and the number of its partitions. */
export type TopicPartitions = Pick<TopicInfo, 'name' | 'topicId' | 'partitionCount'>;

/** How often the partitions are read again after a gap in the events, while the store is away. */
const relearnMs = 1000;
/** How many topics are read at once, so that a broker that starts does not delay the requests of others. */
const topicsPerStep = 50;

const topicNode = /^\/brokers\/topics\/([^/]+)$/;
const stateNode = /^\/brokers\/topics\/([^/]+)\/partitions\/(\d+)\/state$/;

/** A topic as far as it was read. Its replicas and the states of these partitions change in one transaction. */
interface KnownTopic {
  mzxid: number;
  topicId: string;
  /** Undefined while they are read: an event carries only the first 16 KiB of them. */
  replicas: readonly (readonly number[])[] | undefined;
  /** The identity against which it counts, if that is limited. */
  creator: string | undefined;
  states: Map<number, KnownState>;
}

type KnownState = Omit<PartitionInfo, 'topic' | 'partition' | 'replicas'>;

export class PartitionCache {
  readonly #namespace: Namespace;
  readonly #tail: EventTail;
  readonly #registration: BrokerRegistration;
  readonly #log: Logger;
  readonly #known = new Map<string, KnownTopic>();
  readonly #loading: PeriodicTask;
  readonly #loadedListeners = new Set<() => void>();
  readonly #unsubscribe: (() => void)[] = [];
  /** While nodes are read: the nodes that were deleted meanwhile, each with the zxid. */
  readonly #deleted = new Map<string, number>();
  #reads = 0;
  #isComplete = false;
  /** The number of the current read of everything: a gap starts a new one, and results of older ones are dropped. */
  #generation = 0;

  constructor(namespace: Namespace, tail: EventTail, registration: BrokerRegistration, metrics: Metrics, log: Logger) {
    this.#namespace = namespace;
    this.#tail = tail;
    this.#registration = registration;
    this.#log = log;
    this.#loading = new PeriodicTask('read of all partitions', relearnMs, () => this.#loadIfIncomplete(), log);
    metrics.gauge('partitions_led', 'Partitions that this broker leads.', () => [...this.led()].length);
    metrics.gauge(
      'under_replicated_partitions',
      'Partitions that this broker leads with fewer live replicas than they have.',
      () => [...this.led()].filter(({ isr, replicas }) => isr.length < replicas.length).length,
    );
  }

  /** Reads all partitions; the event tail must have been started. */
  async start(): Promise<void> {
    // Subscribe before the read: so no change during it is missed.
    this.#unsubscribe.push(
      this.#tail.subscribe((batch) => {
        for (const transaction of batch) this.#accept(transaction);
      }),
      this.#tail.onGap((history) => {
        if (history === 'main') this.#forget();
      }),
    );
    try {
      await this.#loadIfIncomplete();
    } catch (error) {
      this.#unsubscribeAll();
      throw error;
    }
    this.#loading.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribeAll();
    await this.#loading.stop();
  }

  #unsubscribeAll(): void {
    for (const stop of this.#unsubscribe.splice(0)) stop();
  }

  /** Whether all partitions were read; false for a moment after a gap in the events. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Calls `listener` each time that missing partitions have been read. @returns a function that ends this */
  onLoaded(listener: () => void): () => void {
    this.#loadedListeners.add(listener);
    return () => this.#loadedListeners.delete(listener);
  }

  /** The leader epoch with which this broker leads the partition, by the events received so far; undefined if it does not. */
  leads(topic: string, partition: number): number | undefined {
    const state = this.#known.get(topic)?.states.get(partition);
    return state && this.#isLedHere(state) ? state.leaderEpoch : undefined;
  }

  /** The partitions that this broker leads, by the events received so far. */
  *led(): IterableIterator<PartitionInfo> {
    for (const info of this.all()) if (this.#isLedHere(info)) yield info;
  }

  /** Every topic, except those whose replicas are being read. */
  *topics(): IterableIterator<TopicPartitions> {
    for (const name of this.#known.keys()) {
      const topic = this.topic(name);
      if (topic) yield topic;
    }
  }

  /** A topic, by the events received so far; undefined if it is not known, or its replicas are being read. */
  topic(name: string): TopicPartitions | undefined {
    const { topicId, replicas } = this.#known.get(name) ?? {};
    return topicId && replicas ? { name, topicId, partitionCount: replicas.length } : undefined;
  }

  /** The brokers of each partition of a topic, by the events received so far; undefined as for topic(). */
  replicasOf(name: string): readonly (readonly number[])[] | undefined {
    return this.#known.get(name)?.replicas;
  }

  /** How many partitions each broker leads, by the events received so far. */
  ledByBroker(): Map<number, number> {
    const counts = new Map<number, number>();
    for (const { states } of this.#known.values()) {
      for (const { leader } of states.values()) counts.set(leader, (counts.get(leader) ?? 0) + 1);
    }
    return counts;
  }

  /** Who leads the partitions of a topic, by the events received so far. @returns partitions by broker, and those not led by the preferred one */
  leadersOf(name: string): { leaders: { brokerId: number; partitions: number }[]; notPreferred: number } {
    const counts = new Map<number, number>();
    let notPreferred = 0;
    const { replicas, states = [] } = this.#known.get(name) ?? {};
    for (const [partition, { leader }] of states) {
      counts.set(leader, (counts.get(leader) ?? 0) + 1);
      if (leader !== replicas?.[partition]?.[0]) notPreferred += 1;
    }
    const sorted = [...counts].sort(([a], [b]) => a - b);
    return { leaders: sorted.map(([brokerId, partitions]) => ({ brokerId, partitions })), notPreferred };
  }

  /** Every partition of every topic, except those whose replicas are being read. */
  *all(): IterableIterator<PartitionInfo> {
    for (const [topic, { replicas, states }] of this.#known) {
      if (!replicas) continue;
      for (const [partition, state] of states) {
        const assigned = replicas[partition];
        if (assigned) yield { topic, partition, replicas: assigned, ...state };
      }
    }
  }

  /** The topics that count against an identity. */
  *ofCreators(): IterableIterator<{ creator: string; topicId: string; partitions: number }> {
    for (const { creator, topicId, replicas } of this.#known.values()) {
      if (creator !== undefined && replicas) yield { creator, topicId, partitions: replicas.length };
    }
  }

  /**
   * A broker that is not registered leads nothing, as others may have been elected. A state from before its registration names an
   * earlier run of it, which may still be running: the controller is about to elect a leader.
   */
  #isLedHere({ leader, mzxid }: KnownState): boolean {
    const registration = this.#registration;
    // The id exists only after the registration: so the session is checked first.
    return registration.session !== undefined && leader === registration.brokerId && mzxid > registration.epoch;
  }

  #accept({ zxid, events }: Transaction): void {
    for (const { kind, path, stat, data } of events) {
      const ofState = stateNode.exec(path);
      const topic = ofState?.[1] ?? topicNode.exec(path)?.[1];
      if (topic === undefined) continue;
      if (kind === 'deleted') {
        if (this.#reads > 0) this.#deleted.set(path, zxid);
        if (ofState) this.#known.get(topic)?.states.delete(Number(ofState[2]));
        else this.#known.delete(topic);
      } else if (ofState) {
        // A state is far smaller than the 16 KiB that an event carries, so its data is complete.
        this.#takeState(topic, Number(ofState[2]), required(data, 'data of a changed node'), stat);
      } else if (data?.length === stat.dataLength) this.#takeTopic(topic, data, stat);
      else this.#reread(topic);
    }
  }

  #topic(name: string): KnownTopic {
    let topic = this.#known.get(name);
    if (!topic) {
      topic = { mzxid: 0, replicas: undefined, topicId: '', creator: undefined, states: new Map() };
      this.#known.set(name, topic);
    }
    return topic;
  }

  // A read and an event may arrive in either order: the one with the higher mzxid is the later state.

  #takeTopic(name: string, data: Buffer, { mzxid }: Stat): number[][] {
    const topic = this.#topic(name);
    const { replicas, topicId, creator } = decodeTopic(data);
    if (mzxid >= topic.mzxid) Object.assign(topic, { mzxid, replicas, topicId, creator });
    return replicas;
  }

  #takeState(name: string, partition: number, data: Buffer, { mzxid, version }: Stat): void {
    const { states } = this.#topic(name);
    if ((states.get(partition)?.mzxid ?? 0) >= mzxid) return;
    const { leader, leaderEpoch, isr } = decodePartitionState(data, []);
    states.set(partition, { leader, leaderEpoch, isr, version, mzxid });
  }

  /** Reads the replicas of a topic, as they changed and are too large for an event; the old ones are not used any more. */
  #reread(name: string): void {
    this.#topic(name).replicas = undefined;
    this.#reading(() => this.#readTopic(name, this.#generation)).then(
      () => this.#announce(),
      (error: unknown) => {
        this.#log.debug(
          { err: error, topic: name },
          'The replicas of a topic could not be read; all partitions are read again',
        );
        this.#forget();
      },
    );
  }

  #forget(): void {
    this.#generation += 1;
    this.#isComplete = false;
    this.#known.clear();
    this.#loading.trigger();
  }

  async #loadIfIncomplete(): Promise<void> {
    if (this.#isComplete) return;
    while (!this.#isComplete) {
      const generation = this.#generation;
      await this.#reading(async () => {
        const topics = await this.#namespace.allChildren(topicsPath);
        for (let i = 0; i < topics.length; i += topicsPerStep) {
          const step = topics.slice(i, i + topicsPerStep);
          await Promise.all(step.map((topic) => this.#readPartitions(topic, generation)));
        }
      });
      if (generation === this.#generation) this.#isComplete = true;
    }
    this.#announce();
  }

  #announce(): void {
    for (const listener of this.#loadedListeners) listener();
  }

  async #reading(read: () => Promise<unknown>): Promise<void> {
    this.#reads += 1;
    try {
      await read();
    } finally {
      this.#reads -= 1;
      if (this.#reads === 0) this.#deleted.clear();
    }
  }

  async #readPartitions(topic: string, generation: number): Promise<void> {
    const replicas = await this.#readTopic(topic, generation);
    await Promise.all(replicas.map((_, partition) => this.#readState(topic, partition, generation)));
  }

  async #readTopic(topic: string, generation: number): Promise<number[][]> {
    const found = await this.#read(topicPath(topic), generation);
    return found ? this.#takeTopic(topic, found.data, found.stat) : [];
  }

  async #readState(topic: string, partition: number, generation: number): Promise<void> {
    const found = await this.#read(partitionStatePath(topic, partition), generation);
    if (found) this.#takeState(topic, partition, found.data, found.stat);
  }

  /** Reads a node; undefined if it does not exist, if its deletion was received meanwhile, or after a gap in the events. */
  async #read(path: string, generation: number): Promise<NodeData | undefined> {
    const found = await ifExists(this.#namespace.get(path));
    if (!found || generation !== this.#generation || (this.#deleted.get(path) ?? 0) > found.stat.mzxid)
      return undefined;
    return found;
  }
}
