// Responses of any length as lines of JSON, made while the client reads.
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { jsonLine } from '../core/json-line.ts';
import { ndjsonType } from './media-types.ts';
import { toServiceError } from './plugins/error-handler.ts';

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
    if (failure.code === 'INTERNAL')
      request.log.error({ err: error }, 'A response in lines failed with an internal error');
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
 * a response of its own.
 */
export async function streamFromFirst(lines: AsyncGenerator<string>): Promise<Readable> {
  const first = await lines.next();
  return Readable.from(withFirst(first, lines));
}

async function* withFirst(first: IteratorResult<string>, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  if (!first.done) yield first.value;
  yield* rest;
}
