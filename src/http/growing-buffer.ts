// The line of an NDJSON body that has not arrived as a whole.

/** A line of at most this size is a usual one: it fits into one piece from the network and what is left of the piece before. */
const lineBytesUsual = 128 * 1024;

const noBytes = Buffer.alloc(0);

/** Bytes that grow at their end, in memory of their own: a few bytes must not hold the whole piece that they came in. */
export class GrowingBuffer {
  readonly #count: (bytes: number) => void;
  #bytes = noBytes;
  length = 0;

  /**
   * @param count called with how many bytes of a large line are in memory, whenever that changes; 0 when it is read
   */
  constructor(count: (bytes: number) => void) {
    this.#count = count;
  }

  append(piece: Buffer): void {
    const length = this.length + piece.length;
    if (length > this.#bytes.length) {
      const size = Math.max(length, 2 * this.#bytes.length);
      if (size > lineBytesUsual) this.#count(size);
      const grown = Buffer.allocUnsafe(size);
      this.#bytes.copy(grown, 0, 0, this.length);
      this.#bytes = grown;
    }
    piece.copy(this.#bytes, this.length);
    this.length = length;
  }

  /** All of them, to be used before the next append; it is empty then. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.length);
    this.length = 0;
    return taken;
  }

  /** Gives memory back that was needed for a large line. To be called when what was taken is used up. */
  shrink(): void {
    if (this.#bytes.length <= lineBytesUsual) return;
    this.#bytes = noBytes;
    this.#count(0);
  }
}
