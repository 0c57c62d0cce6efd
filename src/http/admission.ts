// Who is let in: a broker takes no more work than it can answer in time. Requests beyond that wait at the door for a
// moment, with their bodies unread; what is still too much is refused. Requests for its health and its metrics are always
// answered, for as long as there is a connection.
import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { bodyBytesUsual, type Load, spareConnections } from '../core/defaults.ts';
import { ServiceError } from '../core/service-error.ts';
import type { Metrics } from '../live/metrics.ts';
import { mediaTypeOf, ndjsonType } from './media-types.ts';

/** What a request counts as: work, a wait for something to happen, a stream of records, or a socket. */
type Kind = 'requests' | 'waits' | 'uploads' | 'sockets';

export interface AdmissionOptions {
  load: Load;
  connectionsMax: number;
  metrics: Metrics;
  log: Logger;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** What it was let in as. */
    admittedAs: Kind | undefined;
    /** Bytes of its body that are counted. */
    countedBytes: number;
  }
}

/** How often the log says that requests are refused, while they are. */
const sayEveryMs = 10_000;
const alwaysAnswered = new Set(['/health/live', '/health/ready', '/metrics']);
const eventStreams = new Set(['/v1/watch/*', '/v1/topics/:topic/stream']);

const reasons = {
  requests: 'There are too many requests under way',
  waits: 'There are too many long polls and event streams',
  uploads: 'There are too many streams of records under way',
  sockets: 'There are too many WebSockets',
  bodies: 'The bodies of the requests under way are too large together',
  connections: 'There are too many connections',
};

export function installAdmission(app: FastifyInstance, options: AdmissionOptions): void {
  const { load, metrics } = options;
  const counts: Record<Kind, number> = { requests: 0, waits: 0, uploads: 0, sockets: 0 };
  const limits: Record<Kind, number> = {
    requests: load.requestsMax,
    waits: load.waitsMax,
    uploads: load.uploadsMax,
    sockets: load.socketsMax,
  };
  let bodyBytes = 0;
  const refuse = createRefusal(options);
  metrics.gauges('requests_in_flight', 'Requests being answered, by what they count as.', ['kind'], () =>
    Object.entries(counts).map(([kind, value]) => ({ labels: { kind }, value })),
  );
  metrics.gauge('body_bytes_in_flight', 'Bytes of bodies in memory.', () => bodyBytes);
  const door = new Door(() => counts.requests < limits.requests, load.requestWaitMsMax);
  metrics.gauge('requests_waiting', 'Requests that wait for their turn, as there are many.', () => door.waiting);
  const connections = watchConnections(app, options);

  app.decorateRequest('admittedAs', undefined);
  app.decorateRequest('countedBytes', 0);

  app.addHook('onRequest', (request, reply, done) => {
    if (alwaysAnswered.has(request.routeOptions.url ?? '')) return done();
    if (connections.tooMany()) {
      reply.header('connection', 'close');
      return done(refuse('connections'));
    }
    const kind = kindOf(request);
    const letIn = () => {
      counts[kind] += 1;
      if (kind === 'sockets') {
        request.raw.socket.once('close', () => {
          counts.sockets -= 1;
        });
      } else {
        request.admittedAs = kind;
        // Not the hook onResponse: it does not come if the client has broken off.
        reply.raw.once('close', () => {
          counts[kind] -= 1;
          bodyBytes -= request.countedBytes;
          request.countedBytes = 0;
          if (kind === 'requests') door.open();
        });
      }
      done();
    };
    if (counts[kind] < limits[kind] && (kind !== 'requests' || door.waiting === 0)) return letIn();
    if (kind !== 'requests' || door.waiting >= load.requestsWaitingMax) return done(refuse(kind));
    door.wait(reply.raw, letIn, () => done(refuse(kind)));
  });

  app.addHook('preParsing', (request, _reply, payload, done) => {
    const { headers, raw } = request;
    const announced = Number(headers['content-length'] ?? (headers['transfer-encoding'] ? Number.NaN : 0));
    // A stream is never in memory as a whole.
    if (announced === 0 || request.admittedAs !== 'requests') return done(null, payload);
    const count = (bytes: number): boolean => {
      // Whoever is alone is let through: the limit on one body is another one.
      if (bodyBytes > 0 && bodyBytes + bytes > load.bodiesBytesMax) return false;
      bodyBytes += bytes;
      request.countedBytes += bytes;
      return true;
    };
    if (announced <= bodyBytesUsual) return done(count(announced) ? null : refuse('bodies'), payload);
    // Counted as they come: what is only announced takes no room. The parser listens in this same turn.
    const onData = (piece: Buffer) => {
      if (count(piece.length)) return;
      raw.off('data', onData);
      raw.emit('error', refuse('bodies'));
    };
    raw.on('data', onData);
    done(null, payload);
  });
}

