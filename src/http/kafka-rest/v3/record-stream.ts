// Produces a stream of records of version 3: objects of JSON that follow each other. Each has a report of its delivery, in their order.
// In memory are only one batch, one piece from the network and the incomplete record: nothing more is read before the client has taken
// the reports.
import type { Readable } from 'node:stream';
import { ServiceError } from '../../../core/service-error.ts';
import type { Steps } from '../../../core/steps.ts';
import { KafkaRestError, statusAndCode } from '../errors.ts';
import { type Appender, appendRead, type Delivered, type ReadOutcome } from './appended-records.ts';
import { concatenatedObjects } from './concatenated-json.ts';
import { type Read, readOrFailure } from './record.ts';

interface StreamOptions {
  cluster: string;
  topic: string;
  /** The topic's max.message.bytes; undefined if it does not exist. */
  recordBytesMax: number;
  /** Whether each record is appended by itself, so that a repeat of the stream appends none again. */
  isSeparate: boolean;
  countLine(bytes: number): void;
  /** Runs steps that read so many bytes, when it is their turn. */
  inSteps<T>(steps: Steps<T>, bytes: number): Promise<T>;
  appender: Appender;
}

/** A batch is appended at the latest when it has so many records or bytes. */
const batchRecordsMax = 1000;
const batchBytesUsual = 256 * 1024;
/** How much longer than the topic's limit a record may be: names of members, white space, what is not stored. */
const recordExtraBytesMax = 64 * 1024;

/**
 * Appends the records of `source`, and gives the reports, a line for each.
 * @throws ServiceError if the first batch fails as the store is away: then nothing was appended
 */
export async function* recordStream(source: Readable, options: StreamOptions): AsyncGenerator<string> {
  const { isSeparate, recordBytesMax, inSteps } = options;
  const batchBytesMax = Math.min(batchBytesUsual, recordBytesMax);
  let batch: Read[] = [];
  let batchBytes = 0;
  let isFirst = true;

  async function append(): Promise<string> {
    const all = batch;
    batch = [];
    batchBytes = 0;
    const outcomes = await appendRead(all, options.appender);
    if (isFirst) requireSuccess(outcomes);
    isFirst = false;
    return outcomes.map((outcome, i) => reportOf(outcome, all[i], options)).join('');
  }

  const objects = concatenatedObjects(source, {
    bytesMax: recordBytesMax + recordExtraBytesMax,
    remedy: 'max.message.bytes of the topic limits a record.',
    countLine: options.countLine,
  });
  try {
    for await (const { objects: arrived, problem, isAll } of objects) {
      for (const bytes of arrived) {
        const read = await inSteps(readOrFailure(bytes), bytes.length);
        const size = 'failure' in read ? 0 : read.record.line.length + 1;
        const isFull = batch.length === batchRecordsMax || batchBytes + size > batchBytesMax;
        if (batch.length > 0 && (isSeparate || isFull)) yield await append();
        batch.push(read);
        batchBytes += size;
      }
      if (problem) batch.push({ failure: problem });
      // A client that sends rarely must not wait until a batch is full.
      if ((isAll || problem) && batch.length > 0) yield await append();
    }
    if (batch.length > 0) yield await append();
  } catch (failure) {
    if (isFirst || !(failure instanceof ServiceError)) throw failure;
    yield reportOf({ failure }, undefined, options);
  }
  if (isFirst)
    throw new KafkaRestError(422, 'The body is empty; send a record, such as {"value":{"type":"JSON","data":1}}.');
}

/**
 * Checks that not all records failed as the store or the server did: a client that looks at the status alone must not lose them.
 * @throws ServiceError that of the first record
 */
export function requireSuccess(outcomes: readonly ReadOutcome[]): void {
  const failures = outcomes.flatMap((one) =>
    'failure' in one && !(one.failure instanceof KafkaRestError) ? [one.failure] : [],
  );
  const [first] = failures;
  if (first && failures.length === outcomes.length && failures.every(({ status }) => status >= 500)) throw first;
}

/** The line of a report. @param read the record, for its types and sizes */
function reportOf(
  outcome: ReadOutcome,
  read: Read | undefined,
  { cluster, topic }: Pick<StreamOptions, 'cluster' | 'topic'>,
): string {
  const report =
    'failure' in outcome
      ? failureReport(outcome.failure)
      : { error_code: 200, ...deliveryOf(outcome, read, { cluster, topic }) };
  return `${JSON.stringify(report)}\r\n`;
}

/** What a report of a record says that was refused. */
export function failureReport(failure: ServiceError | KafkaRestError): { error_code: number; message: string } {
  const code = failure instanceof KafkaRestError ? failure.errorCode : statusAndCode(failure)[1];
  // A report is about one record: where it stood in a request to the log says nothing.
  return { error_code: code, message: failure.message.replace(/^records\.\d+[: ]+/, 'The record: ') };
}

/** What a report of a record says that was appended. @param read the record, for its types and sizes */
export function deliveryOf(
  { partition, offset, timestamp }: Delivered,
  read: Read | undefined,
  { cluster, topic }: { cluster: string; topic: string },
) {
  const { key, value } = read && !('failure' in read) ? read : {};
  return {
    cluster_id: cluster,
    topic_name: topic,
    partition_id: partition,
    offset,
    timestamp: new Date(timestamp).toISOString(),
    ...(key && { key }),
    ...(value && { value }),
  };
}
