/** Validates inputs against schemas and describes what is wrong with them, for bodies, queries and frames. */
import { z } from 'zod';
import { ServiceError } from './service-error.ts';

/** Session handles, which occur in URLs, must not appear in errors (guarantee E4). */
const handlePattern = /[0-9a-f]{16}\.[A-Za-z0-9_-]{22}/g;

/** Maximum characters of a value, and number of unknown fields, that an error shows. */
const shownCharacters = 60;
const keysShown = 10;
/** Number of issues that an error shows, and number that are examined to find different ones. */
const issuesShown = 5;
const issuesRead = 50;

/** Names of types for errors, by zod's names. */
const typeNames: Partial<Record<string, string>> = {
  object: 'an object',
  record: 'an object',
  array: 'a list',
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

const missing = 'is missing';
const units: Partial<Record<string, string>> = { string: 'character', array: 'item' };

/** Error messages for schemas without a message of their own. */
const messageOf: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? missing : `must be ${typeNames[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return issue.input === undefined ? missing : `must be ${oneOf(issue.values)}`;
    case 'invalid_union': {
      const { options, discriminator } = issue as { options?: unknown[]; discriminator?: string };
      if (options === undefined || discriminator === undefined) return undefined;
      const isThere = discriminator in (issue.input as object);
      return `${isThere ? '' : `${missing}; it `}must be ${oneOf(options)}`;
    }
    case 'too_small':
      return bound(issue.origin, issue.inclusive ? 'at least' : 'more than', issue.minimum);
    case 'too_big':
      return bound(issue.origin, issue.inclusive ? 'at most' : 'less than', issue.maximum);
    case 'invalid_format':
      return `must be ${issue.format}`;
    case 'unrecognized_keys': {
      const known = Object.keys((issue.inst as z.ZodObject).def.shape);
      return `it takes ${known.length > 0 ? known.join(', ') : 'none'}`;
    }
  }
  return undefined;
};

/** Lists the allowed values. The empty value of a query flag is left out. */
function oneOf(values: readonly unknown[]): string {
  const shown = values.filter((value) => value !== '');
  return `${shown.length > 1 ? 'one of ' : ''}${shown.join(', ')}`;
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  const unit = units[origin];
  return unit ? `must have ${relation} ${limit} ${unit}${limit === 1 ? '' : 's'}` : `must be ${relation} ${limit}`;
}

/** Options for parsing inputs, so that an error contains the refused value and the allowed ones. */
export const parseOptions = { reportInput: true, error: messageOf } as const;

/** For lists shorter than this, all problems are reported. */
const longList = 64;

/**
 * Parses an input by a schema. For a long list only the first invalid item is reported, as creating 10,000 issues would take
 * longer than the request.
 * @param where name of the input in errors, such as `body`
 * @throws ServiceError BAD_REQUEST
 */
export function readInput<T>(schema: z.ZodType<T>, input: unknown, where: string): T {
  for (const [name, list, element] of longListsOf(schema, input)) {
    for (const [index, item] of list.entries()) {
      const { error } = element.safeParse(item, parseOptions);
      if (error) throw new ServiceError('BAD_REQUEST', describeIssues(error, `${where}.${name}.${index}`));
    }
  }
  const { error, data } = schema.safeParse(input, parseOptions);
  if (error) throw new ServiceError('BAD_REQUEST', describeIssues(error, where));
  return data;
}

function* longListsOf(
  schema: z.ZodType,
  input: unknown,
): Generator<[name: string, list: readonly unknown[], element: z.ZodType]> {
  const shape = shapeFor(schema, input);
  if (shape === undefined) return;
  for (const [name, value] of Object.entries(input as object)) {
    const member = Object.hasOwn(shape, name) ? shape[name] : undefined;
    if (!Array.isArray(value) || value.length < longList || !member) continue;
    const list = unwrapped(member);
    if (list instanceof z.ZodArray) yield [name, value, list.element as z.ZodType];
  }
}

/** The schemas of the fields of the object that the input should be. */
function shapeFor(schema: z.ZodType, input: unknown): Record<string, z.ZodType> | undefined {
  if (typeof input !== 'object' || input === null) return undefined;
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodObject) return inner.shape as Record<string, z.ZodType>;
  if (!(inner instanceof z.ZodDiscriminatedUnion)) return undefined;
  const type: unknown = (input as Record<string, unknown>)[inner.def.discriminator];
  for (const option of inner.options as z.ZodType[]) {
    const object = unwrapped(option);
    if (!(object instanceof z.ZodObject)) continue;
    const literal = object.shape[inner.def.discriminator] as z.ZodType;
    if (literal.safeParse(type).success) return object.shape as Record<string, z.ZodType>;
  }
  return undefined;
}

/** The schema inside of optional, nullable and default. */
function unwrapped(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodNullable || inner instanceof z.ZodDefault) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

/** Describes issues: the place of each, the problem and the refused value, or the names of unknown fields. */
export function describeIssues(error: z.ZodError, where = ''): string {
  // The last issue of one place is the most specific: the bounds of this number come after those of all numbers.
  const issues = new Map(
    error.issues.slice(0, issuesRead).map((issue) => [`${issue.code} ${issue.path.join()}`, issue]),
  );
  const texts = [...issues.values()].map((issue) => {
    const at = [where, ...issue.path.map(String)].filter((part) => part !== '').join('.');
    if (issue.code === 'unrecognized_keys') {
      const names = issue.keys
        .slice(0, keysShown)
        .map((key) => `'${withoutHandles(key.slice(0, 4 * shownCharacters)).slice(0, shownCharacters)}'`);
      const more = issue.keys.length - names.length;
      const unknown = `unknown ${issue.keys.length > 1 ? 'fields' : 'field'} ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
      return `${unknown}${at ? ` in ${at}` : ''} (${issue.message})`;
    }
    // The router passes null for a missing body.
    if (issue.message === missing || (at === 'body' && issue.input === null)) return `${at || 'value'}: ${missing}`;
    // In a query only a repeated parameter is a list.
    if (where === 'query' && Array.isArray(issue.input)) return `${at}: is given ${issue.input.length} times, not once`;
    return `${at || 'value'}: ${issue.message}${rejectedValue(rejectedPart(issue))}`;
  });
  return `${[...new Set(texts)].slice(0, issuesShown).join('; ')}.`;
}

/** The refused value; for a discriminated union that of the discriminator. */
function rejectedPart(issue: z.core.$ZodIssue): unknown {
  const { input, discriminator } = issue as { input?: unknown; discriminator?: string };
  return discriminator === undefined ? input : (input as Record<string, unknown>)[discriminator];
}

/** The text with session handles replaced by `***`. */
export function withoutHandles(text: string): string {
  return text.replace(handlePattern, '***');
}

/** The refused value for an error, such as `, not "ten"`; empty for objects and lists. */
function rejectedValue(input: unknown): string {
  if (typeof input === 'string') {
    // Longer than what is shown and than a handle, so that a long text need not be searched.
    const text = withoutHandles(input.slice(0, 4 * shownCharacters));
    return `, not ${JSON.stringify(text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text)}`;
  }
  // The number was rounded when it was parsed, so it is not the one that was sent.
  if (Number.isInteger(input) && !Number.isSafeInteger(input)) return ', not a number beyond 2^53-1';
  return typeof input === 'number' || typeof input === 'boolean' || input === null ? `, not ${input}` : '';
}
