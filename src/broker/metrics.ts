// The metrics that GET /metrics shows. Each part of the broker makes its own instruments on the broker's registry. Labels
// have few values: route patterns, codes and results. Names that users choose stand only in those of broker/groups/cluster-group-metrics.ts, which
// are limited in number. Of a server with several workers each makes its own, and the primary process merges them.
import {
  type Aggregator,
  AggregatorRegistry,
  collectDefaultMetrics,
  Gauge,
  type Metric,
  Counter as ReadCounter,
  Registry,
} from 'prom-client';
import { EventLoopLag } from './event-loop-lag.ts';
import { Counter, Histogram } from './instruments.ts';

export interface Metrics {
  registry: Registry;
  readonly eventLoopLag: EventLoopLag;
  /** The text for GET /metrics: of this process, or of the whole server if `wholeText` was given. */
  text(): Promise<string>;
  /** Makes a counter `weir_<name>`; each label must have few values. */
  counter<T extends string = never>(name: string, help: string, labels?: T[]): Counter<T>;
  /** As counter(), for counts that are kept elsewhere: `read` is called at each scrape. */
  counters<T extends string>(name: string, help: string, labels: T[], read: () => Reading<T>[]): void;
  /** The values of the instrument `weir_<name>` with these labels, added up; 0 if there is none. */
  sumOf(name: string, labels?: Record<string, string>): Promise<number>;
  /** Makes a histogram of seconds, `weir_<name>`; each label must have few values. */
  histogram(name: string, help: string, labels?: string[]): Histogram;
  /**
   * Makes a gauge `weir_<name>`; `read` is called at each scrape.
   * @param aggregator how the values of several workers become one: `sum` for what each has of its own, `max` or `min` for what all of
   * them observe
   */
  gauge(name: string, help: string, read: () => number, aggregator?: GaugeAggregator): void;
  /** As gauge(), with one value for each combination of labels that `read` returns; other combinations are removed. */
  gauges<T extends string>(
    name: string,
    help: string,
    labels: T[],
    read: () => Reading<T>[] | Promise<Reading<T>[]>,
    aggregator?: GaugeAggregator,
  ): void;
}

/** A value with its labels. */
interface Reading<T extends string> {
  labels: Record<T, string>;
  value: number;
}

type GaugeAggregator = Extract<Aggregator, 'sum' | 'max' | 'min'>;

/** The values of one instrument, as data that can be sent to another process. */
interface MetricValues {
  name: string;
  help: string;
  type: string;
  aggregator: Aggregator;
  values: { labels: Record<string, string | number>; value: number; metricName?: string }[];
}

/** The values of all instruments of one process, or merged ones of several. */
export type MetricsSnapshot = MetricValues[];

interface MetricsOptions {
  /** Labels of the metrics of the process itself (CPU, memory, event loop), so that those of several processes stay apart. */
  processLabels?: Record<string, string>;
  /** Makes the text of all processes of the server. Default: that of this process. */
  wholeText?: () => Promise<string>;
}

/** 24 days, the longest interval of a timer. */
const neverMs = 2 ** 31 - 1;

const secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics({ processLabels = {}, wholeText }: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  // The precision is the interval of its timer for the lag of the event loop, which is measured here in another way.
  collectDefaultMetrics({ register: registry, labels: processLabels, eventLoopMonitoringPrecision: neverMs });
  for (const kind of ['', 'min_', 'max_', 'mean_', 'stddev_', 'p50_', 'p90_', 'p99_']) {
    registry.removeSingleMetric(`nodejs_eventloop_lag_${kind}seconds`);
  }
  const eventLoopLag = new EventLoopLag();
  eventLoopLag.register(registry, processLabels);
  // By Prometheus' rules only counters have names that end in _total; weir_connections_open and others say what these do.
  for (const name of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${name}_total`);
  const registered = <I extends Counter | Histogram>(instrument: I): I => {
    registry.registerMetric(instrument as unknown as Metric);
    return instrument;
  };
  return {
    registry,
    eventLoopLag,
    text: rarely(wholeText ?? (() => registry.metrics())),
    counter: (name, help, labels = []) => registered(new Counter(`weir_${name}`, help, labels)),
    counters: (name, help, labels, read) => {
      new ReadCounter({
        name: `weir_${name}`,
        help,
        labelNames: labels,
        registers: [registry],
        collect() {
          this.reset();
          for (const { labels, value } of read()) this.inc(labels, value);
        },
      });
    },
    sumOf: async (name, wanted = {}) => {
      const { values = [] } = (await registry.getSingleMetric(`weir_${name}`)?.get()) ?? {};
      const isWanted = (labels: Partial<Record<string, string | number>>) =>
        Object.entries(wanted).every(([label, value]) => labels[label] === value);
      return values.reduce((sum, { labels, value }) => (isWanted(labels) ? sum + value : sum), 0);
    },
    histogram: (name, help, labels = []) => registered(new Histogram(`weir_${name}`, help, labels, secondsBuckets)),
    gauge: (name, help, read, aggregator = 'sum') => {
      new Gauge({
        name: `weir_${name}`,
        help,
        aggregator,
        registers: [registry],
        collect() {
          this.set(read());
        },
      });
    },
    gauges: (name, help, labels, read, aggregator = 'sum') => {
      new Gauge({
        name: `weir_${name}`,
        help,
        aggregator,
        labelNames: labels,
        registers: [registry],
        async collect() {
          const readings = await read();
          this.reset();
          // reset() sets a gauge without labels to 0, where no value is meant.
          if (labels.length === 0) this.remove();
          for (const { labels, value } of readings) this.set(labels, value);
        },
      });
    },
  };
}

/** The values of all instruments of a process now. */
export async function snapshotOf({ registry }: Metrics): Promise<MetricsSnapshot> {
  const snapshot = (await registry.getMetricsAsJSON()) as unknown as MetricsSnapshot;
  // prom-client omits some metrics from a merge, such as the start time, as their sum means nothing. Here the label of each process
  // keeps them apart, so nothing is summed.
  return snapshot.map((metric) => (metric.aggregator === 'omit' ? { ...metric, aggregator: 'max' as const } : metric));
}

/** Merges the values of several processes, each metric by its aggregator. @returns the values, to be merged further */
export function mergeSnapshots(snapshots: MetricsSnapshot[]): Promise<MetricsSnapshot> {
  return AggregatorRegistry.aggregate(snapshots).getMetricsAsJSON() as Promise<unknown> as Promise<MetricsSnapshot>;
}

/** As mergeSnapshots(), as the text for GET /metrics. */
export function textOf(snapshots: MetricsSnapshot[]): Promise<string> {
  return AggregatorRegistry.aggregate(snapshots).metrics();
}

/**
 * What remains true of the values of a process that does not report any more: what it has counted of the server's work. Without it
 * sums would go back, which to Prometheus is a restart, and it would count everything once more.
 */
export function countsOf(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter(({ name, type }) => name.startsWith('weir_') && (type === 'counter' || type === 'histogram'));
}

/** Time of each second that collecting metrics may take, ms. It takes about 10 ms, and /metrics bypasses admission control. */
const metricsMsPerSecond = 400;

/** Calls `make` for at most metricsMsPerSecond of each second; further calls get its last result. */
function rarely(make: () => Promise<string>): () => Promise<string> {
  let [takenMs, since]: [number, number] = [0, 0];
  let last: Promise<string> | undefined;
  return () => {
    const now = performance.now();
    if (now - since > 1000) [takenMs, since] = [0, now];
    if (last && takenMs >= metricsMsPerSecond) return last;
    const text = make().finally(() => {
      takenMs += performance.now() - now;
    });
    last = text;
    text.catch(() => {
      if (last === text) last = undefined;
    });
    return text;
  };
}
