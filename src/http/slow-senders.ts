// Bodies that stall, or take for ever, are given up with 408, so that they hold neither memory nor a place. A streamed body is
// bounded in its pauses only. The heads of requests are looked after by Node itself (app.ts, headersTimeout).
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Patience } from '../core/defaults.ts';
import { ServiceError } from '../core/service-error.ts';
import type { Metrics } from '../live/metrics.ts';
import { mediaTypeOf, ndjsonType } from './media-types.ts';

interface Progress {
  beganAt: number;
  /** When something of it was last seen to come in. */
  movedAt: number;
  bytes: number;
}

export function installSlowSenders(app: FastifyInstance, patience: Patience, metrics: Metrics): void {
  /** By connection, its newest request with a body. Looked through now and then: a timer for each would cost every request. */
  const receiving = new Map<Socket, FastifyReply>();
  const progressOf = new WeakMap<FastifyReply, Progress>();
  const givenUp = metrics.counter('slow_senders_cut_total', 'Requests given up because their body stalled.');

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
      const progress = look(socket, reply, progressOf.get(reply), now);
      if (!progress) continue;
      progressOf.set(reply, progress);
      const detail = impatience(progress, reply, patience, now);
      if (detail === undefined) continue;
      if (giveUp(socket, reply, detail)) givenUp.inc();
    }
  }, patience.lookEveryMs);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));
}

/** Undefined if the body is all there. What waits for us to read it does not stall. */
function look(socket: Socket, reply: FastifyReply, before: Progress | undefined, now: number): Progress | undefined {
  const { raw } = reply.request;
  if (raw.complete) return undefined;
  const bytes = socket.bytesRead;
  if (!before) return { beganAt: now, movedAt: now, bytes };
  const moves = bytes !== before.bytes || raw.readableLength > 0;
  return { beganAt: before.beganAt, movedAt: moves ? now : before.movedAt, bytes };
}

function impatience(
  { beganAt, movedAt }: Progress,
  reply: FastifyReply,
  { bodyIdleMs, bodyMs, streamIdleMs }: Patience,
  now: number,
): string | undefined {
  const isStream = mediaTypeOf(reply.request) === ndjsonType;
  const idleMsMax = isStream ? streamIdleMs : bodyIdleMs;
  if (now - movedAt > idleMsMax) return `Nothing of the body came in for ${idleMsMax} ms; it was given up.`;
  if (!isStream && now - beganAt > bodyMs) return `The body took longer than ${bodyMs} ms; it was given up.`;
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
