// Requests and responses about records: produce, fetch, offsets. The schema of a produce body only documents it:
// src/core/records/record-input.ts checks records and keeps their text unchanged.
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

export const partitionParams = z.strictObject({
  topic: topicName,
  partition: partitionText.describe('Number of the partition, from 0.'),
});

const headerValue = z.union([z.string(), z.null(), z.strictObject({ base64: z.base64() }).meta({ id: 'HeaderBytes' })]);

const headers = z
  .union([z.record(z.string(), headerValue), z.array(z.tuple([z.string(), headerValue]))])
  .describe(
    'An object of names and values, or a list of pairs [name, value] if a name occurs twice. Bytes are `{"base64":"…"}`.',
  );

export const producedRecord = z
  .strictObject({
    value: z.unknown().optional().describe('Any JSON value. A record without a value is a tombstone.'),
    valueBase64: z.base64().optional().describe('The value as bytes.'),
    key: z.string().nullable().optional(),
    keyBase64: z.base64().optional().describe('The key as bytes.'),
    headers: headers.optional(),
    partition: z.int().min(0).optional().describe('Default: chosen by the key, or by the server if there is none.'),
    timestamp: z.int().min(0).optional().describe('Ms since the epoch; default: the time of the append.'),
  })
  .meta({ id: 'ProducedRecord' });

export const produceBody = z
  .strictObject({
    records: z.array(producedRecord).min(1),
    producer: producerStamp
      .optional()
      .describe('Makes the request idempotent: a repeat with the same sequence appends nothing.'),
  })
  .meta({ id: 'ProduceRecords' });

export const acks = z
  .enum(['0', '1', 'all'])
  .default('1')
  .describe(
    '0 = do not wait; 1 = wait until the store has the records; all = also wait until `min.insync.replicas` - 1 of its replicas have them.',
  );

const produceOptions = {
  acks,
  offsets: queryFlag.optional().describe('Include the partition and offset of each record in the response.'),
  key: z.string().optional().describe('Key of the record when the body is a single value.'),
  results: z
    .enum(['live', 'end'])
    .optional()
    .describe(
      'When results of an NDJSON body are sent. live: as batches are appended. end: after the whole body was read, for nginx and for clients that do not read while they send. Default: end with Content-Length, live without.',
    ),
};

export const produceQuery = z.strictObject({
  ...produceOptions,
  partition: partitionText.optional().describe('Partition of the record when the body is a single value.'),
});

export const producePartitionQuery = z.strictObject(produceOptions);

export const produceResponse = z
  .object({
    topic: topicName,
    results: z.array(
      z
        .object({
          partition: z.int().min(0),
          baseOffset: offset.optional().describe('Offset of the first record; absent with acks=0.'),
          count: z.int().min(1),
          timestamp: z.int().optional().describe('Time of the append, ms since the epoch; absent with acks=0.'),
        })
        .meta({ id: 'ProduceResult' }),
    ),
    offsets: z
      .array(z.tuple([z.int(), z.int()]))
      .optional()
      .describe('[partition, offset] of each record, in the order of the request.'),
  })
  .meta({ id: 'Produced' });

/** Limits of one fetch; server and client hold the whole response in memory. */
export const fetchRecordsMax = 100_000;
export const fetchBytesMax = 16 * 1024 * 1024;
export const fetchBytesDefault = 1024 * 1024;
export const fetchWaitMsMax = 300_000;

const timestamp = queryInteger(0, Number.MAX_SAFE_INTEGER);

export const fetchQuery = z.strictObject({
  offset: z
    .union(
      [z.enum(['earliest', 'latest']), queryInteger(0, Number.MAX_SAFE_INTEGER)],
      'must be earliest, latest or an offset',
    )
    .optional()
    .describe('Offset to begin at; default earliest.'),
  timestamp: timestamp
    .optional()
    .describe('Begin at the first record with this timestamp or a later one, ms since the epoch.'),
  maxRecords: queryInteger(1, fetchRecordsMax).default(500).describe('The most records that the response has.'),
  maxBytes: queryInteger(1, fetchBytesMax)
    .default(fetchBytesDefault)
    .describe('Maximum bytes of records in the response. The first record is returned even if it is larger.'),
  minBytes: queryInteger(0, fetchBytesMax)
    .default(1)
    .describe('With `wait`: respond as soon as this many bytes of records are there.'),
  wait: durationBetween(0, fetchWaitMsMax, 'must be at most 5m')
    .default(0)
    .describe('How long to wait for `minBytes`, at most 5m.'),
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
    nextOffset: offset.describe('Offset for the next fetch.'),
    logStartOffset: offset,
    endOffset: offset.describe('The offset that the next produced record gets.'),
  })
  .meta({ id: 'Fetched' });

const storedRecord = fetchedRecord
  .omit({ offset: true })
  .extend({ timestamp: z.int().optional().describe('Absent: that of the batch.') })
  .meta({ id: 'StoredRecord' });

export const fetchedBatchesResponse = fetchResponse
  .omit({ records: true })
  .extend({
    batches: z.array(
      z.object({
        baseOffset: offset.describe('The offset of the first record; that of records[i] is baseOffset + i.'),
        count: z.int().min(1),
        timestamp: z.int(),
        records: z.array(storedRecord.nullable().describe('null: a record that compaction has removed.')),
      }),
    ),
  })
  .meta({ id: 'FetchedBatches' });

export const offsetsQuery = z.strictObject({
  at: z
    .union([z.enum(['earliest', 'latest']), timestamp], 'must be earliest, latest or ms since the epoch')
    .default('latest')
    .describe(
      'The start or the end of the log, or the first record with this timestamp or a later one, ms since the epoch.',
    ),
});

export const offsetsResponse = z
  .object({
    topic: topicName,
    partitions: z.array(
      z
        .object({
          partition: z.int().min(0),
          offset: offset.describe('The end of the log if no record is that recent.'),
          timestamp: z
            .int()
            .nullable()
            .optional()
            .describe('With a timestamp in `at`: the timestamp of that record; null if there is none.'),
        })
        .meta({ id: 'PartitionOffset' }),
    ),
  })
  .meta({ id: 'TopicOffsets' });

export const deleteRecordsQuery = z.strictObject({
  before: z
    .union([z.literal('latest'), queryInteger(0, Number.MAX_SAFE_INTEGER)], 'must be latest or an offset')
    .describe('New start offset of the log: all records before it are deleted.'),
});

export const deleteRecordsResponse = z
  .object({ topic: topicName, partition: z.int().min(0), logStartOffset: offset, endOffset: offset })
  .meta({ id: 'DeletedRecords' });
