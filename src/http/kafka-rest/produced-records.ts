/**
 * Reads the records of a produce request, `[{"key","value","partition","timestamp","headers"}]`, and makes their stored lines. One with
 * more than a key and a value is written as a record of /v1, which core/records checks and stores: so both check the same.
 */
import { isUtf8 } from 'node:buffer';
import { isBase64, isBase64String } from '../../core/base64.ts';
import { type JsonScanner, valueIn } from '../../core/json-scanner.ts';
import {
  bytesAsText,
  checkFieldBytes,
  type EncodedRecord,
  fieldBytesMax,
  onOneLine,
} from '../../core/records/record-fields.ts';
import { type RequestRecords, readRecordInSteps } from '../../core/records/record-input.ts';
import { RecordReader } from '../../core/records/record-reader.ts';
import { recordsMax, recordsPerStep, tooManyRecords } from '../../core/records/simple-records.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Steps } from '../../core/steps.ts';
import { KafkaRestError } from './errors.ts';
import { eachMember } from './json-members.ts';
import type { RecordFormat } from './media-types.ts';

const lineFeed = 0x0a;
const comma = 0x2c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
/** What the value is called in the stored line. */
const valueNames = { json: 'value', binary: 'valueBase64' };
const recordMembers = ['key', 'value', 'partition', 'timestamp', 'headers'];
const shownCharacters = 60;

/** Positions of each record: start and end of its key and of its value, with quotes; -1 for none. */
const positionsEach = 4;
const none = -1;

/**
 * Reads the list of records at `start`, which is valid JSON.
 * @param bytes the text of the scanner
 * @returns undefined if it is no list, or an empty one
 * @throws KafkaRestError 422, and 400 for bytes that are no base64; ServiceError TOO_LARGE
 */
export function* readRecords(
  scanner: JsonScanner,
  bytes: Buffer,
  start: number,
  format: RecordFormat,
): Steps<RequestRecords | undefined> {
  const { text } = scanner;
  if (text.charCodeAt(start) !== openBracket) return undefined;
  const list = new UsualRecords(scanner, bytes, format);
  const others = new Map<number, EncodedRecord>();
  // Plain loops, as a generator for each record would cost as much as reading it.
  for (let at = scanner.skipSpace(start + 1); text.charCodeAt(at) !== closeBracket; ) {
    const { count, reader } = list;
    if (count === recordsMax) throw tooManyRecords();
    if (count % recordsPerStep === 0) yield;
    const isRecord = text.charCodeAt(at) === openBrace;
    let end: number;
    if (isRecord && (reader.scan(at) || (yield* rescan(reader, at))) && list.add()) end = reader.end;
    else {
      const other = yield* readOther(scanner, at, count, format);
      others.set(count, other.record);
      list.addNone();
      end = other.end;
    }
    at = scanner.skipSpace(end);
    if (text.charCodeAt(at) === comma) at = scanner.skipSpace(at + 1);
  }
  const { count } = list;
  if (count === 0) return undefined;
  if (others.size === 0 && list.isContiguous) return { kind: 'contiguous', count, lines: list.lines() };
  const records = Array.from({ length: count }, (_, index) => others.get(index) ?? list.record(index));
  return { kind: 'separate', records };
}

/** Goes on with a scan of a record that was interrupted. @returns false if it was not, or if it is no record */
function* rescan(reader: RecordReader, at: number): Steps<boolean> {
  const { scanner } = reader;
  while (scanner.isInterrupted) {
    yield;
    if (scanner.resume() && reader.scan(at)) return true;
  }
  return false;
}

/** Records that have only a key and a value, each at most once, in their usual spelling. Up to their lines they are only positions. */
class UsualRecords {
  readonly reader: RecordReader;
  readonly #bytes: Buffer;
  readonly #format: RecordFormat;
  readonly #positions: number[] = [];
  #hasKeys = false;

  constructor(scanner: JsonScanner, bytes: Buffer, format: RecordFormat) {
    this.reader = new RecordReader(scanner, scanner.isClean);
    this.#bytes = bytes;
    this.#format = format;
  }

