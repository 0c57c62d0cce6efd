/**
 * Reads the records of a produce request, checks them and makes their stored lines (record-fields.ts).
 *
 * Everything here works on bytes as text: latin1 strings in which each character is one byte of UTF-8. Most records are scanned
 * once and their bytes are kept; only records with more than a key and a value are parsed.
 */

import { isUtf8 } from 'node:buffer';
import { readJson, withoutByteOrderMark } from '../json-input.ts';
import { hasControls, JsonScanner, jsonProblem, noPosition, scannerOf, valueIn } from '../json-scanner.ts';
import { ServiceError } from '../service-error.ts';
import { runSteps, type Steps } from '../steps.ts';
import { bytesAsText, type EncodedRecord, onOneLine } from './record-fields.ts';
import { RecordReader } from './record-reader.ts';
import {
  bytesPerStep,
  type ContiguousRecords,
  type PositionedRecords,
  recordsMax,
  recordsPerStep,
  type SimpleList,
  scanSimple,
  simpleRecords,
  tooManyRecords,
} from './simple-records.ts';

/** The checked records of one request, before they are assigned to partitions. */
export type RequestRecords =
  /** Records one by one; those of NDJSON with their line numbers. */
  { kind: 'separate'; records: EncodedRecord[]; lines?: readonly number[] } | ContiguousRecords | PositionedRecords;

const comma = 0x2c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Reads `{"records":[…]}`. It may change the bytes of `body` and return a part of them.
 * @returns the records, and the other fields of the body unchecked
 * @throws ServiceError BAD_REQUEST naming the record and the field; TOO_LARGE for too many records
 */
export function* parseRecordsInSteps(input: Buffer): Steps<{ records: RequestRecords; rest: Record<string, unknown> }> {
  const body = withoutByteOrderMark(input);
  if (body.length === 0) throw bad('The body is empty, which is not JSON; send {"records":[…]}.');
  if (!isUtf8(body)) throw bad('The body is not valid UTF-8, as JSON has to be.');
  const scanner = scannerOf(body);
  const { text, isClean: isOneLine } = scanner;
  const start = scanner.skipSpace(0);
  if (text.charCodeAt(start) !== openBrace) {
    const end = yield* skipValueInSteps(scanner, start);
    if (end === noPosition) throw notJson(scanner);
    throw bad('The body must be an object with the records: {"records":[…]}.');
  }
  const rest = new Map<string, unknown>();
  let list: ScannedList | undefined;
  let at = scanner.skipSpace(start + 1);
  for (let isFirst = true; !(isFirst && text.charCodeAt(at) === closeBrace); isFirst = false) {
    const valueAt = scanner.skipName(at);
    if (valueAt === noPosition) throw notJson(scanner);
    const name = valueIn(text, at, scanner.skipString(at)) as string;
    if (rest.has(name) || (list && name === 'records')) throw bad(`The body has the field ${name} twice.`);
    if (name !== 'records' && !otherFieldNames.has(name)) {
      throw bad(`The body has an unknown field '${name.slice(0, shownCharacters)}'; it has records and producer.`);
    }
    if (name === 'records' && text.charCodeAt(valueAt) === openBracket) {
      list = yield* scanList(text, valueAt, isOneLine);
      at = list.end;
    } else {
      const part = readOtherField(body, text, scanner, valueAt);
      rest.set(name, part.value);
      at = part.end;
    }
    at = scanner.skipSpace(at);
    if (text.charCodeAt(at) === closeBrace) break;
    if (text.charCodeAt(at) !== comma) throw notJson(scanner, at);
    at = scanner.skipSpace(at + 1);
  }
  const end = scanner.skipSpace(at + 1);
  if (end < text.length) throw notJson(scanner, end);
  if (!list) throw bad('The body must have a list of records: {"records":[…]}.');
  return { records: recordsOf(body, text, list), rest: Object.fromEntries(rest) };
}

/**
 * Reads the list of records that begins at `start`, within a longer JSON text. It may change the bytes of the list, and return a
 * part of them.
 * @param bytes the whole text, and `text` the same as bytes as text
 * @param isOneLine whether it has no control characters
 * @returns the records, and the position after the list
 * @throws ServiceError as parseRecordsInSteps(); a list that is not JSON is a BAD_REQUEST, too
 */
