// The beginnings of records in responses: their offsets and timestamps. They are bytes that change a little from record to record.

const zero = 0x30;
const nine = 0x39;

/** The bytes `,{"offset":N,"timestamp":T,` before a line without its own timestamp. next() increments N in place. */
export class RecordPrefix {
  bytes!: Buffer;
  /** Where the part with the timestamp begins. */
  offsetEnd = 0;
  end = 0;
  readonly #head: string;
  readonly #timestamp: number;
  #offset: number;

  constructor(head: string, offset: number, timestamp: number) {
    this.#head = head;
    this.#timestamp = timestamp;
    this.#offset = offset;
    this.#spell();
  }

  next(): void {
    this.#offset += 1;
    // Usually only the last digits change.
    let digit = this.offsetEnd - 2;
    while (this.bytes[digit] === nine) {
      this.bytes[digit] = zero;
      digit -= 1;
    }
    const value = this.bytes[digit] ?? 0;
    if (value >= zero && value < nine) this.bytes[digit] = value + 1;
    else this.#spell();
  }

  #spell(): void {
    const head = `${this.#head}${this.#offset},`;
    this.bytes = Buffer.from(`${head}${timePart(this.#timestamp)}`);
    this.offsetEnd = head.length;
    this.end = this.bytes.length;
  }
}

/** The timestamp of a record that has none of its own, as a member with its comma. */
export function timePart(timestamp: number): string {
  return `"timestamp":${timestamp},`;
}
