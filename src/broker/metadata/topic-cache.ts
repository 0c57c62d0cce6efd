// What a broker knows of the topics: a cache of their metadata, kept true by the event stream. A miss is read from the
// tree, so a topic can be used through any broker the moment that it exists; and a log that the tree has and the store has lost
// is opened anew by whoever finds it missing. It does not change topics: topic-admin.ts.
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
  /** Tells the topic from an earlier one of its name. */
  readonly topicId: string;
  readonly partitionCount: number;
  /** How many partitions it was created with; requests that may be repeated have their home in one of them. */
  readonly homePartitions: number;
  readonly config: TopicConfig;
}

const topicConfigsPath = '/config/topics';
export const topicConfigPath = (topic: string): string => `${topicConfigsPath}/${topic}`;

/** A read of a topic's nodes under way; `stale` = they changed meanwhile, so it must not be kept. */
interface Load {
  info: Promise<TopicInfo>;
  stale: boolean;
}

/** How often a topic is looked at of which a log is missing. */
const recreateEveryMs = 1000;

/** What a stale cache can bring about. */
const staleCodes = ['UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'TOO_LARGE'] as const;

export class TopicCache {
  readonly #namespace: Namespace;
  readonly #logs: Logs;
  readonly #tail: EventTail;
  readonly #log: Logger;
  readonly #names = new Set<string>();
  readonly #known = new Map<string, TopicInfo>();
  readonly #loads = new Map<string, Load>();
  /** By name, the opening of its lost logs that is under way. */
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
      'Logs that the store had lost, as by a failover, and that this broker opened anew, empty.',
    );
  }

  /** Learns the names of all topics; the tail has been started. */
  async start(): Promise<void> {
    // First listen, then read: a topic that comes or goes meanwhile is heard of in any case.
    this.#unsubscribe.push(
      this.#tail.subscribe((batch) => {
        for (const transaction of batch) this.#accept(transaction);
      }),
      this.#tail.onGap((history) => {
        if (history === 'main') this.#relearn();
      }),
    );
    try {
      await this.#learn();
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  async #learn(): Promise<void> {
    const gone = new Set<string>();
    const forget = this.onChange((name) => (this.#names.has(name) ? gone.delete(name) : gone.add(name)));
    const found = await this.#namespace.allChildren(topicsPath).finally(forget);
    for (const name of found) if (!gone.has(name)) this.#names.add(name);
  }

  stop(): void {
    for (const stop of this.#unsubscribe.splice(0)) stop();
  }

  /** The names of all topics that this broker has heard of, in order. */
  names(): string[] {
    return [...this.#names].sort();
  }

  /** Calls `listener` with the name of each topic that was created, changed or deleted. @returns how to stop that */
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

  /** A topic's metadata as it is in the tree now. @throws ServiceError UNKNOWN_TOPIC */
  async refresh(name: string): Promise<TopicInfo> {
    this.#invalidate(name);
    return this.#load(name);
  }

  /**
   * Runs `use` with a topic's metadata. If that fails in a way that old metadata would explain, and they were old, runs it
   * once more with the new: what was changed through another broker a moment ago holds here, too. If a log was not found that
   * should be there, it is opened anew first.
   * @throws ServiceError UNKNOWN_TOPIC, and what `use` throws; STORE_UNAVAILABLE if the missing log was one of several that
   *   `use` wrote to
   */
  async withTopic<T>(name: string, use: (topic: TopicInfo) => Promise<T>): Promise<T> {
    const topic = await this.get(name);
    try {
      return await use(topic);
    } catch (error) {
      if (!staleCodes.some((code) => hasCode(error, code))) throw error;
      const fresh = await this.refresh(name);
      if (JSON.stringify(fresh) !== JSON.stringify(topic)) return await use(fresh);
      if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
      if (!(await this.recreateLogs(name))) throw unknownTopic(name);
      // What went to other logs must not go there once more.
      const results = findServiceError(error)?.fields.results;
      if (results !== undefined) throw recreatedMeanwhile(name, results);
      return await use(fresh);
    }
  }

  /**
   * Opens anew, and empty, those logs of a topic that the store has lost: a failover loses what was not replicated yet. For
   * whoever has just found one missing. The tree is asked after that, and a deletion takes its nodes before the logs, so
   * what it still has was not deleted; if that happens now, the log knows it (lua/logs/open.lua).
   * @returns whether all logs of the topic that can be reached are there now
   * @throws ServiceError UNKNOWN_TOPIC
   */
  recreateLogs(name: string): Promise<boolean> {
    let reopening = this.#recreating.get(name);
    if (!reopening) {
      reopening = this.#recreateLogs(name).finally(() => this.#recreating.delete(name));
      this.#recreating.set(name, reopening);
    }
    return reopening;
  }

  /**
   * As reopenLogs, for those who know a log that they have not found by the id of its topic, and come back if it is not there yet:
   * a topic is looked at once a second for all of them. What fails is tried again then, too.
   * @returns whether a log may be there now that was not
   */
  async recreateLostLogs(missing: Iterable<{ topic: string; topicId: string }>): Promise<boolean> {
    const ids = new Map([...missing].map(({ topic, topicId }) => [topic, topicId]));
    const mended = [...ids].map(async ([name, topicId]) => {
      if (this.#recreatedLately.has(name)) return false;
      this.#recreatedLately.add(name);
      setTimeout(() => this.#recreatedLately.delete(name), recreateEveryMs).unref();
      try {
        return (await this.get(name)).topicId === topicId && (await this.recreateLogs(name));
      } catch (error) {
        this.#log.debug({ err: error, topic: name }, 'A log is missing, and was not opened anew');
        return false;
      }
    });
    return (await Promise.all(mended)).includes(true);
  }

  async #recreateLogs(name: string): Promise<boolean> {
    const { topicId, partitionCount } = await this.refresh(name);
    const numbers = Array.from({ length: partitionCount }, (_, partition) => partition);
    // One machine of the store may be away, which must not hold up what lies on others.
    const tried = await Promise.allSettled(numbers.map((partition) => this.#logs.recreateLost(topicId, partition)));
    const outcomes = tried.map((one) => (one.status === 'fulfilled' ? one.value : undefined));
    const opened = numbers.filter((partition) => outcomes[partition] === 'opened');
    if (opened.length > 0) {
      this.#recreated.inc(opened.length);
      this.#log.warn(
        { topic: name, topicId, partitions: opened },
        'The store had lost logs; they are open again, empty',
      );
    }
    const failed = tried.find((one) => one.status === 'rejected');
    if (failed && opened.length === 0) throw failed.reason;
    return !outcomes.includes('refused');
  }

  /** After a gap in the events nothing that was known may be right: topics may have come back, or never been. */
  #relearn(): void {
    const before = [...this.#names];
    for (const name of [...this.#known.keys(), ...this.#loads.keys()]) this.#invalidate(name);
    this.#names.clear();
    this.#learn()
      .catch((error: unknown) =>
        this.#log.error({ err: error }, 'The topics could not be read after a gap in the events'),
      )
      .finally(() => this.#announce(new Set([...before, ...this.#names])));
  }

  async #load(name: string): Promise<TopicInfo> {
    const under = this.#loads.get(name);
    if (under) return under.info;
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

  async #read(name: string): Promise<TopicInfo> {
    try {
      const [topic, config] = await Promise.all([
        this.#namespace.get(topicPath(name)),
        this.#namespace.get(topicConfigPath(name)),
      ]);
      const { topicId, replicas, homePartitions } = decodeTopic(topic.data);
      const overrides = decodeTopicConfig(config.data);
      return {
        name,
        topicId,
        partitionCount: replicas.length,
        homePartitions,
        config: effectiveConfig(overrides),
      };
    } catch (error) {
      // What cannot be the name of a node cannot be that of a topic.
      if (hasCode(error, 'NO_NODE') || hasCode(error, 'INVALID_PATH')) throw unknownTopic(name);
      throw error;
    }
  }

  #invalidate(name: string): void {
    this.#known.delete(name);
    const load = this.#loads.get(name);
    if (!load) return;
    load.stale = true;
    // Whoever asks from now on must not be given what was read before the change.
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
          // One part's fault must not cost the others their news.
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
    `The store had lost a log of topic ${name}, which is open again now, empty. Other partitions have their records: see ` +
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
