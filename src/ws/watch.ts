// The socket GET /v1/watch: watches of many nodes on one connection, and sessions that are renewed while the peer is active.
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { type ClientFrame, clientFrame, type ServerFrame } from '../../schemas/watch.ts';
import type { Broker } from '../broker/broker.ts';
import { SessionRenewer } from '../broker/sessions/session-renewer.ts';
import { frameJson } from '../core/frame-json.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Store } from '../store/store.ts';
import { parseHandle } from '../store/tree/sessions.ts';
import { sessionsPerSocketMax } from './limits.ts';
import type { Socket } from './socket.ts';
import { BookmarkTimer, SocketWatches, type WatchLimit } from './socket-watches.ts';
import type { Sockets } from './sockets.ts';

type EventsFrame = Extract<ServerFrame, { type: 'events' }>;

/** What a watch socket uses of the broker. */
type WatchBroker = Pick<Broker, 'watches'> & { store: Pick<Store, 'sessions'> };

interface Options {
  broker: WatchBroker;
  sockets: Sockets;
  limit: WatchLimit;
  /** Runs a session renewal in the capacity that is reserved for these. */
  keepSession<T>(
    client: Pick<FastifyRequest, 'clientKey' | 'actsAs'>,
    handle: string,
    work: () => Promise<T>,
  ): Promise<T>;
}

export const watchSockets: FastifyPluginAsyncZodOpenApi<Options> = async (
  app,
  { broker, sockets, limit, keepSession },
) => {
  const bookmarks = new BookmarkTimer();
  app.addHook('onClose', async () => bookmarks.stop());

  app.route({
    method: 'GET',
    url: '/watch',
    exposeHeadRoute: false,
    config: { access: 'operation', admission: 'work', timeLimit: 'none' },
    schema: {
      tags: ['watches'],
      operationId: 'watch.socket',
      summary: 'Watch nodes over a WebSocket, whose frames are in asyncapi.yaml',
      querystring: z.strictObject({}),
      response: { 101: { description: 'The connection is a WebSocket now.' } },
    } satisfies FastifyZodOpenApiSchema,
    handler: () => {
      throw new ServiceError(
        'BAD_REQUEST',
        'This is a WebSocket: connect with ws:// or wss://; if that was done, a proxy between has removed the header Upgrade. For server-sent events, GET /v1/watch/{path}.',
      );
    },
    wsHandler: (ws, request) => void new WatchSocket(ws, request, { broker, sockets, limit, keepSession, bookmarks }),
  });
};

interface Parts extends Options {
  bookmarks: BookmarkTimer;
}

class WatchSocket {
  readonly #parts: Parts;
  readonly #request: FastifyRequest;
  readonly #socket: Socket;
  readonly #watches: SocketWatches<string>;
  readonly #sessions = new Map<string, SessionRenewer>();

  constructor(ws: WebSocket, request: FastifyRequest, parts: Parts) {
    const { broker, sockets, limit, bookmarks } = parts;
    this.#parts = parts;
    this.#request = request;
    // Before accept(), which closes the socket at once if the broker is stopping.
    bookmarks.add(this);
    this.#socket = sockets.accept(ws, request, {
      kind: 'watch',
      schema: clientFrame,
      isLenient: ({ type }) => type !== 'watch',
      onFrame: (frame) => this.#onFrame(frame),
      onPeerActivity: () => {
        for (const session of this.#sessions.values()) session.noteActivity();
      },
      recheckAccess: () => this.#watches.recheck(),
      onClose: () => {
        // It may be closed before it has any.
        this.#watches?.closeAll();
        for (const session of this.#sessions.values()) session.stop();
        bookmarks.remove(this);
      },
    });
    const frames = {
      kind: this.#socket.kind,
      watching: (id: string, zxid: number) => this.#send({ type: 'watching', id, zxid }),
      eventsJson: (id: string, zxid: number, events: string) =>
        frameJson<EventsFrame, 'events'>({ type: 'events', id, zxid }, { events }),
      failed: (id: string, error: unknown) => this.#socket.sendError(error, id),
    };
    this.#watches = new SocketWatches({ hub: broker.watches, connection: this.#socket, request, limit, frames });
  }

  /** Sends a bookmark; not to a slow reader. */
  sendBookmark(): void {
    if (this.#socket.room() !== undefined) return;
    const zxid = this.#watches.position;
    if (zxid !== undefined) this.#send({ type: 'bookmark', zxid });
  }

  #onFrame(frame: ClientFrame): Promise<void> | void {
    switch (frame.type) {
      case 'watch':
        return this.#watches.watch(frame.id, frame);
      case 'unwatch':
        this.#watches.unwatch(frame.id);
        return this.#send({ type: 'unwatched', id: frame.id });
      case 'session':
        return this.#renewSession(frame.session);
      case 'ping':
        return this.#send({ type: 'pong' });
    }
  }

  async #renewSession(handle: string): Promise<void> {
    const session = parseHandle(handle, this.#request);
    const { id } = session;
    const { sessions } = this.#parts.broker.store;
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
      const { expiresAt } = await this.#parts.keepSession(this.#request, handle, () => renewer.start());
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
