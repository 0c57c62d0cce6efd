// Requests and responses of GET /v1/topics/{topic}/records: a search across the partitions of a topic.
import { z } from 'zod';
import { queryInteger } from './common.ts';
import { partitionNumbers, positionsPattern } from './topic-tail.ts';

const foundMax = 1000;
export const foundDefault = 50;
const searchBytesMax = 64 * 1024 * 1024;
const searchBytesDefault = 8 * 1024 * 1024;
const textMax = 1024;

const found = queryInteger(1, foundMax).optional();

export const recordSearchQuery = z.strictObject({
  last: found.describe('Find so many of the newest records, the newest first; default 50, if there is no timestamp.'),
  timestamp: queryInteger(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('Find records with this timestamp or a later one, ms since the epoch, the oldest first.'),
  limit: found.describe('With timestamp: the most records to find; default 50.'),
  key: z.string().max(textMax).optional().describe('Only records with exactly this key.'),
  contains: z
    .string()
    .min(1)
    .max(textMax)
    .optional()
    .describe('Only records of which the key, the value or the headers contain this text.'),
  partition: partitionNumbers.optional().describe('Partitions to search, such as `0,2`; default: all.'),
  maxBytes: queryInteger(1, searchBytesMax)
    .default(searchBytesDefault)
    .describe('How many bytes of records to look at in this call, about; default 8 MiB.'),
  position: z
    .string()
    .regex(new RegExp(`^([\\w-]+@)?${positionsPattern}$`), 'must be the next of an earlier search')
    .optional()
    .describe('The `next` of an earlier search with otherwise the same parameters: this one goes on there.'),
});

/** What a search did so far: records and bytes that it looked at, and records that it found. */
export interface SearchProgress {
  records: number;
  bytes: number;
  found: number;
}

/** A line of the response that is no record. */
export type SearchLine = { progress: SearchProgress } | { end: SearchProgress & { next?: string } };

/** OpenAPI 3.1 cannot describe the lines of a text. */
export const recordSearchResponse = z
  .string()
  .describe(
    'Lines of JSON. A record has its `partition` and the members of `Record`. `{"progress":{"records","bytes","found"}}` comes at most twice a second: how much was looked at, and how many records were found. `{"end":{"records","bytes","found","next"}}` is the last line; pass its `next` as `position` to search on; without it there is nothing more to look at.',
  );