export function readRecordList(
  bytes: Buffer,
  { text, start, isOneLine }: { text: string; start: number; isOneLine: boolean },
): { records: RequestRecords; end: number } {
  const list = runSteps(scanList(text, start, isOneLine));
  return { records: recordsOf(bytes, text, list), end: list.end };
}

function* scanList(text: string, start: number, isOneLine: boolean): Steps<ScannedList> {
  return (
    (isOneLine && (yield* scanSimple(text, start))) ||
    (yield* readSeparately(new JsonScanner(text, isOneLine), start, isOneLine))
  );
}

/** The records of a list in `bytes`. @throws ServiceError BAD_REQUEST if there are none */
function recordsOf(bytes: Buffer, text: string, list: ScannedList): RequestRecords {
  if ('positions' in list) return simpleRecords(bytes, text, list);
  if (list.records.length === 0) throw bad('records is empty; give at least one record.');
  return { kind: 'separate', records: list.records };
}

/** parseRecordsInSteps() without interruption. */
export function parseRecords(body: Buffer): { records: RequestRecords; rest: Record<string, unknown> } {
  return runSteps(parseRecordsInSteps(body));
}

/** Other fields of the body, and their maximum size. */
const otherFieldNames = new Set(['producer']);
const otherFieldBytesMax = 4096;
const shownCharacters = 60;

function readOtherField(body: Buffer, text: string, scanner: JsonScanner, at: number): { value: unknown; end: number } {
  const end = scanner.skipValue(at);
  if (scanner.isInterrupted || end - at > otherFieldBytesMax) {
    throw new ServiceError(
      'TOO_LARGE',
      `The body has a field beside records of more than ${otherFieldBytesMax} bytes.`,
    );
  }
  if (end === noPosition) throw notJson(scanner);
  const isContainer = text.charCodeAt(at) === openBrace || text.charCodeAt(at) === openBracket;
  return { value: isContainer ? readJson(body.subarray(at, end), 'The body') : valueIn(text, at, end), end };
}

/**
 * Makes a record of a body that is a single JSON value, whose bytes are kept.
 * @throws ServiceError BAD_REQUEST
 */
export function* parseValueInSteps(input: Buffer, rest: RawRecordFields): Steps<EncodedRecord> {
  const body = withoutByteOrderMark(input);
  if (body.length === 0) throw bad('The body is empty, and its type says that it is JSON.');
  if (!isUtf8(body)) throw bad('The body is not valid UTF-8, as JSON has to be.');
  const scanner = scannerOf(body);
  const { text } = scanner;
  const start = scanner.skipSpace(0);
  const end = yield* skipValueInSteps(scanner, start);
  if (end === noPosition) throw notJson(scanner);
  if (scanner.skipSpace(end) < text.length) throw notJson(scanner, scanner.skipSpace(end));
  return recordOfFields('value', onOneLine(text.slice(start, end)), rest);
}

/** JsonScanner.skipValue() in steps. */
export function* skipValueInSteps(scanner: JsonScanner, start: number): Steps<number> {
  let end = scanner.skipValue(start);
  while (scanner.isInterrupted) {
    yield;
    if (scanner.resume()) end = scanner.skipValue(start);
  }
  return end;
}

/**
 * Reads one record.
 * @param text the JSON of an object, bytes as text, valid as far as the caller knows
 * @param isOneLine whether it has no control characters
 * @throws ServiceError BAD_REQUEST, TOO_LARGE, beginning with `where()`
 */
export function* readRecordInSteps(text: string, isOneLine: boolean, where: () => string): Steps<EncodedRecord> {
  const scanner = new JsonScanner(text, isOneLine);
  const reader = new RecordReader(scanner, isOneLine);
  for (;;) {
    const record = reader.read(0, where);
    if (record) return record;
    if (!scanner.isInterrupted) throw bad(`${where()} ${jsonProblem(scanner)}.`);
    do yield;
    while (!scanner.resume());
  }
}

