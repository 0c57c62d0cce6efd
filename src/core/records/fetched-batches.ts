/**
 * The batches of a log from an offset on, within limits, as a response of the type application/vnd.weir.batches has them: a line
 * of JSON that describes the batch, and its lines as they are stored. Batches are passed on as wholes; a batch is cut only where
 * the reader begins within it, or where the first one exceeds the limits. So a whole batch costs the same, however many records
 * it has.
 */
import type { BatchLines } from './batch-lines.ts';
import { type RecordLimits, TakenBatches } from './taken-batches.ts';

/** A batch, or a part of one, that is passed on. */
interface Piece {
  baseOffset: number;
  /** Number of its lines, including the empty ones of records that compaction has removed. */
  count: number;
  timestamp: number;
  bytes: Buffer;
  isCompressed: boolean;
}

export class FetchedBatches extends TakenBatches {
  static readonly none = new FetchedBatches([], 0, { maxRecords: 0, maxBytes: 0 });

  readonly #pieces: readonly Piece[];

  /**
   * @param batches those that are cut (see cutBatches()) are not compressed
   * @param from offset of the first requested record; it is in the first batch, or before all of them
   */
  constructor(batches: readonly BatchLines[], from: number, limits: RecordLimits) {
    const { maxRecords, maxBytes } = limits;
    const pieces: Piece[] = [];
    let [count, bytes, nextOffset, isCut] = [0, 0, from, false];
    for (const batch of batches) {
      const first = Math.max(nextOffset - batch.baseOffset, 0);
      // Compaction merges batches, so one that was read later may be wholly before the end of the previous one.
      if (first >= batch.count) continue;
      const isFirst = pieces.length === 0;
      const piece = isTakenWhole(batch, first, limits, isFirst) ? whole(batch) : part(batch, first, limits);
      const hasRoom = isFirst || (count + piece.count <= maxRecords && bytes + piece.bytes.length <= maxBytes);
      isCut = !hasRoom || piece.count === 0;
      if (isCut) break;
      pieces.push(piece);
      count += piece.count;
      bytes += piece.bytes.length;
      nextOffset = piece.baseOffset + piece.count;
      isCut = nextOffset < batch.baseOffset + batch.count;
      if (isCut) break;
    }
    super(batches, { count, bytes, nextOffset, isCut });
    this.#pieces = pieces;
  }

  get firstOffset(): number | undefined {
    return this.#pieces[0]?.baseOffset;
  }

  /**
   * The text: of each batch a line that describes it, its lines, and a line feed.
   * @param fields first fields of each description, such as `"partition":3` (JSON without braces)
   */
  parts(fields: string): Buffer[] {
    const parts: Buffer[] = [];
    let before = '';
    for (const { baseOffset, count, timestamp, bytes, isCompressed } of this.#pieces) {
      const encoding = isCompressed ? ',"encoding":"gzip"' : '';
      const place = `"baseOffset":${baseOffset},"count":${count},"timestamp":${timestamp}`;
      parts.push(Buffer.from(`${before}{${fields},${place},"bytes":${bytes.length}${encoding}}\n`), bytes);
      before = '\n';
    }
    if (parts.length > 0) parts.push(lineFeed);
    return parts;
  }

  /**
   * A JSON array of the batches, between `head` and `tail` (ASCII). Each has its records as they are stored, without offset: that of
   * records[i] is baseOffset + i. The place of a removed record is null.
   */
  enclosed(head: string, tail: string): Buffer {
    const parts: Buffer[] = [];
    let before = head;
    for (const { baseOffset, count, timestamp, bytes, isCompressed } of this.#pieces) {
      if (isCompressed) throw new Error('Compressed records cannot be elements of an array');
      const place = `"baseOffset":${baseOffset},"count":${count},"timestamp":${timestamp}`;
      parts.push(Buffer.from(`${before}{${place},"records":[`), asElements(bytes));
      before = ']},';
    }
    parts.push(Buffer.from(`${parts.length === 0 ? head : ']}'}${tail}`));
    return Buffer.concat(parts);
  }
}

const lineFeed = Buffer.from('\n');
const lineFeedByte = 0x0a;
const commaByte = 0x2c;
const emptyLine = Buffer.from('\n\n');

/** Lines as the elements of a JSON array; an empty line, the place of a removed record, is `null`. */
function asElements(lines: Buffer): Buffer {
  const [first, last] = [lines[0], lines.at(-1)];
  if (first === lineFeedByte || last === lineFeedByte || last === undefined || lines.includes(emptyLine)) {
    const elements = lines.toString('latin1').split('\n');
    return Buffer.from(elements.map((line) => line || 'null').join(','), 'latin1');
  }
  const elements = Buffer.from(lines);
  for (let at = elements.indexOf(lineFeedByte); at >= 0; at = elements.indexOf(lineFeedByte, at + 1)) {
    elements[at] = commaByte;
  }
  return elements;
}

/** The batches of which a read with these limits takes only a part. */
export function cutBatches(batches: readonly BatchLines[], from: number, limits: RecordLimits): BatchLines[] {
  let next = from;
  let isFirst = true;
  return batches.filter((batch) => {
    const first = Math.max(next - batch.baseOffset, 0);
    if (first >= batch.count) return false;
    const isWhole = isTakenWhole(batch, first, limits, isFirst);
    next = batch.baseOffset + batch.count;
    isFirst = false;
    return !isWhole;
  });
}

/** Whether a batch is taken or left out as a whole; the first one is cut if it exceeds the limits. */
function isTakenWhole(
  { baseOffset, count, bytes }: BatchLines,
  first: number,
  { maxRecords, maxBytes, end = Number.POSITIVE_INFINITY }: RecordLimits,
  isFirst: boolean,
): boolean {
  if (first > 0 || baseOffset + count > end) return false;
  return !isFirst || (count <= maxRecords && bytes.length <= maxBytes);
}

function whole({ baseOffset, count, timestamp, bytes, isCompressed }: BatchLines): Piece {
  return { baseOffset, count, timestamp, bytes, isCompressed };
}

/** The lines of a batch from an index on, as many as the limits allow; of those before the end at least one. */
function part(
  batch: BatchLines,
  from: number,
  { maxRecords, maxBytes, end = Number.POSITIVE_INFINITY }: RecordLimits,
): Piece {
  const { baseOffset, timestamp, bytes } = batch;
  // The last line of a batch is never empty, so some record follows.
  let first = from;
  while (first < batch.count - 1 && batch.isRemoved(first)) first += 1;
  const start = batch.startOf(first);
  const limit = Math.min(batch.count, first + maxRecords, end - baseOffset);
  let next = first;
  while (next < limit && (next === first || batch.endOf(next) - start <= maxBytes)) next += 1;
  const lines = next > first ? bytes.subarray(start, batch.endOf(next - 1)) : bytes.subarray(0, 0);
  return { baseOffset: baseOffset + first, count: next - first, timestamp, bytes: lines, isCompressed: false };
}
