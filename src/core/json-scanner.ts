/**
 * Finds where the parts of a JSON text end, and whether they are valid, without making values of them. It works on bytes
 * as text: each character is one byte of UTF-8 (latin1), which is how most of a text can be passed over by native searches.
 *
 * It accepts what JSON.parse accepts, and nothing else, up to a depth that any reader can be expected to take. What is wrong
 * with the rest, JSON.parse says better (`problemOf`), but it is never asked about a text that could keep it busy. It gives up
 * for now within long objects and lists, so that whoever scans can let others go first.
 */

import { withoutHandles } from './issues.ts';

/** How deep objects and arrays may lie in each other. */
const depthMax = 1000;

/** Returned in place of a position: this is no JSON, or too deep. */
export const noPosition = -1;

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

/** After so many bytes of one object or list it is interrupted. */
const sliceBytes = 256 * 1024;

const literals = ['true', 'false', 'null'];
const plainEscapes = new Set([...'"\\/bfnrt'].map((letter) => letter.charCodeAt(0)));

export class JsonScanner {
  readonly text: string;
  /** Whether no string can have a control character, as there is none. */
  readonly #isClean: boolean;
  /** The first backslash that was not passed yet; behind the text if there is none. */
  #nextEscape = -1;
  /** Where it gave up: the text is no JSON there, or nests too deep. */
  failedAt = 0;
  /** Whether it gave up as the text nests deeper than `depthMax`. */
  isTooDeep = false;
  /** Whether it gave up only for now, within a long object or list; to go on, call resume() and then do the same again. */
  isInterrupted = false;
  /** Where the long objects and lists end that it has passed in slices, by where they begin. */
  readonly #skippedContainers = new Map<number, number>();
  /** The one that was interrupted: its beginning, where to go on, and what is open there. */
  #interrupted = { start: 0, at: 0, closers: [] as number[] };

  /** @param isClean no byte is a control character, save line feeds that no value is scanned across */
  constructor(text: string, isClean: boolean) {
    this.text = text;
    this.#isClean = isClean;
  }

  /** Notes where the text stops being JSON. */
  fail(at: number): typeof noPosition {
    this.failedAt = at;
    return noPosition;
  }

  /** Behind the space at `at`. */
  skipSpace(at: number): number {
    const { text } = this;
    let end = at;
    for (;;) {
      const unit = text.charCodeAt(end);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return end;
      end += 1;
    }
  }

  /** Behind the string that begins at `at` with its quote. */
  skipString(at: number): number {
    const { text } = this;
    const end = text.indexOf('"', at + 1);
    if (end < 0) return this.fail(text.length);
    if (this.#nextEscape <= at) this.#nextEscape = orEndOfText(text.indexOf('\\', at));
    if (this.#nextEscape < end) return this.#skipStringSlowly(at);
    // Without escapes it can only be wrong by a control character, which the slow way sees.
    return this.#isClean ? end + 1 : this.#skipStringSlowly(at);
  }

  /** Whether the string that ends before `end` was written with escapes. */
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

  /** Behind the value that begins at `start`, of any kind and depth. */
  skipValue(start: number): number {
    const unit = this.text.charCodeAt(start);
    if (unit === quote) return this.skipString(start);
    if (unit !== openBrace && unit !== openBracket) return this.skipPrimitive(start);
    const known = this.#skippedContainers.size > 0 ? this.#skippedContainers.get(start) : undefined;
    return known ?? this.#skipContainer(start, start, []);
  }

  /** Goes on in what was interrupted. @returns whether it came to its end, well or not */
  resume(): boolean {
    this.isInterrupted = false;
    const { start, at, closers } = this.#interrupted;
    const end = this.#skipContainer(start, at, closers);
    if (this.isInterrupted) return false;
    this.#skippedContainers.set(start, end);
    // Whoever goes on begins at a place that was passed before.
    this.#nextEscape = -1;
    return true;
  }

  /**
   * Behind the object or list that begins at `start`.
   * @param from where its next value begins
   * @param closers what closes the objects and lists that are open
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
      // A value begins here, if the name before it was one.
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
      // It ended here, and perhaps what it is in.
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

  /** Behind the name of a member that begins at `at`, and its colon: where its value begins. */
  skipName(at: number): number {
    if (this.text.charCodeAt(at) !== quote) return this.fail(at);
    const end = this.skipString(at);
    return end === noPosition ? noPosition : this.skipColon(end);
  }

  /** Behind the colon that follows `at`, and the space about it. */
  skipColon(at: number): number {
    const colonAt = this.skipSpace(at);
    return this.text.charCodeAt(colonAt) === colon ? this.skipSpace(colonAt + 1) : this.fail(colonAt);
  }

  /** Behind a number or one of the three words. */
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
    // Also if there was no digit: before the text there is nothing.
    const exponent = text.charCodeAt(at) | 0x20;
    if (exponent !== 0x65) return at;
    const sign = text.charCodeAt(at + 1);
    return this.#skipDigits(sign === minus || sign === 0x2b ? at + 2 : at + 1);
  }

  /** Behind the digits at `at`, of which there must be one. */
  #skipDigits(start: number): number {
    const { text } = this;
    let at = start;
    while (isDigit(text.charCodeAt(at))) at += 1;
    return at === start ? this.fail(at) : at;
  }
}

/** The value of a part that is valid JSON. */
export function valueIn(text: string, start: number, end: number): unknown {
  return JSON.parse(Buffer.from(text.slice(start, end), 'latin1').toString());
}

/** Whether four hexadecimal digits stand at `at`. */
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

/** Up to this length JSON.parse is asked what is wrong: its words are known, but it builds all values before the fault. */
const parseForMessageBytesMax = 64 * 1024;
const shownCharacters = 20;

/** What is wrong with a text that the scanner gave up on, or behind whose end at `failedAt` there is more. */
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
  return `is not JSON: ${JSON.stringify(shown)} at byte ${failedAt} cannot stand there`;
}

/** Whether any byte is a control character (below 0x20), line feeds aside. */
export function hasControls(bytes: Uint8Array): boolean {
  const { buffer, byteOffset, length } = bytes;
  if (length < 8) return hasControlByte(bytes, 0, length);
  const head = -byteOffset & 3;
  const words = new Int32Array(buffer, byteOffset + head, (length - head) >> 2);
  if (hasControlByte(bytes, 0, head) || hasControlByte(bytes, head + 4 * words.length, length)) return true;
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i]!;
    // Four bytes at once: the high bit of each byte that is below 0x20, and sometimes of one above such a byte.
    if ((((word - 0x20202020) | 0) & ~word & 0x80808080) === 0) continue;
    if (hasControlByte(bytes, head + 4 * i, head + 4 * i + 4)) return true;
  }
  return false;
}

function hasControlByte(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i += 1) if (bytes[i]! < 0x20 && bytes[i] !== 0x0a) return true;
  return false;
}
