/**
 * Finds the ends of the parts of a JSON text and checks that they are valid, without creating values. It works on bytes as text
 * (latin1 strings in which each character is one byte of UTF-8), so that native searches skip most of the text.
 *
 * It accepts exactly what JSON.parse accepts, up to a nesting of `depthMax`. Scanning a long object or list is interrupted
 * after a slice of bytes, so that the caller can let other work run, and is continued by resume().
 */

import { withoutHandles } from './issues.ts';

/** Maximum nesting of objects and lists. */
const depthMax = 1000;

/** Returned instead of a position: the text is not JSON, is nested too deeply, or the scan was interrupted. */
export const noPosition = -1;

const lineFeed = 0x0a;
const quote = 0x22;
const comma = 0x2c;
const minus = 0x2d;
const dot = 0x2e;
const zero = 0x30;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** The scan of one object or list is interrupted after this many bytes. */
const sliceBytes = 256 * 1024;

const literals = ['true', 'false', 'null'];
const plainEscapes = new Set([...'"\\/bfnrt'].map((letter) => letter.charCodeAt(0)));

export class JsonScanner {
  readonly text: string;
  /** Whether the text has no control characters, so that no string can contain one. */
  readonly isClean: boolean;
  /** Position of the first backslash from `#escapeSoughtFrom` on; Infinity if there is none. */
  #nextEscape = -1;
  #escapeSoughtFrom = 0;
  /** Position of the error after a failed scan. */
  failedAt = 0;
  /** Whether the scan failed because the text is nested deeper than `depthMax`. */
  isTooDeep = false;
  /** Whether the scan was interrupted within a long object or list. Call resume() until it returns true, then repeat the call. */
  isInterrupted = false;
  /** End positions by start positions of the objects and lists that were scanned in slices. */
  readonly #skippedContainers = new Map<number, number>();
  /** The interrupted object or list: its start, the position to resume at, and the closers of what is open there. */
  #interrupted = { start: 0, at: 0, closers: [] as number[] };

  /** @param isClean whether no byte is a control character, except line feeds outside of the scanned values */
  constructor(text: string, isClean: boolean) {
    this.text = text;
    this.isClean = isClean;
  }

  /** Records the position of an error. */
  fail(at: number): typeof noPosition {
    this.failedAt = at;
    return noPosition;
  }

  /** Position after the whitespace at `at`. */
  skipSpace(at: number): number {
    const { text } = this;
    let end = at;
    for (;;) {
      const unit = text.charCodeAt(end);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return end;
      end += 1;
    }
  }

  /** Position after the string whose opening quote is at `at`. */
  skipString(at: number): number {
    const { text } = this;
    const end = text.indexOf('"', at + 1);
    if (end < 0) return this.fail(text.length);
    // A caller may go back to what was scanned before.
    if (this.#nextEscape <= at || at < this.#escapeSoughtFrom) {
      this.#nextEscape = orEndOfText(text.indexOf('\\', at));
      this.#escapeSoughtFrom = at;
    }
    if (this.#nextEscape < end) return this.#skipStringSlowly(at);
    // Without escapes only a control character can make the string invalid; the slow path finds it.
    return this.isClean ? end + 1 : this.#skipStringSlowly(at);
  }

  /** Whether the string from `start` to `end`, which was just scanned, contains escapes. */
  hasEscape(start: number, end: number): boolean {
    return this.#nextEscape < end && this.text.slice(start, end).includes('\\');
  }

  #skipStringSlowly(start: number): number {
    const { text } = this;
    let at = start + 1;
    for (;;) {
      const unit = text.charCodeAt(at);
      if (unit === quote) return at + 1;
      if (unit === backslash) {
        if (plainEscapes.has(text.charCodeAt(at + 1))) at += 2;
        else {
          if (text.charCodeAt(at + 1) !== 0x75 || !isHex(text, at + 2)) return this.fail(at);
          at += 6;
        }
      } else if (unit >= 0x20) at += 1;
      // A control character, or the end of the text.
      else return this.fail(at);
    }
  }

  /** Position after the value at `start`, of any kind. */
  skipValue(start: number): number {
    const unit = this.text.charCodeAt(start);
    if (unit === quote) return this.skipString(start);
    if (unit !== openBrace && unit !== openBracket) return this.skipPrimitive(start);
    const known = this.#skippedContainers.size > 0 ? this.#skippedContainers.get(start) : undefined;
    return known ?? this.#skipContainer(start, start, []);
  }

  /** Continues an interrupted scan. @returns whether it has ended, with or without an error */
  resume(): boolean {
    this.isInterrupted = false;
    const { start, at, closers } = this.#interrupted;
    const end = this.#skipContainer(start, at, closers);
    if (this.isInterrupted) return false;
    this.#skippedContainers.set(start, end);
    return true;
  }

