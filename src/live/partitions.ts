// What a broker knows of the partitions: the leader, leader epoch and ISR of each, kept true by the event stream. So to ask
// whether this broker leads a partition costs a look into a map, with ten thousand partitions, too. What it says can be old
// by the way of an event; whoever acts on it does so with the leader epoch or the version, which the store checks. It does not
// elect: controller.ts.
import type { Logger } from 'pino';
import { decodePartitionState, decodeTopic, partitionStatePath, topicPath, topicsPath } from '../core/cluster-nodes.ts';
import { hasCode } from '../core/service-error.ts';
import type { Namespace } from '../store/namespace.ts';
import type { EventKind, Transaction } from '../store/node-codec.ts';
import type { BrokerRegistration } from './broker-registration.ts';
import type { EventTail } from './event-tail.ts';
import { Repeat } from './repeat.ts';

export interface PartitionInfo {
  readonly topic: string;
  readonly partition: number;
  /** The leading broker, or `noLeader`. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly isr: readonly number[];
  /** Of the node that says so: what a change of it must be conditional on. */
  readonly version: number;
  readonly mzxid: number;
}

/** How often knowledge that a gap in the events has spoilt is asked for anew, if the store does not answer. */
const relearnMs = 1000;
/** How many topics are read at a time, so that a broker that starts does not hold up those that serve. */
const topicsPerStep = 50;

const statePath = /^\/brokers\/topics\/([^/]+)\/partitions\/(\d+)\/state$/;

export class Partitions {
  readonly #namespace: Namespace;
  readonly #tail: EventTail;
  readonly #registration: BrokerRegistration;
  readonly #known = new Map<string, Map<number, PartitionInfo>>();
  readonly #learning: Repeat;
  readonly #learnedListeners = new Set<() => void>();
  readonly #unsubscribe: (() => void)[] = [];
  /** While everything is read: which state nodes were deleted meanwhile, and in which transaction. */
  #deleted: Map<string, number> | undefined;
  #isComplete = false;
  /** Which of the readings counts: a gap makes the one under way worthless. */
  #generation = 0;

  constructor(namespace: Namespace, tail: EventTail, registration: BrokerRegistration, log: Logger) {
    this.#namespace = namespace;
    this.#tail = tail;
    this.#registration = registration;
    this.#learning = new Repeat('reading of the partitions', relearnMs, () => this.#learnIfNeeded(), log);
  }

  /** Learns of all partitions; the tail has been started. */
  async start(): Promise<void> {
    // First listen, then read: what changes meanwhile is heard of in any case.
    this.#unsubscribe.push(
      this.#tail.subscribe((batch) => {
        for (const transaction of batch) this.#accept(transaction);
      }),
      this.#tail.onGap((history) => {
        if (history === 'main') this.#forget();
      }),
    );
    await this.#learnIfNeeded();
    this.#learning.start();
  }

  async stop(): Promise<void> {
    for (const stop of this.#unsubscribe) stop();
    await this.#learning.stop();
  }

  /** Whether nothing is missing; false for a moment after a gap in the events. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Calls `listener` each time that knowledge is complete again after a gap. @returns how to stop that */
  onLearned(listener: () => void): () => void {
    this.#learnedListeners.add(listener);
    return () => this.#learnedListeners.delete(listener);
  }

  /** The leader epoch with which this broker leads the partition now, as far as it knows; undefined if it does not. */
  leads(topic: string, partition: number): number | undefined {
    const info = this.#known.get(topic)?.get(partition);
    return info && this.#isLedHere(info) ? info.leaderEpoch : undefined;
  }

  /** The partitions that this broker leads now, as far as it knows. */
  *led(): IterableIterator<PartitionInfo> {
    for (const info of this.all()) if (this.#isLedHere(info)) yield info;
  }

  /** Every partition of every topic. */
  *all(): IterableIterator<PartitionInfo> {
    for (const ofTopic of this.#known.values()) yield* ofTopic.values();
  }

  /** A broker that is not registered leads nothing: others may have been elected. */
  #isLedHere({ leader }: PartitionInfo): boolean {
    return this.#registration.session !== undefined && leader === this.#registration.brokerId;
  }

  #accept({ zxid, events }: Transaction): void {
    for (const { kind, path, stat, data } of events) {
      const match = statePath.exec(path);
      // A state is far smaller than what an event carries, so its data is whole.
      if (match)
        this.#take(kind, match[1]!, Number(match[2]), data, kind === 'deleted' ? zxid : stat.mzxid, stat.version);
    }
  }

  #take(
    kind: EventKind,
    topic: string,
    partition: number,
    data: Buffer | undefined,
    zxid: number,
    version: number,
  ): void {
    let ofTopic = this.#known.get(topic);
    if (kind === 'deleted') {
      this.#deleted?.set(partitionStatePath(topic, partition), zxid);
      ofTopic?.delete(partition);
      if (ofTopic?.size === 0) this.#known.delete(topic);
      return;
    }
    if (data === undefined) return;
    if (!ofTopic) {
      ofTopic = new Map();
      this.#known.set(topic, ofTopic);
    }
    // A reading and an event may overtake each other; the later change is the truth.
    if ((ofTopic.get(partition)?.mzxid ?? 0) >= zxid) return;
    const { leader, leaderEpoch, isr } = decodePartitionState(data, []);
    ofTopic.set(partition, { topic, partition, leader, leaderEpoch, isr, version, mzxid: zxid });
  }

  #forget(): void {
    this.#generation += 1;
    this.#isComplete = false;
    this.#known.clear();
    this.#learning.trigger();
  }

  async #learnIfNeeded(): Promise<void> {
    while (!this.#isComplete) {
      const generation = this.#generation;
      this.#deleted = new Map();
      const topics = await this.#namespace.allChildren(topicsPath);
      for (let i = 0; i < topics.length; i += topicsPerStep) {
        await Promise.all(topics.slice(i, i + topicsPerStep).map((topic) => this.#readTopic(topic, generation)));
      }
      if (generation !== this.#generation) continue;
      this.#deleted = undefined;
      this.#isComplete = true;
      for (const listener of this.#learnedListeners) listener();
    }
  }

  async #readTopic(topic: string, generation: number): Promise<void> {
    try {
      const { replicas } = decodeTopic((await this.#namespace.get(topicPath(topic))).data);
      await Promise.all(replicas.map((_, partition) => this.#readState(topic, partition, generation)));
    } catch (error) {
      // The topic was deleted meanwhile.
      if (!hasCode(error, 'NO_NODE')) throw error;
    }
  }

  async #readState(topic: string, partition: number, generation: number): Promise<void> {
    const path = partitionStatePath(topic, partition);
    const { data, stat } = await this.#namespace.get(path);
    // Read before it was deleted, though it comes after; or before a gap.
    if (generation !== this.#generation || (this.#deleted?.get(path) ?? 0) > stat.mzxid) return;
    this.#take('changed', topic, partition, data, stat.mzxid, stat.version);
  }
}
