// Records as text: in a format of the user, as a line for people, or as JSON.
import type { LogRecord } from '@weirkeeper/client';
import { usageError } from './errors.ts';
import { printable } from './table.ts';

/** A record and where it is. */
export interface PlacedRecord extends LogRecord {
  topic: string;
  partition: number;
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0', '\\': '\\' };

const fields: Readonly<Record<string, (record: PlacedRecord) => string | Uint8Array>> = {
  t: (record) => record.topic,
  p: (record) => String(record.partition),
  o: (record) => String(record.offset),
  k: (record) => keyBytes(record),
  v: (record) => valueBytes(record),
  T: (record) => String(record.timestamp),
  D: (record) => new Date(record.timestamp).toISOString(),
  h: (record) => headersText(record),
  s: (record) => String(valueBytes(record).length),
  j: (record) => JSON.stringify(record),
  '%': () => '%',
};

/**
 * How records are printed by a format of the user: `%t` topic, `%p` partition, `%o` offset, `%k` key, `%v` value, `%T` timestamp, `%D` date,
 * `%h` headers, `%s` bytes of the value, `%j` all as JSON, `%%` a percent sign; `\n`, `\t`, `\\`.
 * @throws CliError if it has another field
 */
export function formatterOf(format: string): (record: PlacedRecord) => Uint8Array {
  const parts = [...format.matchAll(/%(.?)|\\(.?)|[^%\\]+/gsu)].map(([text, field, escaped]) => {
    if (field !== undefined) {
      const show = fields[field];
      if (!show)
        throw usageError(
          `The format has %${field}; it takes ${Object.keys(fields)
            .map((name) => `%${name}`)
            .join(' ')}.`,
        );
      return show;
    }
    const literal = escaped === undefined ? text : (escapes[escaped] ?? text);
    return () => literal;
  });
  return (record) => Buffer.concat(parts.map((part) => Buffer.from(part(record))));
}

/** A record in a line for people. */
export function recordLine(record: PlacedRecord, style: (text: string) => string): string {
  const key =
    record.key === undefined && record.keyBase64 === undefined ? '' : `  ${printable(String(keyBytes(record)))}`;
  const value = valueBytes(record);
  const text = typeof value === 'string' ? printable(value) : `base64:${Buffer.from(value).toString('base64')}`;
  return `${style(`${record.partition}:${record.offset}`)}${style(key)}  ${text}`;
}

/** The key as text or bytes; empty if there is none. */
export function keyBytes({ key, keyBase64 }: LogRecord): string | Uint8Array {
  return keyBase64 === undefined ? (key ?? '') : Buffer.from(keyBase64, 'base64');
}

/** The value as text or bytes: texts as they are, other values as JSON; empty if there is none. */
export function valueBytes({ value, valueBase64 }: LogRecord): string | Uint8Array {
  if (valueBase64 !== undefined) return Buffer.from(valueBase64, 'base64');
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function headersText({ headers = {} }: LogRecord): string {
  const list = Array.isArray(headers) ? headers : Object.entries(headers);
  return list
    .map(
      ([name, value]) =>
        `${name}=${value === null ? '' : typeof value === 'string' ? value : `base64:${value.base64}`}`,
    )
    .join(',');
}
