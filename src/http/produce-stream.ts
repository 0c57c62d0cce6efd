// Produces an NDJSON stream of any length: records are appended in batches as they arrive, with a result line for each batch. In memory
// are only one batch, one chunk from the network and the incomplete line.

import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { offsetsOf, type ProduceResult } from '../broker/log/log-writer.ts';
import type { EncodedRecord } from '../core/records/record-fields.ts';
import { type ParsedLines, parseLinesInSteps, type RequestRecords } from '../core/records/record-input.ts';
import { encoded, LineBatch, type SimpleLines, scanSimpleLines } from '../core/records/simple-lines.ts';
import { afterPartialSuccess, ServiceError } from '../core/service-error.ts';
import type { Steps } from '../core/steps.ts';
import type { DeduplicationKey } from '../store/log/logs.ts';
import { GrowingBuffer } from './growing-buffer.ts';

interface StreamOptions {
  /** The topic's max.message.bytes. */
  batchBytesMax: number;
  offsets: boolean;
  /** That of the whole stream; each batch gets one of its own that follows from it. */
  deduplicationKey: DeduplicationKey | undefined;
  /**
   * Called with how many bytes of a large line are in memory, whenever that changes; 0 when it is read.
   * @throws ServiceError if there is no room for them
   */
  countLine(bytes: number): void;
  /** Runs steps that read so many bytes, when it is their turn. */
  inSteps<T>(steps: Steps<T>, bytes: number): Promise<T>;
  /** Whether the whole body has come in, read or not. */
  hasArrived(): boolean;
  /** @param bytes those of the lines of all records */
  append(
    records: RequestRecords,
    bytes: number,
    deduplicationKey: DeduplicationKey | undefined,
  ): Promise<ProduceResult>;
}

/** A batch is appended at the latest when it has so many records or bytes. */
const batchRecordsMax = 1000;
const batchBytesUsual = 256 * 1024;
/** How much longer than its batch a line may be: white space and members that are not stored. */
const lineExtraBytesMax = 64 * 1024;
const lineFeed = 10;

/**
 * Appends the records of `source`, and gives the lines of the response: a result for each appended batch and, if it fails
 * later on, the problem as the last one, with the number of the line where it is known.
 * @throws ServiceError if it fails before anything was appended
 */
export async function* produceStream(source: Readable, options: StreamOptions): AsyncGenerator<string> {
  let hasResults = false;
  try {
    for await (const line of appendBatches(source, options)) {
      hasResults = true;
      yield line;
    }
    if (!hasResults) throw new ServiceError('BAD_REQUEST', 'The body has no records; give one on each line.');
  } catch (failure) {
    const error = source.readableAborted && !(failure instanceof ServiceError) ? connectionLost() : failure;
    if (!hasResults || !(error instanceof ServiceError)) throw error;
    const problem = error.toProblem();
    yield `${JSON.stringify({ ...problem, title: afterPartialSuccess(problem.title), detail: afterPartialSuccess(problem.detail) })}\n`;
  }
}

async function* appendBatches(source: Readable, options: StreamOptions): AsyncGenerator<string> {
  const { deduplicationKey } = options;
  const batchBytesMax = Math.min(batchBytesUsual, options.batchBytesMax);
  const batch = new LineBatch({ records: batchRecordsMax, bytes: batchBytesMax });
  let batchNumber = 0;

  async function append(): Promise<string> {
    const { records, bytes } = batch.take();
    const known = deduplicationKey && deduplicationKeyOfBatch(deduplicationKey, separate(records), batchNumber);
    const produced = await options.append(records, bytes, known);
    batchNumber += 1;
    const last = produced.results.length - 1;
    // A client that resumes a broken stream needs the sequences that were used.
    const sequence = known?.kind === 'producer' ? { sequence: known.sequence } : {};
    return produced.results
      .map((result, index) => {
        const offsets = options.offsets && index === last ? { offsets: offsetsOf(produced) } : {};
        const replayed = produced.replayed ? { replayed: true } : {};
        return `${JSON.stringify({ ...result, ...sequence, ...offsets, ...replayed })}\n`;
      })
      .join('');
  }

  for await (const { lines, isAll } of readPieces(source, options)) {
    const count = 'positions' in lines ? lines.count : lines.records.length;
    for (let next = batch.fill(lines, 0); next < count; next = batch.fill(lines, next)) yield await append();
    // A client that sends rarely must not wait until a batch is full, so what has arrived is appended now. Two exceptions: a stream that
    // may be repeated must give the same batches again, whenever its bytes arrive; and a small body that has arrived as a whole is read
    // to its end first, so that it is appended as a whole or refused.
    if (isAll && !deduplicationKey && batch.count > 0 && !options.hasArrived()) yield await append();
  }
  if (batch.count > 0) yield await append();
}

