// Tables as text: columns that are as wide as their widest cell.
import { stripVTControlCharacters } from 'node:util';

interface Column {
  title: string;
  /** Numbers stand at the right. */
  right?: boolean;
}

/** Cells may have escape sequences of colours; what data have of them is made visible by `printable`. */
export interface Table {
  columns: readonly (string | Column)[];
  rows: readonly (readonly (string | number | null | undefined)[])[];
}

const gap = '  ';

/** The lines of a table. @param title how the titles are shown */
export function tableLines({ columns, rows }: Table, title: (text: string) => string = (text) => text): string[] {
  const heads = columns.map((column) => (typeof column === 'string' ? { title: column } : column));
  const cells = rows.map((row) => heads.map((_, at) => cellText(row[at])));
  const widths = heads.map((head, at) => Math.max(head.title.length, ...cells.map((row) => widthOf(row[at] ?? ''))));
  const line = (row: readonly string[], show: (text: string) => string) =>
    row
      .map((cell, at) => {
        const space = ' '.repeat(Math.max(0, (widths[at] ?? 0) - widthOf(cell)));
        if (heads[at]?.right) return space + show(cell);
        return at === row.length - 1 ? show(cell) : show(cell) + space;
      })
      .join(gap)
      .trimEnd();
  return [
    line(
      heads.map((head) => head.title),
      title,
    ),
    ...cells.map((row) => line(row, (text) => text)),
  ];
}

function cellText(value: string | number | null | undefined): string {
  if (value === null || value === undefined || value === '') return '-';
  return String(value);
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Text from a server as it may stand on a terminal: control characters are shown as escapes, so that data cannot move the cursor. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => {
    const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
    return named[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
