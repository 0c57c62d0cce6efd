// Words that every resource shares: the stat of a node, encodings, paging, and how a query string says true and false.
import { z } from 'zod';

/** A query parameter that is a flag: `?stats`, `?stats=true`, `?stats=False` as Python writes it. Nothing else passes. */
export const queryFlag = z
  .string()
  .toLowerCase()
  .pipe(z.enum(['', 'true', 'false']))
  .transform((text) => text !== 'false')
  .meta({ type: 'boolean' });

/** The query string of a route that takes no parameters: a typing error must not pass for one. */
export const noQuery = z.strictObject({});

/** A whole number in a query string, within bounds. */
export function queryInteger(min: number, max: number) {
  return z
    .string()
    .regex(/^-?\d{1,16}$/, 'must be a whole number of at most 16 digits')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .meta({ type: 'integer', minimum: min, maximum: max });
}

/** Zxids and offsets are below 2^53, so that every JSON parser keeps them exact. */
export const zxid = z.int().min(0).describe('Transaction id: strictly increasing over all changes of the tree.');

export const offset = z.int().min(0).describe('Position of a record in its partition.');

/** What stands beside nulls in a description, as Kafka answers with an error for each partition. */
export const logError = z
  .literal('STORE_UNAVAILABLE')
  .describe(
    'The machine of the store that has this log cannot be reached: what only the log knows is null. Else absent.',
  );

export const nodePath = z.string().describe('Absolute path of a node, such as `/app/leader`.');

/** `If-Match` and `If-None-Match`; src/http/conditions.ts reads them. */
export const entityTags = z
  .string()
  .meta({ pattern: String.raw`^(\*|[\s,]*(W/)?"[!#-~]*"(\s*,\s*((W/)?"[!#-~]*")?)*\s*)$` })
  .describe('`*`, or the ETags of earlier answers, with commas between them.');

/** A node's stat, field by field ZooKeeper's; `ephemeralOwner` is the public session id, null if there is none. */
export const statSchema = z
  .object({
    czxid: zxid.describe('The transaction that created the node.'),
    mzxid: zxid.describe('The transaction that last set its data; also the ETag of `view=data`.'),
    pzxid: zxid.describe('The transaction that last created or deleted a child.'),
    ctime: z.int().describe('When it was created, ms since the epoch.'),
    mtime: z.int().describe('When its data was last set, ms since the epoch.'),
    version: z.int().describe('How often its data was set.'),
    cversion: z.int().describe('How often a child was created or deleted.'),
    aversion: z.int().describe('Always 0: there are no access lists.'),
    ephemeralOwner: z.string().nullable().describe('The session that it lives with.'),
    dataLength: z.int().min(0),
    numChildren: z.int().min(0),
  })
  .meta({ id: 'Stat' });

export type Stat = z.infer<typeof statSchema>;

export const encoding = z.enum(['utf8', 'base64']).describe('How `data` stands in JSON: as text, or as base64.');
