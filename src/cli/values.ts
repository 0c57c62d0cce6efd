// Values of options and arguments, as users write them.
import { InvalidArgumentError } from 'commander';

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration in ms: `500ms`, `10s`, `5m`, `1h`, `7d`. */
export function durationMs(text: string): number {
  const [, digits, unit = 'ms'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (digits === undefined) throw new InvalidArgumentError('It must be a duration such as 500ms, 10s, 5m or 1h.');
  return Number(digits) * (unitsMs[unit] ?? 1);
}
