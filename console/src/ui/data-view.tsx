// The bytes of a node or a record, as text, as JSON with its parts told apart, or as hex.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { bytes as sizeOf } from './format.ts';
import { Choice } from './parts.tsx';

export type DataFormat = 'json' | 'text' | 'hex';

/** What is shown at once; more would make the page slow. */
const shownBytesMax = 256 * 1024;
const hexBytesMax = 16 * 1024;

/** @param data the bytes, @param label what they are, for screen readers */
export function BytesView({ data, label }: { data: Uint8Array; label: string }) {
  const [chosen, setChosen] = useState<DataFormat | undefined>(undefined);
  if (data.length === 0) return <p class="hint">There is no data.</p>;
  const text = new TextDecoder().decode(data.subarray(0, shownBytesMax));
  const json = data.length <= shownBytesMax ? indentedJson(text) : undefined;
  const isText = isUtf8(data);
  const format = chosen ?? (json !== undefined ? 'json' : isText ? 'text' : 'hex');
  const shownMax = format === 'hex' ? hexBytesMax : shownBytesMax;
  const options = [
    ...(json === undefined ? [] : [{ value: 'json' as const, text: 'JSON' }]),
    { value: 'text' as const, text: 'Text' },
    { value: 'hex' as const, text: 'Hex' },
  ];
  return (
    <div class="data-view">
      <div class="toolbar">
        <Choice label={`Format of ${label}`} options={options} value={format} onChange={setChosen} />
        <span class="hint">
          {sizeOf(data.length)}
          {!isText && ', not UTF-8'}
          {data.length > shownMax && `, the first ${sizeOf(shownMax)} are shown`}
        </span>
      </div>
      <section class="data" data-format={format} aria-label={label} tabIndex={0}>
        {format === 'json' && json !== undefined ? colouredJson(json) : format === 'hex' ? hexOf(data) : text}
      </section>
    </div>
  );
}

/** JSON with a line for each part; undefined if the text is not that of an object or a list. */
export function indentedJson(text: string): string | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2);
  } catch {
    return undefined;
  }
}

export function isUtf8(data: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(data);
    return true;
  } catch {
    return false;
  }
}

const tokens = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;

function colouredJson(text: string): ComponentChildren {
  const parts: ComponentChildren[] = [];
  let at = 0;
  for (const match of text.matchAll(tokens)) {
    const [all, string, colon, word] = match;
    const kind =
      string === undefined ? (word === undefined ? 'number' : 'word') : colon === undefined ? 'string' : 'key';
    parts.push(text.slice(at, match.index), <span class={`json-${kind}`}>{string ?? all}</span>, colon);
    at = match.index + all.length;
  }
  parts.push(text.slice(at));
  return parts;
}

/** Offsets, 16 bytes a line, and the characters that they would be. */
export function hexOf(data: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(data.length, hexBytesMax); at += 16) {
    const piece = [...data.subarray(at, at + 16)];
    const hex = piece.map((byte) => byte.toString(16).padStart(2, '0'));
    const text = piece.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '·')).join('');
    const columns = `${hex.slice(0, 8).join(' ').padEnd(23)}  ${hex.slice(8).join(' ').padEnd(23)}`;
    lines.push(`${at.toString(16).padStart(8, '0')}  ${columns}  ${text}`);
  }
  return lines.join('\n');
}
