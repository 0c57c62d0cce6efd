// The socket GET /v1/watch: watches of many nodes on one connection, and sessions that are renewed while the peer is active.
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { bookmarkMsMax, type ClientFrame, clientFrame, type ServerFrame } from '../../schemas/watch.ts';
import type { Broker } from '../broker/broker.ts';
import { SessionRenewer } from '../broker/sessions/session-renewer.ts';
import type { WatchHandle, WatchSink } from '../broker/watches/watcher.ts';
import { frameJson } from '../core/frame-json.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import { pathProblem } from '../core/tree/path.ts';
import type { Store } from '../store/store.ts';
import { parseHandle } from '../store/tree/sessions.ts';
import { sessionsPerSocketMax, watchesPerSocketMax } from './limits.ts';
import type { Socket, Sockets } from './socket.ts';

type EventsFrame = Extract<ServerFrame, { type: 'events' }>;

/** What a watch socket uses of the broker. */
type WatchBroker = Pick<Broker, 'watches'> & { store: Pick<Store, 'sessions'> };

interface Options {
  broker: WatchBroker;
  sockets: Sockets;
  limit: WatchLimit;
  /** Runs a session renewal in the capacity that is reserved for these. */
  keepSession<T>(clientKey: string, handle: string, work: () => Promise<T>): Promise<T>;
}

/** Limits the watches on all sockets together, and of one client. */
interface WatchLimit {
  /** @throws ServiceError TOO_MANY_REQUESTS */
  acquire(clientKey: string): void;
  release(clientKey: string): void;
}

export const watchSockets: FastifyPluginAsyncZodOpenApi<Options> = async (
  app,
  { broker, sockets, limit, keepSession },
) => {
  const open = new Set<WatchSocket>();
  const bookmarks = setInterval(() => {
    for (const socket of open) socket.sendBookmark();
  }, bookmarkMsMax / 2);
  app.addHook('onClose', async () => clearInterval(bookmarks));

  app.route({
    method: 'GET',
    url: '/watch',
    exposeHeadRoute: false,
    config: { access: 'operation', admission: 'work', timeLimit: 'none' },
    schema: {
      tags: ['watches'],
      operationId: 'watch.socket',
      summary: 'Watch nodes over a WebSocket: frames WatchClientFrame to the server, WatchServerFrame from it',
      querystring: z.strictObject({}),
      response: { 101: { description: 'The connection is a WebSocket now.' } },
    } satisfies FastifyZodOpenApiSchema,
    handler: () => {
      throw new ServiceError(
        'BAD_REQUEST',
        'This is a WebSocket: connect with ws:// or wss://; if that was done, a proxy between has removed the header Upgrade. For server-sent events, GET /v1/watch/{path}.',
      );
    },
    wsHandler: (ws, request) => {
      const { clientKey } = request;
      const own: ClientShare = {
        acquireWatch: () => limit.acquire(clientKey),
        releaseWatch: () => limit.release(clientKey),
        keepSession: (handle, work) => keepSession(clientKey, handle, work),
      };
      new WatchSocket(ws, request, { broker, sockets, limit: own }, open);
    },
  });
};

/** The limits of the client of one socket. */
interface ClientShare {
  /** A watch. */
  acquireWatch(): void;
  releaseWatch(): void;
  keepSession<T>(handle: string, work: () => Promise<T>): Promise<T>;
}

class WatchSocket {
  readonly #broker: WatchBroker;
  readonly #socket: Socket;
  readonly #watches = new Map<string, { path: string; handle: WatchHandle }>();
  readonly #request: FastifyRequest;
  readonly #mayRead = (path: string) => this.#request.may('read', 'nodes', path);
  readonly #sessions = new Map<string, SessionRenewer>();

  readonly #limit: ClientShare;

