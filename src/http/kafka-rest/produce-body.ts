/**
 * Reads the body of a produce request of the dialect, `{"records":[{"key","value","partition","timestamp","headers"}]}`. It is
 * written as the body that POST /v1/topics/{topic}/records takes, which core/records checks and stores: so both check the same.
 */
import { isUtf8 } from 'node:buffer';
import { withoutByteOrderMark } from '../../core/json-input.ts';
import { hasControls, JsonScanner, valueIn } from '../../core/json-scanner.ts';
import { bytesAsText } from '../../core/records/record-fields.ts';
import { parseRecordsInSteps, type RequestRecords } from '../../core/records/record-input.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { Steps } from '../../core/steps.ts';
import { KafkaRestError } from './errors.ts';
import { eachItem, eachMember, notJson, type Span } from './json-members.ts';
import type { RecordFormat } from './media-types.ts';

/** What a schema registry would need; it is read over, as clients send nulls there. */
const schemaMembers = new Set(['key_schema', 'key_schema_id', 'value_schema', 'value_schema_id']);
const recordMembers = ['key', 'value', 'partition', 'timestamp', 'headers'];
/** Most bytes of JSON of the headers of a record: they are parsed as a whole. */
const headersBytesMax = 1024 * 1024;
const shownCharacters = 60;

/**
 * @param body it may change its bytes, and return a part of them
 * @throws KafkaRestError 422 for a body that is not one of records; ServiceError BAD_REQUEST for JSON that is malformed, TOO_LARGE
 */
export function* parseProduceBody(body: Buffer, format: RecordFormat): Steps<RequestRecords> {
  // Most bodies of JSON are what /v1 takes. Null is a tombstone here, and a value there.
  if (format === 'json' && !body.includes('null')) {
    try {
      return (yield* parseRecordsInSteps(body)).records;
    } catch (error) {
      if (!hasCode(error, 'BAD_REQUEST')) throw error;
    }
  }
  const translated = yield* translate(withoutByteOrderMark(body), format);
  try {
    return (yield* parseRecordsInSteps(translated)).records;
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'BAD_REQUEST') throw new KafkaRestError(422, error.message);
    throw error;
  }
}

function* translate(body: Buffer, format: RecordFormat): Steps<Buffer> {
  if (!isUtf8(body)) throw new ServiceError('BAD_REQUEST', 'The body is not valid UTF-8, as JSON has to be.');
  const scanner = new JsonScanner(body.toString('latin1'), !hasControls(body));
  let list: Span | undefined;
  const end = yield* eachMember(scanner, scanner.skipSpace(0), (name, at) => {
    if (name === 'records' && !list) list = at;
    else if (!schemaMembers.has(name)) throw unknownMember('The body', name, ['records', ...schemaMembers]);
    return undefined;
  });
  if (end === undefined) throw malformed(scanner);
  const rest = scanner.skipSpace(end);
  if (rest < scanner.text.length) throw notJson(scanner, rest);
  const records: string[] = [];
  const isList =
    list &&
    (yield* eachItem(scanner, list.start, function* visit(at, index) {
      const [record, next] = yield* translateRecord(scanner, at, index, format);
      records.push(record);
      return next;
    }));
  if (!isList) throw new KafkaRestError(422, 'The body must have a list of records: {"records":[{"value":…}]}.');
  return Buffer.from(`{"records":[${records.join(',')}]}`, 'latin1');
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
  if (text.length > headersBytesMax) {
    throw new ServiceError(
      'TOO_LARGE',
      `${where}.headers has ${text.length} bytes of JSON; the limit is ${headersBytesMax}.`,
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

export function isBase64(value: unknown): value is string {
  return typeof value === 'string' && value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);
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

/** A body that is JSON, but no object, is told from one that is not JSON. */
function malformed(scanner: JsonScanner): Error {
  try {
    JSON.parse(Buffer.from(scanner.text.slice(0, 64 * 1024), 'latin1').toString());
  } catch {
    return new ServiceError('BAD_REQUEST', 'The body is not JSON; send {"records":[{"value":…}]}.');
  }
  return new KafkaRestError(422, 'The body must be an object: {"records":[{"value":…}]}.');
}
