/**
 * Splits a frame of /v1/socket into its requests: one object, or a list of them. The frame is scanned once. Records are read where
 * they stand, and their bytes are kept; only the other fields are parsed. A fault within one request is the fault of that request
 * alone, as long as the frame is JSON.
 */
import { isAscii } from 'node:buffer';
import { jsonLimits, StructureCheck } from './json-input.ts';
import { hasControls, JsonScanner, jsonProblem, noPosition, valueIn } from './json-scanner.ts';
import { type RequestRecords, readRecordList } from './records/record-input.ts';
import { ServiceError } from './service-error.ts';

/** One request of a frame, not validated yet. */
export interface FrameRequest {
  /** Its fields; in place of a list of records, `records` is null. With a problem, only those that tell which request it is. */
  fields: Record<string, unknown>;
  records: RequestRecords | undefined;
  /** Why it cannot be carried out. */
  problem: ServiceError | undefined;
  bytes: number;
}

const comma = 0x2c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** The largest number of records in one frame: as in one request over HTTP. */
const recordsPerFrameMax = 100_000;
/** The fields that tell which request it is, and its place among the others; a longer value is not read if the request has a problem. */
const tellingFields = new Set(['id', 'op', 'seq', 'topic', 'partition', 'group']);
const tellingBytesMax = 1024;

/**
 * Reads a frame. It may change the bytes of the frame, and return parts of them.
 * @param requestsMax the largest number of requests
 * @throws ServiceError BAD_REQUEST if it is not JSON, TOO_LARGE if it has too many requests, values or records: nothing of it was read
 */
export function readFrame(frame: Buffer, requestsMax: number): FrameRequest[] {
  return new FrameReader(frame, requestsMax).read();
}

class FrameReader {
  readonly #frame: Buffer;
  readonly #text: string;
  readonly #isAscii: boolean;
  readonly #isOneLine: boolean;
  readonly #scanner: JsonScanner;
  readonly #check: StructureCheck;
  readonly #requestsMax: number;
  /** Of the request that is being read: its records, the range of their list, and their problem. */
  #records: RequestRecords | undefined;
  #listStart = noPosition;
  #listEnd = noPosition;
  #problem: ServiceError | undefined;
  #recordCount = 0;

