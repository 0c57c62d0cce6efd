// The wire of /v1/topics/{topic}/stream: a topic's records as they come, as server-sent events and as socket messages.
import { z } from 'zod';
import { queryInteger } from './common.ts';
import { problemSchema } from './errors.ts';
import { fetchedRecord } from './records.ts';

/** How many partitions one stream reads: their positions must fit into the header by which an EventSource resumes. */
export const topicTailPartitionsMax = 500;
/** A message with the position comes at least so often, while the reader takes what it is sent. */
export const positionMsMax = 10_000;

/** What a close code of the socket adds to the status of the problem for which it ends: 4404 = UNKNOWN_TOPIC. */
export const problemCloseCodeBase = 4000;

const positions = '\\d{1,9}:\\d{1,16}(,\\d{1,9}:\\d{1,16})*';

const position = z
  .string()
  .describe(
    "The topic's id and the next offset of each partition, `<topicId>@0:15,1:7`: where to go on. A partition that it does not name is new, and read from offset 0.",
  );

export const topicTailQuery = z.strictObject({
  partition: z
    .string()
    .regex(/^\d{1,9}(,\d{1,9})*$/, 'must be the numbers of partitions, such as 0 or 0,2')
    .transform((text) => [...new Set(text.split(',').map(Number))])
    .meta({ type: 'string', pattern: '^\\d{1,9}(,\\d{1,9})*$' })
    .optional()
    .describe('The partitions to read, such as `0,2`; default all, also those that are added later.'),
  offset: z
    .string()
    .regex(
      new RegExp(`^(earliest|latest|\\d{1,16}|([\\w-]+@)?${positions})$`),
      'must be earliest, latest, an offset, or a position such as 0:15,1:7',
    )
    .optional()
    .describe(
      'Where to begin: `earliest`, `latest` (default), an offset if one partition is read, or a position, `0:15,1:7`, as messages give it.',
    ),
  timestamp: queryInteger(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('Begin at the first records that are not older, ms since the epoch.'),
});

export const topicTailHeaders = z.looseObject({
  'last-event-id': z
    .string()
    .regex(new RegExp(`^([\\w-]+@${positions}|lost:.*)?$`), 'must be the id of an event of this stream')
    .optional()
    .describe(
      'Resume after this event: an EventSource sends it by itself. It wins over `offset` and `timestamp`, on a socket, too. That of a problem, `lost:…`, is answered with 204.',
    ),
});

export const topicTailClientFrame = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('credit'),
      records: z.int().min(1).max(1_000_000_000).describe('How many more records may be sent.'),
    }),
    z.strictObject({ type: z.literal('ping') }),
  ])
  .meta({ id: 'RecordStreamClientFrame' });

export type TopicTailClientFrame = z.infer<typeof topicTailClientFrame>;

const partition = z.int().min(0);
const records = z.array(fetchedRecord).min(1).describe('In order.');
const positionFrame = z.object({ type: z.literal('position'), position });
const errorFrame = z.looseObject({ ...problemSchema.shape, type: z.literal('error') });

export const topicTailServerFrame = z
  .discriminatedUnion('type', [
    positionFrame,
    z.object({ type: z.literal('records'), partition, records, position }),
    errorFrame,
    z.object({ type: z.literal('pong') }),
  ])
  .meta({ id: 'RecordStreamServerFrame' });

export type TopicTailServerFrame = z.infer<typeof topicTailServerFrame>;

/** The `data` of a server-sent event; its `id` is the position, so that `Last-Event-ID` resumes. */
export const topicTailEvent = z
  .discriminatedUnion('type', [positionFrame, z.object({ type: z.literal('records'), partition, records }), errorFrame])
  .meta({ id: 'RecordStreamFrame' });
