// Maintains the logs of the partitions that this broker leads: retention and compaction. It calls the store for a log only when
// something may be due: records were appended, the oldest ones may have expired, the topic or its leader changed. So idle
// partitions cost next to nothing, however many there are. The scripts decide what is removed, and refuse a broker that does not
// lead the partition any more (guarantees L5, L6).
import type { Logger } from 'pino';
import { findServiceError, hasCode } from '../../core/service-error.ts';
import type { Store } from '../../store/store.ts';
import type { PartitionAdmin } from '../metadata/partition-admin.ts';
import type { PartitionCache, PartitionInfo } from '../metadata/partition-cache.ts';
import type { TopicCache, TopicInfo } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';
import { logKey } from './batch-source.ts';
import type { LogCompactor } from './log-compactor.ts';
import type { LogReader } from './log-reader.ts';

/** How often due logs are looked for. */
const everyMs = 1000;
/** How long after an append retention is due; with the interval above that is within 10 s. */
const retainAfterMs = 4000;
/** Retention is due at least this often, even without appends. */
const retainAnywayMs = 600_000;
/** How many steps of retention one log gets before other logs have their turn. */
const stepsMax = 20;
/** How many logs retention works on at once. */
const togetherMax = 64;
/**
 * How long after an append compaction is due: this many times the duration of the last pass, so that compaction takes a small
 * share of the time; but at most the maximum below, to be done within 30 s of the append.
 */
const compactionShare = 20;
const compactAfterMsMin = 1000;
const compactAfterMsMax = 20_000;

/** A log that this broker maintains. Moments are in ms of performance.now(). */
interface MaintainedLog {
  topic: TopicInfo;
  partition: number;
  leaderEpoch: number;
  /** This broker's id. */
  leader: number;
  retainAt: number;
  compactAt: number;
  /** The duration of the last pass of compaction, in ms. */
  compactionMs: number;
}

const never = Number.POSITIVE_INFINITY;

interface LogMaintainerParts {
  store: Store;
  topics: TopicCache;
  partitions: PartitionCache;
  admin: PartitionAdmin;
  reader: LogReader;
  compactor: LogCompactor;
  metrics: Metrics;
  log: Logger;
}

export class LogMaintainer {
  readonly #store: Store;
  readonly #topics: TopicCache;
  readonly #partitions: PartitionCache;
  readonly #admin: PartitionAdmin;
  readonly #reader: LogReader;
  readonly #compactor: LogCompactor;
  readonly #log: Logger;
  /** By logKey. */
  readonly #maintained = new Map<string, MaintainedLog>();
  /** By `topic/partition`, the logKey of its log. */
  readonly #keys = new Map<string, string>();
  readonly #retention: PeriodicTask;
  readonly #compaction: PeriodicTask;
  readonly #epochsRaised;
  readonly #stopping = new AbortController();
  #stopListening: (() => void) | undefined;

