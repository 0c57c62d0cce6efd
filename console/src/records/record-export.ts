// Records as files: NDJSON, which can be produced again as it is, and CSV for spreadsheets, which must not take a value for a formula.
import { headersOf, keyPart, type PlacedRecord, valuePart } from './record-view.ts';

/** A line for each record, in the form in which the server sends them. */
export function ndjsonOf(records: readonly PlacedRecord[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

const columns = ['partition', 'offset', 'time', 'key', 'value', 'value_kind', 'headers'];

/** RFC 4180, with a byte order mark, by which spreadsheets know that it is UTF-8. */
export function csvOf(records: readonly PlacedRecord[]): string {
  const rows = records.map((record) => {
    const value = valuePart(record);
    const headers = headersOf(record).map(({ name, text }) => [name, text]);
    return [
      String(record.partition),
      String(record.offset),
      new Date(record.timestamp).toISOString(),
      keyPart(record).text,
      value.text,
      value.kind,
      headers.length === 0 ? '' : JSON.stringify(headers),
    ];
  });
  return `\ufeff${[columns, ...rows].map((row) => row.map(csvCell).join(',')).join('\r\n')}\r\n`;
}

/** What a spreadsheet would take for a formula: also behind a blank, and in the full width forms. */
const formula = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/;
const plainNumber = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** One cell: quoted where it must be, and with an apostrophe before what a spreadsheet would calculate. */
export function csvCell(text: string): string {
  const safe = formula.test(text) && !plainNumber.test(text) ? `'${text}` : text;
  return /[",\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
