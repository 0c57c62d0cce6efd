// What a broker knows of the partitions: replicas, leader, leader epoch and ISR of each, kept true by the event stream. So to ask
// whether this broker leads a partition costs a look into a map, with ten thousand partitions, too. What it says can be old
// by the way of an event; whoever acts on it does so with the leader epoch or the version, which the store checks. It does not
// elect: controller.ts.
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
import type { Namespace, NodeData } from '../../store/tree/namespace.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';
import type { EventTail } from '../watches/event-tail.ts';
import type { BrokerRegistration } from './broker-registration.ts';
import { ifExists } from './cluster.ts';

export interface PartitionInfo extends PartitionState {
  readonly topic: string;
  readonly partition: number;
  /** Of the node that holds the state: what a change of it must be conditional on. */
  readonly version: number;
  /** When the state was last changed: who registered later than this has bounced since. */
  readonly mzxid: number;
}

/** How often knowledge that a gap in the events has spoilt is asked for anew, if the store does not answer. */
const relearnMs = 1000;
/** How many topics are read at a time, so that a broker that starts does not hold up those that serve. */
const topicsPerStep = 50;

const topicNode = /^\/brokers\/topics\/([^/]+)$/;
const stateNode = /^\/brokers\/topics\/([^/]+)\/partitions\/(\d+)\/state$/;

/** A topic as far as it is known. A change of its replicas is one transaction with the states of those partitions. */
interface KnownTopic {
  mzxid: number;
  /** Undefined while they are being read: an event carries no more than 16 KiB of them. */
  replicas: readonly (readonly number[])[] | undefined;
  states: Map<number, KnownState>;
}

type KnownState = Omit<PartitionInfo, 'topic' | 'partition' | 'replicas'>;

export class PartitionCache {
  readonly #namespace: Namespace;
  readonly #tail: EventTail;
  readonly #registration: BrokerRegistration;
  readonly #log: Logger;
  readonly #known = new Map<string, KnownTopic>();
  readonly #learning: PeriodicTask;
  readonly #learnedListeners = new Set<() => void>();
  readonly #unsubscribe: (() => void)[] = [];
  /** While nodes are read: which were deleted meanwhile, and in which transaction. */
  readonly #deleted = new Map<string, number>();
  #reads = 0;
  #isComplete = false;
  /** Which reading of everything counts: a gap makes the one under way worthless. */
  #generation = 0;

  constructor(namespace: Namespace, tail: EventTail, registration: BrokerRegistration, metrics: Metrics, log: Logger) {
    this.#namespace = namespace;
    this.#tail = tail;
    this.#registration = registration;
    this.#log = log;
    this.#learning = new PeriodicTask('reading of the partitions', relearnMs, () => this.#learnIfNeeded(), log);
    metrics.gauge('partitions_led', 'Partitions that this broker leads.', () => [...this.led()].length);
    metrics.gauge(
      'under_replicated_partitions',
      'Partitions that this broker leads and that not all of their replicas are alive for.',
      () => [...this.led()].filter(({ isr, replicas }) => isr.length < replicas.length).length,
    );
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
    try {
      await this.#learnIfNeeded();
    } catch (error) {
      this.#unsubscribeAll();
      throw error;
    }
    this.#learning.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribeAll();
    await this.#learning.stop();
  }

  #unsubscribeAll(): void {
    for (const stop of this.#unsubscribe.splice(0)) stop();
  }

  /** Whether nothing is missing; false for a moment after a gap in the events. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Calls `listener` each time that something that was missing has been read. @returns how to stop that */
  onLoaded(listener: () => void): () => void {
    this.#learnedListeners.add(listener);
    return () => this.#learnedListeners.delete(listener);
  }

  /** The leader epoch with which this broker leads the partition now, as far as it knows; undefined if it does not. */
  leads(topic: string, partition: number): number | undefined {
    const state = this.#known.get(topic)?.states.get(partition);
    return state && this.#isLedHere(state) ? state.leaderEpoch : undefined;
  }

  /** The partitions that this broker leads now, as far as it knows. */
  *led(): IterableIterator<PartitionInfo> {
    for (const info of this.all()) if (this.#isLedHere(info)) yield info;
  }

  /** Every partition of every topic, but for those whose replicas are just being read. */
  *all(): IterableIterator<PartitionInfo> {
    for (const [topic, { replicas, states }] of this.#known) {
      if (!replicas) continue;
      for (const [partition, state] of states) {
        const assigned = replicas[partition];
        if (assigned) yield { topic, partition, replicas: assigned, ...state };
      }
    }
  }

  /**
   * A broker that is not registered leads nothing: others may have been elected. And what was written before it registered speaks
   * of an earlier run of it, which may not know yet that it is over: the controller is about to elect somebody (controller.ts).
   */
  #isLedHere({ leader, mzxid }: KnownState): boolean {
    const registration = this.#registration;
    // It has an id once it has registered.
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
        // A state is far smaller than what an event carries, so its data is whole.
        this.#takeState(topic, Number(ofState[2]), data!, stat);
      } else if (data!.length === stat.dataLength) this.#takeTopic(topic, data!, stat);
      else this.#reread(topic);
    }
  }

  #topic(name: string): KnownTopic {
    let topic = this.#known.get(name);
    if (!topic) {
      topic = { mzxid: 0, replicas: undefined, states: new Map() };
      this.#known.set(name, topic);
    }
    return topic;
  }

  // A reading and an event may overtake each other; the later change is the truth.

  #takeTopic(name: string, data: Buffer, { mzxid }: Stat): number[][] {
    const topic = this.#topic(name);
    const { replicas } = decodeTopic(data);
    if (mzxid >= topic.mzxid) Object.assign(topic, { mzxid, replicas });
    return replicas;
  }

  #takeState(name: string, partition: number, data: Buffer, { mzxid, version }: Stat): void {
    const { states } = this.#topic(name);
    if ((states.get(partition)?.mzxid ?? 0) >= mzxid) return;
    const { leader, leaderEpoch, isr } = decodePartitionState(data, []);
    states.set(partition, { leader, leaderEpoch, isr, version, mzxid });
  }

  /** The replicas of a topic have changed, and are too many for an event: until they are read, nobody may go by the old. */
  #reread(name: string): void {
    this.#topic(name).replicas = undefined;
    this.#reading(() => this.#readTopic(name, this.#generation)).then(
      () => this.#announce(),
      (error: unknown) => {
        this.#log.debug({ err: error, topic: name }, 'The replicas of a topic could not be read; all are read anew');
        this.#forget();
      },
    );
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
    for (const listener of this.#learnedListeners) listener();
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

  /** A node as it is; undefined if it is gone by now, as far as this broker has heard, or if a gap came in between. */
  async #read(path: string, generation: number): Promise<NodeData | undefined> {
    const found = await ifExists(this.#namespace.get(path));
    if (!found || generation !== this.#generation || (this.#deleted.get(path) ?? 0) > found.stat.mzxid)
      return undefined;
    return found;
  }
}
