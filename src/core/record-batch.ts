/**
 * Records as text: how they come in, how a batch keeps them, and how they go out. It decides which records are valid; it
 * does not number them, choose their partition or store them.
 *
 * A batch is the lines of its records, joined by line feeds. A line is the record's JSON object as the client wrote it,
 * so that a number beyond 2^53 or a spelling of its own survives byte for byte, with these exceptions: line feeds
 * between its parts are taken out (a record must be one line), `partition` is left out (where it lies says it), and a
 * timestamp of its own stands first. So a fetch answers `{"offset":N,"timestamp":T,` and the line less its brace, and
 * neither parses nor builds records. An empty line is a record that compaction has removed; it keeps its offset.
 *
 * JSON.parse is the judge of what is JSON. It forgets how things were written, so a small scanner then finds where each
 * part stands in the text; it relies on the text being valid.
 */
import { ServiceError } from './service-error.ts';

/** One record, checked and in the form that it is kept in. */
export interface EncodedRecord {
  line: string;
  /** What the partitioner hashes: text as its UTF-8 bytes. Undefined for a record without a key. */
  key: string | Buffer | undefined;
  /** The partition that the record itself asks for. */
  partition: number | undefined;
  /** Its own timestamp, ms since the epoch; `line` then begins with it. */
  timestamp: number | undefined;
}

/** A header's value: text, bytes, or nothing (Kafka allows null). */
export type HeaderValue = string | { base64: string } | null;

const fieldNames = new Set(['key', 'keyBase64', 'value', 'valueBase64', 'headers', 'partition', 'timestamp']);

/**
 * Reads `{"records":[…]}`; other members of the object are given back as they are.
 * @throws ServiceError BAD_REQUEST naming the record and the field
 */
export function parseRecords(body: string): { records: EncodedRecord[]; rest: Record<string, unknown> } {
  const parsed = parseJson(body, 'The body');
  if (!isObject(parsed)) throw bad('The body must be an object with the records: {"records":[…]}.');
  const { records: values, ...rest } = parsed;
  if (!Array.isArray(values)) throw bad('The body must have a list of records: {"records":[…]}.');
  if (values.length === 0) throw bad('records is empty; give at least one record.');
  const members = membersOf(body, skipSpace(body, 0));
  const names = new Set<string>();
  for (const { name } of members) {
    if (names.has(name)) throw bad(`The body has the field ${name} twice.`);
    names.add(name);
  }
  const list = members.find(({ name }) => name === 'records')!;
  const records: EncodedRecord[] = [];
  const span: Span = { end: 0, members: 0 };
  let at = skipSpace(body, list.start + 1);
  for (let index = 0; index < values.length; index++) {
    const value: unknown = values[index];
    if (!isObject(value)) throw bad(`records.${index} must be an object, such as {"key":"k","value":1}.`);
    scanObject(body, at, span);
    records.push(encodeRecord(body, at, span, value, () => `records.${index}`));
    at = skipSpace(body, skipSpace(body, span.end) + 1);
  }
  return { records, rest };
}

/**
 * Reads one record from a text of its own, a line of NDJSON.
 * @param where how errors call it, such as `line 3`
 * @throws ServiceError BAD_REQUEST naming the field
 */
export function parseRecord(text: string, where: string): EncodedRecord {
  const value = parseJson(text, where);
  if (!isObject(value)) throw bad(`${where} must be a record, an object such as {"key":"k","value":1}.`);
  const start = skipSpace(text, 0);
  const span: Span = { end: 0, members: 0 };
  scanObject(text, start, span);
  return encodeRecord(text, start, span, value, () => where);
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
  return { line, key, partition: undefined, timestamp: undefined };
}

/** The record without its own timestamp: the log's time is to hold. */
export function withoutTimestamp(record: EncodedRecord): EncodedRecord {
  if (record.timestamp === undefined) return record;
  const rest = record.line.indexOf(',');
  return { ...record, timestamp: undefined, line: rest < 0 ? '{}' : `{${record.line.slice(rest + 1)}` };
}

/** Where an object ends in a text, behind its brace, and how many members it has. Reused, as there is one a record. */
interface Span {
  end: number;
  members: number;
}

interface Member {
  name: string;
  /** Where the member's value stands. */
  start: number;
  end: number;
}

