// Messages of /v1/topics/{topic}/stream: the records of a topic as they are appended, as server-sent events or socket frames.
import { z } from 'zod';
import { queryInteger } from './common.ts';
import { problemSchema } from './errors.ts';
import { fetchedRecord } from './records.ts';

/** Maximum number of partitions of one stream: their positions must fit into the Last-Event-ID header of an EventSource. */
export const topicTailPartitionsMax = 500;
/** The longest time between two messages with the position, ms, while the reader reads what it is sent. */
export const positionMsMax = 10_000;

/** A socket that ends with a problem is closed with this number plus its HTTP status: 4404 for UNKNOWN_TOPIC. */
export const problemCloseCodeBase = 4000;

export const positionsPattern = '\\d{1,9}:\\d{1,16}(,\\d{1,9}:\\d{1,16})*';

const position = z
  .string()
  .describe(
    "Position to resume from: the topic's id and the next offset of each partition, `<topicId>@0:15,1:7`. A partition that it does not name is new, and is read from offset 0.",
  );

/** Numbers of partitions in a query, each once. */
export const partitionNumbers = z
  .string()
  .regex(/^\d{1,9}(,\d{1,9})*$/, 'must be the numbers of partitions, such as 0 or 0,2')
  .transform((text) => [...new Set(text.split(',').map(Number))])
  .meta({ type: 'string', pattern: '^\\d{1,9}(,\\d{1,9})*$' });

export const topicTailQuery = z.strictObject({
  partition: partitionNumbers
    .optional()
    .describe('Partitions to read, such as `0,2`; default: all, including those added later.'),
  offset: z
    .string()
    .regex(
      new RegExp(`^(earliest|latest|\\d{1,16}|([\\w-]+@)?${positionsPattern})$`),
      'must be earliest, latest, an offset, or a position such as 0:15,1:7',
    )
    .optional()
    .describe(
      'Where to begin: `earliest`, `latest` (default), an offset if one partition is read, or the position of a message, such as `0:15,1:7`.',
    ),
  timestamp: queryInteger(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('Begin at the first record of each partition with this timestamp or a later one, ms since the epoch.'),
});

export const topicTailHeaders = z.looseObject({
  'last-event-id': z
    .string()
    .regex(new RegExp(`^([\\w-]+@${positionsPattern}|lost:.*)?$`), 'must be the id of an event of this stream')
    .optional()
    .describe(
      'Resume after this event. An EventSource sends it by itself. It takes precedence over `offset` and `timestamp`, also on a socket. The id of a problem, `lost:…`, gets the response 204.',
    ),
});

export const topicTailClientFrame = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('credit'),
      records: z.int().min(1).max(1_000_000_000).describe('How many more records the server may send.'),
    }),
    z.strictObject({ type: z.literal('ping') }),
  ])
  .meta({ id: 'RecordStreamClientFrame' });

export type TopicTailClientFrame = z.infer<typeof topicTailClientFrame>;

const partition = z.int().min(0);
const records = z.array(fetchedRecord).min(1).describe('In the order of their offsets.');
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

/** The `data` of a server-sent event. Its `id` is the position, so that `Last-Event-ID` resumes. */
export const topicTailEvent = z
  .discriminatedUnion('type', [positionFrame, z.object({ type: z.literal('records'), partition, records }), errorFrame])
  .meta({ id: 'RecordStreamFrame' });
