/**
 * Passes over one record after the other: where it ends, and whether it is of the usual kind, of which no values are made.
 */
import { gaveUp, type JsonScanner } from '../json-scanner.ts';
import { checkPartBytes, type EncodedRecord, fieldNames, readExactly } from './record-fields.ts';

const quote = 0x22;
const comma = 0x2c;
const closeBrace = 0x7d;

/** Passes over records, one after the other; what it found of the last one is in its fields, as there are so many. */
export class RecordReader {
  readonly scanner: JsonScanner;
  readonly #isOneLine: boolean;
  /** Where the record ends, behind its brace. */
  end = 0;
  /** Whether it has a value and perhaps a key, each once and the key spelled plainly. */
  isUsual = false;
  /** Where the text of its key begins, behind the quote, and ends; -1 for none. */
  keyStart = gaveUp;
  keyEnd = gaveUp;
  /** Of each field: where its name begins and ends, and its value. One more than a record can have shows that it is none. */
  readonly #places = new Int32Array(4 * (fieldNames.size + 1));
  #fields = 0;

  /** @param isOneLine there are no line feeds in the whole text */
  constructor(scanner: JsonScanner, isOneLine: boolean) {
    this.scanner = scanner;
    this.#isOneLine = isOneLine;
  }

  /**
   * Reads the record that begins at `start`. @returns undefined if that is not JSON, or the scanner was interrupted
   * @throws ServiceError BAD_REQUEST, beginning with `where()`
   */
  read(start: number, where: () => string): EncodedRecord | undefined {
    const { text } = this.scanner;
    if (!this.scan(start)) {
      if (this.#fields > fieldNames.size) this.#readExactly(start, where);
      return undefined;
    }
    if (!this.isUsual) return this.#readExactly(start, where);
    const line = text.slice(start, this.end);
    if (!this.#isOneLine && /[\r\n]/.test(line)) return this.#readExactly(start, where);
    checkPartBytes(this.keyEnd - this.keyStart, () => `${where()}.key`);
    const key = this.keyStart < 0 ? undefined : text.slice(this.keyStart, this.keyEnd);
    return { line, key, partition: undefined, timestamp: undefined };
  }

  #readExactly(start: number, where: () => string): EncodedRecord {
    const members = Array.from({ length: this.#fields }, (_, field) => {
      const [nameStart, nameEnd, valueStart, end] = this.#places.subarray(4 * field);
      return { nameStart: nameStart!, nameEnd: nameEnd!, start: valueStart!, end: end! };
    });
    return readExactly(this.scanner.text, { start, end: this.end }, members, where);
  }

  /** Passes over the object that begins at `start`. @returns whether it is JSON, and may be a record */
  scan(start: number): boolean {
    const { scanner } = this;
    const { text } = scanner;
    let values = 0;
    let isUsual = true;
    this.keyStart = gaveUp;
    this.keyEnd = gaveUp;
    this.#fields = 0;
    let at = scanner.skipSpace(start + 1);
    if (text.charCodeAt(at) === closeBrace) {
      this.isUsual = false;
      this.end = at + 1;
      return true;
    }
    for (;;) {
      const nameStart = at;
      let nameEnd: number;
      let valueStart: number;
      if (text.startsWith('"value":', at)) {
        values += 1;
        nameEnd = at + 7;
        valueStart = scanner.skipSpace(at + 8);
        at = scanner.skipValue(valueStart);
      } else if (this.keyStart < 0 && text.startsWith('"key":"', at)) {
        nameEnd = at + 5;
        valueStart = at + 6;
        this.keyStart = at + 7;
        at = scanner.skipString(valueStart);
        this.keyEnd = at - 1;
        if (at !== gaveUp && scanner.hasEscape(this.keyStart, at)) isUsual = false;
      } else {
        isUsual = false;
        if (text.charCodeAt(at) !== quote) return this.#fail(at);
        nameEnd = scanner.skipString(at);
        if (nameEnd === gaveUp) return false;
        valueStart = scanner.skipColon(nameEnd);
        if (valueStart === gaveUp) return false;
        at = this.#fields < fieldNames.size ? scanner.skipValue(valueStart) : valueStart;
      }
      if (at === gaveUp) return false;
      const place = 4 * this.#fields;
      this.#places[place] = nameStart;
      this.#places[place + 1] = nameEnd;
      this.#places[place + 2] = valueStart;
      this.#places[place + 3] = at;
      this.#fields += 1;
      if (this.#fields > fieldNames.size) return false;
      at = scanner.skipSpace(at);
      const unit = text.charCodeAt(at);
      if (unit === closeBrace) break;
      if (unit !== comma) return this.#fail(at);
      at = scanner.skipSpace(at + 1);
    }
    this.end = at + 1;
    this.isUsual = isUsual && values <= 1;
    return true;
  }

  #fail(at: number): false {
    this.scanner.fail(at);
    return false;
  }
}