  constructor(
    ws: WebSocket,
    request: FastifyRequest,
    { broker, sockets, limit }: { broker: WatchBroker; sockets: Sockets; limit: ClientShare },
    open: Set<WatchSocket>,
  ) {
    this.#broker = broker;
    this.#request = request;
    this.#limit = limit;
    // Before accept(), which closes the socket at once if the broker is stopping.
    open.add(this);
    this.#socket = sockets.accept(ws, request, {
      kind: 'watch',
      schema: clientFrame,
      onFrame: (frame) => this.#onFrame(frame),
      onPeerActivity: () => {
        for (const session of this.#sessions.values()) session.noteActivity();
      },
      recheckAccess: () => this.#recheckWatches(),
      onClose: () => {
        for (const [id, { handle }] of [...this.#watches]) {
          this.#forget(id);
          handle.close();
        }
        for (const session of this.#sessions.values()) session.stop();
        open.delete(this);
      },
    });
  }

  /** Sends a bookmark, so that a client can resume there even after a long time without events; not to a slow reader. */
  sendBookmark(): void {
    if (this.#socket.room() !== undefined) return;
    let zxid = Number.POSITIVE_INFINITY;
    // A watch that has not started yet does not count.
    for (const {
      handle: { position },
    } of this.#watches.values())
      if (position !== undefined) zxid = Math.min(zxid, position);
    if (Number.isFinite(zxid)) this.#send({ type: 'bookmark', zxid });
  }

  #onFrame(frame: ClientFrame): Promise<void> | void {
    switch (frame.type) {
      case 'watch':
        return this.#watch(frame);
      case 'unwatch':
        return this.#unwatch(frame.id);
      case 'session':
        return this.#renewSession(frame.session);
      case 'ping':
        return this.#send({ type: 'pong' });
    }
  }

  #watch(frame: ClientFrame & { type: 'watch' }): void {
    const { id } = frame;
    if (this.#watches.has(id)) {
      throw new ServiceError(
        'BAD_REQUEST',
        `The id '${id}' is in use by an earlier watch on this socket. That watch is unchanged. Use another id, or unwatch '${id}' first.`,
      );
    }
    if (this.#watches.size >= watchesPerSocketMax) {
      throw new ServiceError(
        'TOO_MANY_REQUESTS',
        `This socket has ${watchesPerSocketMax} watches, the limit of a socket. Unwatch some, or open another socket.`,
      );
    }
    if (pathProblem(frame.path) === undefined) this.#request.require('read', 'nodes', frame.path);
    this.#limit.acquireWatch();
    const sink: WatchSink = {
      watching: (zxid) => this.#send({ type: 'watching', id, zxid }),
      events: (zxid, events) => {
        if (frame.once) this.#forget(id);
        this.#socket.send(frameJson<EventsFrame, 'events'>({ type: 'events', id, zxid }, { events }));
      },
      failed: (error) => {
        this.#forget(id);
        this.#socket.sendError(error, id);
      },
    };
    const request = frame.mode === 'recursive' ? { ...frame, mayRead: this.#mayRead } : frame;
    this.#watches.set(id, { path: frame.path, handle: this.#broker.watches.watch(request, sink, this.#socket) });
  }

  #unwatch(id: string): void {
    const watch = this.#watches.get(id);
    if (!watch) throw new ServiceError('BAD_REQUEST', `There is no watch with the id '${id}' on this socket.`);
    this.#forget(id);
    watch.handle.close();
    this.#send({ type: 'unwatched', id });
  }

  /** Ends the watches that a changed policy forbids; the others go on. */
  #recheckWatches(): void {
    for (const [id, { path, handle }] of [...this.#watches]) {
      try {
        this.#request.require('read', 'nodes', path);
      } catch (error) {
        this.#forget(id);
        handle.close();
        this.#socket.sendError(error, id);
      }
    }
  }

  #forget(id: string): void {
    if (this.#watches.delete(id)) this.#limit.releaseWatch();
  }

  async #renewSession(handle: string): Promise<void> {
    const session = parseHandle(handle);
    const { id } = session;
    const { sessions } = this.#broker.store;
    if (!this.#sessions.has(id) && this.#sessions.size >= sessionsPerSocketMax) {
      throw new ServiceError(
        'TOO_MANY_REQUESTS',
        `This socket renews ${sessionsPerSocketMax} sessions, the limit of a socket. Open another socket.`,
      );
    }
    const expired = () => {
      this.#sessions.delete(id);
      this.#send({ type: 'sessionExpired', id });
    };
    const renewer = new SessionRenewer(sessions, session, { probe: () => this.#socket.ping() }, expired);
    try {
      const { expiresAt } = await this.#limit.keepSession(handle, () => renewer.start());
      // An earlier renewer of the same session is stopped: one is enough.
      this.#sessions.get(id)?.stop();
      this.#sessions.set(id, renewer);
      if (!this.#socket.isOpen) renewer.stop();
      this.#send({ type: 'session', id, expiresAt });
    } catch (error) {
      if (!hasCode(error, 'SESSION_EXPIRED')) throw error;
      this.#send({ type: 'sessionExpired', id });
    }
  }

  #send(frame: ServerFrame): void {
    this.#socket.sendFrame(frame);
  }
}
