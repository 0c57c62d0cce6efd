/**
 * Parses the JSON of requests and frames. JSON.parse has no limits: a few MiB of nested lists block the process for seconds. So
 * the text is scanned first, and refused if it is nested too deeply or has more values than any valid request. JSON on which
 * parsers disagree is refused, too: duplicate names in an object, and strings with unpaired surrogates.
 */
import { isUtf8 } from 'node:buffer';
import { withoutHandles } from './issues.ts';
import { hasControls, JsonScanner, jsonProblem, noPosition, valueIn } from './json-scanner.ts';
import { ServiceError } from './service-error.ts';

interface JsonLimits {
  /** Maximum nesting of objects and lists. */
  depth: number;
  /** Maximum number of values, including lists and objects. */
  values: number;
  /** Maximum number of members of one object. */
  members: number;
  /** Maximum number of items of one list. */
  items: number;
}

/**
 * Larger than any valid request: a transaction has at most 10,000 operations of 11 members. Measured (bench/stalls.ts): a schema
 * refuses an input that reaches these limits within 100 ms.
 */
export const jsonLimits: JsonLimits = { depth: 32, values: 120_000, members: 1000, items: 10_000 };

/** Limits for inputs without long lists. */
export const smallJsonLimits: JsonLimits = { depth: 32, values: 1000, members: 100, items: 100 };

const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const openBrace = 0x7b;

/**
 * Parses a JSON text; an empty text gives undefined.
 * @param what subject of error messages, such as `The body`
 * @throws ServiceError BAD_REQUEST; TOO_LARGE beyond the limits
 */
export function readJson(input: Buffer, what: string, limits = jsonLimits): unknown {
  const bytes = withoutByteOrderMark(input);
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw new ServiceError('BAD_REQUEST', `${what} is not valid UTF-8, as JSON has to be.`);
  const text = bytes.toString('latin1');
  const scanner = new JsonScanner(text, !hasControls(bytes) && !text.includes('\n'));
  new StructureCheck(scanner, what, limits).check();
  return JSON.parse(bytes.toString());
}

/** The bytes without a UTF-8 byte order mark, which some editors and libraries write. */
export function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/** An object or list whose end has not been reached. */
interface Container {
  closer: number;
  /** The names so far; undefined for a list. */
  names: Set<string> | undefined;
  /** The name of the current member of an object. */
  name: string;
  /** Number of members or items so far, including the current one. */
  count: number;
}

/** Reads the value of a member of the outermost object by itself. @returns the position after it; undefined = it is checked as usual */
type MemberReader = (name: string, at: number) => number | undefined;

export class StructureCheck {
  readonly #scanner: JsonScanner;
  readonly #what: string;
  readonly #limits: JsonLimits;
  readonly #readMember: MemberReader | undefined;
  #openContainers: Container[] = [];
  #values = 0;

  constructor(scanner: JsonScanner, what: string, limits: JsonLimits, readMember?: MemberReader) {
    this.#scanner = scanner;
    this.#what = what;
    this.#limits = limits;
    this.#readMember = readMember;
  }

  /** Checks that the text is one value. @throws ServiceError */
  check(): void {
    const scanner = this.#scanner;
    const end = scanner.skipSpace(this.checkValue(scanner.skipSpace(0)));
    if (end < scanner.text.length) throw this.#notJson(end);
  }

  /**
   * Checks the value at `start`. The limit on the number of values is one for all values that are checked.
   * @returns the position after it
   * @throws ServiceError
   */
  checkValue(start: number): number {
    const scanner = this.#scanner;
    const { text } = scanner;
    this.#openContainers = [];
    let at = this.#value(start);
    for (;;) {
      // A value ended before `at`, or a container was opened there.
      const container = this.#openContainers.at(-1);
      if (!container) return at;
      at = scanner.skipSpace(at);
      const unit = text.charCodeAt(at);
      if (unit === container.closer) {
        this.#openContainers.pop();
        at += 1;
        continue;
      }
      if (container.count > 0) {
        if (unit !== comma) throw this.#notJson(at);
        at = scanner.skipSpace(at + 1);
      }
      this.#count(container);
      if (container.names) at = this.#name(container, container.names, at);
      at = this.#memberEnd(container, at) ?? this.#value(at);
    }
  }

  #memberEnd(container: Container, at: number): number | undefined {
    if (!this.#readMember || !container.names || this.#openContainers.length > 1) return undefined;
    return this.#readMember(container.name, at);
  }

