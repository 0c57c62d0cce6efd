/**
 * Reads a record of version 3, `{"partition_id","headers","key":{"type","data"},"value":{"type","data"},"timestamp"}`. It is written as
 * a record of /v1, which core/records checks and stores: so both check the same, and JSON is stored as it was sent.
 */
import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { isBase64 } from '../../../core/base64.ts';
import { JsonScanner, scannerOf, valueIn } from '../../../core/json-scanner.ts';
import type { EncodedRecord } from '../../../core/records/record-fields.ts';
import { readRecordInSteps } from '../../../core/records/record-input.ts';
import { ServiceError } from '../../../core/service-error.ts';
import type { Steps } from '../../../core/steps.ts';
import { KafkaRestError } from '../errors.ts';
import { eachMember, notJson } from '../json-members.ts';
import { headersOf, jsonKeyOf, unknownMember } from '../produced-records.ts';

/** The type of a key or a value and its bytes, for the report of its delivery. */
interface Sent {
  type: DataType;
  size: number;
}

/** A record to append. */
export interface V3Record {
  record: EncodedRecord;
  key: Sent | undefined;
  value: Sent | undefined;
}

const types = ['BINARY', 'JSON', 'STRING'] as const;
type DataType = (typeof types)[number];
const schemaTypes = ['AVRO', 'JSONSCHEMA', 'PROTOBUF'];
const recordMembers = ['partition_id', 'headers', 'key', 'value', 'timestamp'];
/** What refers to a schema. Null is none. */
const schemaMembers = ['subject', 'subject_name_strategy', 'schema_id', 'schema_version', 'schema'];
const dataMembers = ['type', 'data', ...schemaMembers];
const isoTime = z.iso.datetime({ offset: true });
const partitionMax = 2 ** 31 - 1;
const shownCharacters = 60;

/**
 * Reads a record.
 * @param bytes of its JSON object
 * @param more members that it may have besides
 * @throws ServiceError BAD_REQUEST, TOO_LARGE, UNKNOWN_PARTITION; KafkaRestError 400, 422 for what needs a schema registry
 */
function* readRecord(bytes: Buffer, more: readonly string[] = []): Steps<V3Record> {
  if (!isUtf8(bytes)) throw new ServiceError('BAD_REQUEST', 'The record is not valid UTF-8, as JSON has to be.');
  const scanner = scannerOf(bytes);
  const { isClean } = scanner;
  const members = yield* membersOf(scanner, 'The record', [...recordMembers, ...more]);
  const parts: string[] = [];
  const partition = members.get('partition_id');
  if (partition !== undefined) parts.push(`"partition":${partitionOf(partition)}`);
  const timestamp = members.get('timestamp');
  if (timestamp !== undefined) parts.push(`"timestamp":${timestampOf(timestamp)}`);
  const headers = members.get('headers');
  if (headers !== undefined) parts.push(`"headers":${asBadRequest(() => headersOf(headers, 'headers', 'name'))}`);
  const key = yield* dataOf(members.get('key'), 'key', isClean);
  const value = yield* dataOf(members.get('value'), 'value', isClean);
  for (const part of [key?.part, value?.part]) if (part !== undefined) parts.push(part);
  const record = yield* readRecordInSteps(`{${parts.join(',')}}`, isClean, () => 'The record');
  return { record, key: key?.sent, value: value?.sent };
}

/** A record as it was read, or what is wrong with it. */
export type Read = V3Record | { failure: ServiceError | KafkaRestError };

/** Reads a record as readRecord(), and returns its error. */
export function* readOrFailure(bytes: Buffer, more?: readonly string[]): Steps<Read> {
  try {
    return yield* readRecord(bytes, more);
  } catch (failure) {
    if (failure instanceof ServiceError || failure instanceof KafkaRestError) return { failure };
    throw failure;
  }
}

/**
 * The JSON texts of the members of an object, bytes as text, without those that are null.
 * @throws ServiceError BAD_REQUEST; KafkaRestError 400 for an unknown one, or one that occurs twice
 */
