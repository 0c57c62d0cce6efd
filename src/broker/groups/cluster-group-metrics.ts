// What the operator sees of all groups together: how many there are in which state, how many members they have, and how far
// they are behind. No broker hears of all that by itself, so it is looked up when it is asked for, by the controller alone:
// a sum over all brokers is right then, and the store is asked once, however many brokers there are.
//
// What that costs grows with what is committed. So a look takes at most a small share of the time: what was found is given
// out again until it is 20 times as old as it took to find.
import type { Logger } from 'pino';
import type { GroupDocument } from '../../core/groups/group-document.ts';
import type { CommittedOffsets, SurveyedGroup } from '../../store/groups/committed-offsets.ts';
import type { KnownPartition } from '../../store/groups/groups.ts';
import type { LogSummary, Logs } from '../../store/log/logs.ts';
import { withTimeout } from '../../store/redis/with-timeout.ts';
import { logKey } from '../log/log-reader.ts';
import type { Metrics } from '../metrics.ts';
import { lagWithoutCommit, recordsBehind, StartingPoints } from './group-lag.ts';
import type { GroupStateManager } from './group-state-manager.ts';

/** The lag of so many pairs of group and topic stands in the metrics: two figures each, about 100 bytes a figure. */
export const lagSeriesMax = 2000;

/** What was found is not looked up again for so long, and for so many times the time that it took. */
const freshMs = 1000;
const restFactor = 20;
/** For so long whoever asks waits for a look; then he is given what the last one found. */
const overdueMs = 1500;

/** Of how many groups it is looked up what they subscribe to; as many documents are remembered (group-state-manager.ts). */
const documentsMax = 1000;

/** How far a group is behind in a topic: over all its partitions of which that is known. */
interface TopicLag {
  group: string;
  topic: string;
  /** Records that are left to be read, of all partitions together. */
  sum: number;
  /** Those of the partition that has most of them. */
  max: number;
}

/** By log, read once, however many groups read it: undefined where there is none, `away` where it cannot be reached. */
type FoundLogs = Map<string, LogSummary | 'away' | undefined>;

/** A partition that a group reads. */
interface ReadPartition extends KnownPartition {
  /** What is committed, or where the group would begin without that. */
  from: number | 'earliest' | 'latest';
}

interface Figures {
  states: Record<SurveyedGroup['state'], number>;
  members: number;
  lags: TopicLag[];
  beganAt: number;
  /** Of work. */
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

  /** @param isController whether this broker is the controller now, as far as it knows */
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
    metrics.gauges('groups', `Consumer groups by state; ${only}.`, ['state'], async () =>
      Object.entries((await this.#figures())?.states ?? {}).map(([state, value]) => ({ labels: { state }, value })),
    );
    const single = (name: string, help: string, read: (figures: Figures) => number) =>
      metrics.gauges(name, `${help}; ${only}.`, [], async () => {
        const figures = await this.#figures();
        return figures ? [{ labels: {}, value: read(figures) }] : [];
      });
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

  /** Of the newest look, or of the one before if that takes long; undefined where they are not to be had. */
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
    await withTimeout(this.#refresh, overdueMs, () => new Error('The look goes on.')).catch(() => undefined);
    return this.#last;
  }

  async #refreshAll(): Promise<void> {
    const beganAt = Date.now();
    try {
      const groups = new Map<string, SurveyedGroup>();
      const lags = new Lags();
      const logs: FoundLogs = new Map();
      /** By group with members, what it has committed something for. */
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
        const document = await this.#states.readAtVersion(group, groups.get(group)!.version);
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
      // Waiting for a machine that is away is no work of the store; and its figures are wanted as soon as it is back.
      const tookMs = [...logs.values()].includes('away') ? 0 : Date.now() - beganAt;
      this.#last = { states, members, lags: lags.sorted(), beganAt, tookMs };
    } catch (error) {
      // What is old by who knows how much is worth less than nothing.
      this.#last = undefined;
      this.#log.debug({ err: error }, 'The groups could not be looked at; metrics are without them');
    }
  }

  async #find(partitions: readonly KnownPartition[], logs: FoundLogs): Promise<void> {
    const wanted = new Map<string, KnownPartition>();
    for (const at of partitions) {
      const key = logKey(at.topicId, at.partition);
      if (!logs.has(key)) wanted.set(key, at);
    }
    const found = await this.#logs.boundsOfReachable([...wanted.values()]);
    for (const [index, key] of [...wanted.keys()].entries()) logs.set(key, found[index]);
  }
}

function committedOf({ topics }: SurveyedGroup): ReadPartition[] {
  return topics.flatMap(({ topic, topicId, offsets }) =>
    offsets.map(({ partition, offset }) => ({ topic, topicId, partition, from: offset })),
  );
}

/** What members subscribe to and would begin with, without a commit. @param committed by log, what is committed */
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

/** The sums of groups and topics. */
class Lags {
  /** By group and topic; undefined where a machine with one of the logs is away: a sum of the rest would look as if it had caught up. */
  readonly #lags = new Map<string, TopicLag | undefined>();

  add(group: string, partitions: readonly ReadPartition[], logs: Readonly<FoundLogs>): void {
    for (const { topic, topicId, partition, from } of partitions) {
      const log = logs.get(logKey(topicId, partition));
      // A log that is not there is that of a topic that was just deleted.
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

  /** Those that are most behind first. */
  sorted(): TopicLag[] {
    return [...this.#lags.values()].filter((lag) => lag !== undefined).sort((a, b) => b.sum - a.sum);
  }
}

function exported(figures: Figures | undefined): TopicLag[] {
  return figures?.lags.slice(0, lagSeriesMax) ?? [];
}
