/**
 * Checks the fields of one record and makes the line that the log stores. Only records with more than a key and a value are
 * read field by field (record-reader.ts).
 *
 * Format: a stored batch is the lines of its records, joined by line feeds. A line is the JSON object as the client wrote it,
 * so numbers beyond 2^53 and the spelling of values are kept byte for byte, with three exceptions. Line feeds between fields
 * are removed, `partition` is left out, and the record's own timestamp comes first. So a fetch writes
 * `{"offset":N,"timestamp":T,` and the line without its brace, without parsing records. An empty line is a record that
 * compaction has removed; it keeps its offset.
 */
import { isBase64 } from '../base64.ts';
import { readJson } from '../json-input.ts';
import { valueIn } from '../json-scanner.ts';
import { ServiceError } from '../service-error.ts';

/** A checked record in its stored form. Texts are latin1 strings of UTF-8 bytes ("bytes as text"). */
export interface EncodedRecord {
  /** Bytes as text. */
  line: string;
  /** The key for the partitioner, bytes as text; undefined for a record without a key. */
  key: string | undefined;
  /** The partition that the record names. */
  partition: number | undefined;
  /** Its own timestamp, ms since the epoch; `line` begins with it. */
  timestamp: number | undefined;
}

export const fieldNames: ReadonlySet<string> = new Set([
  'key',
  'keyBase64',
  'value',
  'valueBase64',
  'headers',
  'partition',
  'timestamp',
]);

/** The UTF-8 bytes of a text as a latin1 string. */
export function bytesAsText(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** Positions of a member of an object: of its name with quotes, and of its value. */
interface MemberPosition {
  nameStart: number;
  nameEnd: number;
  start: number;
  end: number;
}

/** The JSON texts of the fields of a record by name, as bytes as text. */
type FieldTexts = Map<string, string>;

/**
 * Reads a record by its fields; only the value is taken as it is.
 * @param text it stands in it from `start` to `end`, and is valid JSON
 * @param members its fields; if there are too many for a record, as many as show it
 * @throws ServiceError BAD_REQUEST, beginning with `where()`
 */
export function readFields(
  text: string,
  { start, end }: { start: number; end: number },
  members: readonly MemberPosition[],
  where: () => string,
): EncodedRecord {
  const parts = fieldTextsOf(text, members, where);
  const key = readKey(parts, where);
  const bytes = parts.get('valueBase64');
  if (bytes !== undefined) {
    if (parts.has('value')) throw bad(`${where()}: give value or valueBase64, not both.`);
    checkBase64(parseField(bytes), () => `${where()}.valueBase64`);
  }
  const headers = parts.get('headers');
  if (headers !== undefined) {
    checkFieldBytes(headers.length, () => `${where()}.headers`);
    checkHeaders(headers, `${where()}.headers`);
  }
  const partition = readWholeNumber(parts.get('partition'), () => `${where()}.partition`);
  const timestamp = readWholeNumber(parts.get('timestamp'), () => `${where()}.timestamp`);

  let line = parts.size === 0 ? '{}' : text.slice(start, end);
  if (partition !== undefined || timestamp !== undefined) {
    const kept = [...parts]
      .filter(([name]) => name !== 'partition' && name !== 'timestamp')
      .map(([name, part]) => `"${name}":${part}`);
    if (timestamp !== undefined) kept.unshift(`"timestamp":${timestamp}`);
    line = `{${kept.join(',')}}`;
  }
  return { line: onOneLine(line), key, partition, timestamp };
}

/** Maximum bytes of JSON of a key and of the headers of a record. Unlike the value they are parsed. */
export const fieldBytesMax = 1024 * 1024;

/** @throws ServiceError TOO_LARGE */
export function checkFieldBytes(bytes: number, where: () => string): void {
  if (bytes <= fieldBytesMax) return;
  throw new ServiceError('TOO_LARGE', `${where()} has ${bytes} bytes of JSON; the limit is ${fieldBytesMax}.`, {
    bytes,
    maxBytes: fieldBytesMax,
  });
}

/** Valid JSON has line feeds only between its parts, with nothing but more space behind them. */
export function onOneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n][ \t\r\n]*/g, '') : json;
}

