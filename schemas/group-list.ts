// The query and response of GET /v1/groups.
import { z } from 'zod';
import { nextPage, queryInteger } from './common.ts';
import { groupId, groupState } from './groups.ts';
import { topicName } from './topics.ts';

const groupsLimitMax = 1000;

export const listGroupsQuery = z.strictObject({
  limit: queryInteger(1, groupsLimitMax).default(100).describe('Maximum number of groups in the response.'),
  after: z.string().optional().describe('The `next` of the previous page.'),
  view: z.literal('summary').optional().describe('`summary` adds the topics and the lag of each group.'),
});

const unknownLag = 'null if it is not known, as the Redis server of a partition cannot be reached, or the group is new';

export const groupsResponse = z
  .object({
    groups: z.array(
      z
        .object({
          groupId,
          state: groupState,
          members: z.int().min(0),
          topics: z
            .array(topicName)
            .optional()
            .describe(
              'Topics that members subscribe to, or in which the group has committed offsets, at most 100. With `view=summary`, as are the following.',
            ),
          lag: z
            .int()
            .min(0)
            .nullable()
            .optional()
            .describe(
              `Records that the group has yet to read, from what it has committed or where its reset policy begins; ${unknownLag}. As of the last read of all groups, which takes at most 5 % of the time.`,
            ),
          maxLag: z
            .int()
            .min(0)
            .nullable()
            .optional()
            .describe(`The lag of the partition that has most; ${unknownLag}.`),
        })
        .meta({ id: 'ListedGroup' }),
    ),
    next: nextPage,
  })
  .meta({ id: 'Groups' });
