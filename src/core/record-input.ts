/**
 * Records as they come in: which are valid, and the line that a log keeps of each (record-fields.ts). It does not number
 * them, choose their partition or store them.
 *
 * Everything here works on bytes as text: each character is one byte of UTF-8 (latin1). Most records are passed over once,
 * and their bytes kept as they are; only of those that have more than a key and a value are values made.
 */
import { isUtf8 } from 'node:buffer';
import { eachMember, gaveUp, hasControls, JsonScanner, problemOf, valueIn } from './json-scanner.ts';
import { bytesAsText, type EncodedRecord, readExactly } from './record-fields.ts';
import { ServiceError } from './service-error.ts';

/** The records of a request. */
export type EncodedRecords =
  /** Each by itself. */
  | { kind: 'each'; records: EncodedRecord[] }
  /** None has a key, a partition or a timestamp: they lie together, wherever that is, and are not looked at again. */
  | { kind: 'together'; count: number; lines: Buffer };

const comma = 0x2c;
const lineFeed = 0x0a;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Reads `{"records":[…]}`; other members of the object are given back as they are. It may change the bytes of `body`, of which
 * the answer is then a part.
 * @throws ServiceError BAD_REQUEST naming the record and the field
 */
export function parseRecords(body: Buffer): { records: EncodedRecords; rest: Record<string, unknown> } {
  if (!isUtf8(body)) throw bad('The body is not valid UTF-8, as JSON has to be.');
  const text = body.toString('latin1');
  const isOneLine = !hasControls(body) && !body.includes(lineFeed);
  const scanner = new JsonScanner(text, isOneLine);
  const start = scanner.skipSpace(0);
  if (text.charCodeAt(start) !== openBrace) {
    const end = scanner.skipValue(start);
    if (end === gaveUp || scanner.skipSpace(end) < text.length) throw notJson(body);
    throw bad('The body must be an object with the records: {"records":[…]}.');
  }
  const rest = new Map<string, unknown>();
  let list: RecordList | undefined;
  const end = eachMember(scanner, start, (name, at) => {
    if (rest.has(name) || (list && name === 'records')) throw bad(`The body has the field ${name} twice.`);
    if (name === 'records' && text.charCodeAt(at) === openBracket) {
      list = (isOneLine && scanTogether(text, at)) || readEach(new JsonScanner(text, isOneLine), at, isOneLine);
      return list?.end ?? gaveUp;
    }
    const valueEnd = scanner.skipValue(at);
    if (valueEnd !== gaveUp) rest.set(name, valueIn(text, at, valueEnd));
    return valueEnd;
  });
  if (end === gaveUp || scanner.skipSpace(end) < text.length) throw notJson(body);
  if (!list) throw bad('The body must have a list of records: {"records":[…]}.');
  const records = 'ends' in list ? together(body, list) : { kind: 'each' as const, records: list.records };
  if (records.kind === 'each' && records.records.length === 0) throw bad('records is empty; give at least one record.');
  return { records, rest: Object.fromEntries(rest) };
}

/**
 * Reads the lines of NDJSON, a record on each that is not blank.
 * @param firstLine the number of the first line, from 1
 * @throws ServiceError BAD_REQUEST naming the line and the field, with the number of the line as its field `line`
 */
export function parseLines(bytes: Buffer, firstLine: number): { records: EncodedRecord[]; lineCount: number } {
  const text = bytes.toString('latin1');
  const isText = isUtf8(bytes);
  const reader = new RecordReader(new JsonScanner(text, !hasControls(bytes)), false);
  const records: EncodedRecord[] = [];
  let number = firstLine;
  try {
    for (let start = 0; start <= text.length; number += 1) {
      const found = text.indexOf('\n', start);
      const end = found < 0 ? text.length : found;
      if (!isText && !isUtf8(bytes.subarray(start, end))) throw bad(`line ${number} is not valid UTF-8.`);
      const at = reader.scanner.skipSpace(start);
      if (at < end) records.push(readLine(reader, bytes, at, end, number));
      start = end + 1;
    }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new ServiceError(error.code, error.message, { ...error.fields, line: number });
  }
  return { records, lineCount: number - firstLine };
}

function readLine(reader: RecordReader, bytes: Buffer, at: number, end: number, number: number): EncodedRecord {
  const isObject = bytes[at] === openBrace;
  // What the scanner takes for a part of the line must not go on in the next one.
  const record = isObject ? reader.read(at, () => `line ${number}`) : undefined;
  if (record && reader.end <= end && reader.scanner.skipSpace(reader.end) >= end) return record;
  const line = bytes.subarray(at, end);
  if (isObject || !isJson(line)) throw bad(`line ${number} ${problemOf(line)}.`);
  throw bad(`line ${number} must be a record, an object such as {"key":"k","value":1}.`);
}

/** Makes a record of parts that did not come as JSON: text stays text, bytes become base64. */
export function buildRecord(parts: {
  value: string | Buffer;
  key?: string | undefined;
  headers?: readonly (readonly [name: string, value: string])[];
}): EncodedRecord {
  const { value, key, headers = [] } = parts;
  const line = JSON.stringify({
    ...(key !== undefined && { key }),
    ...(typeof value === 'string' ? { value } : { valueBase64: value.toString('base64') }),
    ...(headers.length > 0 && { headers: hasRepeatedName(headers) ? headers : Object.fromEntries(headers) }),
  });
  return {
    line: bytesAsText(line),
    key: key === undefined ? undefined : bytesAsText(key),
    partition: undefined,
    timestamp: undefined,
  };
}

