// Caches the metadata of topics, updated by the event stream. A topic that is not cached is read from the tree, so it can be used
// through any broker as soon as it exists. Logs of an existing topic that the store has lost are created again, empty, when one is
// found missing.
import type { Logger } from 'pino';
import type { TopicConfig } from '../../../schemas/topics.ts';
import { decodeTopic, topicPath, topicsPath } from '../../core/cluster/cluster-nodes.ts';
import { decodeTopicConfig, effectiveConfig } from '../../core/records/topic-config.ts';
import { findServiceError, hasCode, ServiceError } from '../../core/service-error.ts';
import type { Logs } from '../../store/log/logs.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';
import type { Metrics } from '../metrics.ts';
import type { EventTail } from '../watches/event-tail.ts';

export interface TopicInfo {
  readonly name: string;
  /** Distinguishes the topic from an earlier one of the same name. */
  readonly topicId: string;
  readonly partitionCount: number;
  /** The number of partitions at its creation: one of these is the home partition of each request with a deduplication key. */
  readonly homePartitions: number;
  readonly config: TopicConfig;
  /** The identity against which it counts; undefined if that is not limited. */
  readonly creator?: string | undefined;
}

const topicConfigsPath = '/config/topics';
export const topicConfigPath = (topic: string): string => `${topicConfigsPath}/${topic}`;

/** A read of a topic's nodes in flight; `stale` = they changed meanwhile, so the result must not be cached. */
interface Load {
  info: Promise<TopicInfo>;
  stale: boolean;
}

/** How often a topic with a missing log is checked at most. */
const recreateEveryMs = 1000;

