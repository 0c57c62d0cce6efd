// What streams of server-sent events consist of besides their data, and the stream of a request that cannot be served now.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ServiceError } from '../core/service-error.ts';

export const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  // Proxies such as nginx would otherwise buffer messages.
  'x-accel-buffering': 'no',
};

/** How soon an EventSource reconnects, ms: any broker resumes a stream that has ended. */
export const retryMs = 1000;

/** How soon it reconnects after a problem that does not go away by itself, ms. It is stopped then; this only spares both sides. */
const retryAfterProblemMs = 60_000;

/** Marks the id of a position that is lost. An EventSource that sends it back has had the problem, and is stopped with 204. */
export const lostMark = 'lost:';

/** Problems for which a stream cannot resume at its position. They are sent with status 200: an EventSource can read no other. */
const lostCodes = new Set(['COMPACTED', 'OFFSET_OUT_OF_RANGE', 'UNKNOWN_TOPIC']);

/** Whether a failure means that the position of a stream is lost. */
export function isLost(failure: ServiceError): boolean {
  return lostCodes.has(failure.code);
}

/** @param id what an EventSource sends back as Last-Event-ID @param json its data, on one line */
export function eventMessage(id: string | number, json: string): string {
  return `id: ${id}\ndata: ${json}\n\n`;
}

/**
 * The last message of a stream that failed. Its event is not `error`: that would reach the onerror of an EventSource.
 * @param position where the stream would have resumed
 */
export function problemMessage(failure: ServiceError, position: string | number | undefined): string {
  const problem = failure.toProblem();
  const retry = problem.retryable ? '' : `retry: ${retryAfterProblemMs}\n`;
  const id = isLost(failure) ? `id: ${lostMark}${position ?? ''}\n` : '';
  return `${retry}${id}event: problem\ndata: ${JSON.stringify({ ...problem, type: 'error' })}\n\n`;
}

/**
 * Whether a request comes from an EventSource, and fails for a reason that passes. By its specification an EventSource gives up for
 * good at any status but 200, so it would not come back to a server that was only full, or stopping.
 */
export function mustKeepEventSource({ headers }: FastifyRequest, failure: ServiceError): boolean {
  return headers.accept === 'text/event-stream' && failure.toProblem().retryable === true;
}

/** Sends a stream that consists of a problem, and ends. @param retrySeconds how soon an EventSource reconnects */
export function sendProblemStream(reply: FastifyReply, failure: ServiceError, retrySeconds: number): FastifyReply {
  const text = `retry: ${retrySeconds * 1000}\n${problemMessage(failure, undefined)}`;
  return reply.code(200).headers(eventStreamHeaders).send(text);
}
