// Keeps log for the partitions that this broker leads: lets go of what is outside their retention, and compacts them. It asks
// the store about a log only when something may be due there: records were appended, the oldest ones come of age, the topic or
// its leader changed. So idle partitions cost next to nothing, however many there are. What goes is decided by the scripts,
// which refuse a leader that was deposed (guarantees L5, L6).
import type { Logger } from 'pino';
import { findServiceError, hasCode } from '../../core/service-error.ts';
import type { Store } from '../../store/store.ts';
import type { PartitionAdmin } from '../metadata/partition-admin.ts';
import type { PartitionCache, PartitionInfo } from '../metadata/partition-cache.ts';
import type { TopicCache, TopicInfo } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';
import type { LogCompactor } from './log-compactor.ts';
import { type LogReader, logKey } from './log-reader.ts';

/** How often it looks at what is due. */
const everyMs = 1000;
/** How soon retention follows on an append; with the look above, within the promised 10 s. */
const retainAfterMs = 4000;
/** A log is looked at now and then, whatever is known of it. */
const retainAnywayMs = 600_000;
/** How many bounded steps one log gets, before the others have their turn. */
const stepsMax = 20;
/** How many logs retention looks at together. */
const togetherMax = 64;
/**
 * How soon a log is compacted once there may be garbage: so many times as long as its last pass took, so that compaction
 * takes a small share of the time, but never so late that it is not done within the promised 30 s.
 */
const compactionShare = 20;
const compactAfterMsMin = 1000;
const compactAfterMsMax = 20_000;

/** A partition that this broker leads. Moments are of this process' clock, performance.now(). */
interface MaintainedLog {
  topic: TopicInfo;
  partition: number;
  leaderEpoch: number;
  /** This broker's id, as of then. */
  leader: number;
  retainAt: number;
  compactAt: number;
  /** How long the last pass of compaction took. */
  compactionMs: number;
}

const never = Number.POSITIVE_INFINITY;

export interface LogMaintainerParts {
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
  /** By topic and partition, the logKey of its log. */
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
      'Leader epochs that this broker raised, as the store had lost an election.',
    );
    this.#retention = new PeriodicTask('retention', everyMs, () => this.#retainDue(), log);
    this.#compaction = new PeriodicTask('compaction', everyMs, () => this.#compactDue(), log);
  }

  start(): void {
    // A changed topic is moved into anew, with its settings of then; everything is due there at once.
    this.#stopListening = this.#topics.onChange((name) => {
      for (const [place, key] of this.#keys) if (place.startsWith(`${name}/`)) this.#stopMaintaining(place, key);
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

  #stopMaintaining(place: string, key: string): void {
    this.#keys.delete(place);
    this.#maintained.delete(key);
  }

  /** Takes in the partitions that this broker leads now, and leaves the others. */
  async #settle(): Promise<void> {
    const led = new Set<string>();
    for (const info of this.#partitions.led()) {
      const place = logNameOf(info);
      led.add(place);
      const log = this.#maintained.get(this.#keys.get(place) ?? '');
      if (log?.leaderEpoch !== info.leaderEpoch) await this.#startMaintaining(place, info);
    }
    for (const [place, key] of this.#keys) if (!led.has(place)) this.#stopMaintaining(place, key);
  }

  async #startMaintaining(
    place: string,
    { topic: name, partition, leaderEpoch, leader }: PartitionInfo,
  ): Promise<void> {
    try {
      const topic = await this.#topics.get(name);
      const now = performance.now();
      const key = logKey(topic.topicId, partition);
      const compactAt = isCompacted(topic) ? now : never;
      const retainAt = hasRetention(topic) ? now : never;
      this.#maintained.set(key, { topic, partition, leaderEpoch, leader, retainAt, compactAt, compactionMs: 0 });
      this.#keys.set(place, key);
    } catch (error) {
      // It was deleted meanwhile.
      if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
    }
  }

  async #retainDue(): Promise<void> {
    await this.#settle();
    const now = performance.now();
    const due = [...this.#maintained.values()].filter(({ retainAt }) => retainAt <= now);
    // One machine of the store may be away, which must not hold up what lies on others.
    const failures: unknown[] = [];
    for (let i = 0; i < due.length; i += togetherMax) {
      const some = due.slice(i, i + togetherMax).map((log) => this.#guarded(log, () => this.#retain(log)));
      for (const outcome of await Promise.allSettled(some))
        if (outcome.status === 'rejected') failures.push(outcome.reason);
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
    // Who appends fast must not be faster than this.
    log.retainAt = 0;
    this.#retention.trigger();
  }

  /** One log after the other: the keys of one pass take memory. */
  async #compactDue(): Promise<void> {
    const now = performance.now();
    const due = [...this.#maintained.values()].filter(({ compactAt }) => compactAt <= now);
    due.sort((a, b) => a.compactAt - b.compactAt);
    const failures: unknown[] = [];
    for (const log of due) {
      if (this.#stopping.signal.aborted) return;
      await this.#guarded(log, () => this.#compact(log)).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  async #compact(log: MaintainedLog): Promise<void> {
    const { topic, partition, leaderEpoch } = log;
    const { topicId, config } = topic;
    const startedAt = performance.now();
    // What is appended from now on asks for another pass.
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

  /** A log that is gone, or is led by another broker, is no longer this one's to keep; what is news here will say so. */
  async #guarded(log: MaintainedLog, keep: () => Promise<void>): Promise<void> {
    const { topic, partition } = log;
    try {
      await keep();
    } catch (error) {
      if (hasCode(error, 'STALE_LEADER_EPOCH')) {
        await this.#giveUp(log, Number(findServiceError(error)?.fields.leaderEpoch));
      } else if (hasCode(error, 'UNKNOWN_TOPIC')) {
        await this.#recreateLost(topic.name);
        // If it is led here still, it is moved into anew.
        this.#stopMaintaining(logNameOf({ topic: topic.name, partition }), logKey(topic.topicId, partition));
      } else {
        throw error;
      }
    }
  }

  /**
   * Leaves a log that refuses this leader until there is news of who leads it. The news is made here if the store has lost
   * the election that the log has heard of: else nobody would keep log there until the next one.
   */
  async #giveUp(log: MaintainedLog, heardOf: number): Promise<void> {
    const { topic, partition, leaderEpoch, leader } = log;
    const isLost = await this.#admin.raiseLeaderEpoch(topic, partition, leader, heardOf);
    log.retainAt = log.compactAt = never;
    const fields = { topic: topic.name, partition, leaderEpoch };
    if (!isLost) this.#log.info(fields, 'Another broker keeps log for a partition now');
    else {
      this.#epochsRaised.inc();
      this.#log.warn({ ...fields, heardOf }, 'The store had lost an election of a leader; its epoch was raised');
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
