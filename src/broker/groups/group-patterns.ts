// The patterns that members subscribe with. They are regular expressions as RE2 takes them, as in Kafka: matched in a time
// that grows with the name and the pattern alone, so that no pattern can hold up a broker.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { RE2JS } from 're2js';
import { ServiceError } from '../../core/service-error.ts';

interface Pattern {
  expression: RE2JS;
  /** What has been matched already: topics come one by one, and there may be thousands. */
  known: Map<string, boolean>;
}

const patternsMax = 200;
/** So many names take a few milliseconds, a hundred with the worst pattern; then others have their turn. */
const namesAtOnce = 500;

const patterns = new Map<string, Pattern>();

/** @throws ServiceError BAD_REQUEST, saying what is wrong with the pattern */
export function checkPattern(pattern: string): void {
  patternOf(pattern);
}

/** Those of the names that the pattern matches as a whole, in their order. @throws ServiceError BAD_REQUEST */
export async function matches(pattern: string, names: readonly string[]): Promise<string[]> {
  const { expression, known } = patternOf(pattern);
  // Names of topics that are gone are not kept for ever.
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
  let found = patterns.get(pattern);
  if (found) patterns.delete(pattern);
  else found = { expression: compile(pattern), known: new Map() };
  patterns.set(pattern, found);
  if (patterns.size > patternsMax) patterns.delete(patterns.keys().next().value!);
  return found;
}

function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    throw new ServiceError(
      'BAD_REQUEST',
      `pattern is no regular expression of RE2's kind (https://github.com/google/re2/wiki/Syntax): ${(error as Error).message}.`,
      { field: 'pattern' },
    );
  }
}
