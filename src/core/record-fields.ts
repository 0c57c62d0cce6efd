/**
 * One record: which fields are valid, and the line that a log keeps of it. Records of the usual kind are not read field by
 * field (record-input.ts), but all could be.
 *
 * A batch in the store is the lines of its records, joined by line feeds. A line is the record's JSON object as the client
 * wrote it, so that a number beyond 2^53 or a spelling of its own survives byte for byte, with these exceptions: line feeds
 * between its parts are taken out (a record must be one line), `partition` is left out (where it lies says it), and a
 * timestamp of its own stands first. So a fetch answers `{"offset":N,"timestamp":T,` and the line less its brace, and
 * neither parses nor builds records. An empty line is a record that compaction has removed; it keeps its offset.
 */
import { eachMember, JsonScanner, valueIn } from './json-scanner.ts';
import { ServiceError } from './service-error.ts';

/** One record, checked and in the form that it is kept in. */
export interface EncodedRecord {
  /** Bytes as text. */
  line: string;
  /** What the partitioner hashes, bytes as text; undefined for a record without a key. */
  key: string | undefined;
  /** The partition that the record itself asks for. */
  partition: number | undefined;
  /** Its own timestamp, ms since the epoch; `line` then begins with it. */
  timestamp: number | undefined;
}

const fieldNames = new Set(['key', 'keyBase64', 'value', 'valueBase64', 'headers', 'partition', 'timestamp']);

/** UTF-8 as bytes as text. */
export function bytesAsText(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** Reads a record whose text is valid JSON, by its values. @throws ServiceError BAD_REQUEST, beginning with `where()` */
export function readExactly(text: string, where: () => string): EncodedRecord {
  const value = valueIn(text, 0, text.length) as Record<string, unknown>;
  const members: { name: string; start: number; end: number }[] = [];
  const scanner = new JsonScanner(text, false);
  eachMember(scanner, 0, (name, start) => {
    if (!fieldNames.has(name)) {
      throw bad(`${where()}: unknown field '${name}'; a record has ${[...fieldNames].join(', ')}.`);
    }
    const end = scanner.skipValue(start);
    members.push({ name, start, end });
    return end;
  });
  // JSON.parse takes the last of two members of one name; other readers would take the first.
  if (new Set(members.map(({ name }) => name)).size < members.length) throw bad(`${where()}: a field comes twice.`);
  const key = readKey(value, where);
  if (value.valueBase64 !== undefined) {
    if (value.value !== undefined) throw bad(`${where()}: give value or valueBase64, not both.`);
    readBase64(value.valueBase64, () => `${where()}.valueBase64`);
  }
  if (value.headers !== undefined) checkHeaders(value.headers, `${where()}.headers`);
  const partition = readWhole(value.partition, () => `${where()}.partition`);
  const timestamp = readWhole(value.timestamp, () => `${where()}.timestamp`);

  let line = members.length === 0 ? '{}' : text;
  if (partition !== undefined || timestamp !== undefined) {
    const kept = members
      .filter(({ name }) => name !== 'partition' && name !== 'timestamp')
      .map((member) => `"${member.name}":${text.slice(member.start, member.end)}`);
    if (timestamp !== undefined) kept.unshift(`"timestamp":${timestamp}`);
    line = `{${kept.join(',')}}`;
  }
  // Valid JSON has line feeds only between its parts, with nothing but more space behind them.
  if (line.includes('\n') || line.includes('\r')) line = line.replace(/[\r\n][ \t\r\n]*/g, '');
  return { line, key, partition, timestamp };
}

function readKey(value: Record<string, unknown>, where: () => string): string | undefined {
  const { key, keyBase64 } = value;
  if (keyBase64 !== undefined) {
    if (key !== undefined) throw bad(`${where()}: give key or keyBase64, not both.`);
    return readBase64(keyBase64, () => `${where()}.keyBase64`).toString('latin1');
  }
  if (key === undefined || key === null) return undefined;
  if (typeof key === 'string') return bytesAsText(key);
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bad(detail: string): ServiceError {
  return new ServiceError('BAD_REQUEST', detail);
}
