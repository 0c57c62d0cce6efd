// What our streams of server-sent events share: their head, and how they end when they cannot go on.
import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { ServiceError } from '../core/service-error.ts';

/** How soon an EventSource reconnects, ms: any broker goes on where this one has ended. */
const retryMs = 1000;
/** How soon after a problem that does not go away by itself: it is then told to give up, so this only spares both sides. */
const retryAfterProblemMs = 60_000;

/** Marks the id of a position that is lost: an EventSource that sends it back has been told, and is stopped with 204. */
export const lostMark = 'lost:';

/** Problems for which a stream cannot begin where it was to go on. An EventSource can read no other response than 200. */
const lostCodes = new Set(['COMPACTED', 'OFFSET_OUT_OF_RANGE', 'UNKNOWN_TOPIC']);

export function isLost(failure: ServiceError): boolean {
  return lostCodes.has(failure.code);
}

/** Sends the head of a stream; the reply is the caller's to write to. */
export function beginEventStream(reply: FastifyReply): void {
  // What hooks have set, such as the request id and the answer to a foreign origin.
  const headers = reply.getHeaders() as OutgoingHttpHeaders;
  reply.hijack();
  if (reply.raw.destroyed) return;
  reply.raw.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store, no-transform',
    // Nothing can follow a stream that ends with the server.
    connection: 'close',
    // Proxies such as nginx would otherwise collect messages before they pass them on.
    'x-accel-buffering': 'no',
  });
  reply.raw.write(`retry: ${retryMs}\n`);
}

/**
 * The last message of a stream that cannot go on. It is no `error`: that would reach an EventSource's own onerror.
 * @param position where it was to go on
 */
export function problemMessage(failure: ServiceError, position: string | number | undefined): string {
  const retry = failure.toProblem().retryable ? '' : `retry: ${retryAfterProblemMs}\n`;
  const id = isLost(failure) ? `id: ${lostMark}${position ?? ''}\n` : '';
  return `${retry}${id}event: problem\ndata: ${JSON.stringify({ ...failure.toProblem(), type: 'error' })}\n\n`;
}
