// Durations as requests and the configuration write them. Points in time are integers, ms since the epoch.
import { z } from 'zod';
import { durationPattern, durationMessage as message, parseDuration } from './duration-text.ts';

/**
 * `"500ms"`, `"10s"`, `"5m"`, `"1h"`, `"7d"`, or a whole number of ms as a number or as digits (a query string has only
 * digits). The output is a whole number of ms from 0 to 2^53-1.
 */
export const durationMs = durationBetween(0, Number.MAX_SAFE_INTEGER, message);

/** How documents show durations: a number is accepted, too, but tools that generate clients have one type for each value. */
function asText({ jsonSchema }: { jsonSchema: object }): void {
  const { anyOf: _, ...rest } = jsonSchema as { anyOf?: unknown };
  for (const key of Object.keys(jsonSchema)) delete (jsonSchema as Record<string, unknown>)[key];
  const pattern = '^\\d{1,16}(ms|s|m|h|d)?$';
  Object.assign(jsonSchema, { ...rest, type: 'string', pattern, examples: ['500ms', '10s', '5m', '1h'] });
}

/** A duration from `minMs` to `maxMs`. */
export function durationBetween(minMs: number, maxMs: number, problem: string) {
  return writtenDuration(minMs, maxMs)
    .refine((duration) => msOf(duration) >= minMs && msOf(duration) <= maxMs, problem)
    .transform(msOf)
    .pipe(z.int())
    .meta({ override: asText });
}

/** A duration that a client requests and the server clamps to its bounds. */
export interface RequestedDuration {
  ms: number;
  hasNoUnit: boolean;
}

/**
 * A duration that the server clamps to its bounds. A number without a unit is in ms; a client that meant seconds would not
 * notice the clamping. So src/core/requested-duration.ts refuses such a number if it is below the minimum.
 */
export const negotiatedDuration = writtenDuration(0, Number.MAX_SAFE_INTEGER)
  .transform((value) => ({
    ms: msOf(value),
    hasNoUnit: typeof value === 'number' || /\d$/.test(value),
  }))
  .meta({ override: asText });

/**
 * A duration as it is written, of at most 2^53-1 ms. Bounds are checked on this and not on the number of ms, so that errors show what
 * was sent.
 * @param minMs for the OpenAPI document, as `maxMs`: only the numeric form can show the bounds there
 */
function writtenDuration(minMs: number, maxMs: number) {
  // What is no duration is not also out of its bounds.
  const refused = { error: message, abort: true };
  const number = z.int(refused).min(0, refused).meta({ minimum: minMs, maximum: maxMs });
  return z
    .union([number, z.string().regex(durationPattern, refused)], message)
    .refine((duration) => Number.isSafeInteger(msOf(duration)), message);
}

function msOf(duration: number | string): number {
  return typeof duration === 'number' ? duration : (parseDuration(duration) ?? Number.NaN);
}
