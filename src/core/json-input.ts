/**
 * Reads the JSON of requests and frames that become values. JSON.parse takes whatever it is given: a few MiB of nested lists keep it,
 * and all that looks at its result, busy for seconds. So the text is scanned first, and refused where it nests too deep or has
 * more values than any request takes. What readers of JSON disagree about is refused, too: a name that an object has twice, and
 * strings that are no Unicode.
 */
import { isUtf8 } from 'node:buffer';
import { withoutHandles } from './issues.ts';
import { hasControls, JsonScanner, jsonProblem, noPosition, valueIn } from './json-scanner.ts';
import { ServiceError } from './service-error.ts';

export interface JsonLimits {
  /** How deep objects and lists may lie in each other. */
  depth: number;
  /** Values in all, lists and objects included. */
  values: number;
  /** Members of one object. */
  members: number;
  /** Items of one list. */
  items: number;
}

/**
 * Far above what any request takes: 10,000 operations of at most 11 members are a transaction. Measured (bench/stalls.ts): what fills
 * these limits is refused by its schema within 100 ms.
 */
export const jsonLimits: JsonLimits = { depth: 32, values: 120_000, members: 1000, items: 10_000 };

/** For what has no lists. */
export const smallJsonLimits: JsonLimits = { depth: 32, values: 1000, members: 100, items: 100 };

const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const openBrace = 0x7b;

/**
 * The value of a JSON text; undefined if it is empty.
 * @param what how errors call it, such as `The body`
 * @throws ServiceError BAD_REQUEST; TOO_LARGE beyond the limits
 */
export function readJson(given: Buffer, what: string, limits = jsonLimits): unknown {
  const bytes = withoutByteOrderMark(given);
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw new ServiceError('BAD_REQUEST', `${what} is not valid UTF-8, as JSON has to be.`);
  const text = bytes.toString('latin1');
  const scanner = new JsonScanner(text, !hasControls(bytes) && !text.includes('\n'));
  new StructureCheck(scanner, what, limits).check();
  return JSON.parse(bytes.toString());
}

/** Without the byte order mark that some editors and libraries put before UTF-8. */
export function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/** An object or a list that is open. */
interface Container {
  closer: number;
  /** Of an object: the names so far. */
  names: Set<string> | undefined;
  /** Of an object: the member that is being read. */
  name: string;
  /** Members or items so far, the one that is being read included. */
  count: number;
}

class StructureCheck {
  readonly #scanner: JsonScanner;
  readonly #what: string;
  readonly #limits: JsonLimits;
  readonly #openContainers: Container[] = [];
  #values = 0;

  constructor(scanner: JsonScanner, what: string, limits: JsonLimits) {
    this.#scanner = scanner;
    this.#what = what;
    this.#limits = limits;
  }

  /** @throws ServiceError */
  check(): void {
    const scanner = this.#scanner;
    const { text } = scanner;
    let at = this.#value(scanner.skipSpace(0));
    for (;;) {
      // A value ended before `at`, or a container was opened there.
      const container = this.#openContainers.at(-1);
      at = scanner.skipSpace(at);
      if (!container) {
        if (at < text.length) throw this.#notJson(at);
        return;
      }
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
      at = this.#value(container.names ? this.#name(container, container.names, at) : at);
    }
  }

  /** Behind the value at `at`, or behind the bracket that opens it. */
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
      throw this.#bad(`has a string that is no Unicode at ${this.#currentPath()}: half of a surrogate pair`);
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

  /** Behind the name at `at` and its colon. */
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
    if (!name.isWellFormed()) throw this.#bad('has a field whose name is no Unicode: half of a surrogate pair');
    if (name === '__proto__' || (name === 'prototype' && this.#openContainers.at(-2)?.name === 'constructor')) {
      throw this.#bad(
        "has a field '__proto__', or a 'constructor' with a 'prototype': nothing here takes one; leave it out",
      );
    }
    names.add(name);
    const value = scanner.skipColon(end);
    if (value === noPosition) throw this.#notJson();
    return value;
  }

  /** Where it is: `ops.17.path`. */
  #currentPath(): string {
    return this.#pathOf(this.#openContainers);
  }

  #pathOf(containers: readonly Container[]): string {
    return containers.map(({ names, name, count }) => (names ? shortened(name) : count - 1)).join('.');
  }

  /** @param at where, if the scanner has not noted it itself */
  #notJson(at?: number): ServiceError {
    if (at !== undefined) this.#scanner.fail(at);
    return this.#bad(jsonProblem(this.#scanner));
  }

  #bad(problem: string): ServiceError {
    return new ServiceError('BAD_REQUEST', `${this.#what} ${problem}.`);
  }

  #tooLarge(problem: string, fields: Record<string, unknown>): ServiceError {
    return new ServiceError('TOO_LARGE', `${this.#what} ${problem}; no request takes so many.`, fields);
  }
}

const shownCharacters = 60;

function shortened(name: string): string {
  const safe = withoutHandles(name.slice(0, 4 * shownCharacters));
  return safe.length > shownCharacters ? `${safe.slice(0, shownCharacters)}…` : safe;
}

/** Whether the string, which has escapes, is without halves of surrogate pairs. */
function isUnicode(text: string, start: number, end: number): boolean {
  const string = text.slice(start, end);
  return !halfPair.test(string) || (JSON.parse(string) as string).isWellFormed();
}

const notAscii = /[^ -~]/;
const halfPair = /\\u[dD][89a-fA-F]/;
