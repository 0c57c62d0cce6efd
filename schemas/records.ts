// The wire of records: produce, fetch, offsets. Records are checked by core/record-batch.ts, which keeps their text as it
// came; the schemas of bodies here describe them.
import { z } from 'zod';
import { offset, queryFlag, queryInteger } from './common.ts';
import { durationBetween } from './duration.ts';
import { producerStamp } from './producers.ts';
import { topicName } from './topics.ts';

const partitionText = z
  .string()
  .regex(/^\d{1,9}$/, 'must be the number of a partition')
  .transform(Number)
  .meta({ type: 'integer', minimum: 0, maximum: 999_999_999 });

export const partitionParams = z.strictObject({ topic: topicName, partition: partitionText });

const headerValue = z.union([z.string(), z.null(), z.strictObject({ base64: z.base64() })]);

const headers = z
  .union([z.record(z.string(), headerValue), z.array(z.tuple([z.string(), headerValue]))])
  .describe('By name, or as pairs [name, value] where a name comes twice. Bytes are `{"base64":"…"}`.');

const producedRecord = z.strictObject({
  value: z.unknown().optional().describe('Any JSON. A record without a value is a tombstone.'),
  valueBase64: z.base64().optional().describe('The value as bytes.'),
  key: z.string().nullable().optional(),
  keyBase64: z.base64().optional().describe('The key as bytes.'),
  headers: headers.optional(),
  partition: z.int().min(0).optional(),
  timestamp: z.int().min(0).optional().describe('Ms since the epoch; default: when it is appended.'),
});

export const produceBody = z.strictObject({
  records: z.array(producedRecord).min(1),
  producer: producerStamp.optional().describe('Appends exactly once, whatever is sent again.'),
});

const produceOptions = {
  acks: z
    .enum(['0', '1', 'all'])
    .default('1')
    .describe('0 = do not wait; 1 = the store has it; all = so have `min.insync.replicas` - 1 of its replicas.'),
  offsets: queryFlag.optional().describe('Answer also the partition and offset of each record.'),
  key: z.string().optional().describe("A raw record's key."),
  results: z
    .enum(['live', 'end'])
    .optional()
    .describe(
      'When the results of NDJSON come: live = as batches are appended; end = when the body has been read, as nginx and clients need it that do not read while they send. Absent: end with Content-Length, live without.',
    ),
};

export const produceQuery = z.strictObject({
  ...produceOptions,
  partition: partitionText.optional().describe("A raw record's partition."),
});

export const producePartitionQuery = z.strictObject(produceOptions);

export const produceResponse = z
  .object({
    topic: topicName,
    results: z.array(
      z.object({
        partition: z.int().min(0),
        baseOffset: offset.optional().describe('Of the first of its records; not with acks=0.'),
        count: z.int().min(1),
        timestamp: z.int().optional().describe('When they were appended; not with acks=0.'),
      }),
    ),
    offsets: z
      .array(z.tuple([z.int(), z.int()]))
      .optional()
      .describe('[partition, offset] of each record, in the order of the request.'),
  })
  .meta({ id: 'Produced' });

/** One fetch is one answer in memory, on both sides. */
export const fetchRecordsMax = 100_000;
export const fetchBytesMax = 16 * 1024 * 1024;
export const fetchBytesDefault = 1024 * 1024;
export const fetchWaitMsMax = 300_000;

const moment = queryInteger(0, Number.MAX_SAFE_INTEGER);

export const fetchQuery = z.strictObject({
  offset: z
    .union(
      [z.enum(['earliest', 'latest']), queryInteger(0, Number.MAX_SAFE_INTEGER)],
      'must be earliest, latest or an offset',
    )
    .optional()
    .describe('Where to begin; default earliest.'),
  timestamp: moment.optional().describe('Begin at the first record that is not older, ms since the epoch.'),
  maxRecords: queryInteger(1, fetchRecordsMax).default(500),
  maxBytes: queryInteger(1, fetchBytesMax).default(fetchBytesDefault).describe('One record always fits.'),
  minBytes: queryInteger(0, fetchBytesMax).default(1).describe('With wait: answer as soon as there are so many.'),
  wait: durationBetween(0, fetchWaitMsMax, 'must be at most 5m')
    .default(0)
    .describe('How long to wait for them, at most 5m.'),
});

export const fetchedRecord = z
  .object({
    offset,
    timestamp: z.int(),
    key: z.string().nullable().optional(),
    keyBase64: z.string().optional(),
    value: z.unknown().optional(),
    valueBase64: z.string().optional(),
    headers: headers.optional(),
  })
  .meta({ id: 'Record' });

export const fetchResponse = z
  .object({
    topic: topicName,
    partition: z.int().min(0),
    records: z.array(fetchedRecord),
    nextOffset: offset.describe('Where to go on reading.'),
    logStartOffset: offset,
    endOffset: offset.describe('The offset of the next record that is produced.'),
  })
  .meta({ id: 'Fetched' });

export const offsetsQuery = z.strictObject({
  at: z
    .union([z.enum(['earliest', 'latest']), moment], 'must be earliest, latest or ms since the epoch')
    .default('latest')
    .describe('The start, the end, or the first record that is not older than a moment, ms since the epoch.'),
});

export const offsetsResponse = z
  .object({
    topic: topicName,
    partitions: z.array(
      z.object({
        partition: z.int().min(0),
        offset: offset.describe('With a moment that is later than all records: the end.'),
        timestamp: z.int().nullable().optional().describe("With a moment: that record's; null if there is none."),
      }),
    ),
  })
  .meta({ id: 'TopicOffsets' });

export const deleteRecordsQuery = z.strictObject({
  before: z
    .union([z.literal('latest'), queryInteger(0, Number.MAX_SAFE_INTEGER)], 'must be latest or an offset')
    .describe('The log begins at this offset from now on.'),
});

export const deleteRecordsResponse = z
  .object({ topic: topicName, partition: z.int().min(0), logStartOffset: offset, endOffset: offset })
  .meta({ id: 'DeletedRecords' });
