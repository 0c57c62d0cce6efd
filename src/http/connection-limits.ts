// Limits connections, in total and by address. A connection beyond the limit is refused with a problem at its first request; far beyond
// it, connections are dropped. When all are taken, an idle connection of the address that has most is closed for a new one.
import type { IncomingMessage, ServerResponse } from 'node:http';
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
  const idle = new IdleConnections(server);
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
    socket.once('close', () => {
      open -= 1;
    });
    const isProxy = options.trusts?.(socket.remoteAddress ?? '') ?? false;
    let reason = isProxy ? (limit.free > 0 ? undefined : 'total') : limit.refusalFor(client);
    if (reason === 'total' && makeRoom(client)) reason = undefined;
    if (reason === undefined) {
      limit.add(client);
      idle.add(client, socket);
      socket.once('close', () => limit.release(client));
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
    socket.once('close', () => {
      tooMany.delete(socket);
      const left = (spare.get(client) ?? 1) - 1;
      if (left > 0) spare.set(client, left);
      else spare.delete(client);
    });
  });

  /** Closes an idle connection of the address that has most, if that is more than the new client would have. */
  function makeRoom(client: string): boolean {
    const largest = limit.largest();
    if (!largest || largest.held <= limit.heldBy(client) + 1) return false;
    const socket = idle.oldestOf(largest.key);
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
    problemOf: (socket) => tooMany.get(connectionBelow(socket)),
  };
}

/** The connections without a request in flight, by client, the longest idle first. */
class IdleConnections {
  readonly #idle = new Map<string, Set<Socket>>();
  readonly #clients = new WeakMap<Socket, string>();

  constructor(server: FastifyInstance['server']) {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const socket = connectionBelow(request.socket);
      const client = this.#clients.get(socket);
      if (client === undefined) return;
      this.#delete(client, socket);
      response.once('close', () => {
        if (!socket.destroyed) this.#put(client, socket);
      });
    });
    server.on('upgrade', (request: IncomingMessage) => {
      const socket = connectionBelow(request.socket);
      const client = this.#clients.get(socket);
      if (client !== undefined) this.#delete(client, socket);
    });
  }

  add(client: string, socket: Socket): void {
    this.#clients.set(socket, client);
    this.#put(client, socket);
    socket.once('close', () => this.#delete(client, socket));
  }

  oldestOf(client: string): Socket | undefined {
    return this.#idle.get(client)?.values().next().value;
  }

  #put(client: string, socket: Socket): void {
    const sockets = this.#idle.get(client);
    if (sockets) sockets.add(socket);
    else this.#idle.set(client, new Set([socket]));
  }

  #delete(client: string, socket: Socket): void {
    const sockets = this.#idle.get(client);
    if (sockets?.delete(socket) && sockets.size === 0) this.#idle.delete(client);
  }
}