  get count(): number {
    return this.#positions.length / positionsEach;
  }

  /** Whether all can be copied into one block of lines. */
  get isContiguous(): boolean {
    return !this.#hasKeys && (this.#format === 'binary' || this.reader.scanner.isClean);
  }

  /** Adds the record that was scanned. @returns false if it is none of the usual ones */
  add(): boolean {
    const { reader } = this;
    const { text } = reader.scanner;
    let [keyStart, keyEnd, valueStart, valueEnd] = [none, none, none, none];
    let [hasKey, hasValue] = [false, false];
    for (let field = 0; field < reader.fieldCount; field += 1) {
      const nameStart = reader.nameStart(field);
      const start = reader.valueStart(field);
      const end = reader.valueEnd(field);
      const isNull = text.startsWith('null', start);
      if (!hasValue && text.startsWith('"value"', nameStart)) {
        hasValue = true;
        if (isNull) continue;
        if (this.#format === 'binary' && !isBase64String(text, start, end)) return false;
        valueStart = start;
        valueEnd = end;
      } else if (!hasKey && text.startsWith('"key"', nameStart)) {
        hasKey = true;
        if (isNull) continue;
        if (this.#format === 'binary' ? !isBase64String(text, start, end) : text.slice(start, end).includes('\\')) {
          return false;
        }
        checkFieldBytes(end - start, () => `records.${this.count}.key`);
        keyStart = start;
        keyEnd = end;
        this.#hasKeys = true;
      } else return false;
    }
    this.#positions.push(keyStart, keyEnd, valueStart, valueEnd);
    return true;
  }

  /** Takes the place of a record that is none of the usual ones. */
  addNone(): void {
    this.#positions.push(none, none, none, none);
  }

  record(index: number): EncodedRecord {
    const { text, isClean } = this.reader.scanner;
    const at = index * positionsEach;
    const [keyStart = none, keyEnd, valueStart = none, valueEnd] = this.#positions.slice(at, at + positionsEach);
    const parts: string[] = [];
    let key: string | undefined;
    if (keyStart >= 0) {
      const given = text.slice(keyStart, keyEnd);
      const plain = given.startsWith('"') ? given.slice(1, -1) : given;
      const isJson = this.#format === 'json';
      key = isJson ? plain : Buffer.from(plain, 'base64').toString('latin1');
      parts.push(isJson ? jsonKeyOf(given) : `"keyBase64":${given}`);
    }
    if (valueStart >= 0) parts.push(`"${valueNames[this.#format]}":${text.slice(valueStart, valueEnd)}`);
    const line = `{${parts.join(',')}}`;
    return { line: isClean ? line : onOneLine(line), key, partition: undefined, timestamp: undefined };
  }

  /** The lines of all records. They have no keys. */
  lines(): Buffer {
    const positions = this.#positions;
    const head = Buffer.from(`{"${valueNames[this.#format]}":`);
    let length = 0;
    for (let at = 0; at < positions.length; at += positionsEach) {
      const bytes = (positions[at + 3] ?? 0) - (positions[at + 2] ?? 0);
      length += bytes === 0 ? 3 : head.length + bytes + 2;
    }
    const lines = Buffer.allocUnsafe(length);
    let to = 0;
    for (let at = 0; at < positions.length; at += positionsEach) {
      const [start, end] = [positions[at + 2] ?? 0, positions[at + 3] ?? 0];
      if (start < 0) lines[to++] = openBrace;
      else {
        for (let i = 0; i < head.length; i += 1) lines[to + i] = head[i] ?? 0;
        to += head.length;
        to += this.#bytes.copy(lines, to, start, end);
      }
      lines[to] = closeBrace;
      lines[to + 1] = lineFeed;
      to += 2;
    }
    return lines.subarray(0, to - 1);
  }
}

/** Reads any other record. `end` is the position after it. */
function* readOther(
  scanner: JsonScanner,
  start: number,
  index: number,
  format: RecordFormat,
): Steps<{ record: EncodedRecord; end: number }> {
  const [translated, end] = yield* translateRecord(scanner, start, index, format);
  try {
    return { record: yield* readRecordInSteps(translated, scanner.isClean, () => `records.${index}`), end };
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'BAD_REQUEST') throw new KafkaRestError(422, error.message);
    throw error;
  }
}

