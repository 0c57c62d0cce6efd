// The state, members and lag of all groups of the cluster, for lists and metrics. The cost of a read grows with the committed offsets;
// so the figures are used again until they are 20 times as old as the read took, and reads take at most 5 % of the time.
import type { Logger } from 'pino';
import type { GroupDocument } from '../../core/groups/group-document.ts';
import { required } from '../../core/required.ts';
import type { CommittedOffsets, SurveyedGroup } from '../../store/groups/committed-offsets.ts';
import type { KnownPartition } from '../../store/groups/groups.ts';
import type { LogSummary } from '../../store/log/logs.ts';
import type { LogId } from '../../store/log/producers.ts';
import { withTimeout } from '../../store/redis/with-timeout.ts';
import { logKey } from '../log/batch-source.ts';
import type { LogFigures } from '../log/log-figures.ts';
import { lagWithoutCommit, recordsBehind, StartingPoints } from './group-lag.ts';
import type { GroupStateManager } from './group-state-manager.ts';

/** Figures are used again for this time, ms, and for this many times the duration of the read. */
const freshMs = 1000;
const restFactor = 20;
/** A caller waits this long for a read, ms; then it gets the figures of the last one. */
const overdueMs = 1500;

/** Groups whose subscriptions are read: as many documents are cached (group-state-manager.ts). */
const documentsMax = 1000;

/** The lag of a group in a topic, over the partitions whose lag is known. */
export interface TopicLag {
  group: string;
  topic: string;
  /** Records that are yet to be read, of all partitions. */
  sum: number;
  /** Records of the partition with the largest lag. */
  max: number;
  /** Where the group continues in the partitions that have such records. */
  behind: (LogId & { offset: number })[];
}

/** The figures of one group, over its topics. */
interface GroupFigure {
  topics: string[];
  /** Undefined if the lag in one of the topics is not known. */
  lag: { sum: number; max: number } | undefined;
}

export interface Figures {
  states: Record<SurveyedGroup['state'], number>;
  members: number;
  /** Largest lag first. */
  lags: TopicLag[];
  byGroup: ReadonlyMap<string, GroupFigure>;
  /** By topic, the groups that read it, the one with the largest lag first. */
  byTopic: ReadonlyMap<string, readonly TopicLag[]>;
  beganAt: number;
  /** Duration of the read. */
  tookMs: number;
}

/** By log, each found once for all groups: undefined if the log does not exist, `away` if its Redis is unreachable. */
type FoundLogs = Map<string, LogSummary | 'away' | undefined>;

/** A partition that a group reads. */
interface ReadPartition extends KnownPartition {
  /** The committed offset, or the start by the reset policy. */
  from: number | 'earliest' | 'latest';
}

export class GroupFigures {
  readonly #offsets: CommittedOffsets;
  readonly #logs: LogFigures;
  readonly #states: Pick<GroupStateManager, 'readAtVersion'>;
  readonly #log: Logger;
  #last: Figures | undefined;
  #refresh: Promise<void> | undefined;

  constructor(
    store: { committedOffsets: CommittedOffsets },
    states: Pick<GroupStateManager, 'readAtVersion'>,
    logs: LogFigures,
    log: Logger,
  ) {
    this.#offsets = store.committedOffsets;
    this.#states = states;
    this.#logs = logs;
    this.#log = log;
  }

