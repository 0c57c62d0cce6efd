// Values of options and arguments, as users write them.
import { InvalidArgumentError } from 'commander';
import { durationMessage, parseDuration } from '../../schemas/duration-text.ts';

/** A duration in ms: `500ms`, `10s`, `5m`, `1h`, `7d`, or a whole number of ms. */
export function durationMs(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError(`It ${durationMessage}.`);
  return ms;
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
