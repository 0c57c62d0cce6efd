/** What is wrong with an input that its schema refuses, in words for whoever sent it: in bodies and in frames alike. */
import { z } from 'zod';
import { ServiceError } from './service-error.ts';

/** A session's handle stands in URLs, and must not come back in an error (guarantee E4). */
const handlePattern = /[0-9a-f]{16}\.[A-Za-z0-9_-]{22}/g;

/** How much of a value an error shows. */
const shownCharacters = 60;
const keysShown = 10;
/** Issues of one error that are shown, of those that are read to find different ones. */
const issuesShown = 5;
const issuesRead = 50;

/** What a value must be, by zod's word for its type. */
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

/** What is right, for schemas that have no words of their own for it. */
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

/** The empty one of a flag in a query is no advice. */
function oneOf(values: readonly unknown[]): string {
  const shown = values.filter((value) => value !== '');
  return `${shown.length > 1 ? 'one of ' : ''}${shown.join(', ')}`;
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  const unit = units[origin];
  return unit ? `must have ${relation} ${limit} ${unit}${limit === 1 ? '' : 's'}` : `must be ${relation} ${limit}`;
}

/** How schemas are to parse what comes in, so that an error can say which value was wrong, and what would be right. */
export const parseOptions = { reportInput: true, error: messageOf } as const;

/** Shorter lists are checked as a whole, and all that is wrong with them is said. */
const longList = 64;

/**
 * What a schema makes of an input. Of a long list only the first item that is wrong is looked into: with an issue for each of 10,000,
 * the error would take longer than the request.
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
    if (!Array.isArray(value) || value.length < longList || !Object.hasOwn(shape, name)) continue;
    const list = unwrapped(shape[name]!);
    if (list instanceof z.ZodArray) yield [name, value, list.element as z.ZodType];
  }
}

/** The fields of the object that the input shall be. */
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

/** A schema without what lets it be absent. */
function unwrapped(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodNullable || inner instanceof z.ZodDefault) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

/** Says for each issue where it is, what is wrong and with which value, the unknown fields by name. */
export function describeIssues(error: z.ZodError, where = ''): string {
  // The last that is said of one place is the narrowest: after the bounds of all numbers come those of this one.
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
    // A body that is not there at all is null to the router.
    if (issue.message === missing || (at === 'body' && issue.input === null)) return `${at || 'value'}: ${missing}`;
    // Of a query, only a parameter that stands there more than once is a list.
    if (where === 'query' && Array.isArray(issue.input)) return `${at}: is given ${issue.input.length} times, not once`;
    return `${at || 'value'}: ${issue.message}${rejectedValue(rejectedPart(issue))}`;
  });
  return `${[...new Set(texts)].slice(0, issuesShown).join('; ')}.`;
}

/** What was wrong: of objects that differ by one member, what stands there. */
function rejectedPart(issue: z.core.$ZodIssue): unknown {
  const { input, discriminator } = issue as { input?: unknown; discriminator?: string };
  return discriminator === undefined ? input : (input as Record<string, unknown>)[discriminator];
}

/** A text without the handles of sessions that stand in it. */
export function withoutHandles(text: string): string {
  return text.replace(handlePattern, '***');
}

/** `, not "ten"`: what was sent, if it is short enough to be shown. */
function rejectedValue(input: unknown): string {
  if (typeof input === 'string') {
    // Far more than is shown, and than a handle has: a long text is not looked through for what nobody sees.
    const text = withoutHandles(input.slice(0, 4 * shownCharacters));
    return `, not ${JSON.stringify(text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text)}`;
  }
  // It was rounded when it was read, so that it is not what was sent.
  if (Number.isInteger(input) && !Number.isSafeInteger(input)) return ', not a number beyond 2^53-1';
  return typeof input === 'number' || typeof input === 'boolean' || input === null ? `, not ${input}` : '';
}
