/**
 * The records of some batches from an offset on, within limits, and their text for responses. Readers at the same position
 * share an instance, so the text is built once. Bytes are copied from the stored batches to the response in one pass; no record
 * is parsed.
 */
import type { BatchLines } from './batch-lines.ts';
import { RecordPrefix, timePart } from './record-prefix.ts';
import { type RecordLimits, TakenBatches } from './taken-batches.ts';

/** A record of a stored batch. `line` is its JSON after the offset, such as `"timestamp":1,"value":"a"}`. */
interface StoredRecord {
  offset: number;
  line: string;
}

/** Separator between records: of array elements, or of lines. */
type Separator = ',' | '\n';

/** Records of one batch, from one index up to another, those between that compaction has removed included. */
interface Run {
  batch: BatchLines;
  first: number;
  end: number;
}

const startText = '{"offset":';

export class FetchedRecords extends TakenBatches {
  static readonly none = new FetchedRecords([], 0, { maxRecords: 0, maxBytes: 0 });

  readonly #from: number;
  /** Which records of the batches they are. */
  readonly runs: readonly Run[];
  #array: string | undefined;
  #lines: Buffer | undefined;
  #records: StoredRecord[] | undefined;

  /** @param from offset of the first requested record; it is in the first batch, or before all of them */
  constructor(
    batches: readonly BatchLines[],
    from: number,
    { maxRecords, maxBytes, end = Number.POSITIVE_INFINITY }: RecordLimits,
  ) {
    const runs: Run[] = [];
    let [count, bytes, nextOffset, isCut] = [0, 0, from, false];
    for (const batch of batches) {
      const timeBytes = timePart(batch.timestamp).length;
      // Compaction merges batches, so a batch that was read later may contain offsets of the previous one.
      const first = Math.max(nextOffset - batch.baseOffset, 0);
      let index = first;
      for (; index < batch.count; index += 1) {
        if (batch.isRemoved(index)) continue;
        const size = sizeOf(batch, index, timeBytes);
        isCut = count === maxRecords || (count > 0 && bytes + size > maxBytes) || batch.baseOffset + index >= end;
        if (isCut) break;
        count += 1;
        bytes += size;
      }
      if (index > first) runs.push({ batch, first, end: index });
      nextOffset = batch.baseOffset + index;
      if (isCut) break;
    }
    super(batches, { count, bytes, nextOffset, isCut });
    this.#from = from;
    this.runs = runs;
  }

  /** The first `count` records, or all if there are fewer. */
  first(count: number): FetchedRecords {
    if (count >= this.count) return this;
    return new FetchedRecords(this.batches, this.#from, { maxRecords: count, maxBytes: Number.POSITIVE_INFINITY });
  }

  get firstOffset(): number | undefined {
    for (const { batch, first, end } of this.runs) {
      for (let index = first; index < end; index += 1) {
        if (!batch.isRemoved(index)) return batch.baseOffset + index;
      }
    }
    return undefined;
  }

  /** The records one by one. Shared between readers: do not change it. */
  get records(): readonly StoredRecord[] {
    this.#records ??= this.runs.flatMap(({ batch, first, end }) => {
      const records: StoredRecord[] = [];
      for (let index = first; index < end; index += 1) {
        if (batch.isRemoved(index)) continue;
        records.push({ offset: batch.baseOffset + index, line: lineOf(batch, index) });
      }
      return records;
    });
    return this.#records;
  }

  /**
   * All records as JSON objects separated by commas, between `head` and `tail` (ASCII). Not cached, as it may be large.
   */
  enclosed(head: string, tail: string): Buffer {
    return this.#write(',', head, tail);
  }

  /** All records separated by commas, each with `fields` first, such as `"partition":3` (ASCII, without commas around them). */
  elementsWith(fields: string): Buffer {
    return this.#write(',', '', '', `{${fields},"offset":`);
  }

  /** All records as a JSON array. */
  array(): string {
    this.#array ??= this.enclosed('[', ']').toString();
    return this.#array;
  }

  /** All records as NDJSON. */
  lines(): Buffer {
    this.#lines ??= this.#write('\n', '', this.count > 0 ? '\n' : '');
    return this.#lines;
  }

  /** Writes all records between two texts. @param start beginning of each record, up to its offset */
  #write(separator: Separator, head: string, tail: string, start = startText): Buffer {
    const eachBytes = 1 + start.length + String(this.nextOffset).length + 1;
    const text = Buffer.allocUnsafe(head.length + this.bytes + this.count * eachBytes + tail.length);
    // Each record is written with a separator before it. The first separator is overwritten by the end of `head`, or cut off.
    const skipped = head.length === 0 && this.count > 0 ? 1 : 0;
    let at = this.count > 0 ? head.length - 1 + skipped : head.length;
    for (const { batch, first, end } of this.runs) {
      const prefix = new RecordPrefix(separator + start, batch.baseOffset + first, batch.timestamp);
      const { bytes } = batch;
      for (let index = first; index < end; index += 1, prefix.next()) {
        const lineStart = batch.startOf(index);
        const lineEnd = batch.endOf(index);
        if (lineStart === lineEnd) continue;
        if (batch.hasOwnTimestamp(index)) at += prefix.bytes.copy(text, at, 0, prefix.offsetEnd);
        else {
          text.set(prefix.bytes, at);
          at += prefix.end;
        }
        // A record with only offset and timestamp has no comma before its brace.
        if (lineEnd - lineStart === 2) at -= 1;
        at += bytes.copy(text, at, lineStart + 1, lineEnd);
      }
    }
    text.write(head, 'latin1');
    at += text.write(tail, at, 'latin1');
    return text.subarray(skipped, at);
  }
}

/** Bytes of a record after its offset. */
function sizeOf(batch: BatchLines, index: number, timeBytes: number): number {
  const length = batch.endOf(index) - batch.startOf(index) - 1;
  if (batch.hasOwnTimestamp(index)) return length;
  return length === 1 ? length + timeBytes - 1 : length + timeBytes;
}

function lineOf(batch: BatchLines, index: number): string {
  const rest = batch.bytes.toString('utf8', batch.startOf(index) + 1, batch.endOf(index));
  if (batch.hasOwnTimestamp(index)) return rest;
  const time = timePart(batch.timestamp);
  return rest === '}' ? `${time.slice(0, -1)}}` : time + rest;
}
