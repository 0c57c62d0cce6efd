// Requests and responses about fences: the highest fencing token that a partition has seen for each name.
import { z } from 'zod';
import { queryInteger } from './common.ts';
import { partitionParams } from './records.ts';
import { topicName } from './topics.ts';

/** The most fences that a partition can have, so that one page can hold all of them. */
const pageMax = 1000;

export const fenceParams = partitionParams.extend({
  fence: z.string().min(1).describe('Name of the fence, percent-encoded, with `%2F` for a slash: `%2Flocks%2Forders`.'),
});

export const fencesQuery = z.strictObject({
  limit: queryInteger(1, pageMax).default(pageMax).describe('Maximum number of fences in the response; default 1000.'),
  after: z.string().optional().describe('The `next` of the previous page.'),
});

export const fencesResponse = z
  .object({
    topic: topicName,
    partition: z.int().min(0),
    fences: z.array(
      z
        .object({
          name: z
            .string()
            .describe(
              'The name from `Weir-Fence`. For a fence of the form `/path@<czxid>` it is the path of the node.',
            ),
          token: z.int().min(0).describe('The highest token seen. A lower one is refused with FENCED.'),
          usedAt: z
            .int()
            .nullable()
            .describe(
              'Last use, ms since the epoch, to the minute. The fence expires 7 days after it. null if it was last used with an older version of the server.',
            ),
        })
        .meta({ id: 'Fence' }),
    ),
    next: z.string().optional().describe('Pass it as `after` for the next page; absent on the last page.'),
  })
  .meta({ id: 'Fences' });