  /** The newest figures, or the ones before if a read takes long; undefined if there are none. */
  async read(): Promise<Figures | undefined> {
    const last = this.#last;
    const isFresh = last && Date.now() - last.beganAt < Math.max(freshMs, restFactor * last.tookMs);
    if (isFresh) return last;
    this.#refresh ??= this.#refreshAll().finally(() => {
      this.#refresh = undefined;
    });
    await withTimeout(this.#refresh, overdueMs, () => new Error('The read takes longer.')).catch(() => undefined);
    return this.#last;
  }

  async #refreshAll(): Promise<void> {
    const beganAt = Date.now();
    try {
      const groups = new Map<string, SurveyedGroup>();
      const lags = new Lags();
      const logs: FoundLogs = new Map();
      /** By group with members, the logs for which it has committed an offset. */
      const committed = new Map<string, Set<string>>();
      for await (const part of this.#offsets.survey()) {
        for (const group of part) {
          groups.set(group.group, { ...group, topics: [] });
          const read = committedOf(group);
          await this.#find(read, logs);
          lags.add(group.group, read, logs);
          if (group.members === 0 || (committed.size >= documentsMax && !committed.has(group.group))) continue;
          const known = committed.get(group.group) ?? new Set();
          for (const at of read) known.add(logKey(at.topicId, at.partition));
          committed.set(group.group, known);
        }
      }
      for (const [group, known] of committed) {
        const { version } = required(groups.get(group), 'state of the group');
        const document = await this.#states.readAtVersion(group, version);
        if (!document) continue;
        const read = uncommittedOf(document, known);
        await this.#find(read, logs);
        lags.add(group, read, logs);
      }
      const states = { empty: 0, reconciling: 0, stable: 0 };
      let members = 0;
      for (const group of groups.values()) {
        states[group.state] += 1;
        members += group.members;
      }
      // The wait for an unreachable Redis is no work of the store; and the figures shall be read again as soon as it is back.
      const tookMs = [...logs.values()].includes('away') ? 0 : Date.now() - beganAt;
      this.#last = { states, members, ...lags.result(groups.keys()), beganAt, tookMs };
    } catch (error) {
      // Figures of unknown age are worse than none.
      this.#last = undefined;
      this.#log.debug({ err: error }, 'Groups could not be read: their lag is left out of metrics and lists');
    }
  }

  async #find(partitions: readonly KnownPartition[], logs: FoundLogs): Promise<void> {
    const missing = new Map<string, KnownPartition>();
    for (const at of partitions) {
      const key = logKey(at.topicId, at.partition);
      if (!logs.has(key)) missing.set(key, at);
    }
    if (missing.size === 0) return;
    const found = await this.#logs.find([...missing.values()]);
    for (const [index, key] of [...missing.keys()].entries()) logs.set(key, found[index]);
  }
}

function committedOf({ topics }: SurveyedGroup): ReadPartition[] {
  return topics.flatMap(({ topic, topicId, offsets }) =>
    offsets.map(({ partition, offset }) => ({ topic, topicId, partition, from: offset })),
  );
}

/** Partitions without a committed offset to which members subscribe. @param committed the logs with one */
function uncommittedOf(document: GroupDocument, committed: ReadonlySet<string>): ReadPartition[] {
  const startingPoints = new StartingPoints(document);
  const read: ReadPartition[] = [];
  for (const at of startingPoints.partitions()) {
    if (committed.has(logKey(at.topicId, at.partition))) continue;
    const from = startingPoints.of(at);
    if (from !== undefined) read.push({ ...at, from });
  }
  return read;
}

/** Sums of lag by group and topic. */
class Lags {
  /**
   * By group and topic; undefined if the Redis of one of the logs is unreachable: a sum without it would look as if the group
   * had caught up.
   */
  readonly #byGroup = new Map<string, Map<string, TopicLag | undefined>>();

  add(group: string, partitions: readonly ReadPartition[], logs: Readonly<FoundLogs>): void {
    for (const { topic, topicId, partition, from } of partitions) {
      const log = logs.get(logKey(topicId, partition));
      // A log that does not exist belongs to a topic that was just deleted.
      if (log === undefined) continue;
      const topics = this.#byGroup.get(group) ?? new Map<string, TopicLag | undefined>();
      this.#byGroup.set(group, topics);
      const known = topics.has(topic) ? topics.get(topic) : { group, topic, sum: 0, max: 0, behind: [] };
      if (log === 'away' || !known) {
        topics.set(topic, undefined);
        continue;
      }
      const lag = typeof from === 'number' ? recordsBehind(log, from) : lagWithoutCommit(from, log);
      known.sum += lag;
      known.max = Math.max(known.max, lag);
      if (lag > 0) known.behind.push({ topicId, partition, offset: typeof from === 'number' ? from : 0 });
      topics.set(topic, known);
    }
  }

  /** @param names of all groups */
  result(names: Iterable<string>): Pick<Figures, 'lags' | 'byGroup' | 'byTopic'> {
    const lags: TopicLag[] = [];
    const byGroup = new Map<string, GroupFigure>();
    for (const group of names) {
      const topics = this.#byGroup.get(group) ?? new Map<string, TopicLag | undefined>();
      const known = [...topics.values()].filter((lag) => lag !== undefined);
      lags.push(...known);
      const sum = known.reduce((total, lag) => total + lag.sum, 0);
      const max = known.reduce((largest, lag) => Math.max(largest, lag.max), 0);
      byGroup.set(group, { topics: [...topics.keys()], lag: known.length < topics.size ? undefined : { sum, max } });
    }
    lags.sort((a, b) => b.sum - a.sum);
    const byTopic = new Map<string, TopicLag[]>();
    for (const lag of lags) {
      const others = byTopic.get(lag.topic);
      if (others) others.push(lag);
      else byTopic.set(lag.topic, [lag]);
    }
    return { lags, byGroup, byTopic };
  }
}
