/** Reads the body of a produce request of the dialect, `{"records":[…]}`. */
import { isUtf8 } from 'node:buffer';
import { withoutByteOrderMark } from '../../core/json-input.ts';
import { type JsonScanner, scannerOf } from '../../core/json-scanner.ts';
import { parseRecordsInSteps, type RequestRecords } from '../../core/records/record-input.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { Steps } from '../../core/steps.ts';
import { KafkaRestError } from './errors.ts';
import { eachMember, notJson, type Span } from './json-members.ts';
import type { RecordFormat } from './media-types.ts';
import { readRecords, unknownMember } from './produced-records.ts';

/** What a schema registry would need; it is read over, as clients send nulls there. */
const schemaMembers = new Set(['key_schema', 'key_schema_id', 'value_schema', 'value_schema_id']);

/**
 * @param body it may change its bytes, and return a part of them
 * @throws KafkaRestError 422 for a body that is not one of records, 400 for bytes that are no base64; ServiceError BAD_REQUEST for JSON
 *   that is malformed, TOO_LARGE
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
  if (!isUtf8(body)) throw new ServiceError('BAD_REQUEST', 'The body is not valid UTF-8, as JSON has to be.');
  const bytes = withoutByteOrderMark(body);
  const scanner = scannerOf(bytes);
  let list: Span | undefined;
  const end = yield* eachMember(scanner, scanner.skipSpace(0), (name, at) => {
    if (name === 'records' && !list) list = at;
    else if (!schemaMembers.has(name)) throw unknownMember('The body', name, ['records', ...schemaMembers]);
    return undefined;
  });
  if (end === undefined) throw malformed(scanner);
  const rest = scanner.skipSpace(end);
  if (rest < scanner.text.length) throw notJson(scanner, rest);
  const records = list && (yield* readRecords(scanner, bytes, list.start, format));
  if (records) return records;
  throw new KafkaRestError(422, 'The body must have a list of records, at least one: {"records":[{"value":…}]}.');
}

/** A body that is JSON, but no object, is told from one that is not JSON. */
function malformed({ text }: JsonScanner): Error {
  try {
    JSON.parse(Buffer.from(text.slice(0, 64 * 1024), 'latin1').toString());
  } catch {
    return new ServiceError('BAD_REQUEST', 'The body is not JSON; send {"records":[{"value":…}]}.');
  }
  return new KafkaRestError(422, 'The body must be an object: {"records":[{"value":…}]}.');
}