/** The records of a stream, piece by piece as it arrives; `isAll` = no more of it has arrived so far. */
async function* readPieces(
  source: Readable,
  { batchBytesMax, countLine, inSteps }: StreamOptions,
): AsyncGenerator<{ lines: SimpleLines | ParsedLines; isAll: boolean }> {
  const lineBytesMax = batchBytesMax + lineExtraBytesMax;
  const rest = new GrowingBuffer(countLine);
  let lineNumber = 0;
  // Most streams have records of one kind, so the scan that knows only simple ones is not tried again once it has failed.
  let isSimple = true;

  const read = async (bytes: Buffer): Promise<SimpleLines | ParsedLines> => {
    const simple = isSimple ? await inSteps(scanSimpleLines(bytes, lineNumber + 1), bytes.length) : undefined;
    isSimple = simple !== undefined;
    const lines = simple ?? (await inSteps(parseLinesInSteps(bytes, lineNumber + 1), bytes.length));
    lineNumber += lines.lineCount;
    return lines;
  };

  // The stream is not destroyed on an error: its connection carries the response.
  for await (const piece of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    const end = piece.lastIndexOf(lineFeed);
    let lines: SimpleLines | ParsedLines = noLines;
    if (end >= 0) {
      rest.append(piece.subarray(0, end));
      lines = await read(rest.take());
      rest.shrink();
    }
    rest.append(piece.subarray(end + 1));
    if (rest.length > lineBytesMax) {
      throw atLine(
        lineNumber + 1,
        'TOO_LARGE',
        `line ${lineNumber + 1} has more than ${lineBytesMax} bytes; max.message.bytes of the topic limits a record.`,
      );
    }
    // What is on its way inside this process, the next piece or the end, is still to be counted as arrived.
    if (source.readableLength === 0) await setImmediate();
    yield { lines, isAll: source.readableLength === 0 };
  }
  if (rest.length > 0) yield { lines: await read(rest.take()), isAll: true };
}

const noLines: ParsedLines = { records: [], numbers: [], lineCount: 0 };

/** The records of a batch one by one. */
function separate(records: RequestRecords): EncodedRecord[] {
  if (records.kind === 'separate') return records.records;
  if (records.kind === 'positioned') return encoded(records);
  throw new Error('The records of a stream are never one block.');
}

/** What identifies a part of a stream: a producer's batches take one sequence after the other; keys are made from that of the stream. */
export function deduplicationKeyOfBatch(
  whole: DeduplicationKey,
  records: readonly EncodedRecord[],
  number: number,
): DeduplicationKey {
  if (whole.kind === 'producer') {
    return { ...whole, sequence: whole.sequence + number };
  }
  const hash = createHash('sha256').update(whole.fingerprint);
  // `line` leaves out the partition that a record asks for.
  for (const { line, partition } of records) hash.update(`\n${partition ?? ''} ${line}`);
  // A line feed cannot stand in a header, so no other key is ever the same.
  return {
    kind: 'key',
    key: number === 0 ? whole.key : `${whole.key}\n${number}`,
    fingerprint: hash.digest('base64url'),
  };
}

/** Reaches no client, but must not be logged as an internal error. */
function connectionLost(): ServiceError {
  return new ServiceError(
    'BAD_REQUEST',
    'The connection was lost before the body ended; what follows the last result was not appended.',
  );
}

function atLine(line: number, code: ServiceError['code'], detail: string): ServiceError {
  return new ServiceError(code, detail, { line });
}
