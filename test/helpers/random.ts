// Repeatable random choices: a seeded generator for randomized tests.

export interface Random {
  /** A number from 0 up to 1, exclusive. */
  next(): number;
  /** An integer from 0 up to `count`, exclusive. */
  below(count: number): number;
  between(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** Another generator, derived from the seed of this one, so that one part of a test does not change the choices of another. */
  fork(name: string): Random;
}

/** The generator of a seed (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    below: (count) => Math.floor(next() * count),
    between: (low, high) => low + next() * (high - low),
    chance: (probability) => next() < probability,
    pick: (items) => items[Math.floor(next() * items.length)]!,
    fork: (name) =>
      randomOf([...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 16777619), seed)),
  };
}

/** The seed of this run: WEIR_TEST_SEED, or a new one. */
export function chooseSeed(): number {
  return Number(process.env.WEIR_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
}
