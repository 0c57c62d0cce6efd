// Counters and histograms that cost a request a few additions: prom-client looks up and checks the labels of each count, which costs
// more than most hooks. A registry of prom-client takes them like its own.

/** What a registry asks an instrument for; the same as that of prom-client's instruments. */
interface Export {
  name: string;
  help: string;
  type: 'counter' | 'histogram';
  aggregator: 'sum';
  values: Value[];
}

interface Value {
  labels: Record<string, string | number>;
  value: number;
  metricName?: string;
}

/** The parts of an instrument by the values of its labels. */
class ByLabels<P> {
  readonly #names: readonly string[];
  readonly #make: () => P;
  readonly #parts = new Map<string, { labels: Record<string, string>; part: P }>();

  /** Without labels there is one part from the beginning. */
  constructor(names: readonly string[], make: () => P) {
    this.#names = names;
    this.#make = make;
    if (names.length === 0) this.of([]);
  }

  /** @param values one for each label, in their order */
  of(values: readonly string[]): P {
    const key = values.join('\n');
    let known = this.#parts.get(key);
    if (!known) {
      const labels = Object.fromEntries(this.#names.map((name, i) => [name, values[i] ?? '']));
      known = { labels, part: this.#make() };
      this.#parts.set(key, known);
    }
    return known.part;
  }

  named(labels: Readonly<Record<string, string>>): P {
    return this.of(this.#names.map((name) => labels[name] ?? ''));
  }

  *[Symbol.iterator](): Generator<{ labels: Record<string, string>; part: P }> {
    yield* this.#parts.values();
  }
}

/** The count for some values of the labels. */
class Count {
  value = 0;

  inc(count = 1): void {
    this.value += count;
  }
}

export class Counter<T extends string = never> {
  readonly name: string;
  readonly #help: string;
  readonly #counts: ByLabels<Count>;
  /** Of a counter without labels. */
  readonly #only: Count | undefined;

  constructor(name: string, help: string, labels: readonly T[]) {
    this.name = name;
    this.#help = help;
    this.#counts = new ByLabels(labels, () => new Count());
    this.#only = labels.length === 0 ? this.#counts.of([]) : undefined;
  }

  /** Counts one, or `count`; with labels: `inc({ kind: 'a' })`, `inc({ kind: 'a' }, 2)`. */
  inc(labels: Readonly<Record<T, string>>, count?: number): void;
  inc(count?: number): void;
  inc(what: Readonly<Record<T, string>> | number = 1, count = 1): void {
    if (typeof what === 'number') this.#only?.inc(what);
    else this.#counts.named(what).inc(count);
  }

  /** The count for some values of the labels; keep the result where you count often. @param values in the order of the labels */
  labels(...values: string[]): Pick<Count, 'inc'> {
    return this.#counts.of(values);
  }

  async get(): Promise<Export> {
    const values = [...this.#counts].map(({ labels, part }) => ({ labels, value: part.value }));
    return { name: this.name, help: this.#help, type: 'counter', aggregator: 'sum', values };
  }
}

/** The observations for some values of the labels. */
class Observations {
  readonly #bounds: readonly number[];
  /** How many were at most as large as each bound and larger than the one before; at the end, those above all. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] ?? 0)) bucket += 1;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += value;
  }
}

export class Histogram {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #observations: ByLabels<Observations>;

  /** @param bounds of the buckets, the least first */
  constructor(name: string, help: string, labels: readonly string[], bounds: readonly number[]) {
    this.name = name;
    this.#help = help;
    this.#bounds = bounds;
    this.#observations = new ByLabels(labels, () => new Observations(bounds));
  }

  /** Of a histogram without labels. */
  observe(value: number): void {
    this.#observations.of([]).observe(value);
  }

  /** Of a histogram of seconds without labels. @returns observes the time since this call */
  startTimer(): () => void {
    const beganAt = performance.now();
    return () => this.observe((performance.now() - beganAt) / 1000);
  }

  /** The observations for some values of the labels; keep the result where you observe often. @param values in the order of the labels */
  labels(...values: string[]): Pick<Observations, 'observe'> {
    return this.#observations.of(values);
  }

  async get(): Promise<Export> {
    const values: Value[] = [];
    for (const { labels, part } of this.#observations) {
      let count = 0;
      const bucket = (le: number | string) => ({
        metricName: `${this.name}_bucket`,
        labels: { le, ...labels },
        value: count,
      });
      for (const [i, bound] of this.#bounds.entries()) {
        count += part.counts[i] ?? 0;
        values.push(bucket(bound));
      }
      count += part.counts.at(-1) ?? 0;
      values.push(bucket('+Inf'));
      values.push({ metricName: `${this.name}_sum`, labels, value: part.sum });
      values.push({ metricName: `${this.name}_count`, labels, value: count });
    }
    return { name: this.name, help: this.#help, type: 'histogram', aggregator: 'sum', values };
  }
}
