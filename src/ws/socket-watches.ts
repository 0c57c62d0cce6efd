// The watches of one socket, for every kind of socket that has them: their ids, their limits, and the bookmarks.
import type { FastifyRequest } from 'fastify';
import { bookmarkMsMax } from '../../schemas/watch.ts';
import type { WatchHub } from '../broker/watches/watch-hub.ts';
import type { MatchedEvents, MessageForm } from '../broker/watches/watch-match.ts';
import type { WatchConnection, WatchHandle, WatchRequest, WatchSink } from '../broker/watches/watcher.ts';
import { ServiceError } from '../core/service-error.ts';
import { pathProblem, withoutTrailingSlash } from '../core/tree/path.ts';
import { watchesPerSocketMax } from './limits.ts';
import { textFrame } from './text-frame.ts';

/** Limits the watches on all sockets together, and of one client. */
export interface WatchLimit {
  /** Takes one. @returns a function that gives it back. @throws ServiceError TOO_MANY_REQUESTS */
  acquire(clientKey: string): () => void;
}

/** Writes what the watches send, as frames of their kind of socket. */
interface WatchFrames<Id> {
  /** The kind of socket. Sockets of one kind write the same frames. */
  kind: string;
  /** The watch is set: every transaction after `zxid` will be sent. */
  watching(id: Id, zxid: number): void;
  /** The frame with the events of one whole transaction, as JSON. @param events as a JSON array */
  eventsJson(id: Id, zxid: number, events: string): string;
  /** The watch has ended, or could not begin. */
  failed(id: Id, error: unknown): void;
}

export interface SocketWatchParts<Id> {
  hub: Pick<WatchHub, 'watch'>;
  connection: WatchConnection & { sendEncoded(frame: Buffer): void };
  /** The handshake: its client has the watches, and must be allowed to. */
  request: Pick<FastifyRequest, 'clientKey' | 'mayReadNode' | 'require'>;
  limit: WatchLimit;
  frames: WatchFrames<Id>;
}

export class SocketWatches<Id extends string | number> {
  readonly #parts: SocketWatchParts<Id>;
  readonly #watches = new Map<Id, SocketWatch<Id>>();

  constructor(parts: SocketWatchParts<Id>) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#watches.size;
  }

  /** Everything up to this zxid was sent to all watches; undefined if none has begun. */
  get position(): number | undefined {
    let zxid = Number.POSITIVE_INFINITY;
    // A watch that has not started yet does not count.
    for (const { position } of this.#watches.values()) if (position !== undefined) zxid = Math.min(zxid, position);
    return Number.isFinite(zxid) ? zxid : undefined;
  }

  /** Begins a watch. What it sends comes after this method has returned. @throws ServiceError BAD_REQUEST, TOO_MANY_REQUESTS, FORBIDDEN */
  watch(id: Id, wanted: WatchRequest): void {
    const { hub, connection, request, limit } = this.#parts;
    const { mode, once } = wanted;
    const path = withoutTrailingSlash(wanted.path);
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
    if (pathProblem(path) === undefined) request.require('read', 'nodes', path);
    const release = limit.acquire(request.clientKey);
    const watched = { ...wanted, path, ...(mode === 'recursive' && { mayRead: request.mayReadNode }) };
    const watch = new SocketWatch({ id, path, once: once === true }, this.#parts, () => {
      release();
      this.#watches.delete(id);
    });
    this.#watches.set(id, watch);
    watch.handle = hub.watch(watched, watch, connection);
  }

  /** Ends a watch. @throws ServiceError BAD_REQUEST if there is none with this id */
  unwatch(id: Id): void {
    const watch = this.#watches.get(id);
    if (!watch) throw new ServiceError('BAD_REQUEST', `There is no watch with the id '${id}' on this socket.`);
    watch.close();
  }

  /** Ends the watches that a changed policy forbids; the others go on. */
  recheck(): void {
    const { request, frames } = this.#parts;
    for (const [id, { path }] of [...this.#watches]) {
      try {
        request.require('read', 'nodes', path);
      } catch (error) {
        this.unwatch(id);
        frames.failed(id, error);
      }
    }
  }

  closeAll(): void {
    for (const watch of [...this.#watches.values()]) watch.close();
  }
}

/** One watch of a socket: sends what its watcher passes to it. */
class SocketWatch<Id extends string | number> implements WatchSink, MessageForm {
  readonly key: string;
  readonly path: string;
  /** Set when the watcher has been made, which is before anything is passed to this. */
  handle: WatchHandle | undefined;
  readonly #id: Id;
  readonly #once: boolean;
  readonly #frames: WatchFrames<Id>;
  readonly #connection: SocketWatchParts<Id>['connection'];
  readonly #onEnd: () => void;

  /** @param onEnd called once, when it sends nothing more, by itself or by close() */
  constructor(
    { id, path, once }: { id: Id; path: string; once: boolean },
    { frames, connection }: Pick<SocketWatchParts<Id>, 'frames' | 'connection'>,
    onEnd: () => void,
  ) {
    this.key = `${frames.kind} ${JSON.stringify(id)}`;
    this.path = path;
    this.#id = id;
    this.#once = once;
    this.#frames = frames;
    this.#connection = connection;
    this.#onEnd = onEnd;
  }

  get position(): number | undefined {
    return this.handle?.position;
  }

  watching(zxid: number): void {
    this.#frames.watching(this.#id, zxid);
  }

  events(matched: MatchedEvents): void {
    if (this.#once) this.#onEnd();
    this.#connection.sendEncoded(matched.message(this));
  }

  make(zxid: number, events: string): Buffer {
    return textFrame(this.#frames.eventsJson(this.#id, zxid, events));
  }

  failed(error: unknown): void {
    this.#onEnd();
    this.#frames.failed(this.#id, error);
  }

  close(): void {
    this.#onEnd();
    this.handle?.close();
  }
}

/** Sends bookmarks to open sockets, so that a client can resume there even after a long time without events. */
export class BookmarkTimer {
  readonly #open = new Set<{ sendBookmark(): void }>();
  readonly #timer = setInterval(() => {
    for (const socket of this.#open) socket.sendBookmark();
  }, bookmarkMsMax / 2);

  add(socket: { sendBookmark(): void }): void {
    this.#open.add(socket);
  }

  remove(socket: { sendBookmark(): void }): void {
    this.#open.delete(socket);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
