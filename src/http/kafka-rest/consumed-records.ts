/**
 * Writes records as the dialect returns them: `{"topic","key","value","partition","offset","timestamp","headers"}`. Records of /v1 are
 * read in both formats: a value that came as JSON is the bytes of its text, and bytes that are JSON are that JSON.
 */
import { isUtf8 } from 'node:buffer';
import { JsonScanner } from '../../core/json-scanner.ts';
import type { FetchedRecords } from '../../core/records/fetched-records.ts';
import { runSteps, type Steps } from '../../core/steps.ts';
import { eachMember } from './json-members.ts';
import type { RecordFormat } from './media-types.ts';

/** Records of one partition. */
interface PartitionRecords {
  topic: string;
  partition: number;
  records: Pick<FetchedRecords, 'records'>;
}

const recordsPerStep = 64;

/** The records as a JSON list. */
export function* recordsJson(all: readonly PartitionRecords[], format: RecordFormat): Steps<string> {
  const items: string[] = [];
  for (const { topic, partition, records } of all) {
    for (const { offset, line } of records.records) {
      items.push(recordJson(`{${line}`, { topic, partition, offset }, format));
      if (items.length % recordsPerStep === 0) yield;
    }
  }
  return `[${items.join(',')}]`;
}

/** @param text the stored record, with its timestamp */
function recordJson(
  text: string,
  { topic, partition, offset }: { topic: string; partition: number; offset: number },
  format: RecordFormat,
): string {
  const simple = format === 'json' ? simpleMembers(text) : undefined;
  if (simple) {
    const { timestamp, key, value } = simple;
    return `{"topic":"${topic}","key":${key},"value":${value},"partition":${partition},"offset":${offset},"timestamp":${timestamp}}`;
  }
  // What is stored is valid JSON, so no text in it has a control character.
  const scanner = new JsonScanner(text, true);
  const parts = new Map<string, string>();
  runSteps(
    eachMember(scanner, 0, (name, at) => {
      parts.set(name, text.slice(at.start, at.end));
      return undefined;
    }),
  );
  const write = format === 'json' ? asJson : asBase64;
  const keyText = parts.get('key');
  // The bytes of a key that is a text are those of the text; in JSON it is the text.
  const key =
    keyText !== undefined && keyText !== 'null' && format === 'binary'
      ? `"${Buffer.from(JSON.parse(keyText) as string).toString('base64')}"`
      : write(keyText, parts.get('keyBase64'), true);
  const value = write(parts.get('value'), parts.get('valueBase64'));
  const headers = parts.get('headers');
  const more = headers === undefined ? '' : `,"headers":${headersJson(headers)}`;
  return (
    `{"topic":"${topic}","key":${key},"value":${value},"partition":${partition},"offset":${offset},` +
    `"timestamp":${parts.get('timestamp') ?? 'null'}${more}}`
  );
}

/** How most records begin: with a key without escapes, or none. */
const simpleHead = /^\{"timestamp":(\d+),(?:"key":("[^"\\]*"),)?"value":/;
/** What may be the name of another member behind the value, or only be in the value. */
const otherName = /"key"|"keyBase64"|"valueBase64"|"headers"|\\u/;

/** The members of a record that has a value and perhaps a key before it, and nothing else; undefined for others, and if that is not sure. */
function simpleMembers(text: string): { timestamp: string; key: string; value: string } | undefined {
  const head = simpleHead.exec(text);
  if (!head) return undefined;
  const [{ length }, timestamp = '', key = 'null'] = head;
  const value = text.slice(length, -1);
  return otherName.test(value) ? undefined : { timestamp, key, value };
}

/**
 * @param json the JSON that was stored
 * @param base64 or the bytes, as JSON text
 * @param isText whether bytes that are no JSON are a text, as in a key; else they stay base64
 */
function asJson(json: string | undefined, base64: string | undefined, isText = false): string {
  if (json !== undefined) return json;
  if (base64 === undefined) return 'null';
  const bytes = Buffer.from(base64.slice(1, -1), 'base64');
  if (!isUtf8(bytes)) return base64;
  const text = bytes.toString();
  try {
    JSON.parse(text);
    return text;
  } catch {
    // A record that is no JSON must not hold up its consumer.
    return isText ? JSON.stringify(text) : base64;
  }
}

function asBase64(json: string | undefined, base64: string | undefined): string {
  if (base64 !== undefined) return base64;
  return json === undefined ? 'null' : `"${Buffer.from(json).toString('base64')}"`;
}

/** The headers as `[{"key","value"}]`, with their values in base64. */
function headersJson(stored: string): string {
  const headers: unknown = JSON.parse(stored);
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers as object);
  return JSON.stringify(pairs.map(([key, value]: [string, unknown]) => ({ key, value: headerBase64(value) })));
}

function headerBase64(value: unknown): string | null {
  if (typeof value === 'string') return Buffer.from(value).toString('base64');
  return value === null ? null : (value as { base64: string }).base64;
}
