/**
 * Lists of simple records: each has only a value and perhaps a key. They are neither parsed nor made into objects: a record is its
 * positions in the received text until its partition is known. If no record has a key and only commas are between them, all go to
 * one partition as they are: the commas become line feeds.
 */
import { JsonScanner } from '../json-scanner.ts';
import { required } from '../required.ts';
import { ServiceError } from '../service-error.ts';
import type { Steps } from '../steps.ts';
import { checkFieldBytes } from './record-fields.ts';
import { RecordReader } from './record-reader.ts';

/** Records without key, partition and timestamp, as one block of lines. */
export interface ContiguousRecords {
  kind: 'contiguous';
  count: number;
  lines: Buffer;
}

/** Records without partition and timestamp, by their positions. */
export interface PositionedRecords {
  kind: 'positioned';
  count: number;
  /** The received bytes as a latin1 string. */
  text: string;
  /** Four numbers for each record: its start and end, and those of its key; the latter are -1 if it has none. */
  positions: readonly number[];
  /** The line number of each record of NDJSON. */
  lines?: readonly number[];
}

/** A scanned list, and the position after its bracket. */
export interface SimpleList {
  end: number;
  positions: number[];
  /** Whether they can be kept as one block. */
  isContiguous: boolean;
}

const comma = 0x2c;
const lineFeed = 0x0a;
const closeBracket = 0x5d;
const openBrace = 0x7b;

/** Positions of each record. */
export const positionsEach = 4;
/** Maximum number of records in a request that is not a stream. */
export const recordsMax = 100_000;
/** How much is read between two steps. */
export const recordsPerStep = 256;
export const bytesPerStep = 64 * 1024;

/**
 * Scans a list of simple records.
 * @param text without line feeds; the list begins at `start`
 * @returns undefined if it is not a list of simple records
 * @throws ServiceError TOO_LARGE
 */
export function* scanSimple(text: string, start: number): Steps<SimpleList | undefined> {
  const scanner = new JsonScanner(text, true);
  const reader = new RecordReader(scanner, true);
  const positions: number[] = [];
  let isContiguous = true;
  let at = scanner.skipSpace(start + 1);
  let stepEnd = at + bytesPerStep;
  for (;;) {
    if (text.charCodeAt(at) !== openBrace || !reader.scan(at) || !reader.isSimple) {
      if (!scanner.isInterrupted) return undefined;
      do yield;
      while (!scanner.resume());
      continue;
    }
    const { end, keyStart, keyEnd } = reader;
    const index = positions.length / positionsEach;
    if (index === recordsMax) throw tooManyRecords();
    if (keyStart >= 0) {
      checkFieldBytes(keyEnd - keyStart, () => `records.${index}.key`);
      isContiguous = false;
    }
    positions.push(at, end, keyStart, keyEnd);
    const unitAt = scanner.skipSpace(end);
    const unit = text.charCodeAt(unitAt);
    if (unit === closeBracket) return { end: unitAt + 1, positions, isContiguous };
    if (unit !== comma) return undefined;
    at = scanner.skipSpace(unitAt + 1);
    if (at > end + 1) isContiguous = false;
    if (at > stepEnd || (index + 1) % recordsPerStep === 0) {
      yield;
      stepEnd = at + bytesPerStep;
    }
  }
}

/** The records of a list. It may change the bytes of `body`, and returns parts of it. */
export function simpleRecords(body: Buffer, text: string, list: SimpleList): ContiguousRecords | PositionedRecords {
  const { positions, isContiguous } = list;
  const count = positions.length / positionsEach;
  if (!isContiguous) return { kind: 'positioned', count, text, positions };
  const last = positions[(count - 1) * positionsEach + 1];
  for (let at = 1; at < positions.length - positionsEach; at += positionsEach) {
    body[required(positions[at], 'end of a record')] = lineFeed;
  }
  return { kind: 'contiguous', count, lines: body.subarray(positions[0], last) };
}

/** The lines of all records, bytes as text. */
export function linesOf({ count, text, positions }: PositionedRecords): string[] {
  return Array.from({ length: count }, (_, index) => {
    const at = index * positionsEach;
    return text.slice(positions[at], positions[at + 1]);
  });
}

/** The records of one partition: parts of the text with one line or several, and the positions of the last part. */
interface PartitionLines {
  count: number;
  parts: string[];
  start: number;
  end: number;
}

/**
 * The lines of the records of each partition. Lines that follow each other in the text stay together.
 * @param partitions that of each record
 */
export function linesByPartition(
  { text, positions }: PositionedRecords,
  partitions: readonly number[],
): Map<number, Pick<PartitionLines, 'count' | 'parts'>> {
  const byPartition = new Map<number, PartitionLines>();
  let at = 0;
  for (const partition of partitions) {
    const start = required(positions[at], 'start of a record');
    const end = required(positions[at + 1], 'end of a record');
    at += positionsEach;
    const lines = byPartition.get(partition);
    if (!lines) {
      byPartition.set(partition, { count: 1, parts: [], start, end });
      continue;
    }
    lines.count += 1;
    if (start !== lines.end + 1 || text.charCodeAt(lines.end) !== lineFeed) {
      lines.parts.push(text.slice(lines.start, lines.end));
      lines.start = start;
    }
    lines.end = end;
  }
  for (const { parts, start, end } of byPartition.values()) parts.push(text.slice(start, end));
  return byPartition;
}

export function tooManyRecords(): ServiceError {
  return new ServiceError(
    'TOO_LARGE',
    `The body has more than ${recordsMax} records; send fewer at once, or stream them as application/x-ndjson.`,
    { recordsMax },
  );
}
