// The watches of one socket, for every kind of socket that has them: their ids, their limits, and the bookmarks.
import type { FastifyRequest } from 'fastify';
import { bookmarkMsMax } from '../../schemas/watch.ts';
import type { WatchHub } from '../broker/watches/watch-hub.ts';
import type { WatchConnection, WatchHandle, WatchRequest } from '../broker/watches/watcher.ts';
import { ServiceError } from '../core/service-error.ts';
import { pathProblem, withoutTrailingSlash } from '../core/tree/path.ts';
import { watchesPerSocketMax } from './limits.ts';

/** Limits the watches on all sockets together, and of one client. */
export interface WatchLimit {
  /** Takes one. @returns a function that gives it back. @throws ServiceError TOO_MANY_REQUESTS */
  acquire(clientKey: string): () => void;
}

/** Writes what the watches send, as frames of their kind of socket. */
interface WatchFrames<Id> {
  /** The watch is set: every transaction after `zxid` will be sent. */
  watching(id: Id, zxid: number): void;
  /** @param events of one whole transaction, as a JSON array */
  events(id: Id, zxid: number, events: string): void;
  /** The watch has ended, or could not begin. */
  failed(id: Id, error: unknown): void;
}

export interface SocketWatchParts<Id> {
  hub: Pick<WatchHub, 'watch'>;
  connection: WatchConnection;
  /** The handshake: its client has the watches, and must be allowed to. */
  request: Pick<FastifyRequest, 'clientKey' | 'mayReadNode' | 'require'>;
  limit: WatchLimit;
  frames: WatchFrames<Id>;
}

export class SocketWatches<Id extends string | number> {
  readonly #parts: SocketWatchParts<Id>;
  readonly #watches = new Map<Id, { path: string; handle: WatchHandle; release(): void }>();

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
    for (const { handle } of this.#watches.values())
      if (handle.position !== undefined) zxid = Math.min(zxid, handle.position);
    return Number.isFinite(zxid) ? zxid : undefined;
  }

  /** Begins a watch. What it sends comes after this method has returned. @throws ServiceError BAD_REQUEST, TOO_MANY_REQUESTS, FORBIDDEN */
  watch(id: Id, wanted: WatchRequest): void {
    const { hub, connection, request, limit, frames } = this.#parts;
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
    const sink = {
      watching: (zxid: number) => frames.watching(id, zxid),
      events: (zxid: number, events: string) => {
        if (once) this.#forget(id);
        frames.events(id, zxid, events);
      },
      failed: (error: unknown) => {
        this.#forget(id);
        frames.failed(id, error);
      },
    };
    const watched = { ...wanted, path, ...(mode === 'recursive' && { mayRead: request.mayReadNode }) };
    this.#watches.set(id, { path, handle: hub.watch(watched, sink, connection), release });
  }

  /** Ends a watch. @throws ServiceError BAD_REQUEST if there is none with this id */
  unwatch(id: Id): void {
    const watch = this.#watches.get(id);
    if (!watch) throw new ServiceError('BAD_REQUEST', `There is no watch with the id '${id}' on this socket.`);
    this.#forget(id);
    watch.handle.close();
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
    for (const id of [...this.#watches.keys()]) this.unwatch(id);
  }

  #forget(id: Id): void {
    this.#watches.get(id)?.release();
    this.#watches.delete(id);
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
