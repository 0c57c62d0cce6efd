// How long: the one spelling of durations, shared by requests and configuration. Points in time are elsewhere integers.
import { z } from 'zod';

const unitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const message = 'must be a duration such as "500ms", "10s", "5m", "1h", "7d", or a whole number of ms';

/**
 * `"500ms"`, `"10s"`, `"5m"`, `"1h"`, `"7d"`, or a whole number of ms (as a number, or as digits, which is all that a
 * query string has). Gives ms: a non-negative integer below 2^53.
 */
export const durationMs = durationBetween(0, Number.MAX_SAFE_INTEGER, message);

/** A duration within bounds. Of its two spellings only the number can show them in the OpenAPI document. */
export function durationBetween(minMs: number, maxMs: number, problem: string) {
  const number = z.int(message).min(0, message).meta({ minimum: minMs, maximum: maxMs });
  return z
    .union([number, z.string().regex(/^\d{1,16}(ms|s|m|h|d)?$/, message)], message)
    .transform((duration) => (typeof duration === 'number' ? duration : parse(duration)))
    .pipe(z.int(message).min(minMs, problem).max(maxMs, problem))
    .meta({ examples: ['500ms', '10s', '5m', '1h'] });
}

/** A duration that the service may grant another value for, and whether it came without a unit. */
export interface RequestedDuration {
  ms: number;
  hasNoUnit: boolean;
}

/**
 * A duration that is negotiated: one with a unit is clamped to the bounds that hold. One without is in ms, which who meant seconds would
 * not see, so src/core/requested-duration.ts refuses it below them.
 */
export const negotiatedDuration = z
  .union(
    [
      z.int(message).min(0, message).meta({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
      z.string().regex(/^\d{1,16}(ms|s|m|h|d)?$/, message),
    ],
    message,
  )
  .transform((given) => ({
    ms: typeof given === 'number' ? given : parse(given),
    hasNoUnit: typeof given === 'number' || /\d$/.test(given),
  }))
  .refine(({ ms }) => Number.isSafeInteger(ms), message)
  .meta({ examples: ['500ms', '10s', '5m', '1h'] });

function parse(text: string): number {
  const digits = /^\d+/.exec(text)?.[0] ?? '';
  const unit = text.slice(digits.length) || 'ms';
  return Number(digits) * unitsMs[unit as keyof typeof unitsMs];
}
