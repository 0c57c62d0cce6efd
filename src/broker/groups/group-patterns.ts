// Patterns in subscriptions: RE2 expressions, as in Kafka. Matching takes time linear in the name and the pattern, so no
// pattern can block a broker.
import { createRequire } from 'node:module';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RE2JS } from 're2js';
import { recentlyUsed } from '../../core/recently-used.ts';
import { ServiceError } from '../../core/service-error.ts';

interface Pattern {
  expression: RE2JS;
  /** By topic name, results of earlier matches: topics are created one by one, and there may be thousands. */
  known: Map<string, boolean>;
}

const patternsMax = 200;
/** Names matched before other work may run: a few milliseconds, 100 ms with the worst pattern. */
const namesAtOnce = 500;

/** Loaded with the first pattern: its tables of Unicode are a twentieth of the program, and few groups have patterns. */
let re2js: typeof import('re2js') | undefined;
const load = createRequire(import.meta.url);

const patterns = recentlyUsed<Pattern>(patternsMax);

/** @throws ServiceError BAD_REQUEST, saying what is wrong with the pattern */
export function checkPattern(pattern: string): void {
  patternOf(pattern);
}

/** The names that the pattern matches as a whole, in their order. @throws ServiceError BAD_REQUEST */
export async function matches(pattern: string, names: readonly string[]): Promise<string[]> {
  const { expression, known } = patternOf(pattern);
  // Drops the results of deleted topics.
  if (known.size > 2 * names.length + namesAtOnce) known.clear();
  const matching: string[] = [];
  let fresh = 0;
  for (const name of names) {
    let isMatch = known.get(name);
    if (isMatch === undefined) {
      isMatch = expression.testExact(name);
      known.set(name, isMatch);
      fresh += 1;
      if (fresh % namesAtOnce === 0) await nextTurn();
    }
    if (isMatch) matching.push(name);
  }
  return matching;
}

function patternOf(pattern: string): Pattern {
  const cached = patterns.get(pattern);
  if (cached) return cached;
  const compiled = { expression: compile(pattern), known: new Map<string, boolean>() };
  patterns.set(pattern, compiled);
  return compiled;
}

function compile(pattern: string): RE2JS {
  re2js ??= load('re2js') as typeof import('re2js');
  try {
    return re2js.RE2JS.compile(pattern);
  } catch (error) {
    throw new ServiceError(
      'BAD_REQUEST',
      `pattern is no regular expression of RE2's kind (https://github.com/google/re2/wiki/Syntax): ${(error as Error).message}.`,
      { field: 'pattern' },
    );
  }
}