  /** Position after the value at `at`, or after its opening bracket. */
  #value(at: number): number {
    const scanner = this.#scanner;
    this.#values += 1;
    if (this.#values > this.#limits.values) {
      throw this.#tooLarge(`has more than ${this.#limits.values} values, lists and objects included`, {
        valuesMax: this.#limits.values,
      });
    }
    const unit = scanner.text.charCodeAt(at);
    if (unit === openBrace || unit === openBracket) {
      if (this.#openContainers.length === this.#limits.depth) {
        throw new ServiceError('BAD_REQUEST', `${this.#what} nests deeper than ${this.#limits.depth} levels.`);
      }
      const names = unit === openBrace ? new Set<string>() : undefined;
      this.#openContainers.push({ closer: unit + 2, names, name: '', count: 0 });
      return at + 1;
    }
    const end = unit === quote ? scanner.skipString(at) : scanner.skipPrimitive(at);
    if (end === noPosition) throw this.#notJson();
    if (unit === quote && scanner.hasEscape(at, end) && !isUnicode(scanner.text, at, end)) {
      throw this.#bad(`has a string that is not valid Unicode at ${this.#currentPath()}: an unpaired surrogate`);
    }
    return end;
  }

  #count(container: Container): void {
    const isList = container.names === undefined;
    const max = isList ? this.#limits.items : this.#limits.members;
    if (container.count === max) {
      const where = this.#pathOf(this.#openContainers.slice(0, -1));
      const part = where === '' ? '' : ` in ${where}`;
      throw this.#tooLarge(`has more than ${max} ${isList ? 'items in a list' : 'fields in an object'}${part}`, {
        [isList ? 'itemsMax' : 'fieldsMax']: max,
      });
    }
    container.count += 1;
  }

  /** Position after the name at `at` and its colon. */
  #name(container: Container, names: Set<string>, at: number): number {
    const scanner = this.#scanner;
    const { text } = scanner;
    if (text.charCodeAt(at) !== quote) throw this.#notJson(at);
    const end = scanner.skipString(at);
    if (end === noPosition) throw this.#notJson();
    const plain = text.slice(at + 1, end - 1);
    const name = scanner.hasEscape(at, end) || notAscii.test(plain) ? (valueIn(text, at, end) as string) : plain;
    container.name = name;
    if (names.has(name)) throw this.#bad(`has the field ${this.#currentPath()} twice`);
    if (!name.isWellFormed()) throw this.#bad('has a field whose name is not valid Unicode: an unpaired surrogate');
    if (name === '__proto__' || (name === 'prototype' && this.#openContainers.at(-2)?.name === 'constructor')) {
      throw this.#bad("has a field '__proto__', or a 'constructor' with a 'prototype': no request has such a field");
    }
    names.add(name);
    const value = scanner.skipColon(end);
    if (value === noPosition) throw this.#notJson();
    return value;
  }

  /** The path of the current value, such as `ops.17.path`. */
  #currentPath(): string {
    return this.#pathOf(this.#openContainers);
  }

  #pathOf(containers: readonly Container[]): string {
    return containers.map(({ names, name, count }) => (names ? shortened(name) : count - 1)).join('.');
  }

  /** @param at position of the error, if the scanner has not recorded it */
  #notJson(at?: number): ServiceError {
    if (at !== undefined) this.#scanner.fail(at);
    return this.#bad(jsonProblem(this.#scanner));
  }

  #bad(problem: string): ServiceError {
    return new ServiceError('BAD_REQUEST', `${this.#what} ${problem}.`);
  }

  #tooLarge(problem: string, fields: Record<string, unknown>): ServiceError {
    return new ServiceError('TOO_LARGE', `${this.#what} ${problem}, which is more than any request needs.`, fields);
  }
}

const shownCharacters = 60;

function shortened(name: string): string {
  const safe = withoutHandles(name.slice(0, 4 * shownCharacters));
  return safe.length > shownCharacters ? `${safe.slice(0, shownCharacters)}…` : safe;
}

/** Whether a string with escapes has no unpaired surrogates. */
function isUnicode(text: string, start: number, end: number): boolean {
  const string = text.slice(start, end);
  return !halfPair.test(string) || (JSON.parse(string) as string).isWellFormed();
}

const notAscii = /[^ -~]/;
const halfPair = /\\u[dD][89a-fA-F]/;
