/**
 * Lines of NDJSON that hold simple records (simple-records.ts): a record is its positions in the received text. A batch gathers the
 * records of several pieces of a stream; one record that is not simple makes all of its batch records one by one.
 */
import { isUtf8 } from 'node:buffer';
import { withoutByteOrderMark } from '../json-input.ts';
import { hasControls, JsonScanner, noPosition } from '../json-scanner.ts';
import { required } from '../required.ts';
import type { Steps } from '../steps.ts';
import { type EncodedRecord, fieldBytesMax } from './record-fields.ts';
import type { ParsedLines, RequestRecords } from './record-input.ts';
import { RecordReader } from './record-reader.ts';
import { bytesPerStep, linesOf, type PositionedRecords, positionsEach, recordsPerStep } from './simple-records.ts';

/** The records of a part of an NDJSON body, as positions. */
export interface SimpleLines extends PositionedRecords {
  /** The line number of each record. */
  lines: readonly number[];
  /** Number of lines, including blank ones. */
  lineCount: number;
}

const space = 0x20;
const openBrace = 0x7b;

/**
 * Scans lines of NDJSON.
 * @param firstLine the number of the first line, from 1
 * @returns undefined if one of them is no simple record, or not valid: parseLinesInSteps() reads them then, or says what is wrong
 */
export function* scanSimpleLines(input: Buffer, firstLine: number): Steps<SimpleLines | undefined> {
  const bytes = firstLine === 1 ? withoutByteOrderMark(input) : input;
  if (hasControls(bytes) || !isUtf8(bytes)) return undefined;
  const text = bytes.toString('latin1');
  const scanner = new JsonScanner(text, true);
  const reader = new RecordReader(scanner, true);
  const positions: number[] = [];
  const lines: number[] = [];
  let number = firstLine;
  let stepEnd = bytesPerStep;
  for (let start = 0; start <= text.length; number += 1) {
    const found = text.indexOf('\n', start);
    const end = found < 0 ? text.length : found;
    const at = skipSpaces(text, start, end);
    if (at < end) {
      if (text.charCodeAt(at) !== openBrace) return undefined;
      while (!reader.scan(at)) {
        if (!scanner.isInterrupted) return undefined;
        do yield;
        while (!scanner.resume());
      }
      // A record may go on in the next line only if a line feed stands within it, which is no NDJSON.
      if (!reader.isSimple || reader.end > end || skipSpaces(text, reader.end, end) < end) return undefined;
      if (reader.keyEnd - reader.keyStart > fieldBytesMax) return undefined;
      positions.push(at, reader.end, reader.keyStart, reader.keyEnd);
      lines.push(number);
    }
    start = end + 1;
    if (start > stepEnd || (number - firstLine) % recordsPerStep === recordsPerStep - 1) {
      yield;
      stepEnd = start + bytesPerStep;
    }
  }
  return { kind: 'positioned', count: lines.length, text, positions, lines, lineCount: number - firstLine };
}

function skipSpaces(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && text.charCodeAt(at) === space) at += 1;
  return at;
}

/** Limits of a batch; a single record may exceed the bytes. */
interface BatchLimits {
  records: number;
  /** Bytes of the lines, each with its line feed. */
  bytes: number;
}

/** Records of a stream that are appended together. */
export class LineBatch {
  readonly #limits: BatchLimits;
  #texts: string[] = [];
  #textLength = 0;
  #positions: number[] = [];
  #numbers: number[] = [];
  /** All records, once one of them is not simple. */
  #separate: EncodedRecord[] | undefined;
  #bytes = 0;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#numbers.length;
  }

  /** Adds records from one index on, until the next would exceed a limit. @returns the index of the first that was not added */
  fill(lines: SimpleLines | ParsedLines, from: number): number {
    return 'positions' in lines ? this.#fillSimple(lines, from) : this.#fillSeparate(lines, from);
  }

  /** Takes all records out of the batch. @returns also the bytes of their lines */
  take(): { records: RequestRecords; bytes: number } {
    const [numbers, bytes] = [this.#numbers, this.#bytes - this.#numbers.length];
    const records: RequestRecords = this.#separate
      ? { kind: 'separate', records: this.#separate, lines: numbers }
      : this.#positioned();
    this.#texts = [];
    this.#textLength = 0;
    this.#positions = [];
    this.#numbers = [];
    this.#separate = undefined;
    this.#bytes = 0;
    return { records, bytes };
  }

  #positioned(): PositionedRecords {
    const [numbers, positions] = [this.#numbers, this.#positions];
    return { kind: 'positioned', count: numbers.length, text: this.#texts.join('\n'), positions, lines: numbers };
  }

  /** Counts a record of so many bytes, if there is room for it. */
  #admit(number: number, bytes: number): boolean {
    const size = bytes + 1;
    const { count } = this;
    if (count > 0 && (count === this.#limits.records || this.#bytes + size > this.#limits.bytes)) return false;
    this.#bytes += size;
    this.#numbers.push(number);
    return true;
  }

  #fillSeparate({ records, numbers }: ParsedLines, from: number): number {
    if (from >= records.length) return from;
    this.#separate ??= encoded(this.#positioned());
    let index = from;
    for (; index < records.length; index += 1) {
      const record = required(records[index], 'record of a line');
      if (!this.#admit(required(numbers[index], 'number of a line'), record.line.length)) break;
      this.#separate.push(record);
    }
    return index;
  }

  #fillSimple(piece: SimpleLines, from: number): number {
    const { count, text, positions, lines } = piece;
    let index = from;
    while (index < count) {
      const at = index * positionsEach;
      const length = (positions[at + 1] ?? 0) - (positions[at] ?? 0);
      if (!this.#admit(required(lines[index], 'number of a line'), length)) break;
      index += 1;
    }
    const added = positions.slice(from * positionsEach, index * positionsEach);
    if (this.#separate) {
      this.#separate.push(...encoded({ kind: 'positioned', count: index - from, text, positions: added }));
    } else if (added.length > 0) {
      const start = added[0] ?? 0;
      const part = text.slice(start, added.at(1 - positionsEach));
      const shift = this.#textLength - start;
      for (const position of added) this.#positions.push(position === noPosition ? noPosition : position + shift);
      this.#texts.push(part);
      this.#textLength += part.length + 1;
    }
    return index;
  }
}

/** Records by their positions, made into records one by one. */
export function encoded(records: PositionedRecords): EncodedRecord[] {
  const { text, positions } = records;
  return linesOf(records).map((line, index) => {
    const [keyStart, keyEnd] = [
      positions[index * positionsEach + 2] ?? noPosition,
      positions[index * positionsEach + 3],
    ];
    const key = keyStart === noPosition ? undefined : text.slice(keyStart, keyEnd);
    return { line, key, partition: undefined, timestamp: undefined };
  });
}