  constructor(parts: LogMaintainerParts) {
    const { log } = parts;
    this.#store = parts.store;
    this.#topics = parts.topics;
    this.#partitions = parts.partitions;
    this.#admin = parts.admin;
    this.#reader = parts.reader;
    this.#compactor = parts.compactor;
    this.#log = log;
    this.#epochsRaised = parts.metrics.counter(
      'leader_epochs_raised_total',
      'Leader epochs that this broker raised because the store had lost an election.',
    );
    this.#retention = new PeriodicTask('retention', everyMs, () => this.#retainDue(), log);
    this.#compaction = new PeriodicTask('compaction', everyMs, () => this.#compactDue(), log);
  }

  start(): void {
    // The logs of a changed topic are forgotten; the next run takes them up again with the new settings, due at once.
    this.#stopListening = this.#topics.onChange((name) => {
      for (const [logName, key] of this.#keys) if (logName.startsWith(`${name}/`)) this.#stopMaintaining(logName, key);
    });
    this.#reader.subscribe({
      onAppend: (key) => {
        const log = this.#maintained.get(key);
        if (log) this.#noteAppend(log);
      },
      onGap: () => {
        for (const log of this.#maintained.values()) this.#noteAppend(log);
      },
    });
    this.#retention.start();
    this.#compaction.start();
  }

  async stop(): Promise<void> {
    this.#stopListening?.();
    this.#stopping.abort();
    await Promise.all([this.#retention.stop(), this.#compaction.stop()]);
  }

  #noteAppend(log: MaintainedLog): void {
    const now = performance.now();
    if (log.retainAt !== never) log.retainAt = Math.min(log.retainAt, now + retainAfterMs);
    if (!isCompacted(log.topic)) return;
    const afterMs = Math.min(Math.max(compactionShare * log.compactionMs, compactAfterMsMin), compactAfterMsMax);
    log.compactAt = Math.min(log.compactAt, now + afterMs);
  }

  #stopMaintaining(logName: string, key: string): void {
    this.#keys.delete(logName);
    this.#maintained.delete(key);
  }

  /** Starts to maintain the partitions that this broker leads now, and stops for the others. */
  async #followLeadership(): Promise<void> {
    const led = new Set<string>();
    for (const info of this.#partitions.led()) {
      const logName = logNameOf(info);
      led.add(logName);
      const log = this.#maintained.get(this.#keys.get(logName) ?? '');
      if (log?.leaderEpoch !== info.leaderEpoch) await this.#startMaintaining(logName, info);
    }
    for (const [logName, key] of this.#keys) if (!led.has(logName)) this.#stopMaintaining(logName, key);
  }

  async #startMaintaining(
    logName: string,
    { topic: name, partition, leaderEpoch, leader }: PartitionInfo,
  ): Promise<void> {
    try {
      const topic = await this.#topics.get(name);
      const now = performance.now();
      const key = logKey(topic.topicId, partition);
      const compactAt = isCompacted(topic) ? now : never;
      const retainAt = hasRetention(topic) ? now : never;
      this.#maintained.set(key, { topic, partition, leaderEpoch, leader, retainAt, compactAt, compactionMs: 0 });
      this.#keys.set(logName, key);
    } catch (error) {
      // It was deleted meanwhile.
      if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
    }
  }

  async #retainDue(): Promise<void> {
    await this.#followLeadership();
    const now = performance.now();
    const due = [...this.#maintained.values()].filter(({ retainAt }) => retainAt <= now);
    // One Redis server may be away, which must not stop the maintenance of logs on other servers.
    const failures: unknown[] = [];
    for (let i = 0; i < due.length; i += togetherMax) {
      const runs = due.slice(i, i + togetherMax).map((log) => this.#maintain(log, () => this.#retain(log)));
      for (const result of await Promise.allSettled(runs))
        if (result.status === 'rejected') failures.push(result.reason);
    }
    if (failures.length > 0) throw failures[0];
  }

  async #retain(log: MaintainedLog): Promise<void> {
    const { topic, partition, leaderEpoch } = log;
    const { config, topicId } = topic;
    const limits = {
      retentionMs: config['retention.ms'],
      retentionBytes: config['retention.bytes'],
      timestampAfterMsMax: config['message.timestamp.after.max.ms'],
      takesOldTimestamps: config['message.timestamp.before.max.ms'] >= 0,
    };
    log.retainAt = performance.now() + retainAnywayMs;
    try {
      for (let step = 1; step <= stepsMax; step++) {
        const { more, dueInMs } = await this.#store.logMaintenance.retain(topicId, partition, leaderEpoch, limits);
        if (more) continue;
        if (dueInMs !== undefined) log.retainAt = Math.min(log.retainAt, performance.now() + dueInMs);
        return;
      }
    } catch (error) {
      log.retainAt = 0;
      throw error;
    }
    // There is more to remove: go on at once, so that fast appends do not outrun retention.
    log.retainAt = 0;
    this.#retention.trigger();
  }

  /** One log after the other, as the keys of a pass take memory. */
  async #compactDue(): Promise<void> {
    const now = performance.now();
    const due = [...this.#maintained.values()].filter(({ compactAt }) => compactAt <= now);
    due.sort((a, b) => a.compactAt - b.compactAt);
    const failures: unknown[] = [];
    for (const log of due) {
      if (this.#stopping.signal.aborted) return;
      await this.#maintain(log, () => this.#compact(log)).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  async #compact(log: MaintainedLog): Promise<void> {
    const { topic, partition, leaderEpoch } = log;
    const { topicId, config } = topic;
    const startedAt = performance.now();
    // Before the pass: an append during it makes another pass due.
    log.compactAt = never;
    try {
      const task = {
        topicId,
        partition,
        leaderEpoch,
        deleteRetentionMs: config['delete.retention.ms'],
        isCompressed: config['compression.type'] === 'gzip',
      };
      const { more, tombstonesDueInMs = never } = await this.#compactor.compact(task, this.#stopping.signal);
      const now = performance.now();
      log.compactAt = more ? now : Math.min(log.compactAt, now + tombstonesDueInMs);
    } catch (error) {
      log.compactAt = performance.now();
      throw error;
    } finally {
      log.compactionMs = performance.now() - startedAt;
    }
  }

  /** Runs one maintenance task, and stops to maintain the log if it does not exist or another broker leads it. */
  async #maintain(log: MaintainedLog, task: () => Promise<void>): Promise<void> {
    const { topic, partition } = log;
    try {
      await task();
    } catch (error) {
      if (hasCode(error, 'STALE_LEADER_EPOCH')) {
        await this.#stepDown(log, Number(findServiceError(error)?.fields.leaderEpoch));
      } else if (hasCode(error, 'UNKNOWN_TOPIC')) {
        await this.#recreateLost(topic.name);
        // If this broker still leads the partition, the next run starts anew.
        this.#stopMaintaining(logNameOf({ topic: topic.name, partition }), logKey(topic.topicId, partition));
      } else {
        throw error;
      }
    }
  }

  /**
   * Stops to maintain a log that has seen a newer leader epoch, until an event names the leader. If the tree does not know that
   * epoch, the store has lost the election: then the epoch is raised here, as no broker would maintain the log otherwise.
   */
  async #stepDown(log: MaintainedLog, logEpoch: number): Promise<void> {
    const { topic, partition, leaderEpoch, leader } = log;
    const isLost = await this.#admin.raiseLeaderEpoch(topic, partition, leader, logEpoch);
    log.retainAt = log.compactAt = never;
    const fields = { topic: topic.name, partition, leaderEpoch };
    if (!isLost) this.#log.info(fields, 'Another broker leads the partition; this one has stopped to maintain its log');
    else {
      this.#epochsRaised.inc();
      this.#log.warn(
        { ...fields, logEpoch },
        'The store had lost the election of a partition leader; the leader epoch was raised',
      );
    }
  }

  async #recreateLost(name: string): Promise<void> {
    try {
      await this.#topics.recreateLogs(name);
    } catch (error) {
      // It was deleted.
      if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
    }
  }
}

function logNameOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`;
}

function isCompacted({ config }: TopicInfo): boolean {
  return config['cleanup.policy'].includes('compact');
}

function hasRetention({ config }: TopicInfo): boolean {
  if (!config['cleanup.policy'].includes('delete')) return false;
  return config['retention.ms'] >= 0 || config['retention.bytes'] >= 0;
}
