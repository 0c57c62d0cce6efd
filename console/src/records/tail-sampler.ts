// Takes a sample of a fast stream: so many rows of each short window, each with the same chance, and counts all of them. So the page
// stays quick however fast a topic is, and says how much it leaves out.

export interface SamplerLimits {
  /** Rows that are kept of each window. */
  rowsPerWindow: number;
  windowMs: number;
}

/** What came and what was kept, each second, over the last windows. */
export interface TailRates {
  seen: number;
  shown: number;
}

/** The rates are those of so many windows. */
const windowsMax = 8;

export class TailSampler<T> {
  readonly #limits: SamplerLimits;
  readonly #random: () => number;
  #kept: { order: number; item: T }[] = [];
  #seen = 0;
  #beganAt: number;
  #windows: { seen: number; shown: number; ms: number }[] = [];

  /** @param now ms on any clock that only grows */
  constructor(limits: SamplerLimits, now: number, random: () => number = Math.random) {
    this.#limits = limits;
    this.#beganAt = now;
    this.#random = random;
  }

  add(item: T): void {
    const order = this.#seen;
    this.#seen += 1;
    const { rowsPerWindow } = this.#limits;
    if (this.#kept.length < rowsPerWindow) {
      this.#kept.push({ order, item });
      return;
    }
    // Reservoir sampling: the n-th one is kept with the chance rows / n, in the place of any of the others.
    const place = Math.floor(this.#random() * this.#seen);
    if (place < rowsPerWindow) this.#kept[place] = { order, item };
  }

  /** Ends the window if it is over. @returns what it kept, in the order in which it came; undefined before its end */
  take(now: number): T[] | undefined {
    const ms = now - this.#beganAt;
    if (ms < this.#limits.windowMs) return undefined;
    const rows = this.#kept.sort((a, b) => a.order - b.order).map(({ item }) => item);
    this.#windows = [...this.#windows, { seen: this.#seen, shown: rows.length, ms }].slice(-windowsMax);
    this.#kept = [];
    this.#seen = 0;
    this.#beganAt = now;
    return rows;
  }

  get rates(): TailRates {
    const ms = this.#windows.reduce((sum, window) => sum + window.ms, 0);
    const perSecond = (of: 'seen' | 'shown') =>
      ms === 0 ? 0 : Math.round((this.#windows.reduce((sum, window) => sum + window[of], 0) / ms) * 1000);
    return { seen: perSecond('seen'), shown: perSecond('shown') };
  }
}

/** What a list of rows may have. */
export interface RowLimits {
  rowsMax: number;
  bytesMax: number;
}

/** Puts rows in front of others, the newest first, and drops the oldest beyond a limit; the newest row always stays. */
export function withNewest<T extends { size: number }>(
  older: readonly T[],
  arrived: readonly T[],
  { rowsMax, bytesMax }: RowLimits,
): T[] {
  const kept: T[] = [];
  let bytes = 0;
  for (const row of [...arrived.toReversed(), ...older]) {
    bytes += row.size;
    if (kept.length >= rowsMax || (bytes > bytesMax && kept.length > 0)) break;
    kept.push(row);
  }
  return kept;
}
