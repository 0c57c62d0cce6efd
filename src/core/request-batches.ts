/**
 * From the records of a request to a batch for each partition: which partition each goes to, and what of it can be refused
 * before anything is appended. The same request spread over the same number of partitions always gives the same batches.
 */
import type { TopicConfig } from '../../schemas/topics.ts';
import { partitionForKey } from './partitioner.ts';
import type { EncodedRecord } from './record-fields.ts';
import { type EncodedRecords, withoutTimestamp } from './record-input.ts';
import { ServiceError } from './service-error.ts';

/** The records of one request for one partition. */
export interface RecordBatch {
  count: number;
  /** Their lines, joined by line feeds (record-fields.ts). */
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
export function spreadRecords(records: EncodedRecords, options: SpreadOptions): Spread {
  const { topic, partitionCount } = options;
  if (records.kind === 'together') {
    const { count, lines } = records;
    const partition = choosePartitions([keylessRecord], options)[0]!;
    checkSize(topic, partition, lines.length);
    const batch = { count, records: lines, ownTimestampMax: undefined, ownTimestamps: false };
    return { partitionCount, partitions: Array(count).fill(partition), batches: new Map([[partition, batch]]) };
  }
  const partitions = choosePartitions(records.records, options);
  return { partitionCount, partitions, batches: makeBatches(records.records, partitions, topic) };
}

/** What there is to know of records that lie together, to choose their partition. */
const keylessRecord: EncodedRecord = { line: '', key: undefined, partition: undefined, timestamp: undefined };

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
    if (key !== undefined) return partitionForKey(key, partitionCount);
    forKeyless ??= keyless();
    return forKeyless;
  });
}

/** A batch as it grows, its lines as bytes as text. */
interface Gathered {
  lines: string[];
  ownTimestampMax: number | undefined;
  ownTimestamps: boolean;
}

function makeBatches(
  all: readonly EncodedRecord[],
  partitions: readonly number[],
  topic: SpreadOptions['topic'],
): Map<number, RecordBatch> {
  const byPartition = new Map<number, Gathered>();
  const logTime = topic.config['message.timestamp.type'] === 'LogAppendTime';
  for (let i = 0; i < all.length; i += 1) {
    const { line, timestamp } = logTime ? withoutTimestamp(all[i]!) : all[i]!;
    const partition = partitions[i]!;
    let gathered = byPartition.get(partition);
    if (!gathered) {
      gathered = { lines: [], ownTimestampMax: undefined, ownTimestamps: true };
      byPartition.set(partition, gathered);
    }
    gathered.lines.push(line);
    if (timestamp === undefined) gathered.ownTimestamps = false;
    else gathered.ownTimestampMax = Math.max(timestamp, gathered.ownTimestampMax ?? 0);
  }
  const batches = new Map<number, RecordBatch>();
  for (const [partition, { lines, ...own }] of byPartition) {
    const text = lines.join('\n');
    checkSize(topic, partition, text.length);
    batches.set(partition, { count: lines.length, records: Buffer.from(text, 'latin1'), ...own });
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
