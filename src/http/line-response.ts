// Responses of any length as lines of JSON, made while the client reads.
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { jsonLine } from '../core/json-line.ts';
import { ndjsonType } from './media-types.ts';
import { logIfInternal, toServiceError } from './plugins/error-handler.ts';

/**
 * Sends lines at the pace of the client, and closes its connection if it reads nothing for `idleMs`. What fails on the way becomes the
 * last line, as a problem.
 * @param lines each a line of JSON, or several
 * @returns what the handler returns; the type is that of its schema
 */
export function sendLines(
  request: FastifyRequest,
  reply: FastifyReply,
  lines: AsyncGenerator<string>,
  idleMs: number,
): string {
  const inTime = readInTime(withProblem(lines, request), idleMs, () => reply.raw.destroy());
  const body = Readable.from(inTime, { objectMode: false, highWaterMark: 1 });
  return reply.type(ndjsonType).send(body) as unknown as string;
}

/** The response has begun: what fails becomes its last line. */
async function* withProblem(lines: AsyncGenerator<string>, request: FastifyRequest): AsyncGenerator<string> {
  try {
    yield* lines;
  } catch (error) {
    const failure = toServiceError(error as Error, request);
    logIfInternal(failure, error, request, 'A response in lines failed with an internal error');
    yield jsonLine(failure.toProblem());
  }
}

/** Calls `cut` if the reader of the lines asks for no further one within `idleMs`. */
async function* readInTime(lines: AsyncGenerator<string>, idleMs: number, cut: () => void): AsyncGenerator<string> {
  for await (const line of lines) {
    const timer = setTimeout(cut, idleMs);
    try {
      yield line;
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * Waits for the first line, and gives all of them as the body of a response, at the pace of the client: a failure before the first one is
 * a response of its own. A body that has ended with the first line is no stream, as that costs more than a short request.
 */
export async function bodyFromFirst(lines: AsyncGenerator<string>): Promise<Buffer | Readable> {
  const first = await lines.next();
  if (first.done) return Buffer.alloc(0);
  const second = lines.next();
  const hasEnded = second.then(
    ({ done }) => done === true,
    () => false,
  );
  if (await Promise.race([hasEnded, setImmediate(false)])) return Buffer.from(first.value);
  return Readable.from(withFirst(first.value, second, lines));
}

async function* withFirst(
  first: string,
  second: Promise<IteratorResult<string>>,
  rest: AsyncGenerator<string>,
): AsyncGenerator<string> {
  yield first;
  const { done, value } = await second;
  if (done) return;
  yield value;
  yield* rest;
}