function fieldTextsOf(text: string, members: readonly MemberPosition[], where: () => string): FieldTexts {
  const parts: FieldTexts = new Map();
  for (const { nameStart, nameEnd, start, end } of members) {
    const plain = text.slice(nameStart + 1, nameEnd - 1);
    const name = fieldNames.has(plain) ? plain : (valueIn(text, nameStart, nameEnd) as string);
    if (!fieldNames.has(name)) {
      const shown = name.length > shownCharacters ? `${name.slice(0, shownCharacters)}…` : name;
      throw bad(`${where()}: unknown field '${shown}'; a record has ${[...fieldNames].join(', ')}.`);
    }
    // JSON parsers disagree about which of two members of one name counts.
    if (parts.has(name)) throw bad(`${where()}: the field ${name} occurs twice.`);
    parts.set(name, text.slice(start, end));
  }
  return parts;
}

const shownCharacters = 60;

/** The value of a string or number; objects and lists are not parsed and give an empty object. */
function parseField(part: string): unknown {
  // ASCII without escapes is what it says.
  if (part.startsWith('"') && !/[^ -[\]-~]/.test(part)) return part.slice(1, -1);
  return part.startsWith('{') || part.startsWith('[') ? {} : valueIn(part, 0, part.length);
}

function readKey(parts: FieldTexts, where: () => string): string | undefined {
  const [key, keyBase64] = [parts.get('key'), parts.get('keyBase64')];
  checkFieldBytes(Math.max(key?.length ?? 0, keyBase64?.length ?? 0), () => `${where()}.key`);
  if (keyBase64 !== undefined) {
    if (key !== undefined) throw bad(`${where()}: give key or keyBase64, not both.`);
    const text = checkBase64(parseField(keyBase64), () => `${where()}.keyBase64`);
    return Buffer.from(text, 'base64').toString('latin1');
  }
  if (key === undefined || key === 'null') return undefined;
  if (!key.startsWith('"')) throw bad(`${where()}.key must be a string; bytes go as keyBase64.`);
  const value = parseField(key) as string;
  // In UTF-8 all unpaired surrogates would become the same key.
  if (!value.isWellFormed()) {
    throw bad(`${where()}.key is not valid Unicode, as it has an unpaired surrogate; send bytes as keyBase64.`);
  }
  return bytesAsText(value);
}

function checkHeaders(part: string, where: string): void {
  const headers = readJson(Buffer.from(part, 'latin1'), where);
  if (Array.isArray(headers)) {
    for (const [index, pair] of headers.entries()) {
      if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') {
        throw bad(`${where}.${index} must be a pair [name, value].`);
      }
      checkHeaderValue(pair[1], `${where}.${index}`);
    }
  } else if (isObject(headers)) {
    for (const [name, value] of Object.entries(headers)) checkHeaderValue(value, `${where}.${name}`);
  } else {
    throw bad(`${where} must be an object of names and values, or a list of pairs [name, value].`);
  }
}

function checkHeaderValue(value: unknown, where: string): void {
  if (typeof value === 'string' || value === null) return;
  if (!isObject(value) || Object.keys(value).join() !== 'base64') {
    throw bad(`${where}: the value of a header must be a string, null, or {"base64":"…"}.`);
  }
  checkBase64(value.base64, () => `${where}.base64`);
}

function checkBase64(value: unknown, where: () => string): string {
  if (isBase64(value)) return value;
  throw bad(`${where()} must be base64 with its padding, such as "aGk=".`);
}

function readWholeNumber(part: string | undefined, where: () => string): number | undefined {
  if (part === undefined) return undefined;
  const value = part.length <= wholeNumberCharactersMax ? parseField(part) : undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw bad(`${where()} must be a whole number from 0 to 2^53-1.`);
}

/** Longer than any whole number that is accepted, also with an exponent. */
const wholeNumberCharactersMax = 64;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bad(detail: string): ServiceError {
  return new ServiceError('BAD_REQUEST', detail);
}
