/**
 * Finds key and value of stored records by their bytes, for responses that write them in another form. It finds those of plain records:
 * they have a value, perhaps a key before it, and nothing else but their timestamp. Of others it says that they are not plain.
 */
import type { BatchLines } from './batch-lines.ts';

const quote = 0x22;
const comma = 0x2c;
const closeBrace = 0x7d;
const backslash = 0x5c;

const keyText = Buffer.from('"key":"');
const keyBytes = Buffer.from('"keyBase64":"');
const valueText = Buffer.from('"value":');
const valueBytes = Buffer.from('"valueBase64":"');

/** What may be the name of a member behind the value, or only be in the value. */
const otherNames = { headers: Buffer.from('"headers"'), key: Buffer.from('"key'), escape: Buffer.from('\\u') };
type OtherName = keyof typeof otherNames;
/** A batch without any of them has no keys, and no name with escapes. They begin with no quote, which would be found in each record. */
const signsOfKeys = ['key', '\\u'];

export class PlainRecords {
  readonly #batch: BatchLines;
  /** Where each of the other names occurs next. */
  readonly #next: Record<OtherName, number> = { headers: -1, key: -1, escape: -1 };
  readonly #hasNoKeys: boolean;
  /** After its timestamp and the comma, of the record that was found. */
  start = 0;
  /** Its key, without quotes; both 0 for none. */
  keyStart = 0;
  keyEnd = 0;
  /** Whether the key is base64. */
  isKeyBase64 = false;
  /** Its value: JSON, or base64 without quotes. */
  valueStart = 0;
  valueEnd = 0;
  isValueBase64 = false;

  constructor(batch: BatchLines) {
    this.#batch = batch;
    this.#hasNoKeys = !signsOfKeys.some((sign) => batch.bytes.includes(sign));
  }

  /**
   * Finds the parts of a record that was not removed. The records of a batch must be asked for in their order.
   * @returns whether it is plain; if not, the parts are of no use
   */
  find(index: number): boolean {
    const batch = this.#batch;
    const { bytes } = batch;
    const lineStart = batch.startOf(index);
    const lineEnd = batch.endOf(index);
    let at = lineStart + 1;
    if (batch.hasOwnTimestamp(index)) {
      at = bytes.indexOf(comma, at) + 1;
      if (at === 0 || at >= lineEnd) return false;
    }
    this.start = at;
    this.keyStart = 0;
    this.keyEnd = 0;
    this.isKeyBase64 = false;
    // Without keys a record that ends with a text has nothing behind its value: headers end with a bracket.
    if (this.#hasNoKeys && bytes[lineEnd - 2] === quote) return this.#takeValue(at, lineEnd - 1);
    const isKey = startsWith(bytes, at, keyText);
    if (isKey || startsWith(bytes, at, keyBytes)) {
      this.isKeyBase64 = !isKey;
      this.keyStart = at + (isKey ? keyText : keyBytes).length;
      this.keyEnd = bytes.indexOf(quote, this.keyStart);
      for (let i = this.keyStart; i < this.keyEnd; i += 1) if (bytes[i] === backslash) return false;
      if (bytes[this.keyEnd + 1] !== comma) return false;
      at = this.keyEnd + 2;
    }
    return this.#findValue(at, lineEnd - 1);
  }

  /** Takes all up to the end of the record as its value. @param end position of the brace that closes the record */
  #takeValue(at: number, end: number): boolean {
    const { bytes } = this.#batch;
    this.isValueBase64 = startsWith(bytes, at, valueBytes);
    if (!this.isValueBase64 && !startsWith(bytes, at, valueText)) return false;
    this.valueStart = at + (this.isValueBase64 ? valueBytes : valueText).length;
    this.valueEnd = this.isValueBase64 ? end - 1 : end;
    return bytes[end] === closeBrace;
  }

  #findValue(at: number, end: number): boolean {
    if (!this.#takeValue(at, end)) return false;
    const { bytes } = this.#batch;
    if (this.isValueBase64) return bytes.indexOf(quote, this.valueStart) === this.valueEnd;
    // A text without quotes in it is all that follows.
    if (bytes[this.valueStart] === quote && bytes.indexOf(quote, this.valueStart + 1) === end - 1) return true;
    const hasKey = this.keyStart > 0;
    return !(this.#occurs('headers', end) || this.#occurs('escape', end) || (!hasKey && this.#occurs('key', end)));
  }

  /** Whether a name occurs in the value. */
  #occurs(name: OtherName, end: number): boolean {
    if (this.#next[name] < this.valueStart) {
      const found = this.#batch.bytes.indexOf(otherNames[name], this.valueStart);
      this.#next[name] = found < 0 ? Number.POSITIVE_INFINITY : found;
    }
    return this.#next[name] < end;
  }
}

function startsWith(bytes: Buffer, at: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i += 1) if (bytes[at + i] !== name[i]) return false;
  return true;
}
