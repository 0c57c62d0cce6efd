// Knows the bounds and sizes of all logs of the cluster, without reading them: each append and each removal of records is announced with
// them. Only logs that are new to this broker, or whose announcements may have been lost, are read. So lists of thousands of topics
// with their sizes, and the lag of all groups, cost the store nothing.
import type { Logger } from 'pino';
import type { LogNotice } from '../../store/log/log-notices.ts';
import type { LogSummary, Logs } from '../../store/log/logs.ts';
import type { LogId } from '../../store/log/producers.ts';
import type { PartitionCache, TopicPartitions } from '../metadata/partition-cache.ts';
import type { TopicCache } from '../metadata/topic-cache.ts';
import { PeriodicTask } from '../periodic-task.ts';
import type { LogReader } from './log-reader.ts';
import { Rates } from './rates.ts';
import type { TopicTraffic } from './topic-traffic.ts';

const everyMs = 1000;

/** The figures of a topic, over its partitions. */
interface TopicFigures {
  records: number;
  bytes: number;
}

interface KnownLog {
  summary: LogSummary | undefined;
  /** It must be read: it is new, or its announcements may have been lost. */
  isStale: boolean;
  /** How many notices were received, so that a read knows whether one came meanwhile. */
  notices: number;
}

interface KnownTopic {
  name: string;
  logs: KnownLog[];
}

interface Parts {
  logs: Logs;
  topics: TopicCache;
  partitions: PartitionCache;
  reader: LogReader;
  traffic: TopicTraffic;
  log: Logger;
}

