// Metrics of all groups of the cluster: how many there are in each state, their members, and their lag. Only the controller
// reads them, when they are scraped: so sums over all brokers are right, and the store is read once.
import type { Logs } from '../../store/log/logs.ts';
import type { Metrics } from '../metrics.ts';
import type { Figures, GroupFigures, TopicLag } from './group-figures.ts';

/** The lag of so many pairs of group and topic stands in the metrics: three figures each, about 100 bytes a figure. */
export const lagSeriesMax = 2000;
/** For the age of what is to be read, so many partitions are looked into at each read of the figures, those of the largest lags. */
const agedPartitionsMax = 2000;

export class ClusterGroupMetrics {
  readonly #groups: GroupFigures;
  readonly #logs: Logs;
  readonly #isController: () => boolean;
  /** By figures, how long the oldest record of each exported lag has been waiting, seconds. */
  readonly #ages = new WeakMap<Figures, Promise<Map<TopicLag, number>>>();

  /** @param isController whether this broker is the controller, as far as it knows */
  constructor(groups: GroupFigures, logs: Logs, isController: () => boolean, metrics: Metrics) {
    this.#groups = groups;
    this.#logs = logs;
    this.#isController = isController;
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
    metrics.gauges(
      'group_lag_seconds',
      `How long ago the oldest record was appended that a group has yet to read in a topic; ${only}, for the ${lagSeriesMax} that are most behind.`,
      ['group', 'topic'],
      () => this.#readAges(),
      aggregator,
    );
  }

  async #figures(): Promise<Figures | undefined> {
    return this.#isController() ? this.#groups.read() : undefined;
  }

  async #readAges() {
    const figures = await this.#figures();
    if (!figures) return [];
    let ages = this.#ages.get(figures);
    if (!ages) {
      ages = this.#agesOf(figures);
      this.#ages.set(figures, ages);
    }
    return [...(await ages)].map(([{ group, topic }, value]) => ({ labels: { group, topic }, value }));
  }

  /** The look into the logs counts as a part of the read of the figures, so that it is as rare in relation to its cost. */
  async #agesOf(figures: Figures): Promise<Map<TopicLag, number>> {
    const beganAt = Date.now();
    const ages = new Map<TopicLag, number>();
    let left = agedPartitionsMax;
    const looks = exported(figures).map(async (lag) => {
      if (lag.behind.length > left) return;
      left -= lag.behind.length;
      const found = await Promise.all(lag.behind.map((at) => this.#logs.ageAt(at).catch(() => undefined)));
      // An age that one of the partitions may exceed would be too low.
      if (!found.includes(undefined)) ages.set(lag, Math.max(0, ...found.map((ms) => (ms ?? 0) / 1000)));
    });
    await Promise.all(looks);
    figures.tookMs += Date.now() - beganAt;
    return ages;
  }
}

function exported(figures: Figures | undefined): TopicLag[] {
  return figures?.lags.slice(0, lagSeriesMax) ?? [];
}
