/**
 * Splits the records of a request into one batch for each partition, and makes all checks that do not need the store. A request
 * that is repeated with the same number of partitions gives the same batches.
 */

import type { TopicConfig } from '../../../schemas/topics.ts';
import { noPosition } from '../json-scanner.ts';
import { required } from '../required.ts';
import { ServiceError } from '../service-error.ts';
import { partitionForKey } from './partitioner.ts';
import type { EncodedRecord } from './record-fields.ts';
import { type RequestRecords, withoutTimestamp } from './record-input.ts';
import { linesByPartition, type PositionedRecords, positionsEach } from './simple-records.ts';

/** The records of one request for one partition, before they have offsets. */
export interface RecordBatch {
  count: number;
  /** The JSON lines of the records, separated by line feeds (record-fields.ts). */
  records: Buffer;
  /** The largest timestamp that the client has set on a record, ms since the epoch; undefined if it has set none. */
  maxTimestamp: number | undefined;
  /** Whether the client has set a timestamp on every record. */
  hasAllTimestamps: boolean;
}

/** The records of a request, distributed over partitions. */
export interface Spread {
  /** The number of partitions of the topic that was used to distribute the records. */
  partitionCount: number;
  batches: ReadonlyMap<number, RecordBatch>;
  /** The partition of each record, in request order. */
  partitions: readonly number[];
  /** The range of the timestamps that the client has set, ms since the epoch; undefined if it has set none. */
  timestamps: { oldest: number; newest: number } | undefined;
}

/** A timestamp below this, in March 1973, is probably in seconds instead of milliseconds. */
const secondsBelow = 100_000_000_000;

interface SpreadOptions {
  topic: { name: string; config: TopicConfig };
  /** The number of partitions to distribute over: that of the topic now, or at an earlier attempt of the same request. */
  partitionCount: number;
  /** The partition for all records, if the request names one. */
  requestedPartition: number | undefined;
  /** Chooses the partition of all records without a key and a partition. Called at most once. */
  chooseKeylessPartition: () => number;
  /** Throws for a partition that does not exist. */
  checkPartition: (partition: number) => void;
}

/** Distributes the records of a request over partitions. @throws ServiceError UNKNOWN_PARTITION, BAD_REQUEST, TOO_LARGE */
export function spreadRecords(records: RequestRecords, options: SpreadOptions): Spread {
  const { topic, partitionCount } = options;
  if (records.kind === 'contiguous') {
    const { count, lines } = records;
    const partition = required(choosePartitions([keylessRecord], undefined, options)[0], 'partition of the records');
    checkSize(topic, partition, lines.length, { count, isStream: false });
    const batch = { count, records: lines, maxTimestamp: undefined, hasAllTimestamps: false };
    const batches = new Map([[partition, batch]]);
    return { partitionCount, partitions: Array(count).fill(partition), batches, timestamps: undefined };
  }
  if (records.kind === 'positioned') return spreadPositioned(records, options);
  const partitions = choosePartitions(records.records, records.lines, options);
  const timestamps = timestampsOf(records.records, records.lines, topic);
  const batches = makeBatches(records.records, records.lines, partitions, topic);
  return { partitionCount, partitions, batches, timestamps };
}

/** Distributes records that have only a value and perhaps a key. */
function spreadPositioned(records: PositionedRecords, options: SpreadOptions): Spread {
  const { topic, partitionCount, requestedPartition, chooseKeylessPartition, checkPartition } = options;
  const { count, text, positions, lines: numbers } = records;
  const isCompacted = topic.config['cleanup.policy'].includes('compact');
  if (requestedPartition !== undefined) checkPartition(requestedPartition);
  const partitions: number[] = [];
  let forKeyless: number | undefined;
  for (let index = 0; index < count; index += 1) {
    const at = index * positionsEach;
    const keyStart = positions[at + 2] ?? noPosition;
    if (keyStart < 0 && isCompacted) throw keylessInCompacted(numbers, index, topic.name);
    let partition = requestedPartition;
    if (partition === undefined && keyStart >= 0) {
      partition = partitionForKey(text, partitionCount, keyStart, positions[at + 3]);
    } else if (partition === undefined) {
      forKeyless ??= chooseKeylessPartition();
      partition = forKeyless;
    }
    partitions.push(partition);
  }
  const batches = new Map<number, RecordBatch>();
  for (const [partition, { count, parts }] of linesByPartition(records, partitions)) {
    const joined = parts.join('\n');
    checkSize(
      topic,
      partition,
      joined.length,
      originOf(count, numbers, () => partitions.indexOf(partition)),
    );
    const own = { maxTimestamp: undefined, hasAllTimestamps: false };
    batches.set(partition, { count, records: Buffer.from(joined, 'latin1'), ...own });
  }
  return { partitionCount, partitions, batches, timestamps: undefined };
}

