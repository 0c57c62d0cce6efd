// How late this process is: a timer measures by how much it fires behind its time. prom-client's own measure has a timer of 10 ms; the
// 100 turns a second that it takes were the largest part of what an idle server costs.
import { createHistogram } from 'node:perf_hooks';
import { type Aggregator, Gauge, type Registry } from 'prom-client';

const everyMs = 100;

export class EventLoopLag {
  readonly #sinceScrape = createHistogram();
  #maxMs = 0;
  #last = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Starts to measure, unless it does. It keeps no process from ending. */
  start(): void {
    let due = performance.now() + everyMs;
    this.#timer ??= setInterval(() => {
      const now = performance.now();
      this.#note(Math.max(0, now - due));
      due = now + everyMs;
    }, everyMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** The largest lag since the last call, ms. */
  takeMaxMs(): number {
    const max = this.#maxMs;
    this.#maxMs = 0;
    return max;
  }

  /** Makes the gauges, under the names that prom-client's own have; they are about the time since the last scrape. */
  register(registry: Registry, labels: Record<string, string>): void {
    const lag = this.#sinceScrape;
    const gauge = (name: string, help: string, read: () => number, aggregator: Aggregator) =>
      new Gauge({
        name: `nodejs_eventloop_lag_${name}`,
        help,
        labelNames: Object.keys(labels),
        aggregator,
        registers: [registry],
        collect() {
          this.set(labels, read() / 1e9);
        },
      });
    const orNone = (ns: number) => (lag.count === 0 ? 0 : ns);
    gauge('min_seconds', 'The smallest lag of the event loop.', () => orNone(lag.min), 'min');
    gauge('max_seconds', 'The largest lag of the event loop.', () => orNone(lag.max), 'max');
    gauge('mean_seconds', 'The mean lag of the event loop.', () => orNone(lag.mean), 'average');
    gauge(
      'stddev_seconds',
      'The standard deviation of the lag of the event loop.',
      () => orNone(lag.stddev),
      'average',
    );
    for (const percent of [50, 90, 99]) {
      const help = `${percent} % of the measured lags of the event loop are at most this.`;
      gauge(`p${percent}_seconds`, help, () => orNone(lag.percentile(percent)), 'average');
    }
    // The last one to be collected, so it ends the time that the others are about.
    const last = () => {
      lag.reset();
      return this.#last;
    };
    gauge('seconds', 'Lag of the event loop, by the last measurement.', last, 'average');
  }

  #note(lagMs: number): void {
    const ns = Math.round(lagMs * 1e6);
    this.#last = ns;
    this.#maxMs = Math.max(this.#maxMs, lagMs);
    this.#sinceScrape.record(Math.max(1, ns));
  }
}