function encodeRecord(
  text: string,
  start: number,
  span: Span,
  value: Record<string, unknown>,
  where: () => string,
): EncodedRecord {
  let fields = 0;
  for (const name in value) {
    if (!fieldNames.has(name)) {
      throw bad(`${where()}: unknown field '${name}'; a record has ${[...fieldNames].join(', ')}.`);
    }
    fields += 1;
  }
  // JSON.parse takes the last of two members of one name; other readers would take the first.
  if (fields !== span.members) throw bad(`${where()}: a field comes twice.`);
  const key = readKey(value, where);
  if (value.valueBase64 !== undefined) {
    if (value.value !== undefined) throw bad(`${where()}: give value or valueBase64, not both.`);
    readBase64(value.valueBase64, () => `${where()}.valueBase64`);
  }
  if (value.headers !== undefined) checkHeaders(value.headers, `${where()}.headers`);
  const partition = readWhole(value.partition, () => `${where()}.partition`);
  const timestamp = readWhole(value.timestamp, () => `${where()}.timestamp`);

  let line: string;
  if (fields === 0) line = '{}';
  else if (partition === undefined && timestamp === undefined) line = text.slice(start, span.end);
  else {
    const kept = membersOf(text, start)
      .filter(({ name }) => name !== 'partition' && name !== 'timestamp')
      .map((member) => `"${member.name}":${text.slice(member.start, member.end)}`);
    if (timestamp !== undefined) kept.unshift(`"timestamp":${timestamp}`);
    line = `{${kept.join(',')}}`;
  }
  // Valid JSON has line feeds only between its parts, with nothing but more space behind them.
  if (line.includes('\n') || line.includes('\r')) line = line.replace(/[\r\n][ \t\r\n]*/g, '');
  return { line, key, partition, timestamp };
}

function readKey(value: Record<string, unknown>, where: () => string): string | Buffer | undefined {
  const { key, keyBase64 } = value;
  if (keyBase64 !== undefined) {
    if (key !== undefined) throw bad(`${where()}: give key or keyBase64, not both.`);
    return readBase64(keyBase64, () => `${where()}.keyBase64`);
  }
  if (key === undefined || key === null) return undefined;
  if (typeof key === 'string') return key;
  throw bad(`${where()}.key must be a string; bytes go as keyBase64.`);
}

function checkHeaders(headers: unknown, where: string): void {
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
  readBase64(value.base64, () => `${where}.base64`);
}

function readBase64(value: unknown, where: () => string): Buffer {
  if (typeof value === 'string' && value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value)) {
    return Buffer.from(value, 'base64');
  }
  throw bad(`${where()} must be base64 with its padding, such as "aGk=".`);
}

function readWhole(value: unknown, where: () => string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw bad(`${where()} must be a whole number from 0 to 2^53-1.`);
}

function hasRepeatedName(headers: readonly (readonly [name: string, value: string])[]): boolean {
  return new Set(headers.map(([name]) => name)).size < headers.length;
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw bad(`${where} is not JSON: ${(error as Error).message}.`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bad(detail: string): ServiceError {
  return new ServiceError('BAD_REQUEST', detail);
}

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/** Finds the end of the object (or array) that begins at `start`, and counts the colons that are its own. */
function scanObject(text: string, start: number, span: Span): void {
  let depth = 0;
  let members = 0;
  let at = start;
  for (;;) {
    const unit = text.charCodeAt(at);
    if (unit === quote) {
      at = skipString(text, at);
      continue;
    }
    at += 1;
    if (unit === colon) {
      if (depth === 1) members += 1;
    } else if (unit === openBrace || unit === openBracket) {
      depth += 1;
    } else if (unit === closeBrace || unit === closeBracket) {
      depth -= 1;
      if (depth === 0) break;
    }
  }
  span.end = at;
  span.members = members;
}

/** The members of the object that begins at `start`, in order. */
function membersOf(text: string, start: number): Member[] {
  const members: Member[] = [];
  const span: Span = { end: 0, members: 0 };
  let at = skipSpace(text, start + 1);
  while (text.charCodeAt(at) === quote) {
    const nameEnd = skipString(text, at);
    const raw = text.slice(at + 1, nameEnd - 1);
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const valueEnd = skipValue(text, valueStart, span);
    const name = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
    members.push({ name, start: valueStart, end: valueEnd });
    at = skipSpace(text, valueEnd);
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1);
  }
  return members;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09;
}

/** Behind the string that begins at `start`: its end is the first quote with an even number of backslashes before it. */
function skipString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  for (;;) {
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) before -= 1;
    if ((end - before) % 2 === 1) return end + 1;
    end = text.indexOf('"', end + 1);
  }
}

/** Behind the value that begins at `start`. */
function skipValue(text: string, start: number, span: Span): number {
  const first = text.charCodeAt(start);
  if (first === quote) return skipString(text, start);
  if (first === openBrace || first === openBracket) {
    scanObject(text, start, span);
    return span.end;
  }
  // A number or a word: it ends where the next part begins.
  let at = start;
  for (;;) {
    const unit = text.charCodeAt(at);
    if (unit === comma || unit === closeBrace || unit === closeBracket || isSpace(unit)) return at;
    at += 1;
  }
}
