// Decodes the replies of the scripts of logs.
import type { StoredBatch } from '../../core/records/batch-lines.ts';
import { ServiceError } from '../../core/service-error.ts';
import { bytes, decodeReply, integer, type ReplyValue } from '../scripts.ts';
import type { BatchToAppend } from './batch.ts';

export interface AppendResult {
  /** -1 if the batch has no records for this partition. */
  baseOffset: number;
  count: number;
  /** When it was appended by Redis' clock, ms. */
  timestamp: number;
  /** Whether this is the stored result of an earlier request that this one repeats. */
  replayed: boolean;
  /** The number of partitions of the topic when that request's records were distributed; 0 = unknown. */
  partitions: number;
  /** The run id of the Redis that has the batch, for waitForReplicas(). */
  runId: string;
}

/** Decodes the batches that logs/read returns. @param texts the records of all batches, one after the other; each text ends with the end of a batch */
export function decodeBatches(heads: string, texts: readonly ReplyValue[]): StoredBatch[] {
  const batches: StoredBatch[] = [];
  let [next, at] = [0, 0];
  let records: Buffer = Buffer.alloc(0);
  for (const head of heads.split('\n')) {
    if (head === '') break;
    const [baseOffset, count, timestamp, length] = head.split(' ').map(Number) as [number, number, number, number];
    if (length > 0 && at === records.length) {
      records = bytes(texts[next]);
      next += 1;
      at = 0;
    }
    batches.push({ baseOffset, count, timestamp, records: records.subarray(at, at + length) });
    at += length;
  }
  return batches;
}

/**
 * Decodes the reply to one batch of logs/append.
 * @param call what is the same for all batches of the call: its time by Redis' clock, and the run id of the Redis that replied
 */
export function decodeAppendReply(
  reply: ReplyValue,
  { count: given }: BatchToAppend,
  { timestamp: now, runId }: Pick<AppendResult, 'timestamp' | 'runId'>,
): AppendResult | ServiceError {
  if (typeof reply === 'number')
    return { replayed: false, baseOffset: reply, count: given, timestamp: now, partitions: 0, runId };
  try {
    const [replayed, baseOffset, count, timestamp, partitions] = decodeReply('logs/append', reply);
    return {
      replayed: integer(replayed) === 1,
      baseOffset: integer(baseOffset),
      count: integer(count),
      timestamp: integer(timestamp),
      partitions: integer(partitions),
      runId,
    };
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}
