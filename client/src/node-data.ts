// The data of nodes: texts, bytes, or JSON, as callers give and take them.
import type { Node, Stat } from './wire.ts';

/** Data to write: a text, bytes, or any other value, which is stored as JSON. */
export type DataInput = string | Uint8Array | number | boolean | object | null;

/** The fields of a request that carry data. */
interface DataFields {
  data?: string;
  dataBase64?: string;
  contentType?: string;
}

export function dataFields(data: DataInput | undefined, contentType?: string): DataFields {
  const type = contentType === undefined ? {} : { contentType };
  if (data === undefined) return type;
  if (typeof data === 'string') return { data, ...type };
  if (data instanceof Uint8Array) return { dataBase64: toBase64(data), ...type };
  return { data: JSON.stringify(data), contentType: contentType ?? 'application/json' };
}

/** A node as it was read. */
export class TreeNode {
  readonly path: string;
  readonly stat: Stat;
  readonly contentType: string;
  readonly #data: string;
  readonly #isBase64: boolean;

  constructor({ path, data, encoding, contentType, stat }: Node) {
    this.path = path;
    this.stat = stat;
    this.contentType = contentType;
    this.#data = data;
    this.#isBase64 = encoding === 'base64';
  }

  /** The data as text; bytes that are no UTF-8 become U+FFFD. */
  get text(): string {
    return this.#isBase64 ? new TextDecoder().decode(this.bytes) : this.#data;
  }

  get bytes(): Uint8Array {
    return this.#isBase64 ? fromBase64(this.#data) : new TextEncoder().encode(this.#data);
  }

  /** The data read as JSON. @throws SyntaxError */
  json<T = unknown>(): T {
    return JSON.parse(this.text) as T;
  }
}

/** Characters at a time: an argument list has a limit. */
const pieceLength = 8192;

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += pieceLength)
    text += String.fromCharCode(...bytes.subarray(at, at + pieceLength));
  return btoa(text);
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
