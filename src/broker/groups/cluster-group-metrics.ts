// Metrics of all groups of the cluster: how many there are in each state, their members, and their lag. Only the controller
// reads them, when they are scraped: so sums over all brokers are right, and the store is read once.
//
// The cost of a read grows with the committed offsets. The figures are used again until they are 20 times as old as the read
// took, so reads take at most 5 % of the time.

import type { Logger } from 'pino';
import type { GroupDocument } from '../../core/groups/group-document.ts';
import { required } from '../../core/required.ts';
import type { CommittedOffsets, SurveyedGroup } from '../../store/groups/committed-offsets.ts';
import type { KnownPartition } from '../../store/groups/groups.ts';
import type { LogSummary, Logs } from '../../store/log/logs.ts';
import { withTimeout } from '../../store/redis/with-timeout.ts';
import { logKey } from '../log/batch-source.ts';
import type { Metrics } from '../metrics.ts';
import { lagWithoutCommit, recordsBehind, StartingPoints } from './group-lag.ts';
import type { GroupStateManager } from './group-state-manager.ts';

/** The lag of so many pairs of group and topic stands in the metrics: two figures each, about 100 bytes a figure. */
export const lagSeriesMax = 2000;

/** Figures are used again for this time, ms, and for this many times the duration of the read. */
const freshMs = 1000;
const restFactor = 20;
/** A scrape waits this long for a read, ms; then it gets the figures of the last one. */
const overdueMs = 1500;

/** Groups whose subscriptions are read: as many documents are cached (group-state-manager.ts). */
const documentsMax = 1000;

/** The lag of a group in a topic, over the partitions whose lag is known. */
interface TopicLag {
  group: string;
  topic: string;
  /** Records that are yet to be read, of all partitions. */
  sum: number;
  /** Records of the partition with the largest lag. */
  max: number;
}

/** By log, each read once for all groups: undefined if the log does not exist, `away` if its Redis is unreachable. */
type FoundLogs = Map<string, LogSummary | 'away' | undefined>;

/** A partition that a group reads. */
interface ReadPartition extends KnownPartition {
  /** The committed offset, or the start by the reset policy. */
  from: number | 'earliest' | 'latest';
}

interface Figures {
  states: Record<SurveyedGroup['state'], number>;
  members: number;
  lags: TopicLag[];
  beganAt: number;
  /** Duration of the read. */
  tookMs: number;
}

export class ClusterGroupMetrics {
  readonly #offsets: CommittedOffsets;
  readonly #logs: Logs;
  readonly #states: Pick<GroupStateManager, 'readAtVersion'>;
  readonly #isController: () => boolean;
  readonly #log: Logger;
  #last: Figures | undefined;
  #refresh: Promise<void> | undefined;

  /** @param isController whether this broker is the controller, as far as it knows */
  constructor(
    store: { committedOffsets: CommittedOffsets; logs: Logs },
    states: Pick<GroupStateManager, 'readAtVersion'>,
    isController: () => boolean,
    metrics: Metrics,
    log: Logger,
  ) {
    this.#offsets = store.committedOffsets;
    this.#logs = store.logs;
    this.#states = states;
    this.#isController = isController;
    this.#log = log;
    const only = 'only the controller has this';
    // While the controller changes, two workers of a server may have figures: those of the same groups.
    const aggregator = 'max';
    const readStates = async () =>
      Object.entries((await this.#figures())?.states ?? {}).map(([state, value]) => ({ labels: { state }, value }));
    metrics.gauges('groups', `Consumer groups by state; ${only}.`, ['state'], readStates, aggregator);
    const single = (name: string, help: string, read: (figures: Figures) => number) => {
      const readOne = async () => {
        const figures = await this.#figures();
        return figures ? [{ labels: {}, value: read(figures) }] : [];
      };
      metrics.gauges(name, `${help}; ${only}.`, [], readOne, aggregator);
    };
    single('group_members', 'Members of all groups', ({ members }) => members);
    const perTopic = (name: string, help: string, read: (lag: TopicLag) => number) =>
      metrics.gauges(
        name,
        `${help}; ${only}, for the ${lagSeriesMax} that are most behind.`,
        ['group', 'topic'],
        async () =>
          exported(await this.#figures()).map((lag) => {
            const { group, topic } = lag;
            return { labels: { group, topic }, value: read(lag) };
          }),
        aggregator,
      );
    perTopic(
      'group_lag_records',
      'Records of a topic that a group would still read, from what it has committed, or from where the reset policy of its members begins',
      ({ sum }) => sum,
    );
    perTopic('group_lag_max_records', 'As weir_group_lag_records, in the partition that has most', ({ max }) => max);
    single(
      'group_lag_left_out',
      'Pairs of group and topic whose lag is not shown, as too many are more behind',
      (figures) => Math.max(0, figures.lags.length - lagSeriesMax),
    );
    single(
      'group_lag_age_seconds',
      'How old the figures of groups are',
      ({ beganAt }) => (Date.now() - beganAt) / 1000,
    );
  }

  /**
   * The newest figures, or the ones before if a read takes long; undefined on brokers that are not the controller, or if there
   * are none.
   */
  async #figures(): Promise<Figures | undefined> {
    if (!this.#isController()) {
      this.#last = undefined;
      return undefined;
    }
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
        const document = await this.#states.readAtVersion(
          group,
          required(groups.get(group), 'state of the group').version,
        );
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
      this.#last = { states, members, lags: lags.sorted(), beganAt, tookMs };
    } catch (error) {
      // Figures of unknown age are worse than none.
      this.#last = undefined;
      this.#log.debug({ err: error }, 'Groups could not be read: their metrics are left out');
    }
  }

  async #find(partitions: readonly KnownPartition[], logs: FoundLogs): Promise<void> {
    const missing = new Map<string, KnownPartition>();
    for (const at of partitions) {
      const key = logKey(at.topicId, at.partition);
      if (!logs.has(key)) missing.set(key, at);
    }
    const found = await this.#logs.boundsOfReachable([...missing.values()]);
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
  readonly #lags = new Map<string, TopicLag | undefined>();

  add(group: string, partitions: readonly ReadPartition[], logs: Readonly<FoundLogs>): void {
    for (const { topic, topicId, partition, from } of partitions) {
      const log = logs.get(logKey(topicId, partition));
      // A log that does not exist belongs to a topic that was just deleted.
      if (log === undefined) continue;
      const key = `${group}\0${topic}`;
      const known = this.#lags.has(key) ? this.#lags.get(key) : { group, topic, sum: 0, max: 0 };
      if (log === 'away' || !known) {
        this.#lags.set(key, undefined);
        continue;
      }
      const lag = typeof from === 'number' ? recordsBehind(log, from) : lagWithoutCommit(from, log);
      known.sum += lag;
      known.max = Math.max(known.max, lag);
      this.#lags.set(key, known);
    }
  }

  /** Largest lag first. */
  sorted(): TopicLag[] {
    return [...this.#lags.values()].filter((lag) => lag !== undefined).sort((a, b) => b.sum - a.sum);
  }
}

function exported(figures: Figures | undefined): TopicLag[] {
  return figures?.lags.slice(0, lagSeriesMax) ?? [];
}