export class LogFigures {
  readonly #parts: Parts;
  /** By topic id. */
  readonly #known = new Map<string, KnownTopic>();
  readonly #appendRates = new Rates();
  readonly #task: PeriodicTask;
  readonly #unsubscribe: (() => void)[] = [];
  /** Whether topics were created, changed or deleted since they were followed last. */
  #hasChanged = true;
  #hasStale = true;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#task = new PeriodicTask('figures of logs', everyMs, () => this.#run(), parts.log);
  }

  start(): void {
    const { reader, topics, partitions, traffic } = this.#parts;
    reader.subscribe({
      onAppend: (_key, notice) => this.#take(notice, true),
      onRemoval: (notice) => this.#take(notice, false),
      onGap: () => this.#markAll(),
    });
    const changed = () => {
      this.#hasChanged = true;
    };
    this.#unsubscribe.push(
      partitions.onLoaded(changed),
      topics.onChange((name) => {
        changed();
        if (!topics.has(name)) traffic.forget(name);
      }),
    );
    this.#task.start();
  }

  async stop(): Promise<void> {
    for (const stop of this.#unsubscribe.splice(0)) stop();
    await this.#task.stop();
  }

  /** Reads the logs of topics that are not known, so that topic() and find() know them. Usually there are none. */
  async ensure(topics: readonly TopicPartitions[]): Promise<void> {
    const missing: LogId[] = [];
    for (const topic of topics) {
      for (const [partition, log] of this.#follow(topic).logs.entries()) {
        if (log.isStale) missing.push({ topicId: topic.topicId, partition });
      }
    }
    if (missing.length > 0) await this.#read(missing);
  }

  /** The figures of a topic; undefined if one of its logs cannot be reached, or was not read yet. */
  topic(topicId: string): TopicFigures | undefined {
    const topic = this.#known.get(topicId);
    if (!topic) return undefined;
    let [records, bytes] = [0, 0];
    for (const { summary, isStale } of topic.logs) {
      if (!summary || isStale) return undefined;
      records += Math.max(0, summary.recordsEnd - summary.logStartOffset);
      bytes += summary.bytes;
    }
    return { records, bytes };
  }

  /** Records appended to a topic each second, by all brokers. */
  appendsPerSecond(topic: string): number {
    return this.#appendRates.perSecond(topic);
  }

  /**
   * The bounds and sizes of logs, in their order; undefined for a log that does not exist, `away` for one whose Redis cannot be
   * reached. Only those that are not known are read.
   */
  async find(logs: readonly LogId[]): Promise<(LogSummary | 'away' | undefined)[]> {
    const found: (LogSummary | 'away' | undefined)[] = logs.map((id) => this.#summaryOf(id));
    const missing = logs.flatMap((id, index) => (found[index] ? [] : [{ id, index }]));
    if (missing.length === 0) return found;
    const read = await this.#read(missing.map(({ id }) => id));
    for (const [i, { index }] of missing.entries()) found[index] = read[i];
    return found;
  }

  /** All topics that are known. */
  *all(): IterableIterator<{ name: string } & TopicFigures> {
    for (const [topicId, { name }] of this.#known) {
      const figures = this.topic(topicId);
      if (figures) yield { name, ...figures };
    }
  }

  #summaryOf({ topicId, partition }: LogId): LogSummary | undefined {
    const log = this.#known.get(topicId)?.logs[partition];
    return log && !log.isStale ? log.summary : undefined;
  }

  #take({ topicId, partition, summary }: LogNotice, isAppend: boolean): void {
    const topic = this.#known.get(topicId);
    const log = topic?.logs[partition];
    if (!topic || !log) return;
    log.notices += 1;
    const before = log.summary;
    if (!summary) {
      log.isStale = true;
      this.#hasStale = true;
      return;
    }
    if (before && isOlder(summary, before)) return;
    if (before && isAppend) this.#appendRates.add(topic.name, summary.endOffset - before.endOffset);
    log.summary = summary;
  }

  #markAll(): void {
    for (const { logs } of this.#known.values()) for (const log of logs) log.isStale = true;
    this.#hasStale = true;
  }

  async #run(): Promise<void> {
    this.#appendRates.tick();
    this.#parts.traffic.tick();
    if (this.#hasChanged) {
      this.#hasChanged = false;
      this.#followAll();
    }
    if (!this.#hasStale) return;
    this.#hasStale = false;
    const stale: LogId[] = [];
    for (const [topicId, { logs }] of this.#known) {
      for (const [partition, { isStale }] of logs.entries()) if (isStale) stale.push({ topicId, partition });
    }
    if ((await this.#read(stale)).includes('away')) this.#hasStale = true;
  }

  #followAll(): void {
    if (!this.#parts.partitions.isComplete) return;
    const ids = new Set<string>();
    for (const topic of this.#parts.partitions.topics()) {
      ids.add(topic.topicId);
      this.#follow(topic);
    }
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
  }

  #follow({ name, topicId, partitionCount }: TopicPartitions): KnownTopic {
    let topic = this.#known.get(topicId);
    if (!topic) {
      topic = { name, logs: [] };
      this.#known.set(topicId, topic);
    }
    while (topic.logs.length < partitionCount) {
      topic.logs.push({ summary: undefined, isStale: true, notices: 0 });
      this.#hasStale = true;
    }
    return topic;
  }

  async #read(logs: readonly LogId[]): Promise<(LogSummary | 'away' | undefined)[]> {
    const known = logs.map(({ topicId, partition }) => this.#known.get(topicId)?.logs[partition]);
    const before = known.map((log) => log?.notices);
    const read = await this.#parts.logs.boundsOfReachable(logs);
    for (const [index, summary] of read.entries()) {
      const log = known[index];
      if (!log || summary === 'away') continue;
      // A notice that came during the read may be newer or older than it.
      const isNewest = log.notices === before[index] || !log.summary || !summary;
      if (isNewest || !isOlder(summary, log.summary as LogSummary)) log.summary = summary;
      log.isStale = false;
    }
    return read;
  }
}

/** Offsets only grow, unless the store has lost records: that is a gap in the notices, too, after which logs are read. */
function isOlder(a: LogSummary, b: LogSummary): boolean {
  return a.endOffset < b.endOffset || (a.endOffset === b.endOffset && a.logStartOffset < b.logStartOffset);
}