  constructor(frame: Buffer, requestsMax: number) {
    this.#frame = frame;
    this.#text = frame.toString('latin1');
    this.#isAscii = isAscii(frame);
    this.#isOneLine = !hasControls(frame) && !this.#text.includes('\n');
    this.#scanner = new JsonScanner(this.#text, this.#isOneLine);
    this.#check = new StructureCheck(this.#scanner, 'The request', jsonLimits, (name, at) =>
      this.#readMember(name, at),
    );
    this.#requestsMax = requestsMax;
  }

  read(): FrameRequest[] {
    const scanner = this.#scanner;
    const text = this.#text;
    const requests: FrameRequest[] = [];
    let at = scanner.skipSpace(0);
    if (text.charCodeAt(at) !== openBracket) {
      at = this.#take(at, requests);
    } else {
      at = scanner.skipSpace(at + 1);
      if (text.charCodeAt(at) === closeBracket) {
        requests.push(refused(new ServiceError('BAD_REQUEST', 'The frame is an empty list of requests.'), 2));
      } else {
        for (;;) {
          at = scanner.skipSpace(this.#take(at, requests));
          const unit = text.charCodeAt(at);
          if (unit === closeBracket) break;
          if (unit !== comma) throw this.#notJson(at);
          at = scanner.skipSpace(at + 1);
        }
      }
      at += 1;
    }
    const end = scanner.skipSpace(at);
    if (end < text.length) throw this.#notJson(end);
    return requests;
  }

  /** Reads the request at `start`. @returns the position after it */
  #take(start: number, requests: FrameRequest[]): number {
    if (requests.length === this.#requestsMax) {
      throw new ServiceError(
        'TOO_LARGE',
        `The frame has more than ${this.#requestsMax} requests; send several frames.`,
        { requestsMax: this.#requestsMax },
      );
    }
    if (this.#text.charCodeAt(start) !== openBrace) {
      const end = this.#skip(start);
      const problem = 'A frame must be a request, such as {"id":1,"op":"ping"}, or a list of requests.';
      requests.push(refused(new ServiceError('BAD_REQUEST', problem), end - start));
      return end;
    }
    this.#records = undefined;
    this.#problem = undefined;
    this.#listStart = noPosition;
    let end: number;
    try {
      end = this.#check.checkValue(start);
    } catch (error) {
      if (!(error instanceof ServiceError) || error === this.#fatal || error.fields.valuesMax !== undefined)
        throw error;
      end = this.#skip(start);
      this.#problem = error;
    }
    requests.push({
      fields: this.#problem ? this.#tellingFields(start) : this.#fields(start, end),
      records: this.#records,
      problem: this.#problem,
      bytes: end - start,
    });
    return end;
  }

  /** The error of the whole frame that was thrown while a member was read. */
  #fatal: ServiceError | undefined;

  /** Reads a list of records where it stands. */
  #readMember(name: string, at: number): number | undefined {
    if (name !== 'records' || this.#text.charCodeAt(at) !== openBracket) return undefined;
    let end: number;
    try {
      const place = { text: this.#text, start: at, isOneLine: this.#isOneLine };
      const list = readRecordList(this.#frame, place);
      this.#records = list.records;
      end = list.end;
      this.#recordCount += list.records.kind === 'separate' ? list.records.records.length : list.records.count;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      end = this.#skip(at);
      this.#problem = error.fields.recordsMax === undefined ? error : tooManyRecords();
    }
    if (this.#recordCount > recordsPerFrameMax) {
      this.#fatal = tooManyRecords();
      throw this.#fatal;
    }
    this.#listStart = at;
    this.#listEnd = end;
    return end;
  }

  #fields(start: number, end: number): Record<string, unknown> {
    if (this.#listStart === noPosition) return JSON.parse(this.#slice(start, end));
    return JSON.parse(`${this.#slice(start, this.#listStart)}null${this.#slice(this.#listEnd, end)}`);
  }

  #slice(start: number, end: number): string {
    return this.#isAscii ? this.#text.slice(start, end) : this.#frame.toString('utf8', start, end);
  }

  /** The short fields of a request with a problem that tell which one it is. */
  #tellingFields(start: number): Record<string, unknown> {
    const text = this.#text;
    const scanner = new JsonScanner(text, this.#isOneLine);
    const fields: Record<string, unknown> = {};
    let at = scanner.skipSpace(start + 1);
    // The object was scanned already, so it is valid.
    while (text.charCodeAt(at) !== closeBrace) {
      const nameEnd = scanner.skipString(at);
      const name = valueIn(text, at, nameEnd) as string;
      const valueAt = scanner.skipColon(nameEnd);
      const end = skipWhole(scanner, valueAt);
      if (tellingFields.has(name) && end - valueAt <= tellingBytesMax) fields[name] = valueIn(text, valueAt, end);
      at = scanner.skipSpace(end);
      if (text.charCodeAt(at) === comma) at = scanner.skipSpace(at + 1);
    }
    return fields;
  }

  /** Position after the value at `start`, whatever it holds. @throws ServiceError if it is not JSON */
  #skip(start: number): number {
    // A scanner does not go back.
    const scanner = new JsonScanner(this.#text, this.#isOneLine);
    const end = skipWhole(scanner, start);
    if (end !== noPosition) return end;
    this.#fatal = new ServiceError('BAD_REQUEST', `The frame ${jsonProblem(scanner)}.`);
    throw this.#fatal;
  }

  #notJson(at: number): ServiceError {
    this.#scanner.fail(at);
    return new ServiceError('BAD_REQUEST', `The frame ${jsonProblem(this.#scanner)}.`);
  }
}

function skipWhole(scanner: JsonScanner, start: number): number {
  let end = scanner.skipValue(start);
  while (scanner.isInterrupted) if (scanner.resume()) end = scanner.skipValue(start);
  return end;
}

function tooManyRecords(): ServiceError {
  const detail = `The frame has more than ${recordsPerFrameMax} records; send several frames.`;
  return new ServiceError('TOO_LARGE', detail, { recordsMax: recordsPerFrameMax });
}

function refused(problem: ServiceError, bytes: number): FrameRequest {
  return { fields: {}, records: undefined, problem, bytes };
}
