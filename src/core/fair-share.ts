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

/**
 * As fairShares(), but where equal shares would be smaller than `least`, fewer claimants get larger ones: who wants no more than
 * an equal share has it all, and of the others the first ones have `least` or more each.
 */
export function largeShares(wants: readonly number[], total: number, least: number): number[] {
  const equal = fairShares(wants, total);
  const isCut = (want: number, i: number) => want > (equal[i] ?? 0);
  const cut = wants.filter(isCut).length;
  const whole = wants.reduce((sum, want, i) => sum + (isCut(want, i) ? 0 : want), 0);
  let left = total - whole;
  if (cut === 0 || left >= cut * least) return equal;
  const share = Math.ceil(left / Math.max(1, Math.floor(left / least)));
  return wants.map((want, i) => {
    if (!isCut(want, i)) return want;
    const given = Math.min(want, share, left);
    left -= given;
    return given;
  });
}
