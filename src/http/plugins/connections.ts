// Tracks the responses in flight on each connection. Node emits a request once its head is parsed, even while earlier requests of the
// connection are served (pipelining), and does not close their responses when the connection is lost. So they are closed here with their
// connection, and a write begins once all requests before it have a response (RFC 9112, 9.3.2). A client that has closed its half of the
// connection still gets the responses to its requests. The end of each response is told to the other parts of the server from here, as a
// listener of each part for each response would cost more than what they do.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Metrics } from '../../broker/metrics.ts';
import { ServiceError } from '../../core/service-error.ts';
import { isWait } from '../route-config.ts';
import { connectionBelow } from '../tls-sockets.ts';

type ClosedListener = (request: FastifyRequest, response: ServerResponse) => void;

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether it waits where a client that is gone must keep no place; one that has closed its half of the connection counts as gone. */
    isQueued: boolean;
  }
  interface FastifyInstance {
    /**
     * Calls `listener` for each request whose response is complete, or whose connection is lost before. It is not called for handshakes of
     * WebSockets, whose connections go on.
     */
    onClosed(listener: ClosedListener): void;
  }
}

/**
 * How many reads of one connection are served at the same time: their responses are in memory until the client has read those before
 * them. Clients that pipeline at all send about so many.
 */
const parallelMax = 16;

/** How long a connection whose client has closed its half stays open for responses, ms: longer than any that is no long poll takes. */
const halfClosedMsMax = 30_000;

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A request and its response, in flight. */
interface Exchange {
  /** Undefined until its hooks run, and of the handshake of a WebSocket. */
  request: FastifyRequest | undefined;
  isRunning: boolean;
}

/** A request that waits for earlier requests of its connection. */
interface Waiting {
  exchange: Exchange;
  isSafe: boolean;
  begin(): void;
}

/** Orders the requests of each connection. It must be registered before all plugins whose hooks may wait. */
export const pipelining = fp(
  async (app: FastifyInstance, { connections }: { connections: Connections }) => {
    app.decorate('onClosed', (listener) => connections.onClosed(listener));
    connections.serialise(app);
  },
  { name: 'pipelining', fastify: '5.x' },
);

export class Connections {
  readonly #connections = new WeakMap<Socket, Connection>();
  /** The same by the socket that was opened: with TLS the one below. */
  readonly #byOpened = new WeakMap<Socket, Connection>();
  readonly #closedListeners: ClosedListener[] = [];
  readonly #pipelinedMax: number;
  readonly #refused: { inc(): void };

