// Requests and responses of /v1/events: the retained history of the tree, the newest transaction first.
import { z } from 'zod';
import { nodePath, queryFlag, queryInteger, zxid } from './common.ts';
import { watchEvent } from './watch.ts';

/** Transactions of one page: the most, and how many without a `limit`. */
const eventsLimitMax = 1000;
export const eventsLimitDefault = 100;

export const eventsQuery = z.strictObject({
  before: queryInteger(1, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('Transactions before this zxid: the `next` of the previous page. Default: the newest.'),
  limit: queryInteger(1, eventsLimitMax)
    .optional()
    .describe('Maximum number of transactions in the response; default 100.'),
  path: nodePath
    .optional()
    .describe('Only changes of this node and of nodes below it. Default: of all nodes that the caller may read.'),
  data: queryFlag.optional().describe('Include the data as it was written in the events, up to 16 KiB of each.'),
});

export const eventsResponse = z
  .object({
    transactions: z.array(z.object({ zxid, events: z.array(watchEvent) }).meta({ id: 'Transaction' })),
    next: zxid
      .optional()
      .describe(
        'Pass it as `before` to look further back. A page may be empty and still have it, as one call looks at a part of the history. Absent at the end of what is retained.',
      ),
  })
  .meta({ id: 'EventHistory' });

export type EventsPage = z.output<typeof eventsResponse>;
