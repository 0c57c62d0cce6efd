/**
 * Parsers for the values of options: each is a zod schema that turns the text of a variable or flag into a value, or fails
 * with a message that says what is allowed.
 */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { durationMs } from '../../schemas/duration.ts';
import { parseSize, sizePattern } from '../../schemas/size.ts';
import { networkProblem } from './networks.ts';
import { parseRedisUrl } from './redis-url.ts';

export function matching(pattern: RegExp, message: string) {
  return z.string().regex(pattern, message);
}

export function oneOf<const T extends string>(values: readonly T[]) {
  return z.enum(values, { error: `must be one of ${values.join(', ')}` });
}

export function integer(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return matching(/^\d{1,16}$/, error)
    .transform(Number)
    .pipe(z.number({ error }).min(min, error).max(max, error));
}

/** A number of worker processes from 1 to `max`; `auto` is the number of cores that this process may use. */
export function workerCount(max: number) {
  const error = `must be a whole number from 1 to ${max}, or auto for one worker on each core`;
  return z
    .string()
    .regex(/^(auto|\d{1,6})$/, error)
    .transform((text) => (text === 'auto' ? Math.min(max, availableParallelism()) : Number(text)))
    .pipe(z.number({ error }).min(1, error).max(max, error));
}

export function duration(minMs: number) {
  return durationMs.pipe(z.int().min(minMs, `must be at least ${minMs}ms`));
}

export function size(min: string, max: string) {
  const message = `must be a size from ${min} to ${max}, such as 512KiB, 16MiB or a number of bytes`;
  return matching(sizePattern, message)
    .transform(parseSize)
    .pipe(z.number().min(parseSize(min), message).max(parseSize(max), message));
}

type Refinement = { addIssue(message: string): void };

/** Returns a transform that normalizes an http(s) origin, without a slash at the end; other texts fail with `message`. */
export function parseOrigin(message: string) {
  return (text: string, context: Refinement): string => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isOrigin =
      url && /^https?:$/.test(url.protocol) && (url.href === `${url.origin}/` || url.href === url.origin);
    if (!isOrigin) context.addIssue(message);
    return url?.origin ?? text;
  };
}

export function parseCorsOrigin(text: string, context: Refinement): string {
  const message = 'must be origins such as https://app.example.org, separated by commas, or *';
  return text === '*' ? text : parseOrigin(message)(text, context);
}

export function checkRedisUrl(text: string, context: Refinement): string {
  try {
    parseRedisUrl(text);
  } catch (error) {
    context.addIssue((error as Error).message);
  }
  return text;
}

/** A percentage from 1% to 100%; the output is a fraction of 1. */
export function percentage() {
  const message = 'must be a percentage from 1% to 100%';
  return matching(/^\d{1,3} ?%?$/, message)
    .transform((text) => Number(text.replace('%', '')) / 100)
    .pipe(z.number().min(0.01, message).max(1, message));
}

export function addressList() {
  const message =
    'must be addresses, networks such as 10.0.0.0/8, or loopback, linklocal, uniquelocal, separated by commas';
  return z.string().transform((text, context) => {
    const networks = text.split(',').map((part) => part.trim());
    for (const network of networks) {
      const problem = networkProblem(network);
      if (problem !== undefined) context.addIssue(`${message}: ${problem}`);
    }
    return networks;
  });
}
