/**
 * Access to the records of a stored batch by the bytes of their lines (record-fields.ts describes the format), mostly without
 * parsing them.
 *
 * The forms of records on their way into and through a log:
 * RequestRecords (record-input.ts): the records of one request. RecordBatch (request-batches.ts): those for one partition,
 * before they have offsets. BatchToAppend (store/log/batch.ts): a RecordBatch with the checks of its append. StoredBatch (here):
 * a batch of the log, with its base offset. BatchToCompact and CompactedBatch (compaction.ts): a StoredBatch before and after
 * compaction.
 */

import { z } from 'zod';
import { decodeDocument } from '../stored-document.ts';

/** A batch as the log stores it, decompressed or not. */
export interface StoredBatch {
  baseOffset: number;
  /** Number of offsets in the batch, including those of removed records. */
  count: number;
  /** Time of the append, ms since the epoch; the timestamp of each record without its own. */
  timestamp: number;
  /** The lines, in UTF-8. */
  records: Buffer;
}

const lineFeed = 0x0a;
const comma = 0x2c;
const quote = 0x22;
const backslash = 0x5c;
const closeBrace = 0x7d;
const t = 0x74;

const ownTimestamp = '{"timestamp":';
const plainKey = '"key":"';
const valueNames = [',"value":', ',"valueBase64":'];

/** Whether stored records are compressed: they begin with gzip's magic number, and a line of JSON cannot. */
export function isCompressed(records: Buffer): boolean {
  return records[0] === 0x1f && records[1] === 0x8b;
}

/** A stored record as far as its key is concerned. */
const keyedRecord = z.looseObject({ key: z.string().nullish(), keyBase64: z.string().optional() });

export class BatchLines {
  readonly baseOffset: number;
  readonly count: number;
  readonly timestamp: number;
  readonly bytes: Buffer;
  /** The end of each line: the position of its line feed, or the end of the bytes. Found when they are first asked for. */
  #ends: Int32Array | undefined;

  /** @param batch one whose records are compressed has no lines to ask for; it can only be passed on */
  constructor({ baseOffset, count, timestamp, records }: StoredBatch) {
    this.baseOffset = baseOffset;
    this.count = count;
    this.timestamp = timestamp;
    this.bytes = records;
  }

  get isCompressed(): boolean {
    return isCompressed(this.bytes);
  }

  startOf(index: number): number {
    return index === 0 ? 0 : this.endOf(index - 1) + 1;
  }

  endOf(index: number): number {
    return (this.#ends ?? this.#findEnds())[index] ?? 0;
  }

  #findEnds(): Int32Array {
    const { bytes, count } = this;
    if (this.isCompressed) throw new Error('The lines of a compressed batch are not known');
    const ends = new Int32Array(count);
    let at = 0;
    for (let index = 0; index < count; index += 1) {
      const end = bytes.indexOf(lineFeed, at);
      ends[index] = end < 0 ? bytes.length : end;
      at = end + 1;
    }
    this.#ends = ends;
    return ends;
  }

  /** Whether compaction has removed the record. */
  isRemoved(index: number): boolean {
    return this.startOf(index) === this.endOf(index);
  }

  /** Whether the record has its own timestamp. Its line then begins with that field; no other field begins with a t. */
  hasOwnTimestamp(index: number): boolean {
    const start = this.startOf(index);
    return this.bytes[start + 1] === quote && this.bytes[start + 2] === t;
  }

  /** The timestamp of a record that was not removed, ms since the epoch. */
  timestampOf(index: number): number {
    if (!this.hasOwnTimestamp(index)) return this.timestamp;
    const start = this.startOf(index) + ownTimestamp.length;
    return Number.parseInt(this.bytes.toString('latin1', start, Math.min(start + 17, this.endOf(index))), 10);
  }

  /**
   * The key of a record that was not removed, and whether it is a tombstone. The key is a latin1 string of its bytes, so equal
   * strings mean equal keys.
   */
  keyOf(index: number): { key: string | undefined; isTombstone: boolean } {
    const { bytes } = this;
    const end = this.endOf(index);
    let at = this.startOf(index) + 1;
    if (this.hasOwnTimestamp(index)) at = bytes.indexOf(comma, at) + 1;
    // Fast path for the usual form: the key first, without escapes.
    if (at > 0 && at + plainKey.length < end && bytes.toString('latin1', at, at + plainKey.length) === plainKey) {
      const keyStart = at + plainKey.length;
      const keyEnd = bytes.indexOf(quote, keyStart);
      const hasEscape = bytes.subarray(keyStart, keyEnd).includes(backslash);
      const rest = bytes.toString('latin1', keyEnd + 1, Math.min(keyEnd + 16, end));
      const isTombstone = bytes[keyEnd + 1] === closeBrace;
      if (!hasEscape && (isTombstone || valueNames.some((name) => rest.startsWith(name)))) {
        return { key: bytes.toString('latin1', keyStart, keyEnd), isTombstone };
      }
    }
    const record = decodeDocument('The stored record', bytes.toString('utf8', this.startOf(index), end), keyedRecord);
    const isTombstone = !('value' in record) && !('valueBase64' in record);
    if (record.keyBase64 !== undefined) {
      return { key: Buffer.from(record.keyBase64, 'base64').toString('latin1'), isTombstone };
    }
    if (record.key === undefined || record.key === null) return { key: undefined, isTombstone };
    return { key: Buffer.from(record.key).toString('latin1'), isTombstone };
  }
}