  /** @param pipelinedMax how many requests may wait on one connection for earlier ones */
  constructor(pipelinedMax: number, metrics: Metrics) {
    this.#pipelinedMax = pipelinedMax;
    this.#refused = metrics.counter(
      'pipelined_requests_refused_total',
      'Requests refused because too many wait on their connection.',
    );
  }

  /** Must be called before any other listener may respond to a request. */
  attach(server: Server): void {
    // Node would close the connection, its responses unsent, when the client closes its half.
    Object.assign(server, { httpAllowHalfOpen: true });
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) =>
      this.#of(socket).add(response),
    );
  }

  onClosed(listener: ClosedListener): void {
    this.#closedListeners.push(listener);
  }

  /** The responses that are not finished, in the order of their requests. */
  inFlight(socket: Socket): ServerResponse[] {
    return [...(this.#connections.get(socket)?.exchanges.keys() ?? [])];
  }

  /**
   * Since when a connection has no request in flight, as performance.now(); 0 if it has not had any.
   * @param opened the socket that was opened: with TLS the one below
   * @returns undefined if it has one, or serves a WebSocket
   */
  idleSince(opened: Socket): number | undefined {
    const connection = this.#byOpened.get(opened);
    if (!connection) return 0;
    return connection.exchanges.size === 0 && !connection.isUpgraded ? connection.idleSince : undefined;
  }

  /** Notes that a connection serves a WebSocket, and no requests any more. */
  upgraded(socket: Socket): void {
    this.#of(socket).isUpgraded = true;
  }

  /** Calls back when no response is in flight on a connection, perhaps at once; never if the connection is lost before. */
  whenIdle(socket: Socket, callback: () => void): void {
    const connection = this.#connections.get(socket);
    if (!connection || connection.exchanges.size === 0) callback();
    else connection.onIdle.push(callback);
  }

  /**
   * Delays requests so that their effect is that of one after the other: reads run together, a write runs alone. Must be called before
   * any hook is added that may wait.
   */
  serialise(app: FastifyInstance): void {
    app.decorateRequest('isQueued', false);
    app.addHook('onRequest', (request, reply, done) => {
      // An upgrade waits until its connection is idle (upgrades.ts).
      if (request.ws) return done();
      const connection = this.#of(request.raw.socket);
      const exchange = connection.exchanges.get(reply.raw);
      // The connection was lost before.
      if (!exchange) return done();
      exchange.request = request;
      const isSafe = safeMethods.has(request.method);
      if (connection.mayBegin(isSafe)) {
        connection.begin(exchange, isSafe);
        return done();
      }
      if (!connection.isRefusing && connection.waiting.length < this.#pipelinedMax) {
        connection.waiting.push({ exchange, isSafe, begin: done });
        return;
      }
      // Later requests of the connection must not be executed either: their responses would be lost.
      connection.isRefusing = true;
      this.#refused.inc();
      reply.header('connection', 'close');
      const detail = `More than ${this.#pipelinedMax} requests wait on this connection for earlier ones; nothing was done. Use more connections.`;
      done(new ServiceError('TOO_MANY_REQUESTS', detail));
    });
    // Only now is the body known, which may make the request a long poll.
    app.addHook('preHandler', (request, _reply, done) => {
      const { socket } = request.raw;
      if (socket.readableEnded && !request.ws) this.#of(socket).leaveWaits();
      done();
    });
  }

  #of(socket: Socket): Connection {
    let connection = this.#connections.get(socket);
    if (!connection) {
      connection = new Connection(socket, this.#closedListeners);
      this.#connections.set(socket, connection);
      this.#byOpened.set(connectionBelow(socket), connection);
    }
    return connection;
  }
}

class Connection {
  /** In the order of the requests. */
  readonly exchanges = new Map<ServerResponse, Exchange>();
  readonly waiting: Waiting[] = [];
  onIdle: (() => void)[] = [];
  isRefusing = false;
  isUpgraded = false;
  /** When its last response ended, as performance.now(). */
  idleSince = 0;
  /** How many requests have begun and have no response yet, and whether one of those writes. */
  #running = 0;
  #isWriting = false;
  readonly #socket: Socket;
  readonly #listeners: readonly ClosedListener[];

  constructor(socket: Socket, listeners: readonly ClosedListener[]) {
    this.#socket = socket;
    this.#listeners = listeners;
    socket.once('end', () => this.#halfClosed());
    socket.once('close', () => {
      this.waiting.length = 0;
      this.onIdle = [];
      // Node closes only the response that was being sent.
      for (const response of [...this.exchanges.keys()]) {
        if (!this.exchanges.has(response)) continue;
        response.destroy();
        response.emit('close');
      }
    });
  }

  add(response: ServerResponse): void {
    this.isUpgraded = false;
    this.exchanges.set(response, { request: undefined, isRunning: false });
    response.once('close', () => this.#remove(response));
  }

  mayBegin(isSafe: boolean): boolean {
    if (this.waiting.length > 0 || this.isRefusing) return false;
    return this.#hasRoom(isSafe);
  }

  /**
   * Closes the connection if it has a long poll or event stream, or a request in a queue. To be called once the client has closed its half:
   * it may have left or not. These may last long, keep a session alive, or keep others waiting, so their client counts as gone.
   */
  leaveWaits(): void {
    for (const { request } of this.exchanges.values()) {
      if (request && (request.isQueued || isWait(request))) return void this.#socket.destroy();
    }
  }

  #halfClosed(): void {
    this.leaveWaits();
    if (this.#socket.destroyed || this.exchanges.size === 0) return;
    const timer = setTimeout(() => this.#socket.destroy(), halfClosedMsMax);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  begin(exchange: Exchange, isSafe: boolean): void {
    exchange.isRunning = true;
    this.#running += 1;
    if (!isSafe) this.#isWriting = true;
  }

  #hasRoom(isSafe: boolean): boolean {
    return isSafe ? !this.#isWriting && this.#running < parallelMax : this.#running === 0;
  }

  #remove(response: ServerResponse): void {
    const exchange = this.exchanges.get(response);
    if (!exchange) return;
    this.exchanges.delete(response);
    const { request, isRunning } = exchange;
    if (isRunning) {
      this.#running -= 1;
      if (this.#running === 0) this.#isWriting = false;
    }
    if (request) for (const listener of this.#listeners) listener(request, response);
    if (this.#socket.destroyed) return;
    for (let next = this.waiting[0]; next && this.#hasRoom(next.isSafe); next = this.waiting[0]) {
      this.waiting.shift();
      this.begin(next.exchange, next.isSafe);
      next.begin();
    }
    if (this.exchanges.size > 0) return;
    this.idleSince = performance.now();
    if (this.onIdle.length === 0) return;
    const callbacks = this.onIdle;
    this.onIdle = [];
    for (const callback of callbacks) callback();
  }
}
