// The bytes of a response that is written from left to right: a JSON list of which each element has a comma before it.

const quote = 0x22;
const padding = 0x3d;
const digits = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const openBracket = 0x5b;
const closeBracket = 0x5d;
/** Up to so many bytes a loop is faster than a call into native code: to copy a part of a buffer, a whole one, and to encode. */
const copyBytesMax = 32;
const templateBytesMax = 12;
const encodeBytesMax = 256;

export class ResponseBytes {
  #bytes: Buffer;
  #length = 0;

  /** @param estimate how many bytes it will have: with more it grows */
  constructor(estimate: number) {
    this.#bytes = Buffer.allocUnsafe(estimate);
  }

  /** Copies bytes from `start` to `end`. */
  bytes(from: Buffer, start: number, end: number): void {
    const count = end - start;
    this.#reserve(count);
    const to = this.#bytes;
    const at = this.#length;
    if (count > copyBytesMax) from.copy(to, at, start, end);
    else for (let i = 0; i < count; i += 1) to[at + i] = from[start + i] ?? 0;
    this.#length = at + count;
  }

  /** Copies all bytes of a template. */
  template(from: Buffer): void {
    const count = from.length;
    this.#reserve(count);
    const to = this.#bytes;
    const at = this.#length;
    if (count > templateBytesMax) to.set(from, at);
    else for (let i = 0; i < count; i += 1) to[at + i] = from[i] ?? 0;
    this.#length = at + count;
  }

  byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  text(text: string): void {
    this.#reserve(3 * text.length);
    this.#length += this.#bytes.write(text, this.#length);
  }

  /** Writes bytes as a text in base64. @param isEncoded whether they are base64 already */
  base64(from: Buffer, start: number, end: number, isEncoded: boolean): void {
    this.byte(quote);
    if (isEncoded) this.bytes(from, start, end);
    else if (end - start <= encodeBytesMax) this.#encode(from, start, end);
    else {
      const text = from.toString('base64', start, end);
      this.#reserve(text.length);
      this.#length += this.#bytes.write(text, this.#length, 'latin1');
    }
    this.byte(quote);
  }

  /** All of it as a list: a bracket takes the place of the first comma. */
  enclosed(): Buffer {
    if (this.#length === 0) this.byte(openBracket);
    this.byte(closeBracket);
    this.#bytes[0] = openBracket;
    return this.#bytes.subarray(0, this.#length);
  }

  #encode(from: Buffer, start: number, end: number): void {
    this.#reserve(Math.ceil((end - start) / 3) * 4);
    const to = this.#bytes;
    let at = this.#length;
    let i = start;
    for (const whole = end - ((end - start) % 3); i < whole; i += 3) {
      const bits = ((from[i] ?? 0) << 16) | ((from[i + 1] ?? 0) << 8) | (from[i + 2] ?? 0);
      to[at] = digits[bits >> 18] ?? 0;
      to[at + 1] = digits[(bits >> 12) & 63] ?? 0;
      to[at + 2] = digits[(bits >> 6) & 63] ?? 0;
      to[at + 3] = digits[bits & 63] ?? 0;
      at += 4;
    }
    if (i < end) {
      const isPair = i + 1 < end;
      const bits = ((from[i] ?? 0) << 16) | (isPair ? (from[i + 1] ?? 0) << 8 : 0);
      to[at] = digits[bits >> 18] ?? 0;
      to[at + 1] = digits[(bits >> 12) & 63] ?? 0;
      to[at + 2] = isPair ? (digits[(bits >> 6) & 63] ?? 0) : padding;
      to[at + 3] = padding;
      at += 4;
    }
    this.#length = at;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#length + count, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
