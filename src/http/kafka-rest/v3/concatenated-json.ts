// Finds the ends of JSON objects that follow each other in a stream, with or without space between them.
import type { Buffer } from 'node:buffer';
import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { withoutByteOrderMark } from '../../../core/json-input.ts';
import { ServiceError } from '../../../core/service-error.ts';
import { bodyPieces } from '../../body-pieces.ts';
import { GrowingBuffer } from '../../growing-buffer.ts';

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const shownBytes = 20;

interface Options {
  /** Most bytes of one object. */
  bytesMax: number;
  /** What to do about a larger one, for the error. */
  remedy: string;
  /** Called with how many bytes of a large object are in memory; 0 when it is read. @throws ServiceError if there is no room for them */
  countLine(bytes: number): void;
}

/** Objects that have arrived. Their bytes are valid until the next are asked for. */
interface Arrived {
  objects: Buffer[];
  /** What is wrong with the bytes behind them: they cannot be told from the next object, so nothing is read after it. */
  problem?: ServiceError;
  /** Whether no more of the stream has arrived so far. */
  isAll: boolean;
}

/** The texts of the objects, as they arrive. They begin and end as objects; whether they are JSON is yet to be checked. */
export async function* concatenatedObjects(source: Readable, options: Options): AsyncGenerator<Arrived> {
  const rest = new GrowingBuffer(options.countLine);
  const splitter = new ObjectSplitter();
  let isStart = true;
  for await (const received of bodyPieces(source)) {
    const piece = isStart ? withoutByteOrderMark(received) : received;
    isStart = false;
    rest.append(piece);
    const arrived = splitter.split(rest.take());
    // What is on its way inside this process, the next piece or the end, is still to be counted as arrived.
    if (source.readableLength === 0) await setImmediate();
    yield { ...arrived, isAll: source.readableLength === 0 };
    if (arrived.problem) return;
    if (arrived.rest.length > options.bytesMax) {
      const problem = `A record has more than ${options.bytesMax} bytes. ${options.remedy}`;
      yield { objects: [], problem: new ServiceError('TOO_LARGE', problem), isAll: true };
      return;
    }
    keep(rest, arrived);
  }
  if (splitter.isInside) {
    yield { objects: [], problem: bad('The body ends within a record.'), isAll: true };
  }
}

/** Begins the next text with the incomplete object. */
function keep(buffer: GrowingBuffer, { objects, rest }: { objects: Buffer[]; rest: Buffer }): void {
  if (objects.length > 0) buffer.shrink();
  buffer.append(rest);
}

class ObjectSplitter {
  #depth = 0;
  #isInString = false;
  /** Bytes of the incomplete object that have been looked at. */
  #seen = 0;
  #skipsNext = false;

  /** Whether an object has begun and not ended. */
  get isInside(): boolean {
    return this.#depth > 0;
  }

  /** @param bytes those of the incomplete object, which were given before, and what has arrived since */
  split(bytes: Buffer): { objects: Buffer[]; rest: Buffer; problem?: ServiceError } {
    const objects: Buffer[] = [];
    let start = 0;
    for (let at = this.#seen; at < bytes.length; at += 1) {
      const byte = bytes[at];
      if (this.#depth === 0) {
        start = at;
        if (byte === openBrace) this.#depth = 1;
        else if (!isSpace(byte)) return { objects, rest: bytes.subarray(at), problem: notAnObject(bytes, at) };
      } else if (this.#skipsNext) this.#skipsNext = false;
      else if (byte === backslash) this.#skipsNext = this.#isInString;
      else if (byte === quote) this.#isInString = !this.#isInString;
      else if (this.#isInString) continue;
      else if (byte === openBrace || byte === openBracket) this.#depth += 1;
      else if (byte === closeBrace || byte === closeBracket) {
        this.#depth -= 1;
        if (this.#depth === 0) objects.push(bytes.subarray(start, at + 1));
      }
    }
    const rest = this.#depth === 0 ? bytes.subarray(bytes.length) : bytes.subarray(start);
    this.#seen = rest.length;
    return { objects, rest };
  }
}

function notAnObject(bytes: Buffer, at: number): ServiceError {
  const shown = JSON.stringify(bytes.toString('utf8', at, at + shownBytes));
  return bad(
    `A record must be a JSON object, such as {"value":{"type":"JSON","data":1}}; records follow each other without a list around them or commas between them. ${shown} is not expected.`,
  );
}

function bad(detail: string): ServiceError {
  return new ServiceError('BAD_REQUEST', `${detail} Nothing after it was read.`);
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
