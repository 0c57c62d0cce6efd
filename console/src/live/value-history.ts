// The last values of many things, such as the rates of topics, for their sparklines. The server says what is now; the page remembers
// what it has seen.

export class ValueHistory {
  readonly #pointsMax: number;
  readonly #keysMax: number;
  readonly #values = new Map<string, number[]>();

  constructor({ pointsMax, keysMax }: { pointsMax: number; keysMax: number }) {
    this.#pointsMax = pointsMax;
    this.#keysMax = keysMax;
  }

  add(key: string, value: number): void {
    const known = this.#values.get(key) ?? [];
    // Again at the end: the first one is the one that was seen least recently.
    this.#values.delete(key);
    this.#values.set(key, known);
    known.push(value);
    if (known.length > this.#pointsMax) known.shift();
    if (this.#values.size <= this.#keysMax) return;
    const [oldest] = this.#values.keys();
    if (oldest !== undefined) this.#values.delete(oldest);
  }

  /** The values of a key, the newest last. */
  of(key: string): readonly number[] {
    return this.#values.get(key) ?? [];
  }

  get size(): number {
    return this.#values.size;
  }
}
