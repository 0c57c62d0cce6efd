/** Decodes JSON documents that are stored in nodes, and those few records of logs whose bytes do not show their key. */
import type { z } from 'zod';

/**
 * The value of a stored JSON document.
 * @param name what errors call the document, such as `The partition state`
 * @throws Error if the data is not JSON, or does not match the schema
 */
export function decodeDocument<T>(name: string, data: Buffer | string, schema: z.ZodType<T>): T {
  const text = data.toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is not JSON: ${JSON.stringify(text.slice(0, 100))}`, { cause: error });
  }
  const { success, data: document, error } = schema.safeParse(value);
  if (success) return document;
  const { path = [], message = 'is not valid' } = error.issues[0] ?? {};
  throw new Error(`${name} is not valid: ${['document', ...path].join('.')}: ${message}`);
}