  /**
   * Position after the object or list at `start`.
   * @param from position of its next value
   * @param closers the closing brackets of the open objects and lists
   */
  #skipContainer(start: number, from: number, closers: number[]): number {
    const { text } = this;
    const interruptAt = from + sliceBytes;
    let at = from;
    for (;;) {
      if (at > interruptAt) {
        this.isInterrupted = true;
        this.#interrupted = { start, at, closers };
        return noPosition;
      }
      // A value begins here, unless the name before it was invalid.
      if (at === noPosition) return noPosition;
      const opener = text.charCodeAt(at);
      if (opener === openBrace || opener === openBracket) {
        if (closers.length === depthMax) {
          this.isTooDeep = true;
          return this.fail(at);
        }
        const closer = opener + 2;
        at = this.skipSpace(at + 1);
        if (text.charCodeAt(at) === closer) at += 1;
        else {
          closers.push(closer);
          if (closer === closeBrace) at = this.skipName(at);
          continue;
        }
      } else at = opener === quote ? this.skipString(at) : this.skipPrimitive(at);
      // The value ended here, and perhaps the containers around it.
      for (;;) {
        if (at === noPosition) return noPosition;
        const closer = closers.at(-1);
        if (closer === undefined) return at;
        at = this.skipSpace(at);
        const unit = text.charCodeAt(at);
        at += 1;
        if (unit === closer) {
          closers.pop();
          continue;
        }
        if (unit !== comma) return this.fail(at - 1);
        at = this.skipSpace(at);
        if (closer === closeBrace) at = this.skipName(at);
        break;
      }
    }
  }

  /** Position of the value of the member whose name is at `at`. */
  skipName(at: number): number {
    if (this.text.charCodeAt(at) !== quote) return this.fail(at);
    const end = this.skipString(at);
    return end === noPosition ? noPosition : this.skipColon(end);
  }

  /** Position after the colon that follows `at`, without whitespace. */
  skipColon(at: number): number {
    const colonAt = this.skipSpace(at);
    return this.text.charCodeAt(colonAt) === colon ? this.skipSpace(colonAt + 1) : this.fail(colonAt);
  }

  /** Position after a number, true, false or null. */
  skipPrimitive(at: number): number {
    const { text } = this;
    const unit = text.charCodeAt(at);
    if (unit === minus || isDigit(unit)) return this.#skipNumber(at);
    for (const word of literals) if (text.startsWith(word, at)) return at + word.length;
    return this.fail(at);
  }

  #skipNumber(start: number): number {
    const { text } = this;
    let at = start;
    if (text.charCodeAt(at) === minus) at += 1;
    at = text.charCodeAt(at) === zero ? at + 1 : this.#skipDigits(at);
    if (text.charCodeAt(at) === dot) at = this.#skipDigits(at + 1);
    // If there was no digit, `at` is -1, where charCodeAt() gives NaN.
    const exponent = text.charCodeAt(at) | 0x20;
    if (exponent !== 0x65) return at;
    const sign = text.charCodeAt(at + 1);
    return this.#skipDigits(sign === minus || sign === 0x2b ? at + 2 : at + 1);
  }

  /** Position after the digits at `start`; there must be at least one. */
  #skipDigits(start: number): number {
    const { text } = this;
    let at = start;
    while (isDigit(text.charCodeAt(at))) at += 1;
    return at === start ? this.fail(at) : at;
  }
}

/** Scans a text that is given as its bytes, valid UTF-8. */
export function scannerOf(bytes: Buffer): JsonScanner {
  return new JsonScanner(bytes.toString('latin1'), !hasControls(bytes) && !bytes.includes(lineFeed));
}

/** Parses a part of the text that is valid JSON. */
export function valueIn(text: string, start: number, end: number): unknown {
  return JSON.parse(Buffer.from(text.slice(start, end), 'latin1').toString());
}

/** Whether there are four hexadecimal digits at `at`. */
function isHex(text: string, at: number): boolean {
  for (let i = at; i < at + 4; i += 1) {
    const unit = text.charCodeAt(i);
    const lower = unit | 0x20;
    if (!isDigit(unit) && !(lower >= 0x61 && lower <= 0x66)) return false;
  }
  return true;
}

function isDigit(unit: number): boolean {
  return unit >= zero && unit <= 0x39;
}

function orEndOfText(found: number): number {
  return found < 0 ? Number.POSITIVE_INFINITY : found;
}

/** Up to this size the error message is that of JSON.parse, which is well known but creates all values before the error. */
const parseForMessageBytesMax = 64 * 1024;
const shownCharacters = 20;

/** The problem of a text that failed to scan, or that has more text at `failedAt` after its value. */
export function jsonProblem(scanner: JsonScanner): string {
  if (scanner.isTooDeep) return `nests deeper than ${depthMax} levels`;
  const { text, failedAt } = scanner;
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length <= parseForMessageBytesMax) {
    try {
      JSON.parse(bytes.toString());
    } catch (error) {
      return `is not JSON: ${withoutHandles((error as Error).message)}`;
    }
  }
  if (failedAt >= text.length) return 'is not JSON: it ends too early';
  const shown = withoutHandles(bytes.toString('utf8', failedAt, failedAt + shownCharacters));
  return `is not JSON: ${JSON.stringify(shown)} at byte ${failedAt} is not expected there`;
}

/** Whether any byte is a control character (below 0x20), line feeds aside. */
export function hasControls(bytes: Uint8Array): boolean {
  const { buffer, byteOffset, length } = bytes;
  if (length < 8) return hasControlByte(bytes, 0, length);
  const head = -byteOffset & 3;
  const words = new Int32Array(buffer, byteOffset + head, (length - head) >> 2);
  if (hasControlByte(bytes, 0, head) || hasControlByte(bytes, head + 4 * words.length, length)) return true;
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i] ?? 0;
    // Four bytes at once: sets the high bit of each byte below 0x20, and sometimes that of the byte after such a byte.
    if ((((word - 0x20202020) | 0) & ~word & 0x80808080) === 0) continue;
    if (hasControlByte(bytes, head + 4 * i, head + 4 * i + 4)) return true;
  }
  return false;
}

function hasControlByte(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i += 1) {
    const byte = bytes[i] ?? 0;
    if (byte < 0x20 && byte !== 0x0a) return true;
  }
  return false;
}
