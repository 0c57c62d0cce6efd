/**
 * From the records of a request to a batch for each partition: which partition each goes to, and what of it can be refused
 * before anything is appended. The same request spread over the same number of partitions always gives the same batches.
 */
import type { TopicConfig } from '../../schemas/topics.ts';
import { partitionForKey } from './partitioner.ts';
import { type EncodedRecord, withoutTimestamp } from './record-batch.ts';
import { ServiceError } from './service-error.ts';

/** The records of one request for one partition. */
export interface RecordBatch {
  count: number;
  /** Their lines, joined by line feeds (record-batch.ts). */
  records: Buffer;
  /** The largest timestamp that a record has of its own, ms. */
  ownTimestampMax: number | undefined;
  /** Whether every record has one. */
  ownTimestamps: boolean;
}

export interface Spread {
  /** By how many partitions. */
  partitionCount: number;
  batches: ReadonlyMap<number, RecordBatch>;
  /** The partition of each record, in the order of the request. */
  partitions: readonly number[];
}

export interface SpreadOptions {
  topic: { name: string; config: TopicConfig };
  /** By how many partitions; that of the topic, or of an earlier attempt. */
  partitionCount: number;
  /** For all records, where the request names a partition. */
  asked: number | undefined;
  /** The partition of records that have no key and ask for none: asked for once, if at all. */
  keyless: () => number;
  /** Refuses a partition that does not exist. */
  check: (partition: number) => void;
}

/** @throws ServiceError UNKNOWN_PARTITION, BAD_REQUEST, TOO_LARGE */
export function spreadRecords(records: readonly EncodedRecord[], options: SpreadOptions): Spread {
  const { topic, partitionCount } = options;
  const partitions = choosePartitions(records, options);
  return { partitionCount, partitions, batches: makeBatches(records, partitions, topic) };
}

function choosePartitions(records: readonly EncodedRecord[], options: SpreadOptions): number[] {
  const { topic, partitionCount, asked, keyless, check } = options;
  const isCompacted = topic.config['cleanup.policy'].includes('compact');
  if (asked !== undefined) check(asked);
  let forKeyless: number | undefined;
  return records.map((record, index) => {
    const { key, partition = asked } = record;
    if (asked !== undefined && partition !== asked) {
      throw new ServiceError(
        'BAD_REQUEST',
        `records.${index}.partition is ${partition}, but the request is for partition ${asked}.`,
      );
    }
    if (key === undefined && isCompacted) {
      throw new ServiceError(
        'BAD_REQUEST',
        `records.${index} has no key; topic ${topic.name} is compacted, which keeps the newest record of each key.`,
      );
    }
    if (partition !== undefined) {
      check(partition);
      return partition;
    }
    if (key !== undefined) return partitionForKey(bytesOf(key), partitionCount);
    forKeyless ??= keyless();
    return forKeyless;
  });
}

function makeBatches(
  all: readonly EncodedRecord[],
  partitions: readonly number[],
  topic: SpreadOptions['topic'],
): Map<number, RecordBatch> {
  const byPartition = new Map<number, EncodedRecord[]>();
  const logTime = topic.config['message.timestamp.type'] === 'LogAppendTime';
  for (const [index, given] of all.entries()) {
    const record = logTime ? withoutTimestamp(given) : given;
    const partition = partitions[index]!;
    const records = byPartition.get(partition);
    if (records) records.push(record);
    else byPartition.set(partition, [record]);
  }
  const batches = new Map<number, RecordBatch>();
  for (const [partition, records] of byPartition) {
    const lines = Buffer.from(records.map(({ line }) => line).join('\n'));
    checkSize(topic, partition, lines.length);
    let ownTimestampMax: number | undefined;
    let ownTimestamps = true;
    for (const { timestamp } of records) {
      if (timestamp === undefined) ownTimestamps = false;
      else if (ownTimestampMax === undefined || timestamp > ownTimestampMax) ownTimestampMax = timestamp;
    }
    batches.set(partition, { count: records.length, records: lines, ownTimestampMax, ownTimestamps });
  }
  return batches;
}

function checkSize(topic: SpreadOptions['topic'], partition: number, size: number): void {
  const maxBytes = topic.config['max.message.bytes'];
  if (size <= maxBytes) return;
  throw new ServiceError(
    'TOO_LARGE',
    `The records for partition ${partition} have ${size} bytes together; max.message.bytes of topic ${topic.name} is ` +
      `${maxBytes}. Send fewer at once, or as application/x-ndjson; nothing was written.`,
    { partition, bytes: size, maxBytes },
  );
}

function bytesOf(key: string | Buffer): Buffer {
  return typeof key === 'string' ? Buffer.from(key) : key;
}
