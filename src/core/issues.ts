/** What is wrong with an input that its schema refuses, in words for whoever sent it: in bodies and in frames alike. */
import type { z } from 'zod';

/** A session's handle stands in URLs, and must not come back in an error (guarantee E4). */
const handlePattern = /[0-9a-f]{16}\.[A-Za-z0-9_-]{22}/g;

/** How much of a value an error shows. */
const shownCharacters = 60;
const keysShown = 10;

/** How schemas are to parse what comes in, so that an error can say which value was wrong. */
export const parseInput = { reportInput: true } as const;

/** Says for each issue where it is, what is wrong and with which value, the unknown fields by name. */
export function describeIssues(error: z.ZodError, where = ''): string {
  const texts = error.issues.slice(0, 5).map((issue) => {
    const at = [where, ...issue.path.map(String)].filter((part) => part !== '').join('.');
    if (issue.code === 'unrecognized_keys') {
      const names = issue.keys.slice(0, keysShown).map((key) => `'${withoutHandles(key).slice(0, shownCharacters)}'`);
      const more = issue.keys.length - names.length;
      return `unknown ${issue.keys.length > 1 ? 'fields' : 'field'} ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}${at ? ` in ${at}` : ''}`;
    }
    if (issue.message.endsWith('received undefined')) return `${at || 'value'}: is missing`;
    // Of a query, only a parameter that stands there more than once is a list.
    if (where === 'query' && Array.isArray(issue.input)) return `${at}: is given ${issue.input.length} times, not once`;
    return `${at || 'value'}: ${issue.message}${shown(issue.input)}`;
  });
  return `${texts.join('; ')}.`;
}

/** A text without the handles of sessions that stand in it. */
export function withoutHandles(text: string): string {
  return text.replace(handlePattern, '***');
}

/** `, not "ten"`: what was sent, if it is short enough to be shown. */
function shown(input: unknown): string {
  if (typeof input === 'string') {
    const text = withoutHandles(input);
    return `, not ${JSON.stringify(text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text)}`;
  }
  return typeof input === 'number' || typeof input === 'boolean' || input === null ? `, not ${input}` : '';
}