/** The records of a part of an NDJSON body. */
export interface ParsedLines {
  records: EncodedRecord[];
  /** The line number of each record. */
  numbers: number[];
  /** Number of lines, including blank ones. */
  lineCount: number;
}

/**
 * Reads the lines of NDJSON, a record on each that is not blank.
 * @param firstLine the number of the first line, from 1
 * @throws ServiceError BAD_REQUEST naming the line and the field, with the number of the line as its field `line`
 */
export function* parseLinesInSteps(input: Buffer, firstLine: number): Steps<ParsedLines> {
  const bytes = firstLine === 1 ? withoutByteOrderMark(input) : input;
  const text = bytes.toString('latin1');
  const isText = isUtf8(bytes);
  const scanner = new JsonScanner(text, !hasControls(bytes));
  const reader = new RecordReader(scanner, false);
  const records: EncodedRecord[] = [];
  const numbers: number[] = [];
  let number = firstLine;
  let stepEnd = bytesPerStep;
  try {
    for (let start = 0; start <= text.length; number += 1) {
      const found = text.indexOf('\n', start);
      const end = found < 0 ? text.length : found;
      if (!isText && !isUtf8(bytes.subarray(start, end))) throw bad(`line ${number} is not valid UTF-8.`);
      const at = skipSpaceInLine(text, start, end);
      if (at < end) {
        let record = readLine(reader, bytes, at, end, number);
        while (!record) {
          do yield;
          while (!scanner.resume());
          record = readLine(reader, bytes, at, end, number);
        }
        records.push(record);
        numbers.push(number);
      }
      start = end + 1;
      if (start > stepEnd || (number - firstLine) % recordsPerStep === recordsPerStep - 1) {
        yield;
        stepEnd = start + bytesPerStep;
      }
    }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new ServiceError(error.code, error.message, { ...error.fields, line: number });
  }
  return { records, numbers, lineCount: number - firstLine };
}

/** parseLinesInSteps() without interruption. */
export function parseLines(bytes: Buffer, firstLine: number): ParsedLines {
  return runSteps(parseLinesInSteps(bytes, firstLine));
}

/** Like skipSpace(), but stops at the end of the line, as many blank lines may follow. */
function skipSpaceInLine(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x09 || unit === 0x0d;
}

/** @returns undefined if the scanner was interrupted */
function readLine(
  reader: RecordReader,
  bytes: Buffer,
  at: number,
  end: number,
  number: number,
): EncodedRecord | undefined {
  const { scanner } = reader;
  const isObject = bytes[at] === openBrace;
  // The scanner does not stop at line ends, so a record must be checked to end within its line.
  const record = isObject ? reader.read(at, () => `line ${number}`) : undefined;
  if (record && reader.end <= end && skipSpaceInLine(scanner.text, reader.end, end) >= end) return record;
  if (scanner.isInterrupted) return undefined;
  // Scan the line alone, so that positions in the error are relative to the line.
  const line = new JsonScanner(scanner.text.slice(at, end), false);
  const lineEnd = line.skipValue(0);
  if (line.isInterrupted) throw bad(`line ${number} is not a record, an object such as {"key":"k","value":1}.`);
  if (lineEnd === noPosition) throw bad(`line ${number} ${jsonProblem(line)}.`);
  const rest = line.skipSpace(lineEnd);
  if (rest < line.text.length) {
    line.fail(rest);
    throw bad(`line ${number} ${jsonProblem(line)}.`);
  }
  throw bad(`line ${number} must be a record, an object such as {"key":"k","value":1}.`);
}

/** Key and headers of a record whose value is the whole body. */
interface RawRecordFields {
  key?: string | undefined;
  headers?: readonly (readonly [name: string, value: string])[];
}

