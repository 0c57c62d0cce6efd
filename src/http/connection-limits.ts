// Limits connections, in total and by address. A connection beyond the limit is refused with a problem at its first request; far beyond
// it, connections are dropped. When all are taken, an idle connection of the address that has most is closed for a new one.
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { SharedLimit, type SharedLimitReason } from '../core/shared-limit.ts';
import type { ConnectionLimits } from './limits.ts';
import { clientOfSocket } from './plugins/client.ts';
import { connectionBelow } from './tls-sockets.ts';

interface ConnectionLimitOptions {
  max: number;
  /** How many are accepted beyond that, to be refused by `problemOf`. */
  spare: ConnectionLimits['spare'];
  /** The part of `max` that one address may have while others have none: above 0, up to 1. */
  share: number;
  /** Whether an address is that of a trusted proxy, for which only the total counts. */
  trusts: ((address: string) => boolean) | undefined;
  /** Since when a connection has no request in flight, as Connections.idleSince(). */
  idleSince(socket: Socket): number | undefined;
  /** Called for each connection that is dropped. */
  onDrop(reason: SharedLimitReason, client: string): void;
}

interface ConnectionCounts {
  readonly open: number;
  readonly limit: SharedLimit;
  /** Which limit a connection exceeds; undefined if none. */
  problemOf(socket: Socket): SharedLimitReason | undefined;
}

/** Counts and limits the connections of a server from now on. Connections beyond a limit stay open to be refused by `problemOf`. */
export function watchConnections({ server }: FastifyInstance, options: ConnectionLimitOptions): ConnectionCounts {
  const limit = new SharedLimit(options.max, options.share);
  const tooMany = new Map<Socket, SharedLimitReason>();
  /** How many connections beyond its share each address has. */
  const spare = new Map<string, number>();
  const connections = new OpenConnections();
  let open = 0;

  server.on('connection', (socket: Socket) => {
    const client = clientOfSocket(socket);
    // Not by Node's `maxConnections`: with it, a worker of a cluster hands the connection back, and all full workers would pass it on
    // and on.
    if (open >= options.max + options.spare.total) {
      options.onDrop('total', client);
      socket.destroy();
      return;
    }
    open += 1;
    // One listener for all: Node.js warns of a leak when a socket has more than ten.
    let onClosed = () => {};
    socket.once('close', () => {
      open -= 1;
      onClosed();
    });
    const isProxy = options.trusts?.(socket.remoteAddress ?? '') ?? false;
    let reason = isProxy ? (limit.free > 0 ? undefined : 'total') : limit.refusalFor(client);
    if (reason === 'total' && makeRoom(client)) reason = undefined;
    if (reason === undefined) {
      limit.add(client);
      const remove = connections.add(client, socket);
      onClosed = () => {
        limit.release(client);
        remove();
      };
      return;
    }
    const others = spare.get(client) ?? 0;
    if (reason === 'address' && others >= options.spare.ofClient) {
      options.onDrop(reason, client);
      socket.destroy();
      return;
    }
    tooMany.set(socket, reason);
    spare.set(client, others + 1);
    onClosed = () => {
      tooMany.delete(socket);
      const left = (spare.get(client) ?? 1) - 1;
      if (left > 0) spare.set(client, left);
      else spare.delete(client);
    };
  });

  /** Closes an idle connection of the address that has most, if that is more than the new client would have. */
  function makeRoom(client: string): boolean {
    const largest = limit.largest();
    if (!largest || largest.held <= limit.heldBy(client) + 1) return false;
    const socket = connections.longestIdleOf(largest.key, options.idleSince);
    if (!socket) return false;
    options.onDrop('total', largest.key);
    socket.destroy();
    return true;
  }

  return {
    get open() {
      return open;
    },
    limit,
    problemOf: (socket) => (tooMany.size === 0 ? undefined : tooMany.get(connectionBelow(socket))),
  };
}

/** The open connections of each client. */
class OpenConnections {
  /** By client, when each was opened, as performance.now(). */
  readonly #open = new Map<string, Map<Socket, number>>();

  /** @returns removes it */
  add(client: string, socket: Socket): () => void {
    const sockets = this.#open.get(client) ?? new Map();
    this.#open.set(client, sockets.set(socket, performance.now()));
    return () => {
      if (sockets.delete(socket) && sockets.size === 0) this.#open.delete(client);
    };
  }

  /** The one that has been idle for longest; undefined if none is idle. It is searched for, as it is needed only at the limit. */
  longestIdleOf(client: string, idleSince: (socket: Socket) => number | undefined): Socket | undefined {
    let [longest, earliest]: [Socket | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
    for (const [socket, openedAt] of this.#open.get(client) ?? []) {
      const since = Math.max(openedAt, idleSince(socket) ?? Number.POSITIVE_INFINITY);
      if (since < earliest) [longest, earliest] = [socket, since];
    }
    return longest;
  }
}
