/**
 * Writes records as the dialect returns them: `{"topic","key","value","partition","offset","timestamp","headers"}`. Records of /v1 are
 * read in both formats: a key or value that came as JSON is the bytes of its JSON, and bytes that are JSON are that JSON.
 */
import { isUtf8 } from 'node:buffer';
import { JsonScanner, noPosition, scannerOf } from '../../core/json-scanner.ts';
import type { FetchedRecords } from '../../core/records/fetched-records.ts';
import { PlainRecords } from '../../core/records/plain-records.ts';
import { skipValueInSteps } from '../../core/records/record-input.ts';
import { RecordPrefix } from '../../core/records/record-prefix.ts';
import { runSteps, type Steps } from '../../core/steps.ts';
import { eachMember } from './json-members.ts';
import type { RecordFormat } from './media-types.ts';
import { ResponseBytes } from './response-bytes.ts';

/** Records of one partition. */
interface PartitionRecords {
  topic: string;
  partition: number;
  records: FetchedRecords;
}

const recordsPerStep = 512;
/** What a record has in a response besides its own members: names, the topic and numbers, with a usual name of a topic. */
const frameBytes = 100;
const closeBrace = 0x7d;
const noKey = Buffer.from('"key":null,');
const keyName = Buffer.from('"key":');
const valueName = Buffer.from(',"value":');
const onlyValueName = Buffer.from('"value":');

/** The records as a JSON list. Most are copied from the stored batches, or encoded from there, without being parsed. */
export function* recordsJson(all: readonly PartitionRecords[], format: RecordFormat): Steps<Buffer> {
  const estimate = all.reduce((sum, { records }) => sum + records.bytes + records.count * frameBytes, 2);
  const out = new ResponseBytes(format === 'binary' ? Math.ceil((estimate * 4) / 3) : estimate);
  let count = 0;
  for (const { topic, partition, records } of all) {
    for (const { batch, first, end } of records.runs) {
      const { bytes, baseOffset, timestamp } = batch;
      const prefix = new RecordPrefix(
        `,{"topic":"${topic}","partition":${partition},"offset":`,
        baseOffset + first,
        timestamp,
      );
      const plain = new PlainRecords(batch);
      for (let index = first; index < end; index += 1, prefix.next()) {
        const [start, lineEnd] = [batch.startOf(index), batch.endOf(index)];
        if (start === lineEnd) continue;
        if (plain.find(index)) {
          const hasOwnTimestamp = plain.start > start + 1;
          if (hasOwnTimestamp) {
            out.bytes(prefix.bytes, 0, prefix.offsetEnd);
            out.bytes(bytes, start + 1, plain.start);
          } else out.template(prefix.bytes);
          if (plain.keyStart === 0) out.template(noKey);
          if (format === 'binary') writeAsBase64(out, bytes, plain);
          else if (plain.isKeyBase64 || plain.isValueBase64) writeAsJson(out, bytes, plain);
          else out.bytes(bytes, plain.start, plain.valueEnd + 1);
        } else {
          const at = { topic, partition, offset: baseOffset + index, timestamp };
          out.text(`,${recordJson(bytes.toString('utf8', start, lineEnd), at, format)}`);
        }
        count += 1;
        if (count % recordsPerStep === 0) yield;
      }
    }
  }
  return out.enclosed();
}

/** Writes the key, if there is one, and the value of a plain record, and the brace that closes it. */
function writeAsBase64(out: ResponseBytes, bytes: Buffer, plain: PlainRecords): void {
  const { keyStart, keyEnd, valueStart, valueEnd } = plain;
  if (keyStart > 0) {
    out.template(keyName);
    if (plain.isKeyBase64) out.base64(bytes, keyStart, keyEnd, true);
    // With its quotes, as the serializers of JSON of Kafka's proxies have it.
    else out.base64(bytes, keyStart - 1, keyEnd + 1, false);
    out.template(valueName);
  } else out.template(onlyValueName);
  if (plain.isValueBase64) out.bytes(bytes, valueStart - 1, valueEnd + 2);
  else {
    out.base64(bytes, valueStart, valueEnd, false);
    out.byte(closeBrace);
  }
}

/** Likewise, for a plain record of which at least a part is bytes. */
function writeAsJson(out: ResponseBytes, bytes: Buffer, plain: PlainRecords): void {
  const { keyStart, keyEnd, valueStart, valueEnd } = plain;
  if (keyStart > 0) {
    out.template(keyName);
    if (plain.isKeyBase64) out.text(jsonOfBytes(bytes.toString('latin1', keyStart, keyEnd), true));
    // With its quotes.
    else out.bytes(bytes, keyStart - 1, keyEnd + 1);
    out.template(valueName);
  } else out.template(onlyValueName);
  if (plain.isValueBase64) out.text(jsonOfBytes(bytes.toString('latin1', valueStart, valueEnd)));
  else out.bytes(bytes, valueStart, valueEnd);
  out.byte(closeBrace);
}

/** @param text the stored record */
function recordJson(
  text: string,
  at: { topic: string; partition: number; offset: number; timestamp: number },
  format: RecordFormat,
): string {
  const { topic, partition, offset } = at;
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
  const key = write(keyText === 'null' ? undefined : keyText, parts.get('keyBase64'), true);
  const value = write(parts.get('value'), parts.get('valueBase64'));
  const headers = parts.get('headers');
  const more = headers === undefined ? '' : `,"headers":${headersJson(headers)}`;
  return (
    `{"topic":"${topic}","key":${key},"value":${value},"partition":${partition},"offset":${offset},` +
    `"timestamp":${parts.get('timestamp') ?? at.timestamp}${more}}`
  );
}

/**
 * @param json the JSON that was stored
 * @param base64 or the bytes, as JSON text
 */
function asJson(json: string | undefined, base64: string | undefined, isText = false): string {
  if (json !== undefined) return json;
  return base64 === undefined ? 'null' : jsonOfBytes(base64.slice(1, -1), isText);
}

/**
 * Bytes that are JSON as that JSON.
 * @param base64 them as they are stored, without quotes
 * @param isText whether bytes that are no JSON are a text, as in a key; else they stay base64: a record that is no JSON must not hold up
 *   its consumer
 */
function jsonOfBytes(base64: string, isText = false): string {
  const stored = `"${base64}"`;
  const bytes = Buffer.from(base64.includes('\\') ? (JSON.parse(stored) as string) : base64, 'base64');
  if (!isUtf8(bytes)) return stored;
  if (isJson(bytes)) return bytes.toString();
  return isText ? JSON.stringify(bytes.toString()) : stored;
}

/** Whether bytes are JSON, in UTF-8. The scanner tells it without an exception, which would cost more than all the rest of a record. */
function isJson(bytes: Buffer): boolean {
  const scanner = scannerOf(bytes);
  const start = scanner.skipSpace(0);
  const end = runSteps(skipValueInSteps(scanner, start));
  return end !== noPosition && scanner.skipSpace(end) === bytes.length;
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
