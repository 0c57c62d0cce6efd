// Values of options and arguments, as users write them.
import { InvalidArgumentError } from 'commander';

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration in ms: `500ms`, `10s`, `5m`, `1h`, `7d`. */
export function durationMs(text: string): number {
  const [, digits, unit = 'ms'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (digits === undefined) throw new InvalidArgumentError('It must be a duration such as 500ms, 10s, 5m or 1h.');
  return Number(digits) * (unitsMs[unit] ?? 1);
}

/** A whole number from `min` on. */
export function integerFrom(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`It must be a whole number, ${min} or more.`);
    }
    return value;
  };
}

/** The values of an option that may be given several times. */
export function collected(text: string, before: string[]): string[] {
  return [...before, text];
}

/** As `collected`, of whole numbers. */
export function collectedIntegers(text: string, before: number[] = []): number[] {
  return [...before, integerFrom(0)(text)];
}
