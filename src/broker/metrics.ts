// The metrics that GET /metrics shows. Each part of the broker makes its own instruments on the broker's registry. Labels
// have few values: route patterns, codes and results. Names that users choose stand only in those of broker/groups/cluster-group-metrics.ts, which
// are limited in number.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  registry: Registry;
  /** Makes a counter `weir_<name>`; each label must have few values. */
  counter<T extends string = never>(name: string, help: string, labels?: T[]): Counter<T>;
  /** Makes a histogram of seconds, `weir_<name>`; each label must have few values. */
  histogram<T extends string = never>(name: string, help: string, labels?: T[]): Histogram<T>;
  /** Makes a gauge `weir_<name>`; `read` is called at each scrape. */
  gauge(name: string, help: string, read: () => number): void;
  /** As gauge(), with one value for each combination of labels that `read` returns; other combinations are removed. */
  gauges<T extends string>(
    name: string,
    help: string,
    labels: T[],
    read: () => GaugeValue<T>[] | Promise<GaugeValue<T>[]>,
  ): void;
}

interface GaugeValue<T extends string> {
  labels: Record<T, string>;
  value: number;
}

const secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    counter: (name, help, labels = []) =>
      new Counter({ name: `weir_${name}`, help, labelNames: labels, registers: [registry] }),
    histogram: (name, help, labels = []) =>
      new Histogram({ name: `weir_${name}`, help, labelNames: labels, buckets: secondsBuckets, registers: [registry] }),
    gauge: (name, help, read) => {
      new Gauge({
        name: `weir_${name}`,
        help,
        registers: [registry],
        collect() {
          this.set(read());
        },
      });
    },
    gauges: (name, help, labels, read) => {
      new Gauge({
        name: `weir_${name}`,
        help,
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