/** The minimum size of a value encoded as JSON, bytes. A value can be refused by it before it is encoded. */
export function encodedValueBytesMin(value: Buffer, isText: boolean): number {
  if (!isText) return Math.ceil(value.length / 3) * 4;
  let extra = 0;
  // An index loop, as an iterator over 16 MiB takes a quarter of a second.
  for (let i = 0; i < value.length; i += 1) {
    const byte = value[i] ?? 0;
    // JSON has short escapes of \b \t \n \f \r, and \u0000 of the other controls.
    if (byte < 0x20) extra += byte >= 8 && byte <= 13 && byte !== 11 ? 1 : 5;
    else if (byte === 0x22 || byte === 0x5c) extra += 1;
  }
  return value.length + extra;
}

/** Makes a record of a value that is not JSON: a string stays a string, bytes become base64. */
export function buildRecord({ value, ...rest }: RawRecordFields & { value: string | Buffer }): EncodedRecord {
  return typeof value === 'string'
    ? recordOfFields('value', bytesAsText(JSON.stringify(value)), rest)
    : recordOfFields('valueBase64', `"${value.toString('base64')}"`, rest);
}

/** @param value its JSON, as bytes as text */
function recordOfFields(
  name: 'value' | 'valueBase64',
  value: string,
  { key, headers = [] }: RawRecordFields,
): EncodedRecord {
  const parts = [`"${name}":${value}`];
  if (key !== undefined) parts.unshift(`"key":${bytesAsText(JSON.stringify(key))}`);
  if (headers.length > 0) {
    const json = JSON.stringify(hasRepeatedName(headers) ? headers : Object.fromEntries(headers));
    parts.push(`"headers":${bytesAsText(json)}`);
  }
  return {
    line: `{${parts.join(',')}}`,
    key: key === undefined ? undefined : bytesAsText(key),
    partition: undefined,
    timestamp: undefined,
  };
}

/** The record without its own timestamp, for topics with LogAppendTime. */
export function withoutTimestamp(record: EncodedRecord): EncodedRecord {
  if (record.timestamp === undefined) return record;
  const rest = record.line.indexOf(',');
  return { ...record, timestamp: undefined, line: rest < 0 ? '{}' : `{${record.line.slice(rest + 1)}` };
}

/** A scanned list of records, with the position after its bracket. */
type ScannedList = SimpleList | { end: number; records: EncodedRecord[] };

/** Reads a list of records one by one. @throws ServiceError BAD_REQUEST or TOO_LARGE */
function* readSeparately(
  scanner: JsonScanner,
  start: number,
  isOneLine: boolean,
): Steps<{ end: number; records: EncodedRecord[] }> {
  const { text } = scanner;
  const reader = new RecordReader(scanner, isOneLine);
  const records: EncodedRecord[] = [];
  const where = () => `records.${records.length}`;
  let stepEnd = start + bytesPerStep;
  let at = scanner.skipSpace(start + 1);
  if (text.charCodeAt(at) === closeBracket) return { end: at + 1, records };
  for (;;) {
    if (text.charCodeAt(at) !== openBrace) {
      if ((yield* skipValueInSteps(scanner, at)) === noPosition) throw notJson(scanner);
      throw bad(`${where()} must be an object, such as {"key":"k","value":1}.`);
    }
    if (records.length === recordsMax) throw tooManyRecords();
    const record = reader.read(at, where);
    if (!record) {
      if (!scanner.isInterrupted) throw notJson(scanner);
      do yield;
      while (!scanner.resume());
      continue;
    }
    records.push(record);
    at = scanner.skipSpace(reader.end);
    const unit = text.charCodeAt(at);
    if (unit === closeBracket) return { end: at + 1, records };
    if (unit !== comma) throw notJson(scanner, at);
    at = scanner.skipSpace(at + 1);
    if (at > stepEnd || records.length % recordsPerStep === 0) {
      yield;
      stepEnd = at + bytesPerStep;
    }
  }
}

function hasRepeatedName(headers: readonly (readonly [name: string, value: string])[]): boolean {
  return new Set(headers.map(([name]) => name)).size < headers.length;
}

/** @param at position of the error, if the scanner has not recorded it */
function notJson(scanner: JsonScanner, at?: number): ServiceError {
  if (at !== undefined) scanner.fail(at);
  return bad(`The body ${jsonProblem(scanner)}.`);
}

function bad(detail: string): ServiceError {
  return new ServiceError('BAD_REQUEST', detail);
}
