// Reads metrics in Prometheus' text format.

interface Sample {
  labels: Readonly<Record<string, string>>;
  value: number;
}

export class Metrics {
  readonly #samples = new Map<string, Sample[]>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const [, name = '', labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
      if (value === undefined) continue;
      const sample = { labels: labelsOf(labels), value: Number(value) };
      const known = this.#samples.get(name);
      if (known) known.push(sample);
      else this.#samples.set(name, [sample]);
    }
  }

  all(name: string): readonly Sample[] {
    return this.#samples.get(name) ?? [];
  }

  /** The sum over all labels; 0 if there is no such metric. */
  sum(name: string): number {
    return this.all(name).reduce((total, { value }) => total + value, 0);
  }

  /** The share of the observations of a histogram that are above a limit, which is one of its buckets. */
  shareAbove(name: string, limit: number): number {
    const within = this.all(`${name}_bucket`).filter(({ labels }) => Number(labels.le) === limit);
    const count = this.sum(`${name}_count`);
    const below = within.reduce((total, { value }) => total + value, 0);
    return count === 0 || within.length === 0 ? 0 : 1 - below / count;
  }
}

function labelsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = '', value = '']) => [name, value]),
  );
}
