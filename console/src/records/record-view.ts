// Records as people read them: the kind, the bytes and the preview of a key or a value, and the headers.
import type { LogRecord } from '@weirkeeper/client';

/** A record, and the partition it is in. */
export interface PlacedRecord extends LogRecord {
  partition: number;
}

/** json: any JSON but a text. none: there is no value, so it is a tombstone; or no key. */
export type PartKind = 'json' | 'text' | 'bytes' | 'none';

/** A key or a value. */
export interface RecordPart {
  kind: PartKind;
  bytes: Uint8Array;
  /** As text; of bytes, as base64. */
  text: string;
}

/** The value of a record of Kafka's clients, and of a header. */
interface RecordHeader {
  name: string;
  /** null: the header has no value. */
  text: string | null;
  isBytes: boolean;
}

const none: RecordPart = { kind: 'none', bytes: new Uint8Array(0), text: '' };
const encoder = new TextEncoder();

export function valuePart({ value, valueBase64 }: LogRecord): RecordPart {
  if (valueBase64 !== undefined) return { kind: 'bytes', bytes: bytesOfBase64(valueBase64), text: valueBase64 };
  if (value === undefined) return none;
  const isText = typeof value === 'string';
  const text = isText ? value : JSON.stringify(value);
  return { kind: isText ? 'text' : 'json', bytes: encoder.encode(text), text };
}

export function keyPart({ key, keyBase64 }: LogRecord): RecordPart {
  if (keyBase64 !== undefined) return { kind: 'bytes', bytes: bytesOfBase64(keyBase64), text: keyBase64 };
  if (key === undefined || key === null) return none;
  return { kind: 'text', bytes: encoder.encode(key), text: key };
}

export function headersOf({ headers = {} }: LogRecord): RecordHeader[] {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  return pairs.map(([name, value]) => {
    const isBytes = typeof value === 'object' && value !== null;
    return { name, text: isBytes ? value.base64 : value, isBytes };
  });
}

/** Bytes of key, value and headers. */
export function sizeOf(record: LogRecord): number {
  const headers = headersOf(record).reduce(
    (sum, { name, text, isBytes }) =>
      sum + encoder.encode(name).length + (isBytes ? bytesOfBase64(text ?? '') : encoder.encode(text ?? '')).length,
    0,
  );
  return keyPart(record).bytes.length + valuePart(record).bytes.length + headers;
}

/** A key or a value on one line. */
export function preview({ kind, bytes, text }: RecordPart, charactersMax = 240): string {
  if (kind === 'none') return '';
  if (kind === 'bytes') return hexPreview(bytes, Math.floor(charactersMax / 3));
  const line = text.slice(0, charactersMax * 2).replace(/\s+/g, ' ');
  return line.length > charactersMax ? `${line.slice(0, charactersMax)}…` : line;
}

/** The name of a record in its topic: `0:15`. */
export function placeOf({ partition, offset }: PlacedRecord): string {
  return `${partition}:${offset}`;
}

/** Whether a record has what a filter asks for, as a search of the server finds it: the whole key, and a part of anything. */
export function matches(record: LogRecord, { key, contains }: { key: string; contains: string }): boolean {
  if (key !== '' && keyPart(record).text !== key) return false;
  if (contains === '') return true;
  const parts = [keyPart(record), valuePart(record)].map(({ kind, bytes, text }) =>
    kind === 'bytes' ? new TextDecoder().decode(bytes) : text,
  );
  return [...parts, ...headersOf(record).flatMap(({ name, text }) => [name, text ?? ''])].some((text) =>
    text.includes(contains),
  );
}

function hexPreview(bytes: Uint8Array, shownMax: number): string {
  const hex = [...bytes.subarray(0, shownMax)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return bytes.length > shownMax ? `${hex} …` : hex;
}

function bytesOfBase64(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
