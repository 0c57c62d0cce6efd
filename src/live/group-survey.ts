// What the operator sees of all groups together: how many there are in which state, how many members they have, and how far
// they are behind. No broker hears of all that by itself, so it is looked up when it is asked for, by the controller alone:
// a sum over all brokers is right then, and the store is asked once, however many brokers there are.
//
// What that costs grows with what is committed. So a look takes at most a small share of the time: what was found is given
// out again until it is 20 times as old as it took to find.
import type { Logger } from 'pino';
import { lagSeriesMax } from '../core/defaults.ts';
import type { CommittedOffsets, SurveyedGroup } from '../store/committed-offsets.ts';
import { inTime } from '../store/in-time.ts';
import type { Logs } from '../store/logs.ts';
import { logKey } from './log-reader.ts';
import type { Metrics } from './metrics.ts';

/** What was found is not looked up again for so long, and for so many times the time that it took. */
const freshMs = 1000;
const restFactor = 20;
/** For so long whoever asks waits for a look; then he is given what the last one found. */
const patienceMs = 1500;

/** How far a group is behind in a topic: over all partitions for which it has committed something. */
interface TopicLag {
  group: string;
  topic: string;
  /** Records behind the committed offsets, of all partitions together. */
  sum: number;
  /** Those of the partition that has most of them. */
  max: number;
}

/** By log, read once, however many groups read it: undefined where there is none, `away` where it cannot be reached. */
type LogEnds = Map<string, number | 'away' | undefined>;

interface Figures {
  states: Record<SurveyedGroup['state'], number>;
  members: number;
  lags: TopicLag[];
  beganAt: number;
  tookMs: number;
}

export class GroupSurvey {
  readonly #offsets: CommittedOffsets;
  readonly #logs: Logs;
  readonly #isController: () => boolean;
  readonly #log: Logger;
  #last: Figures | undefined;
  #look: Promise<void> | undefined;

  /** @param isController whether this broker is the controller now, as far as it knows */
  constructor(
    store: { committedOffsets: CommittedOffsets; logs: Logs },
    isController: () => boolean,
    metrics: Metrics,
    log: Logger,
  ) {
    this.#offsets = store.committedOffsets;
    this.#logs = store.logs;
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
      'Records of a topic behind what a group has committed, in all partitions for which it has committed something',
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
    this.#look ??= this.#lookAtAll().finally(() => {
      this.#look = undefined;
    });
    await inTime(this.#look, patienceMs, () => new Error('The look goes on.')).catch(() => undefined);
    return this.#last;
  }

  async #lookAtAll(): Promise<void> {
    const beganAt = Date.now();
    try {
      const groups = new Map<string, SurveyedGroup>();
      const lags: TopicLag[] = [];
      const ends: LogEnds = new Map();
      for await (const part of this.#offsets.survey()) {
        for (const group of part) groups.set(group.group, { ...group, topics: [] });
        await this.#readEnds(part, ends);
        for (const group of part) lags.push(...lagsOf(group, ends));
      }
      const states = { empty: 0, reconciling: 0, stable: 0 };
      let members = 0;
      for (const group of groups.values()) {
        states[group.state] += 1;
        members += group.members;
      }
      lags.sort((a, b) => b.sum - a.sum);
      this.#last = { states, members, lags, beganAt, tookMs: Date.now() - beganAt };
    } catch (error) {
      // What is old by who knows how much is worth less than nothing.
      this.#last = undefined;
      this.#log.debug({ err: error }, 'The groups could not be looked at; metrics are without them');
    }
  }

  async #readEnds(groups: readonly SurveyedGroup[], ends: LogEnds): Promise<void> {
    const wanted = new Map<string, { topicId: string; partition: number }>();
    for (const { topics } of groups) {
      for (const { topicId, offsets } of topics) {
        for (const { partition } of offsets) {
          const key = logKey(topicId, partition);
          if (!ends.has(key)) wanted.set(key, { topicId, partition });
        }
      }
    }
    const logs = await this.#logs.boundsWherePossible([...wanted.values()]);
    for (const [index, key] of [...wanted.keys()].entries()) {
      const log = logs[index];
      ends.set(key, log === 'away' ? log : log?.endOffset);
    }
  }
}

function lagsOf({ group, topics }: SurveyedGroup, ends: Readonly<LogEnds>): TopicLag[] {
  return topics.flatMap(({ topic, topicId, offsets }) => {
    const found = offsets.map(({ partition }) => ends.get(logKey(topicId, partition)));
    // A sum over what is left would look as if the group had caught up.
    if (found.includes('away')) return [];
    const behind = offsets.flatMap(({ offset }, index) => {
      const end = found[index];
      // A log that is not there is that of a topic that was just deleted. One may end before a commit that is newer than the look.
      return typeof end === 'number' ? [Math.max(0, end - offset)] : [];
    });
    if (behind.length === 0) return [];
    let [sum, max] = [0, 0];
    for (const records of behind) {
      sum += records;
      max = Math.max(max, records);
    }
    return [{ group, topic, sum, max }];
  });
}

function exported(figures: Figures | undefined): TopicLag[] {
  return figures?.lags.slice(0, lagSeriesMax) ?? [];
}