/** Error codes that outdated metadata can cause. */
const staleCodes = ['UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'TOO_LARGE'] as const;

export class TopicCache {
  readonly #namespace: Namespace;
  readonly #logs: Logs;
  readonly #tail: EventTail;
  readonly #log: Logger;
  readonly #names = new Set<string>();
  readonly #known = new Map<string, TopicInfo>();
  readonly #loads = new Map<string, Load>();
  /** By topic name, the recreation of its lost logs in flight. */
  readonly #recreating = new Map<string, Promise<boolean>>();
  readonly #recreatedLately = new Set<string>();
  readonly #recreated;
  readonly #listeners = new Set<(name: string) => void>();
  readonly #unsubscribe: (() => void)[] = [];

  constructor(
    { namespace, logs }: { namespace: Namespace; logs: Logs },
    tail: EventTail,
    metrics: Metrics,
    log: Logger,
  ) {
    this.#namespace = namespace;
    this.#logs = logs;
    this.#tail = tail;
    this.#log = log;
    this.#recreated = metrics.counter(
      'lost_logs_opened_total',
      'Logs that the store had lost, as in a failover, and that this broker created again, empty.',
    );
  }

  /** Reads the names of all topics; the event tail must have been started. */
  async start(): Promise<void> {
    // Subscribe before the read: so no topic that is created or deleted during it is missed.
    this.#unsubscribe.push(
      this.#tail.subscribe((batch) => {
        for (const transaction of batch) this.#accept(transaction);
      }),
      this.#tail.onGap((history) => {
        if (history === 'main') this.#reloadAfterGap();
      }),
    );
    try {
      await this.#readNames();
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  async #readNames(): Promise<void> {
    const gone = new Set<string>();
    const forget = this.onChange((name) => (this.#names.has(name) ? gone.delete(name) : gone.add(name)));
    const found = await this.#namespace.allChildren(topicsPath).finally(forget);
    for (const name of found) if (!gone.has(name)) this.#names.add(name);
  }

  stop(): void {
    for (const stop of this.#unsubscribe.splice(0)) stop();
  }

  /** The names of all topics by the events received so far, in order. */
  names(): string[] {
    return [...this.#names].sort();
  }

  /** Whether a topic exists, by the events received so far. */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Calls `listener` with the name of each topic that was created, changed or deleted. @returns a function that ends this */
  onChange(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A topic's metadata, if they are known without asking the store. */
  known(name: string): TopicInfo | undefined {
    return this.#known.get(name);
  }

  /** A topic's metadata. @throws ServiceError UNKNOWN_TOPIC */
  async get(name: string): Promise<TopicInfo> {
    return this.#known.get(name) ?? this.#load(name);
  }

  /** A topic's metadata, read from the tree now. @throws ServiceError UNKNOWN_TOPIC */
  async refresh(name: string): Promise<TopicInfo> {
    this.#invalidate(name);
    return this.#load(name);
  }

  /**
   * Runs `use` with a topic's metadata. If it fails with an error that outdated metadata can cause, and the metadata were outdated,
   * runs it once more: so a change through another broker holds here at once. A log that the store has lost is created again
   * first.
   * @param known the metadata, if the caller has them already
   * @throws ServiceError UNKNOWN_TOPIC, and what `use` throws; STORE_UNAVAILABLE if the missing log was one of several that
   *   `use` wrote to
   */
  async withTopic<T>(name: string, use: (topic: TopicInfo) => Promise<T>, known?: TopicInfo): Promise<T> {
    const topic = known ?? (await this.get(name));
    try {
      return await use(topic);
    } catch (error) {
      if (!staleCodes.some((code) => hasCode(error, code))) throw error;
      const fresh = await this.refresh(name);
      if (JSON.stringify(fresh) !== JSON.stringify(topic)) return await use(fresh);
      if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
      if (!(await this.recreateLogs(name))) throw unknownTopic(name);
      // Records that were appended to other logs must not be appended again.
      const results = findServiceError(error)?.fields.results;
      if (results !== undefined) throw recreatedMeanwhile(name, results);
      return await use(fresh);
    }
  }

  /**
   * Creates again, empty, those logs of a topic that the store has lost: a failover loses what was not replicated yet. To be called
   * after a log was found missing: the tree is read after that, and a deletion removes the nodes before the logs, so a topic that
   * is still in the tree was not deleted. If it is deleted now, the log refuses (lua/logs/open.lua).
   * @returns whether all logs of the topic that can be reached exist now
   * @throws ServiceError UNKNOWN_TOPIC
   */
  recreateLogs(name: string): Promise<boolean> {
    let recreating = this.#recreating.get(name);
    if (!recreating) {
      recreating = this.#recreateLogs(name).finally(() => this.#recreating.delete(name));
      this.#recreating.set(name, recreating);
    }
    return recreating;
  }

  /**
   * As recreateLogs(), for callers that found a log missing by its topic id and will come back: each topic is checked at most once a
   * second for all of them.
   * @returns whether a log that was missing may exist now
   */
  async recreateLostLogs(missing: Iterable<{ topic: string; topicId: string }>): Promise<boolean> {
    const ids = new Map([...missing].map(({ topic, topicId }) => [topic, topicId]));
    const recreations = [...ids].map(async ([name, topicId]) => {
      if (this.#recreatedLately.has(name)) return false;
      this.#recreatedLately.add(name);
      setTimeout(() => this.#recreatedLately.delete(name), recreateEveryMs).unref();
      try {
        return (await this.get(name)).topicId === topicId && (await this.recreateLogs(name));
      } catch (error) {
        this.#log.debug({ err: error, topic: name }, 'A missing log could not be created again');
        return false;
      }
    });
    return (await Promise.all(recreations)).includes(true);
  }

  async #recreateLogs(name: string): Promise<boolean> {
    const { topicId, partitionCount } = await this.refresh(name);
    const numbers = Array.from({ length: partitionCount }, (_, partition) => partition);
    // One Redis server may be away, which must not delay the logs on others.
    const tried = await Promise.allSettled(numbers.map((partition) => this.#logs.recreateLost(topicId, partition)));
    const outcomes = tried.map((one) => (one.status === 'fulfilled' ? one.value : undefined));
    const recreated = numbers.filter((partition) => outcomes[partition] === 'opened');
    if (recreated.length > 0) {
      this.#recreated.inc(recreated.length);
      this.#log.warn(
        { topic: name, topicId, partitions: recreated },
        'The store had lost logs of a topic; they were created again, empty',
      );
    }
    const failed = tried.find((one) => one.status === 'rejected');
    if (failed && recreated.length === 0) throw failed.reason;
    return !outcomes.includes('refused');
  }

  /** Drops everything after a gap in the events, and reads the names again: any topic may have changed, or been lost. */
  #reloadAfterGap(): void {
    const before = [...this.#names];
    for (const name of [...this.#known.keys(), ...this.#loads.keys()]) this.#invalidate(name);
    this.#names.clear();
    this.#readNames()
      .catch((error: unknown) =>
        this.#log.error({ err: error }, 'The topics could not be read after a gap in the events'),
      )
      .finally(() => this.#announce(new Set([...before, ...this.#names])));
  }

  async #load(name: string): Promise<TopicInfo> {
    const inFlight = this.#loads.get(name);
    if (inFlight) return this.#join(name, inFlight);
    const load: Load = { info: this.#read(name), stale: false };
    this.#loads.set(name, load);
    try {
      const info = await load.info;
      if (!load.stale) this.#known.set(name, info);
      return info;
    } finally {
      if (this.#loads.get(name) === load) this.#loads.delete(name);
    }
  }

  /** What a load in flight finds. What is outdated in that shows when it is used, but another broker may have created the topic since it began. */
  async #join(name: string, inFlight: Load): Promise<TopicInfo> {
    try {
      return await inFlight.info;
    } catch (error) {
      if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
      const later = this.#loads.get(name);
      return later && later !== inFlight ? later.info : this.refresh(name);
    }
  }

  async #read(name: string): Promise<TopicInfo> {
    try {
      const [topic, config] = await Promise.all([
        this.#namespace.get(topicPath(name)),
        this.#namespace.get(topicConfigPath(name)),
      ]);
      const { topicId, replicas, homePartitions, creator } = decodeTopic(topic.data);
      const overrides = decodeTopicConfig(config.data);
      return {
        name,
        topicId,
        partitionCount: replicas.length,
        homePartitions,
        config: effectiveConfig(overrides),
        ...(creator !== undefined && { creator }),
      };
    } catch (error) {
      // A name that no node can have is not the name of a topic either.
      if (hasCode(error, 'NO_NODE') || hasCode(error, 'INVALID_PATH')) throw unknownTopic(name);
      throw error;
    }
  }

  #invalidate(name: string): void {
    this.#known.delete(name);
    const load = this.#loads.get(name);
    if (!load) return;
    load.stale = true;
    // Later callers must not be given what was read before the change.
    this.#loads.delete(name);
  }

  #accept({ events }: Transaction): void {
    const changed = new Set<string>();
    for (const { kind, path } of events) {
      const name = childName(path, topicsPath) ?? childName(path, topicConfigsPath);
      if (name === undefined) continue;
      changed.add(name);
      if (path !== topicPath(name)) continue;
      if (kind === 'deleted') this.#names.delete(name);
      else this.#names.add(name);
    }
    for (const name of changed) this.#invalidate(name);
    this.#announce(changed);
  }

  #announce(names: ReadonlySet<string>): void {
    for (const name of names) {
      for (const listener of this.#listeners) {
        try {
          listener(name);
        } catch (error) {
          // A listener that throws must not keep the others from the change.
          this.#log.error({ err: error, topic: name }, 'A listener of topic changes failed');
        }
      }
    }
  }
}

export function unknownTopic(name: string): ServiceError {
  return new ServiceError('UNKNOWN_TOPIC', `Topic ${name} does not exist; POST /v1/topics creates one.`, {
    topic: name,
  });
}

function recreatedMeanwhile(name: string, results: unknown): ServiceError {
  return new ServiceError(
    'STORE_UNAVAILABLE',
    `The store had lost a log of topic ${name}, which was created again, empty. Other partitions have their records: see ` +
      'results. Send the rest again, or all of it with the same Idempotency-Key.',
    { topic: name, results },
  );
}

/** @throws ServiceError UNKNOWN_PARTITION */
export function checkPartition(topic: TopicInfo, partition: number): void {
  if (partition >= topic.partitionCount) throw unknownPartition(topic.name, partition, topic.partitionCount);
}

export function unknownPartition(topic: string, partition: number, partitions: number): ServiceError {
  return new ServiceError(
    'UNKNOWN_PARTITION',
    `Topic ${topic} has no partition ${partition}; it has ${partitions}, numbered from 0.`,
    { topic, partition, partitions },
  );
}

/** The name of a node directly below `parent`, else undefined. */
function childName(path: string, parent: string): string | undefined {
  if (!path.startsWith(`${parent}/`)) return undefined;
  const name = path.slice(parent.length + 1);
  return name.includes('/') ? undefined : name;
}