function* translateRecord(
  scanner: JsonScanner,
  start: number,
  index: number,
  format: RecordFormat,
): Steps<[record: string, end: number]> {
  const parts: string[] = [];
  const end = yield* eachMember(scanner, start, (name, at) => {
    const where = `records.${index}`;
    if (!recordMembers.includes(name)) throw unknownMember(where, name, recordMembers);
    const text = scanner.text.slice(at.start, at.end);
    if (text !== 'null') parts.push(memberOf(name, text, format, where));
    return undefined;
  });
  if (end === undefined) {
    throw new KafkaRestError(422, `records.${index} must be an object, such as {"key":"k","value":1}.`);
  }
  return [`{${parts.join(',')}}`, end];
}

/** A member of a record as /v1 has it. @param text its JSON, bytes as text */
function memberOf(name: string, text: string, format: RecordFormat, where: string): string {
  switch (name) {
    case 'headers':
      return `"headers":${headersOf(text, where)}`;
    case 'value':
      return format === 'json' ? `"value":${text}` : `"valueBase64":${checkedBase64(text, `${where}.value`)}`;
    case 'key':
      return format === 'json' ? jsonKeyOf(text) : `"keyBase64":${checkedBase64(text, `${where}.key`)}`;
    default:
      return `"${name}":${text}`;
  }
}

/** @throws KafkaRestError 400, as Confluent has it: other faults of a record are 422 */
function checkedBase64(text: string, where: string): string {
  const isPlain = text.startsWith('"') && !text.includes('\\');
  const given = isPlain ? text.slice(1, -1) : valueIn(text, 0, text.length);
  if (isBase64(given)) return text;
  throw new KafkaRestError(400, `${where} must be base64 with its padding, such as "aGk=".`);
}

/** A key that came as JSON, as a member of a record of /v1: a key is a text or bytes; of any other JSON the bytes are its text. */
export function jsonKeyOf(text: string): string {
  return text.startsWith('"') ? `"key":${text}` : `"keyBase64":"${Buffer.from(text, 'latin1').toString('base64')}"`;
}

/**
 * Headers as pairs: a list of objects with the name and a value in base64, or null.
 * @param text its JSON, bytes as text
 * @param name how the member with the name is called: Karapace and Strimzi call it key, version 3 name
 * @throws ServiceError TOO_LARGE; KafkaRestError 422
 */
export function headersOf(text: string, where: string, name: 'key' | 'name' = 'key'): string {
  if (text.length > fieldBytesMax) {
    throw new ServiceError(
      'TOO_LARGE',
      `${where}.headers has ${text.length} bytes of JSON; the limit is ${fieldBytesMax}.`,
    );
  }
  const given = valueIn(text, 0, text.length);
  if (!Array.isArray(given)) throw badHeaders(where, name);
  const pairs = given.map((header: { key?: unknown; name?: unknown; value?: unknown } | null, i) => {
    const value = header?.value ?? null;
    const key = header?.[name];
    if (typeof key !== 'string' || !(value === null || isBase64(value))) throw badHeaders(`${where}.${i}`, name);
    if (value === null) return [key, null];
    const bytes = Buffer.from(value, 'base64');
    return [key, isUtf8(bytes) ? bytes.toString() : { base64: value }];
  });
  return bytesAsText(JSON.stringify(pairs));
}

function badHeaders(where: string, name: 'key' | 'name'): KafkaRestError {
  return new KafkaRestError(
    422,
    `${where}: headers are a list of {"${name}":"<name>","value":"<base64>"}, where the value may be null.`,
  );
}

/** The error of a member that there is not. */
export function unknownMember(where: string, name: string, known: readonly string[]): KafkaRestError {
  const shown = name.length > shownCharacters ? `${name.slice(0, shownCharacters)}…` : name;
  return new KafkaRestError(422, `${where} has an unknown field '${shown}'; it has ${known.join(', ')}.`);
}
