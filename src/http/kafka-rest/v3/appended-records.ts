// Appends records of version 3, each with an outcome of its own: one that is refused does not keep the others out.
import { appendedBefore, type ProduceResult } from '../../../broker/log/log-writer.ts';
import { required } from '../../../core/required.ts';
import { findServiceError, type ServiceError } from '../../../core/service-error.ts';
import type { KafkaRestError } from '../errors.ts';
import type { Read, V3Record } from './record.ts';

/** Where a record was appended. */
export interface Delivered {
  partition: number;
  offset: number;
  /** Ms since the epoch. */
  timestamp: number;
}

type Outcome = Delivered | { failure: ServiceError };
/** That of a record as it was read, which may have failed before. */
export type ReadOutcome = Delivered | { failure: ServiceError | KafkaRestError };

export interface Appender {
  /** Appends records in one request. @throws ServiceError as LogWriter.produce() */
  append(records: readonly V3Record[]): Promise<ProduceResult>;
  /** Why a record is refused, as far as that is known without the store; undefined if it is not. */
  refusalOf(record: V3Record): ServiceError | undefined;
}

/**
 * Failures that the store has no part in, so that nothing was appended, or that it tells of one record: the other records may succeed. Of
 * any other failure the same is true for all.
 */
const ofOneRecord = new Set<unknown>(['BAD_REQUEST', 'TOO_LARGE', 'UNKNOWN_PARTITION']);

/**
 * Appends the records that were read without a failure, together if all are accepted.
 * @returns the outcome of each, in their order
 */
export async function appendRead(batch: readonly Read[], appender: Appender): Promise<ReadOutcome[]> {
  const valid = batch.flatMap((read) => ('failure' in read ? [] : [read]));
  const appended = valid.length > 0 ? await appendEach(valid, appender) : [];
  let next = 0;
  return batch.map((read) => ('failure' in read ? read : required(appended[next++], 'outcome of a record')));
}

/** Appends records likewise; at least one. */
async function appendEach(records: readonly V3Record[], appender: Appender): Promise<Outcome[]> {
  try {
    return deliveredBy(await appender.append(records), records);
  } catch (error) {
    const failure = findServiceError(error);
    if (!failure) throw error;
    const before = appendedBefore(error);
    const outcomes = before ? deliveredBy(before, records) : records.map(() => undefined);
    if (!ofOneRecord.has(failure.code) || records.length === 1) return outcomes.map((one) => one ?? { failure });
    const all: Outcome[] = [];
    // In turn, so that the records of a partition keep their order.
    for (const [i, one] of outcomes.entries()) {
      const record = required(records[i], 'record of an outcome');
      // A request for each record that cannot succeed would cost a stream of them a read of the topic each.
      const refusal = one ? undefined : appender.refusalOf(record);
      const known = refusal ? { failure: refusal } : one;
      all.push(known ?? required((await appendEach([record], appender))[0], 'outcome of a record'));
    }
    return all;
  }
}

function deliveredBy(result: ProduceResult, records: readonly V3Record[]): Delivered[];
function deliveredBy(
  result: Pick<ProduceResult, 'results' | 'partitions'>,
  records: readonly V3Record[],
): (Delivered | undefined)[];
function deliveredBy(
  { results, partitions }: Pick<ProduceResult, 'results' | 'partitions'>,
  records: readonly V3Record[],
): (Delivered | undefined)[] {
  const next = new Map(results.map(({ partition, baseOffset, timestamp }) => [partition, { baseOffset, timestamp }]));
  return records.map(({ record }, i) => {
    const partition = required(partitions[i], 'partition of a record');
    const at = next.get(partition);
    if (at?.baseOffset === undefined) return undefined;
    const { baseOffset: offset, timestamp = 0 } = at;
    next.set(partition, { ...at, baseOffset: offset + 1 });
    return { partition, offset, timestamp: record.timestamp ?? timestamp };
  });
}
