// Responses that their clients have not read yet. Their bytes are in memory, so they are limited in total and shared between clients. A
// client that has used its share is refused further work until it reads (admission.ts). Requests that were admitted before still get
// their response. If there is no room for it, responses of the client with the most bytes are cut, the one first that has made no
// progress for longest. A response that its client stops reading, or reads too slowly, is cut as well.
//
// Bytes that several clients share in memory count once for each client: a response is cut too early rather than too late. Event streams
// and sockets have a limit of their own, together (core/unread-bytes.ts). There a reader may be cut for its own bytes; here the response
// that is added is not cut, as it may be larger than the limit and must still be sent.
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
  /** Closes its connection before the response is complete. */
  cut(): void;
}

export class UnreadResponses<T extends UnreadResponse = UnreadResponse> {
  readonly limit: SharedLimit;
  /** The responses of each client, the one first that has made no progress for longest. */
  readonly #clients = new Map<string, Set<T>>();

  constructor(limit: SharedLimit) {
    this.limit = limit;
  }

  /** Counts a response. If there is no room for it, others are cut; it is itself never cut here. */
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

  /** To be called when the client has read more of a response. */
  moved(response: T): void {
    const own = this.#clients.get(response.clientKey);
    if (own?.delete(response)) own.add(response);
  }

  /** Stops counting a response that was read to its end, or cut. */
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
  /** When it was first found waiting for its client; `performance.now()`, ms, as `movedAt`. */
  beganAt: number | undefined;
  /** When the client last took bytes of it. */
  movedAt: number;
  /** Bytes that its connection had yet to send at the last check, and bytes that the client has taken since `beganAt`. */
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

  app.addHook('onSend', ({ clientKey, raw: { socket } }, reply, payload, done) => {
    const bytes = sizeOf(payload);
    // Nothing is sent to a client that has disconnected; a connection that was cut has no socket any more.
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

/** Why a response is to be cut; undefined if not. While nothing waits to be sent, no time counts: the client waits for the server. */
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
 * The bytes that a connection has yet to hand to the network. `writableLength` counts a large chunk in full until its last byte is
 * written. Only the socket's internal handle knows how much of it is left; Node's own socket timeout reads it there, too.
 */
function unsentBytes(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { _handle?: { writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? socket.writableLength;
}

/** Bytes of a response. 0 for a stream: backpressure limits how much of it is in memory. */
function sizeOf(payload: unknown): number {
  if (typeof payload === 'string') return Buffer.byteLength(payload);
  return ArrayBuffer.isView(payload) ? payload.byteLength : 0;
}
