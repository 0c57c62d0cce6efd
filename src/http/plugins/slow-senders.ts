// Bodies that stall, come in too slowly, or take for ever, are given up with 408, so that they hold neither memory nor a connection. A
// streamed body is bounded in its pauses only: `tail -f | curl -T -` has nothing to say for long. The heads of requests are looked after by Node itself (app.ts, headersTimeout).
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import type { Metrics } from '../../broker/metrics.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { HttpTimeouts } from '../limits.ts';
import { mediaTypeOf, ndjsonType } from '../media-types.ts';

interface Progress {
  beganAt: number;
  /** When something of it was last seen to come in. */
  movedAt: number;
  /** What had come in on its connection when it began, and by now. */
  bytesBefore: number;
  bytes: number;
}

interface SlowSendersOptions {
  timeouts: HttpTimeouts;
  metrics: Metrics;
}

async function installSlowSenders(app: FastifyInstance, { timeouts, metrics }: SlowSendersOptions): Promise<void> {
  /** By connection, its newest request with a body. Looked through now and then: a timer for each would cost every request. */
  const receiving = new Map<Socket, FastifyReply>();
  const progressOf = new WeakMap<FastifyReply, Progress>();
  const givenUp = metrics.counter(
    'slow_senders_cut_total',
    'Requests given up because their body stalled or came in too slowly.',
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
  }, timeouts.lookEveryMs);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));
}

export const slowSenders = fp(installSlowSenders, { name: 'slow-senders', fastify: '5.x' });

/** Undefined if the body is all there. What waits for us to read it does not stall. */
function measure(socket: Socket, reply: FastifyReply, before: Progress | undefined, now: number): Progress | undefined {
  const { raw } = reply.request;
  if (raw.complete) return undefined;
  const bytes = socket.bytesRead;
  if (!before) return { beganAt: now, movedAt: now, bytesBefore: bytes, bytes };
  const moves = bytes !== before.bytes || raw.readableLength > 0;
  return { ...before, movedAt: moves ? now : before.movedAt, bytes };
}

function slownessOf(
  { beganAt, movedAt, bytesBefore, bytes }: Progress,
  reply: FastifyReply,
  { bodyIdleMs, bodyGraceMs, bodyBytesPerSecondMin, bodyMs, streamIdleMs }: HttpTimeouts,
  now: number,
): string | undefined {
  const isStream = mediaTypeOf(reply.request) === ndjsonType;
  const idleMsMax = isStream ? streamIdleMs : bodyIdleMs;
  if (now - movedAt > idleMsMax) return `Nothing of the body came in for ${idleMsMax} ms; it was given up.`;
  if (isStream) return undefined;
  const tookMs = now - beganAt;
  if (tookMs > bodyGraceMs + ((bytes - bytesBefore) / bodyBytesPerSecondMin) * 1000) {
    const rate = Math.round((bytes - bytesBefore) / (tookMs / 1000));
    return (
      `The body came in at ${rate} bytes a second; after the first ${bodyGraceMs} ms it has to come in at ${bodyBytesPerSecondMin} ` +
      'or more on average. It was given up.'
    );
  }
  if (tookMs > bodyMs) return `The body took longer than ${bodyMs} ms; it was given up.`;
  return undefined;
}

/**
 * Whoever reads the body fails, and with it the request, as if the connection had; but there is still somebody to answer. A
 * connection whose answer has ended, now or before, is closed at the next look.
 * @returns whether the body was still waited for
 */
function giveUp(socket: Socket, reply: FastifyReply, detail: string): boolean {
  const { raw } = reply.request;
  if (reply.raw.writableEnded || raw.listenerCount('error') === 0) {
    socket.destroy();
    return false;
  }
  return raw.emit('error', new ServiceError('REQUEST_TIMEOUT', detail));
}
