// How much of something happens each second, by key, over the last seconds. Only keys with something in that time take memory.

/** The rate is the mean of so many seconds. */
const windowSeconds = 10;

export class Rates {
  /** By key, the counts of the last seconds, and as the last element that of the current one. */
  readonly #counts = new Map<string, number[]>();

  add(key: string, count: number): void {
    if (count <= 0) return;
    const counts = this.#counts.get(key);
    if (counts) counts[windowSeconds] = (counts[windowSeconds] ?? 0) + count;
    else this.#counts.set(key, [...Array<number>(windowSeconds).fill(0), count]);
  }

  /** To be called each second. */
  tick(): void {
    for (const [key, counts] of this.#counts) {
      counts.shift();
      if (counts.every((count) => count === 0)) this.#counts.delete(key);
      else counts.push(0);
    }
  }

  /** Per second, over the last seconds that are complete. */
  perSecond(key: string): number {
    const counts = this.#counts.get(key);
    return counts ? meanOf(counts) : 0;
  }

  /** All that are not 0. */
  *all(): IterableIterator<[key: string, perSecond: number]> {
    for (const [key, counts] of this.#counts) {
      const mean = meanOf(counts);
      if (mean > 0) yield [key, mean];
    }
  }
}

function meanOf(counts: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < windowSeconds; i += 1) sum += counts[i] ?? 0;
  return Math.round((sum / windowSeconds) * 10) / 10;
}
