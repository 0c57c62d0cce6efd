// Refuses request bodies that stall, arrive too slowly or take too long with 408, so that they hold neither memory nor a connection. For
// an NDJSON stream only pauses are limited, and those may be long: `tail -f | curl -T -`. Node limits the time of the head (app.ts,
// headersTimeout).
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import type { Metrics } from '../../broker/metrics.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { HttpTimeouts } from '../limits.ts';
import { hasStreamedBody } from '../route-config.ts';

/** How far a body has arrived. Times are those of `performance.now()`, ms. */
interface Progress {
  beganAt: number;
  /** When bytes of the body last arrived. */
  movedAt: number;
  /** Bytes received on its connection when the body began, and until now. */
  bytesBefore: number;
  bytes: number;
}

interface SlowSendersOptions {
  timeouts: HttpTimeouts;
  metrics: Metrics;
}

async function installSlowSenders(app: FastifyInstance, { timeouts, metrics }: SlowSendersOptions): Promise<void> {
  /** The latest request with a body on each connection. One interval checks all: a timer for each request would cost too much. */
  const receiving = new Map<Socket, FastifyReply>();
  const progressOf = new WeakMap<FastifyReply, Progress>();
  const givenUp = metrics.counter(
    'slow_senders_cut_total',
    'Requests cancelled because their body stalled or arrived too slowly.',
  );

  app.addHook('onRequest', (request, reply, done) => {
    const { headers, raw } = request;
    if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) {
      if (!receiving.has(raw.socket)) raw.socket.once('close', () => receiving.delete(raw.socket));
      receiving.set(raw.socket, reply);
    }
    done();
  });

  const timer = setInterval(() => {
    const now = performance.now();
    for (const [socket, reply] of receiving) {
      const progress = measure(socket, reply, progressOf.get(reply), now);
      if (!progress) continue;
      progressOf.set(reply, progress);
      const detail = slownessOf(progress, reply, timeouts, now);
      if (detail === undefined) continue;
      if (giveUp(socket, reply, detail)) givenUp.inc();
    }
  }, timeouts.checkIntervalMs);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));
}

export const slowSenders = fp(installSlowSenders, {
  name: 'slow-senders',
  fastify: '5.x',
  dependencies: ['body-type'],
});

/** The progress of a body; undefined if it is complete. It does not stall while it has bytes that this process has not read yet. */
function measure(socket: Socket, reply: FastifyReply, before: Progress | undefined, now: number): Progress | undefined {
  const { raw } = reply.request;
  if (raw.complete) return undefined;
  const bytes = socket.bytesRead;
  if (!before) return { beganAt: now, movedAt: now, bytesBefore: bytes, bytes };
  const moves = bytes !== before.bytes || raw.readableLength > 0;
  return { ...before, movedAt: moves ? now : before.movedAt, bytes };
}

/** Why a body is too slow, as the text of an error; undefined if it is not. */
function slownessOf(
  { beganAt, movedAt, bytesBefore, bytes }: Progress,
  reply: FastifyReply,
  { bodyIdleMs, bodyGraceMs, bodyBytesPerSecondMin, bodyMs, streamIdleMs }: HttpTimeouts,
  now: number,
): string | undefined {
  const isStream = hasStreamedBody(reply.request);
  const idleMsMax = isStream ? streamIdleMs : bodyIdleMs;
  if (now - movedAt > idleMsMax)
    return `No bytes of the body arrived for ${idleMsMax} ms, the longest pause allowed. The request was given up.`;
  if (isStream) return undefined;
  const tookMs = now - beganAt;
  if (tookMs > bodyGraceMs + ((bytes - bytesBefore) / bodyBytesPerSecondMin) * 1000) {
    const rate = Math.round((bytes - bytesBefore) / (tookMs / 1000));
    return (
      `The body arrived at ${rate} bytes a second; after the first ${bodyGraceMs} ms the average must be at least ` +
      `${bodyBytesPerSecondMin}. The request was given up.`
    );
  }
  if (tookMs > bodyMs) return `The body took longer than ${bodyMs} ms to arrive. The request was given up.`;
  return undefined;
}

/**
 * Makes the reader of the body fail, and with it the request, as a lost connection would; but the error can still be sent. If nothing
 * reads the body, or the response has ended, the connection is closed.
 * @returns whether something was still reading the body
 */
function giveUp(socket: Socket, reply: FastifyReply, detail: string): boolean {
  const { raw } = reply.request;
  if (reply.raw.writableEnded || raw.listenerCount('error') === 0) {
    socket.destroy();
    return false;
  }
  return raw.emit('error', new ServiceError('REQUEST_TIMEOUT', detail));
}