function* membersOf(scanner: JsonScanner, where: string, known: readonly string[]): Steps<Map<string, string>> {
  const members = new Map<string, string>();
  const start = scanner.skipSpace(0);
  const end = yield* eachMember(scanner, start, (name, at) => {
    if (!known.includes(name)) throw new KafkaRestError(400, unknownMember(where, name, known).message);
    // JSON parsers disagree about which of two members of one name counts.
    if (members.has(name)) throw new KafkaRestError(400, `${where} has the field ${name} twice.`);
    members.set(name, scanner.text.slice(at.start, at.end));
    return undefined;
  });
  if (end === undefined) throw new KafkaRestError(400, `${where} must be an object.`);
  if (scanner.skipSpace(end) < scanner.text.length) throw notJson(scanner, end);
  for (const [name, text] of members) if (text === 'null') members.delete(name);
  return members;
}

/**
 * A key or a value.
 * @returns it as a member of a record of /v1, undefined if it is null, and what it was sent as; undefined if there is none
 */
function* dataOf(
  text: string | undefined,
  name: 'key' | 'value',
  isClean: boolean,
): Steps<{ part: string | undefined; sent: Sent } | undefined> {
  if (text === undefined) return undefined;
  const members = yield* membersOf(new JsonScanner(text, isClean), name, dataMembers);
  const type = typeOf(members, name);
  const data = members.get('data');
  if (data === undefined) return { part: undefined, sent: { type, size: 0 } };
  if (type === 'JSON') {
    return { part: name === 'key' ? jsonKeyOf(data) : `"value":${data}`, sent: { type, size: data.length } };
  }
  const given = data.startsWith('"') ? (valueIn(data, 0, data.length) as string) : undefined;
  if (type === 'STRING') {
    if (given === undefined) throw new KafkaRestError(400, `${name}.data must be a text, as its type is STRING.`);
    return { part: `"${name}":${data}`, sent: { type, size: Buffer.byteLength(given) } };
  }
  if (!isBase64(given)) {
    throw new KafkaRestError(400, `${name}.data must be base64 with its padding, as its type is BINARY.`);
  }
  return { part: `"${name}Base64":${data}`, sent: { type, size: Buffer.byteLength(given, 'base64') } };
}

/** @throws KafkaRestError 400, 422 */
function typeOf(members: ReadonlyMap<string, string>, name: string): DataType {
  const text = members.get('type');
  const given = text !== undefined && text.length <= shownCharacters ? valueIn(text, 0, text.length) : undefined;
  const type = types.find((one) => one === given);
  const schema = schemaMembers.find((member) => members.has(member));
  if (type && !schema) return type;
  const choice = `give "type": ${types.join(', ')}`;
  if (schema || text === undefined || schemaTypes.includes(String(given))) {
    const what = schema ? `${name}.${schema}` : `${name} without a type, or with one of ${schemaTypes.join(', ')},`;
    throw new KafkaRestError(422, `${what} needs a schema registry, and this server has none; ${choice}.`);
  }
  throw new KafkaRestError(400, `${name}.type is ${text.slice(0, shownCharacters)}; ${choice}.`);
}

/** @throws ServiceError UNKNOWN_PARTITION; KafkaRestError 400 */
function partitionOf(text: string): number {
  const value = /^-?\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value < 0) throw new ServiceError('UNKNOWN_PARTITION', `partition_id is ${text}; partitions begin at 0.`);
  if (value <= partitionMax) return value;
  throw new KafkaRestError(400, `partition_id is ${text.slice(0, shownCharacters)}; it must be a whole number.`);
}

/** @throws KafkaRestError 400 */
function timestampOf(text: string): number {
  const given: unknown = text.startsWith('"') && text.length <= shownCharacters ? valueIn(text, 0, text.length) : '';
  const { success, data } = isoTime.safeParse(given);
  const ms = success ? Date.parse(data) : Number.NaN;
  if (ms >= 0) return ms;
  const shown = text.slice(0, shownCharacters);
  throw new KafkaRestError(400, `timestamp is ${shown}; it must be a time since 1970 such as "2026-02-05T19:14:42Z".`);
}

/** What version 2 refuses with 422 is 400 here. */
function asBadRequest<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof KafkaRestError ? new KafkaRestError(400, error.message) : error;
  }
}
