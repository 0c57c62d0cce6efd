/** Scans records one after the other. Simple records, with only a key and a value, are not parsed. */
import { isBase64String } from '../base64.ts';
import { type JsonScanner, noPosition } from '../json-scanner.ts';
import { checkFieldBytes, type EncodedRecord, fieldNames, readFields } from './record-fields.ts';

const quote = 0x22;
const comma = 0x2c;
const closeBrace = 0x7d;

/** Scans records. The properties describe the last one; a result object per record would be too slow. */
export class RecordReader {
  readonly scanner: JsonScanner;
  readonly #isOneLine: boolean;
  /** Position after the closing brace of the record. */
  end = 0;
  /** Whether it has only a value, JSON or base64, and perhaps a key that is a text without escapes, each once. */
  isSimple = false;
  /** Start and end of the text of its key, without quotes; -1 for none. */
  keyStart = noPosition;
  keyEnd = noPosition;
  /** Four positions per field: start and end of its name and of its value. One more field than a record can have is an error. */
  readonly #positions = new Int32Array(4 * (fieldNames.size + 1));
  #fieldCount = 0;

  get fieldCount(): number {
    return this.#fieldCount;
  }

  /** Position of the opening quote of the name of a field. */
  nameStart(field: number): number {
    return this.#positions[4 * field] ?? 0;
  }

  /** Position after the closing quote of the name of a field. */
  nameEnd(field: number): number {
    return this.#positions[4 * field + 1] ?? 0;
  }

  valueStart(field: number): number {
    return this.#positions[4 * field + 2] ?? 0;
  }

  valueEnd(field: number): number {
    return this.#positions[4 * field + 3] ?? 0;
  }

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
      if (this.#fieldCount > fieldNames.size) this.#readFields(start, where);
      return undefined;
    }
    if (!this.isSimple) return this.#readFields(start, where);
    const line = text.slice(start, this.end);
    if (!this.#isOneLine && /[\r\n]/.test(line)) return this.#readFields(start, where);
    checkFieldBytes(this.keyEnd - this.keyStart, () => `${where()}.key`);
    const key = this.keyStart < 0 ? undefined : text.slice(this.keyStart, this.keyEnd);
    return { line, key, partition: undefined, timestamp: undefined };
  }

  #readFields(start: number, where: () => string): EncodedRecord {
    const members = Array.from({ length: this.#fieldCount }, (_, field) => ({
      nameStart: this.nameStart(field),
      nameEnd: this.nameEnd(field),
      start: this.valueStart(field),
      end: this.valueEnd(field),
    }));
    return readFields(this.scanner.text, { start, end: this.end }, members, where);
  }

  /** Scans the object that begins at `start`. @returns false if it is not JSON or has too many fields to be a record */
  scan(start: number): boolean {
    const { scanner } = this;
    const { text } = scanner;
    let values = 0;
    let isSimple = true;
    this.keyStart = noPosition;
    this.keyEnd = noPosition;
    this.#fieldCount = 0;
    let at = scanner.skipSpace(start + 1);
    if (text.charCodeAt(at) === closeBrace) {
      this.isSimple = false;
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
        if (at !== noPosition && scanner.hasEscape(this.keyStart, at)) isSimple = false;
      } else if (text.startsWith('"valueBase64":"', at)) {
        values += 1;
        nameEnd = at + 13;
        valueStart = at + 14;
        at = scanner.skipString(valueStart);
        if (at !== noPosition && !isBase64String(text, valueStart, at)) isSimple = false;
      } else {
        isSimple = false;
        if (text.charCodeAt(at) !== quote) return this.#fail(at);
        nameEnd = scanner.skipString(at);
        if (nameEnd === noPosition) return false;
        valueStart = scanner.skipColon(nameEnd);
        if (valueStart === noPosition) return false;
        at = this.#fieldCount < fieldNames.size ? scanner.skipValue(valueStart) : valueStart;
      }
      if (at === noPosition) return false;
      const position = 4 * this.#fieldCount;
      this.#positions[position] = nameStart;
      this.#positions[position + 1] = nameEnd;
      this.#positions[position + 2] = valueStart;
      this.#positions[position + 3] = at;
      this.#fieldCount += 1;
      if (this.#fieldCount > fieldNames.size) return false;
      at = scanner.skipSpace(at);
      const unit = text.charCodeAt(at);
      if (unit === closeBrace) break;
      if (unit !== comma) return this.#fail(at);
      at = scanner.skipSpace(at + 1);
    }
    this.end = at + 1;
    this.isSimple = isSimple && values <= 1;
    return true;
  }

  #fail(at: number): false {
    this.scanner.fail(at);
    return false;
  }
}
