// Which client a request belongs to, where limits are by client: the remote address or, of a request that comes from a trusted proxy
// (WEIR_TRUST_PROXY), the one that the proxy names in X-Forwarded-For.
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { clientOfAddress } from '../core/client-address.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Key of the client for all limits by client. */
    clientKey: string;
  }
}

/** The key of a peer that disconnected before its address was read. */
const unknownClient = 'unknown';

const known = new WeakMap<Socket, string>();

/** The client at the other end of a connection, which may be a proxy. */
export function clientOfSocket(socket: Socket): string {
  let client = known.get(socket);
  if (client === undefined) {
    client = clientOfAddress(socket.remoteAddress ?? '') ?? unknownClient;
    known.set(socket, client);
  }
  return client;
}

/** @param trusts whether an address is that of a trusted proxy; undefined if there is none */
export function installClient(app: FastifyInstance, trusts: ((address: string) => boolean) | undefined): void {
  app.decorateRequest('clientKey', '');
  app.addHook('onRequest', (request, _reply, done) => {
    request.clientKey = trusts ? clientBehind(request) : clientOfSocket(request.raw.socket);
    done();
  });
}

/** The farthest address that trusted proxies report. Entries that are not addresses are skipped: they are not trustworthy. */
function clientBehind(request: FastifyRequest): string {
  for (const address of request.ips?.toReversed() ?? []) {
    const client = clientOfAddress(address);
    if (client !== undefined) return client;
  }
  return clientOfSocket(request.raw.socket);
}
