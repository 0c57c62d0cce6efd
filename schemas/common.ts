// Schemas that several resources share: the stat of a node, offsets, entity tags, and types of query parameters.
import { z } from 'zod';

/** A boolean query parameter: `?stats`, `?stats=true`, or `?stats=False` as Python writes it. Other values are refused. */
export const queryFlag = z
  .string()
  .toLowerCase()
  .pipe(z.enum(['', 'true', 'false']))
  .transform((text) => text !== 'false')
  .meta({ type: 'boolean' });

/** The query of a route without parameters. It is strict, so that a mistyped parameter is refused. */
export const noQuery = z.strictObject({});

/** A whole number in a query string, from `min` to `max`. */
export function queryInteger(min: number, max: number) {
  return z
    .string()
    .regex(/^-?\d{1,16}$/, 'must be a whole number of at most 16 digits')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .meta({ type: 'integer', minimum: min, maximum: max });
}

export const nextPage = z
  .string()
  .optional()
  .describe('Pass it as `after` for the next page; absent on the last page.');

/** Zxids and offsets stay below 2^53, so that every JSON parser represents them exactly. */
export const zxid = z.int().min(0).describe('Transaction id; strictly increasing over all changes of the tree.');

export const offset = z.int().min(0).describe('Offset of a record in its partition, from 0.');

/** Why fields of a partition are null: as in Kafka's responses, each partition has its own error. */
export const logError = z
  .literal('STORE_UNAVAILABLE')
  .describe(
    'The Redis server that holds this log cannot be reached. Fields that only the log knows are null. Absent if there is no error.',
  );

export const nodePath = z.string().describe('Absolute path of a node, such as `/app/leader`.');

/** `If-Match` and `If-None-Match`; src/http/conditions.ts reads them. */
export const entityTags = z
  .string()
  .meta({ pattern: String.raw`^(\*|[\s,]*(W/)?"[!#-~]*"(\s*,\s*((W/)?"[!#-~]*")?)*\s*)$` })
  .describe('`*`, or ETags of earlier responses, separated by commas.');

export const createMode = z.enum(['persistent', 'ephemeral', 'container', 'ttl']);
export type CreateMode = z.infer<typeof createMode>;

/** The stat of a node: ZooKeeper's fields, and the kind of the node, which ZooKeeper hides in `ephemeralOwner`. */
export const statSchema = z
  .object({
    czxid: zxid.describe('The transaction that created the node.'),
    mzxid: zxid.describe('The transaction that last set the data; also the ETag of `view=data`.'),
    pzxid: zxid.describe('The transaction that last created or deleted a child.'),
    ctime: z.int().describe('Time of creation, ms since the epoch.'),
    mtime: z.int().describe('Time at which the data was last set, ms since the epoch.'),
    version: z.int().describe('How often the data was set.'),
    cversion: z.int().describe('How often a child was created or deleted.'),
    aversion: z.int().describe('Always 0; kept for compatibility with ZooKeeper.'),
    ephemeralOwner: z
      .string()
      .nullable()
      .describe('The public id of the session that owns the node; null for a node that is not ephemeral.'),
    dataLength: z.int().min(0).describe('Bytes of data.'),
    numChildren: z.int().min(0),
    mode: createMode.describe('Kind of the node, which never changes.'),
    ttlMs: z
      .int()
      .min(1)
      .optional()
      .describe('Of mode ttl: the node is deleted when it has no children and was not set for this time.'),
  })
  .meta({ id: 'Stat' });

export type Stat = z.infer<typeof statSchema>;

export const encoding = z.enum(['utf8', 'base64']).describe('Encoding of `data` in JSON: UTF-8 text or base64.');
