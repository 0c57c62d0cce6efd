// Counts each response until its client has read it (../unread-responses.ts). A response that its client stops reading, or reads too
// slowly, is cut.
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Logger } from 'pino';
import type { Metrics } from '../../broker/metrics.ts';
import { SharedLimit } from '../../core/shared-limit.ts';
import type { HttpTimeouts } from '../limits.ts';
import { atIntervals } from '../refusals.ts';
import { sizeOf } from '../response-size.ts';
import { type UnreadResponse, UnreadResponses } from '../unread-responses.ts';

class Sent implements UnreadResponse {
  readonly clientKey: string;
  readonly bytes: number;
  readonly socket: Socket;
  /** When it was first found waiting for its client; `performance.now()`, ms, as `movedAt`. */
  beganAt: number | undefined = undefined;
  /** When the client last took bytes of it. */
  movedAt = 0;
  /** Bytes that its connection had yet to send at the last check, and bytes that the client has taken since `beganAt`. */
  left = 0;
  taken = 0;

  constructor(clientKey: string, bytes: number, socket: Socket) {
    this.clientKey = clientKey;
    this.bytes = bytes;
    this.socket = socket;
  }
}

interface UnreadResponsesOptions {
  /** How many bytes may be unread. */
  bytesMax: number;
  /** The part of them that one client may have while no other client has any: above 0, up to 1. */
  addressShare: number;
  timeouts: HttpTimeouts;
  metrics: Metrics;
  log: Logger;
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The bytes of responses that clients have not read yet. */
    unreadResponses: SharedLimit;
  }
  interface FastifyRequest {
    /** Its response, while the client has not read it. */
    unread: Sent | undefined;
  }
}

type Reason = 'limit' | 'stalled' | 'slow';

async function installUnreadResponses(
  app: FastifyInstance,
  { bytesMax, addressShare, timeouts, metrics, log }: UnreadResponsesOptions,
): Promise<void> {
  const limit = new SharedLimit(bytesMax, addressShare);
  app.decorate('unreadResponses', limit);
  const unread = new UnreadResponses<Sent>(limit, ({ clientKey, socket }) => cut('limit', clientKey, socket));
  metrics.gauge(
    'response_bytes_unread',
    'Bytes of responses in memory that their clients have not read yet.',
    () => limit.used,
  );
  const cuts = metrics.counter(
    'responses_cut_total',
    'Responses cut because their clients did not read them, by reason: limit on their bytes, stalled, or slow.',
    ['reason'],
  );
  const warn = atIntervals((reason: Reason, client: string, since: number) =>
    log.warn(
      { reason, client, cut: since, bytes: limit.used, bytesMax: limit.max },
      'Responses cut: their clients do not read them fast enough. See "Limits and defaults" in operations.md',
    ),
  );
  const cut = (reason: Reason, client: string, socket: Socket) => {
    // Pipelined responses of one connection are cut together: only the first counts.
    if (socket.destroyed) return;
    cuts.inc({ reason });
    warn(reason, client);
    socket.destroy();
  };

  app.decorateRequest('unread', undefined);
  app.addHook('onSend', (request, reply, payload, done) => {
    const { socket } = request.raw;
    const bytes = sizeOf(payload);
    // Nothing is sent to a client that has disconnected; a connection that was cut has no socket any more.
    if (bytes > 0 && !reply.raw.destroyed && socket?.destroyed === false) {
      const response = new Sent(request.clientKey, bytes, socket);
      // The refusal of a handshake: its connection is not told of.
      if (request.ws) reply.raw.once('close', () => unread.remove(response));
      else {
        // An error in a later hook is sent in its place.
        if (request.unread) unread.remove(request.unread);
        request.unread = response;
      }
      unread.add(response);
    }
    done();
  });
  app.onClosed(({ unread: response }) => {
    if (response) unread.remove(response);
  });

  const timer = setInterval(() => {
    const now = performance.now();
    for (const response of unread) {
      const reason = cutReason(response, timeouts, now);
      if (reason === undefined) {
        if (response.movedAt === now) unread.moved(response);
        continue;
      }
      unread.remove(response);
      cut(reason, response.clientKey, response.socket);
    }
  }, timeouts.checkIntervalMs);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));
}

export const unreadResponses = fp(installUnreadResponses, {
  name: 'unread-responses',
  fastify: '5.x',
  dependencies: ['client', 'pipelining'],
});

/** Why a response is to be cut; undefined if not. While nothing waits to be sent, no time counts: the client waits for the server. */
function cutReason(response: Sent, timeouts: HttpTimeouts, now: number): Reason | undefined {
  const left = unsentBytes(response.socket);
  if (response.beganAt === undefined || left === 0) {
    response.beganAt = now;
    response.movedAt = now;
    response.left = left;
    response.taken = 0;
    return undefined;
  }
  if (left !== response.left) {
    // More than before: another response of the connection has come behind it.
    response.taken += Math.max(0, response.left - left);
    response.left = left;
    response.movedAt = now;
  }
  if (now - response.movedAt > timeouts.responseIdleMs) return 'stalled';
  const mayTakeMs = timeouts.responseGraceMs + (response.taken / timeouts.responseBytesPerSecondMin) * 1000;
  return now - response.beganAt > mayTakeMs ? 'slow' : undefined;
}

/**
 * The bytes that a connection has yet to hand to the network. `writableLength` counts a large chunk in full until its last byte is
 * written. Only the socket's internal handle knows how much of it is left; Node's own socket timeout reads it there, too.
 */
function unsentBytes(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { _handle?: { writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? socket.writableLength;
}
