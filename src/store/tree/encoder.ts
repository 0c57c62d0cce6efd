// Writes numbers and texts one after the other, big-endian, as the scripts read them with struct.unpack.
export class Encoder {
  readonly #bytes: Buffer;
  #at = 0;

  /** @param sizeMax at least the number of bytes that will be written */
  constructor(sizeMax: number) {
    this.#bytes = Buffer.allocUnsafe(sizeMax);
  }

  byte(value: number): void {
    this.#bytes[this.#at] = value;
    this.#at += 1;
  }

  /** A signed integer of 32 bits. */
  whole(value: number): void {
    this.#at = this.#bytes.writeInt32BE(value, this.#at);
  }

  double(value: number): void {
    this.#at = this.#bytes.writeDoubleBE(value, this.#at);
  }

  /** A text of less than 64 KiB, after its length (16 bits). */
  short(text: string): void {
    const length = this.#put(text, this.#at + 2);
    if (length > 0xffff) throw new Error('A text to encode is over 64 KiB');
    this.#bytes.writeUInt16BE(length, this.#at);
    this.#at += 2 + length;
  }

  /** Text or bytes, after the length (32 bits). */
  long(value: string | Buffer): void {
    const length = this.#put(value, this.#at + 4);
    this.#bytes.writeUInt32BE(length, this.#at);
    this.#at += 4 + length;
  }

  encoded(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  #put(value: string | Buffer, at: number): number {
    if (value.length === 0) return 0;
    return typeof value === 'string' ? this.#bytes.write(value, at) : value.copy(this.#bytes, at);
  }
}