/** The record without its own timestamp: the log's time is to hold. */
export function withoutTimestamp(record: EncodedRecord): EncodedRecord {
  if (record.timestamp === undefined) return record;
  const rest = record.line.indexOf(',');
  return { ...record, timestamp: undefined, line: rest < 0 ? '{}' : `{${record.line.slice(rest + 1)}` };
}

/** A list of records, and where it ends, behind its bracket: read one by one, or known to lie together. */
type RecordList = { end: number } & ({ records: EncodedRecord[] } | { first: number; ends: number[] });

/**
 * Passes over a list of records that can be kept as they stand: with nothing but a value each, and nothing but a comma
 * between them.
 * @returns where the first begins and each ends; undefined if the list is not like that
 */
function scanTogether(text: string, start: number): RecordList | undefined {
  const reader = new RecordReader(new JsonScanner(text, true), true);
  const first = start + 1;
  const ends: number[] = [];
  for (let at = first; ; at = reader.end + 1) {
    if (text.charCodeAt(at) !== openBrace || !reader.scan(at) || !reader.isUsual || reader.keyStart >= 0)
      return undefined;
    ends.push(reader.end);
    const unit = text.charCodeAt(reader.end);
    if (unit === closeBracket) return { end: reader.end + 1, first, ends };
    if (unit !== comma) return undefined;
  }
}

/** Makes lines of a list: the commas between its records become line feeds. */
function together(body: Buffer, { first, ends }: { first: number; ends: number[] }): EncodedRecords {
  const last = ends.at(-1)!;
  for (const end of ends) if (end < last) body[end] = lineFeed;
  return { kind: 'together', count: ends.length, lines: body.subarray(first, last) };
}

/** Reads a list of records, each by itself. @returns undefined if it is not JSON */
function readEach(scanner: JsonScanner, start: number, isOneLine: boolean): RecordList | undefined {
  const { text } = scanner;
  const reader = new RecordReader(scanner, isOneLine);
  const records: EncodedRecord[] = [];
  let at = scanner.skipSpace(start + 1);
  if (text.charCodeAt(at) === closeBracket) return { end: at + 1, records };
  for (;;) {
    const where = () => `records.${records.length}`;
    if (text.charCodeAt(at) !== openBrace) {
      if (scanner.skipValue(at) === gaveUp) return undefined;
      throw bad(`${where()} must be an object, such as {"key":"k","value":1}.`);
    }
    const record = reader.read(at, where);
    if (!record) return undefined;
    records.push(record);
    at = scanner.skipSpace(reader.end);
    const unit = text.charCodeAt(at);
    if (unit === closeBracket) return { end: at + 1, records };
    if (unit !== comma) return undefined;
    at = scanner.skipSpace(at + 1);
  }
}

/** Passes over records, one after the other; what it found of the last one is in its fields, as there are so many. */
class RecordReader {
  readonly scanner: JsonScanner;
  readonly #isOneLine: boolean;
  /** Where the record ends, behind its brace. */
  end = 0;
  /** Whether it has a value and perhaps a key, each once and the key spelled plainly. */
  isUsual = false;
  /** Where the text of its key begins, behind the quote, and ends; -1 for none. */
  keyStart = gaveUp;
  keyEnd = gaveUp;

  /** @param isOneLine there are no line feeds in the whole text */
  constructor(scanner: JsonScanner, isOneLine: boolean) {
    this.scanner = scanner;
    this.#isOneLine = isOneLine;
  }

  /**
   * Reads the record that begins at `start`. @returns undefined if that is not JSON
   * @throws ServiceError BAD_REQUEST, beginning with `where()`
   */
  read(start: number, where: () => string): EncodedRecord | undefined {
    if (!this.scan(start)) return undefined;
    const line = this.scanner.text.slice(start, this.end);
    if (!this.isUsual || !(this.#isOneLine || !/[\r\n]/.test(line))) return readExactly(line, where);
    const key = this.keyStart < 0 ? undefined : this.scanner.text.slice(this.keyStart, this.keyEnd);
    return { line, key, partition: undefined, timestamp: undefined };
  }

  /** Passes over the object that begins at `start`. @returns whether it is JSON */
  scan(start: number): boolean {
    const { scanner } = this;
    const { text } = scanner;
    let values = 0;
    let isUsual = true;
    this.keyStart = gaveUp;
    let at = scanner.skipSpace(start + 1);
    if (text.charCodeAt(at) === closeBrace) {
      this.isUsual = false;
      this.end = at + 1;
      return true;
    }
    for (;;) {
      if (text.startsWith('"value":', at)) {
        values += 1;
        at = scanner.skipSpace(at + 8);
        at = scanner.skipValue(at);
      } else if (this.keyStart < 0 && text.startsWith('"key":"', at)) {
        this.keyStart = at + 7;
        at = scanner.skipString(at + 6);
        this.keyEnd = at - 1;
        if (at !== gaveUp && scanner.hasEscape(this.keyStart, at)) isUsual = false;
      } else {
        isUsual = false;
        at = scanner.skipName(at);
        if (at !== gaveUp) at = scanner.skipValue(at);
      }
      if (at === gaveUp) return false;
      at = scanner.skipSpace(at);
      const unit = text.charCodeAt(at);
      if (unit === closeBrace) break;
      if (unit !== comma) return false;
      at = scanner.skipSpace(at + 1);
    }
    this.end = at + 1;
    this.isUsual = isUsual && values <= 1;
    return true;
  }
}

function hasRepeatedName(headers: readonly (readonly [name: string, value: string])[]): boolean {
  return new Set(headers.map(([name]) => name)).size < headers.length;
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString());
    return true;
  } catch {
    return false;
  }
}

function notJson(body: Buffer): ServiceError {
  return bad(`The body ${problemOf(body)}.`);
}

function bad(detail: string): ServiceError {
  return new ServiceError('BAD_REQUEST', detail);
}
