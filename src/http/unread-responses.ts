// Responses that were sent and that their clients have not read yet: their bytes are in memory, limited in total and shared between
// clients. Whoever has its share is refused further work (admission.ts): it has to read first. What was begun before is still sent; where
// there is no room for it, responses of the client that has most are cut, the one first that has not moved for longest. One that its client stops reading, or reads too slowly, is cut
// anyhow. What several clients share in memory counts once for each: it is cut too early rather than too late. Streams of events and
// sockets are not responses in this sense: they have limits of their own, each one.
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import type { Metrics } from '../broker/metrics.ts';
import type { SharedLimit } from '../core/shared-limit.ts';
import type { HttpTimeouts } from './limits.ts';
import { atIntervals } from './refusals.ts';

/** A response on its way to its client. */
export interface UnreadResponse {
  readonly clientKey: string;
  readonly bytes: number;
  /** Cuts it, in the middle of what is sent. */
  cut(): void;
}

export class UnreadResponses<T extends UnreadResponse = UnreadResponse> {
  readonly limit: SharedLimit;
  /** Of each client, the one first that has not moved for longest. */
  readonly #clients = new Map<string, Set<T>>();

  constructor(limit: SharedLimit) {
    this.limit = limit;
  }

  /** Counts a response. Where there is no room for it, others are cut: it is sent at least if its client has no other. */
  add(response: T): void {
    const { clientKey, bytes } = response;
    const own = this.#clients.get(clientKey);
    if (own) own.add(response);
    else this.#clients.set(clientKey, new Set([response]));
    this.limit.add(clientKey, bytes);
    while (this.limit.free < 0) {
      const oldest = this.#clients.get(this.limit.largest()!.key)?.values().next().value;
      if (oldest === undefined || oldest === response) return;
      this.remove(oldest);
      oldest.cut();
    }
  }

  /** It was read a little further. */
  moved(response: T): void {
    const own = this.#clients.get(response.clientKey);
    if (own?.delete(response)) own.add(response);
  }

  /** It was read to its end, or cut. */
  remove(response: T): void {
    const { clientKey, bytes } = response;
    const own = this.#clients.get(clientKey);
    if (!own?.delete(response)) return;
    this.limit.release(clientKey, bytes);
    if (own.size === 0) this.#clients.delete(clientKey);
  }

  *[Symbol.iterator](): Generator<T> {
    for (const responses of this.#clients.values()) yield* [...responses];
  }
}

interface Sent extends UnreadResponse {
  readonly socket: Socket;
  /** When it was first seen to wait for its client. */
  beganAt: number | undefined;
  movedAt: number;
  /** What its connection had yet to send at the last look, and what of that the client had taken by then. */
  left: number;
  taken: number;
}

export interface UnreadResponsesOptions {
  limit: SharedLimit;
  patience: HttpTimeouts;
  metrics: Metrics;
  log: Logger;
}

type Reason = 'limit' | 'stalled' | 'slow';

export function installUnreadResponses(
  app: FastifyInstance,
  { limit, patience, metrics, log }: UnreadResponsesOptions,
): void {
  const unread = new UnreadResponses<Sent>(limit);
  metrics.gauge(
    'response_bytes_unread',
    'Bytes of responses in memory that their clients have not read yet.',
    () => limit.used,
  );
  const cuts = metrics.counter(
    'responses_cut_total',
    'Responses cut as their clients did not read them: for the limit on their bytes, or as they stalled or were read too slowly.',
    ['reason'],
  );
  const warn = atIntervals((reason: Reason, client: string, since: number) =>
    log.warn(
      { reason, client, cut: since, bytes: limit.used, bytesMax: limit.max },
      'Responses cut off: their clients do not read them. See "Limits and defaults" in operations.md',
    ),
  );
  const cut = (reason: Reason, client: string, socket: Socket) => {
    // One behind another on the same connection is cut with it.
    if (socket.destroyed) return;
    cuts.inc({ reason });
    warn(reason, client);
    socket.destroy();
  };

  app.addHook('onSend', ({ clientKey, raw: { socket } }, reply, payload, done) => {
    const bytes = sizeOf(payload);
    // A client that has disconnected is sent nothing; a connection that was cut off has no socket any more.
    if (bytes > 0 && !reply.raw.destroyed && socket?.destroyed === false) track(reply, bytes, clientKey, socket);
    done();
  });

  function track({ raw }: FastifyReply, bytes: number, clientKey: string, socket: Socket): void {
    const response: Sent = {
      clientKey,
      bytes,
      socket,
      beganAt: undefined,
      movedAt: 0,
      left: 0,
      taken: 0,
      cut: () => cut('limit', clientKey, socket),
    };
    unread.add(response);
    raw.once('close', () => unread.remove(response));
  }

  const timer = setInterval(() => {
    const now = performance.now();
    for (const response of unread) {
      const reason = look(response, patience, now);
      if (reason === undefined) {
        if (response.movedAt === now) unread.moved(response);
        continue;
      }
      unread.remove(response);
      cut(reason, response.clientKey, response.socket);
    }
  }, patience.lookEveryMs);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));
}

/** Why it is to be cut; undefined if it is read well. What has yet to be written does not stall: it waits for us. */
function look(response: Sent, patience: HttpTimeouts, now: number): Reason | undefined {
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
  if (now - response.movedAt > patience.responseIdleMs) return 'stalled';
  const mayTakeMs = patience.responseGraceMs + (response.taken / patience.responseBytesPerSecondMin) * 1000;
  return now - response.beganAt > mayTakeMs ? 'slow' : undefined;
}

/**
 * What a connection has yet to hand to the network. Node counts a large piece as a whole until its last byte is gone; how much of it is
 * left only its handle knows, where Node's own time-out of sockets looks, too.
 */
function unsentBytes(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { _handle?: { writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? socket.writableLength;
}

/** 0 for a stream: no more of it is in memory than its reader has room for. */
function sizeOf(payload: unknown): number {
  if (typeof payload === 'string') return Buffer.byteLength(payload);
  return ArrayBuffer.isView(payload) ? payload.byteLength : 0;
}
