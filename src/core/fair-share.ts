/** Max-min fair division of a limited amount between claimants. */

/**
 * Whole shares of `total`: everybody has as much as everybody else, or all that it wants if that is less; what one leaves goes
 * to the others. Where shares cannot be equal, the first ones have one more.
 * @param wants not negative
 * @returns in the order of `wants`
 */
export function fairShares(wants: readonly number[], total: number): number[] {
  const upTo = (level: number) => wants.reduce((sum, want) => sum + Math.min(want, level), 0);
  // The highest level up to which there is enough for everybody.
  let [level, tooHigh] = [0, total + 1];
  while (tooHigh - level > 1) {
    const middle = Math.floor((level + tooHigh) / 2);
    if (upTo(middle) <= total) level = middle;
    else tooHigh = middle;
  }
  let left = total - upTo(level);
  return wants.map((want) => {
    if (want <= level || left === 0) return Math.min(want, level);
    left -= 1;
    return level + 1;
  });
}