/**
 * The range of the timestamps that the client has set.
 * @throws ServiceError BAD_REQUEST for a timestamp that is probably in seconds, unless the topic limits the age of records
 */
function timestampsOf(
  records: readonly EncodedRecord[],
  lines: readonly number[] | undefined,
  { config }: SpreadOptions['topic'],
): Spread['timestamps'] {
  if (config['message.timestamp.type'] === 'LogAppendTime') return undefined;
  let [oldest, newest] = [Number.POSITIVE_INFINITY, -1];
  for (const [index, { timestamp }] of records.entries()) {
    if (timestamp === undefined) continue;
    if (timestamp < secondsBelow && config['message.timestamp.before.max.ms'] < 0) {
      throw atRecord(
        lines,
        index,
        `has the timestamp ${timestamp}, which is before March 1973: timestamps are milliseconds since 1970. If it is in seconds, ` +
          `send ${timestamp * 1000}; if it is correct, set message.timestamp.before.max.ms of the topic`,
      );
    }
    oldest = Math.min(oldest, timestamp);
    newest = Math.max(newest, timestamp);
  }
  return newest < 0 ? undefined : { oldest, newest };
}

/** Adds the index or line of the record to the error of a log that has refused a timestamp. Returns other errors unchanged. */
export function nameRefusedRecord(error: unknown, records: RequestRecords): unknown {
  if (!(error instanceof ServiceError) || error.code !== 'BAD_REQUEST' || records.kind !== 'separate') return error;
  const index = records.records.findIndex(({ timestamp }) => timestamp === error.fields.timestamp);
  if (index < 0) return error;
  const line = records.lines?.[index];
  const where = line === undefined ? `records.${index}` : `line ${line}`;
  return new ServiceError(error.code, `${where}: ${error.message}`, { ...error.fields, ...(line && { line }) });
}

/** Stands for all records of a contiguous request, which have no keys and no partitions. */
const keylessRecord: EncodedRecord = { line: '', key: undefined, partition: undefined, timestamp: undefined };

function choosePartitions(
  records: readonly EncodedRecord[],
  lines: readonly number[] | undefined,
  options: SpreadOptions,
): number[] {
  const { topic, partitionCount, requestedPartition, chooseKeylessPartition, checkPartition } = options;
  const isCompacted = topic.config['cleanup.policy'].includes('compact');
  if (requestedPartition !== undefined) checkPartition(requestedPartition);
  let forKeyless: number | undefined;
  return records.map((record, index) => {
    const { key, partition = requestedPartition } = record;
    if (requestedPartition !== undefined && partition !== requestedPartition) {
      throw atRecord(
        lines,
        index,
        `has the partition ${partition}, but the request is for partition ${requestedPartition}`,
      );
    }
    if (key === undefined && isCompacted) {
      throw keylessInCompacted(lines, index, topic.name);
    }
    if (partition !== undefined) {
      checkAt(lines, index, () => checkPartition(partition));
      return partition;
    }
    if (key !== undefined) return partitionForKey(key, partitionCount);
    forKeyless ??= chooseKeylessPartition();
    return forKeyless;
  });
}

/** A batch under construction. Its lines are latin1 strings: one character for each byte. */
interface GrowingBatch {
  lines: string[];
  maxTimestamp: number | undefined;
  hasAllTimestamps: boolean;
}

