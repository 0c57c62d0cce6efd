// Durations as they are written. Without zod, as the command line takes the same ones, and starts sooner without it.

const unitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Digits and a unit; without a unit they are ms. */
export const durationPattern = /^(\d{1,16})(ms|s|m|h|d)?$/;

/** What every error about a duration says. */
export const durationMessage = 'must be a duration such as "500ms", "10s", "5m", "1h", "7d", or a whole number of ms';

/** @returns ms, from 0 to 2^53-1; undefined if the text is no such duration */
export function parseDuration(text: string): number | undefined {
  const [, digits, unit = 'ms'] = durationPattern.exec(text) ?? [];
  const ms = Number(digits) * unitsMs[unit as keyof typeof unitsMs];
  return Number.isSafeInteger(ms) ? ms : undefined;
}
