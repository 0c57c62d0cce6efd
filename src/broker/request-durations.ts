// The durations of requests in buckets of a logarithmic scale, for percentiles over short times. One request costs one addition.

/** The upper bound of the first bucket, ms; that of each further one is larger by the factor. The last one has no bound. */
const firstMs = 0.1;
const factor = 1.2;
const bucketCount = 72;

export class RequestDurations {
  #buckets = new Array<number>(bucketCount).fill(0);
  #count = 0;

  /** @param isWait whether the request asked the server to wait: its duration says nothing then, and only the request is counted */
  note(ms: number, isWait: boolean): void {
    this.#count += 1;
    if (isWait) return;
    const index = ms <= firstMs ? 0 : Math.min(bucketCount - 1, Math.ceil(Math.log(ms / firstMs) / Math.log(factor)));
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
  }

  /** What was noted since the last call. */
  take(): { requests: number; durations: number[] } {
    const taken = { requests: this.#count, durations: this.#buckets };
    this.#buckets = new Array<number>(bucketCount).fill(0);
    this.#count = 0;
    return taken;
  }
}

/** Adds up buckets of several processes. */
export function sumOfBuckets(all: readonly (readonly number[])[]): number[] {
  return Array.from({ length: bucketCount }, (_, i) => all.reduce((sum, buckets) => sum + (buckets[i] ?? 0), 0));
}

/** The duration within which a share of the requests was completed, ms, by the bound of its bucket; null if there were none. */
export function percentileOf(buckets: readonly number[], share: number): number | null {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let seen = 0;
  for (const [index, count] of buckets.entries()) {
    seen += count;
    if (seen >= share * total) return Number((firstMs * factor ** index).toPrecision(3));
  }
  return null;
}
