// The wire of fences: the highest fencing token that a partition has seen of each name.
import { z } from 'zod';
import { queryInteger } from './common.ts';
import { partitionParams } from './records.ts';
import { topicName } from './topics.ts';

/** A page holds all fences that a partition may have, if it is asked for. */
const pageMax = 1000;

export const fenceParams = partitionParams.extend({
  fence: z.string().min(1).describe('Its name; percent-encoded, with `%2F` for a slash: `%2Flocks%2Forders`.'),
});

export const fencesQuery = z.strictObject({
  limit: queryInteger(1, pageMax).default(pageMax).describe('Most fences per response; default 1000.'),
  after: z.string().optional().describe('The `next` of the page before.'),
});

export const fencesResponse = z
  .object({
    topic: topicName,
    partition: z.int().min(0),
    fences: z.array(
      z.object({
        name: z.string().describe('As `Weir-Fence` gave it; the path of a node for `/path@<czxid>`.'),
        token: z.int().min(0).describe('The highest that was seen: a lower one is refused.'),
        usedAt: z
          .int()
          .nullable()
          .describe(
            'When it was used last, to the minute, ms since the epoch; null = before this was noted. It expires 7 days later.',
          ),
      }),
    ),
    next: z.string().optional().describe('Pass it as `after` for the next page.'),
  })
  .meta({ id: 'Fences' });