/** Where requests wait until there is room, first come, first served. */
class Door {
  readonly #hasRoom: () => boolean;
  readonly #waitMsMax: number;
  readonly #waiting = new Set<{ enter(): void }>();

  constructor(hasRoom: () => boolean, waitMsMax: number) {
    this.#hasRoom = hasRoom;
    this.#waitMsMax = waitMsMax;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Calls `enter` when there is room, or `giveUp` after the longest time to wait; neither if the client breaks off before.
   * @param answer the answer that the client waits for
   */
  wait(answer: ServerResponse, enter: () => void, giveUp: () => void): void {
    const leave = () => {
      clearTimeout(timer);
      answer.off('close', leave);
      this.#waiting.delete(place);
    };
    const timer = setTimeout(() => {
      leave();
      giveUp();
    }, this.#waitMsMax);
    const place = {
      enter: () => {
        leave();
        enter();
      },
    };
    answer.once('close', leave);
    this.#waiting.add(place);
  }

  /** Lets in as many as there is room for. */
  open(): void {
    for (const { enter } of this.#waiting) {
      if (!this.#hasRoom()) return;
      enter();
    }
  }
}

function kindOf(request: FastifyRequest): Kind {
  if (request.ws) return 'sockets';
  const { method, query, routeOptions } = request;
  if (method === 'GET') {
    const wait = (query as Record<string, unknown>).wait;
    return (wait !== undefined && wait !== '0') || eventStreams.has(routeOptions.url ?? '') ? 'waits' : 'requests';
  }
  return method === 'POST' && mediaTypeOf(request) === ndjsonType ? 'uploads' : 'requests';
}

/** Counts and reports refusals. */
function createRefusal({ metrics, log }: AdmissionOptions): (reason: keyof typeof reasons) => ServiceError {
  const refused = metrics.counter('requests_refused_total', 'Requests refused as there were too many, by reason.', [
    'reason',
  ]);
  let since = 0;
  let saidAt = Number.NEGATIVE_INFINITY;
  return (reason) => {
    refused.inc({ reason });
    since += 1;
    const now = performance.now();
    if (now - saidAt > sayEveryMs) {
      log.warn({ reason, refused: since }, 'Requests are refused, as there are too many');
      saidAt = now;
      since = 0;
    }
    return new ServiceError('TOO_MANY_REQUESTS', `${reasons[reason]}; nothing was done. Try again soon.`);
  };
}

/** Bounds the connections; Node itself drops those beyond the spare ones. */
function watchConnections(
  app: FastifyInstance,
  { connectionsMax, metrics, log }: AdmissionOptions,
): { tooMany(): boolean } {
  const { server } = app;
  let open = 0;
  server.maxConnections = connectionsMax + spareConnections;
  server.on('connection', (socket) => {
    open += 1;
    socket.once('close', () => {
      open -= 1;
    });
  });
  metrics.gauge('connections_open', 'Open connections of clients.', () => open);
  const dropped = metrics.counter('connections_dropped_total', 'Connections dropped as there were too many.');
  let saidAt = Number.NEGATIVE_INFINITY;
  server.on('drop', () => {
    dropped.inc();
    const now = performance.now();
    if (now - saidAt < sayEveryMs) return;
    saidAt = now;
    log.warn({ open, connectionsMax }, 'Connections are dropped, as there are too many: see WEIR_MAX_CONNECTIONS');
  });
  return { tooMany: () => open > connectionsMax };
}