function makeBatches(
  all: readonly EncodedRecord[],
  numbers: readonly number[] | undefined,
  partitions: readonly number[],
  topic: SpreadOptions['topic'],
): Map<number, RecordBatch> {
  const byPartition = new Map<number, GrowingBatch>();
  const logTime = topic.config['message.timestamp.type'] === 'LogAppendTime';
  for (const [i, one] of all.entries()) {
    const { line, timestamp } = logTime ? withoutTimestamp(one) : one;
    const partition = required(partitions[i], 'partition of a record');
    let gathered = byPartition.get(partition);
    if (!gathered) {
      gathered = { lines: [], maxTimestamp: undefined, hasAllTimestamps: true };
      byPartition.set(partition, gathered);
    }
    gathered.lines.push(line);
    if (timestamp === undefined) gathered.hasAllTimestamps = false;
    else gathered.maxTimestamp = Math.max(timestamp, gathered.maxTimestamp ?? 0);
  }
  const batches = new Map<number, RecordBatch>();
  for (const [partition, { lines, ...own }] of byPartition) {
    const bytes = lines.reduce((sum, { length }) => sum + length, lines.length - 1);
    checkSize(
      topic,
      partition,
      bytes,
      originOf(lines.length, numbers, () => partitions.indexOf(partition)),
    );
    batches.set(partition, { count: lines.length, records: Buffer.from(lines.join('\n'), 'latin1'), ...own });
  }
  return batches;
}

/** An error about one record: names its index in the list, or its line number in a stream. */
function atRecord(lines: readonly number[] | undefined, index: number, problem: string): ServiceError {
  const line = lines?.[index];
  if (line === undefined) return new ServiceError('BAD_REQUEST', `records.${index} ${problem}.`);
  return new ServiceError('BAD_REQUEST', `line ${line} ${problem}.`, { line });
}

function keylessInCompacted(lines: readonly number[] | undefined, index: number, topic: string): ServiceError {
  return atRecord(lines, index, `has no key; topic ${topic} is compacted, which keeps the newest record of each key`);
}

/** Runs `check`, and adds the line number to a ServiceError that it throws. */
function checkAt(lines: readonly number[] | undefined, index: number, check: () => void): void {
  try {
    check();
  } catch (error) {
    const line = lines?.[index];
    if (line === undefined || !(error instanceof ServiceError)) throw error;
    throw new ServiceError(error.code, `line ${line}: ${error.message}`, { ...error.fields, line });
  }
}

/** How the client sent a batch; for the text of an error. */
interface BatchOrigin {
  count: number;
  /** Whether the batch is a part of a stream, of which earlier parts may have been written. */
  isStream: boolean;
  /** The line number of a single record of a stream. */
  line?: number | undefined;
}

/**
 * @param numbers the number of the line of each record of the request, if it is a stream
 * @param indexOfFirst the index of the batch's first record in the request
 */
function originOf(count: number, numbers: readonly number[] | undefined, indexOfFirst: () => number): BatchOrigin {
  return { count, isStream: numbers !== undefined, line: count === 1 ? numbers?.[indexOfFirst()] : undefined };
}

/** Checks the size of a record before it is encoded, as encoding a large one takes long. @throws ServiceError TOO_LARGE */
export function checkRecordBytes(topic: SpreadOptions['topic'], bytes: number): void {
  checkSize(topic, undefined, bytes, { count: 1, isStream: false });
}

function checkSize(
  topic: SpreadOptions['topic'],
  partition: number | undefined,
  bytes: number,
  sent: BatchOrigin,
): void {
  const maxBytes = topic.config['max.message.bytes'];
  if (bytes <= maxBytes) return;
  const { count, isStream, line } = sent;
  const limit = `max.message.bytes of topic ${topic.name} is ${maxBytes}`;
  const [what, remedy] =
    count === 1
      ? [
          line === undefined ? 'The record has' : `line ${line}: the record has`,
          'Send a smaller record, or raise the limit',
        ]
      : [
          `The ${count} records for partition ${partition} together have`,
          isStream
            ? 'Send smaller records, or raise the limit'
            : 'Send fewer records per request, or stream them as application/x-ndjson',
        ];
  throw new ServiceError(
    'TOO_LARGE',
    `${what} ${bytes} bytes as JSON; ${limit}. ${remedy}${isStream ? '' : '; nothing was written'}.`,
    { ...(partition !== undefined && { partition }), bytes, maxBytes, ...(line !== undefined && { line }) },
  );
}
