// Which client a request belongs to, where limits are by client: the remote address or, of a request that comes from a trusted proxy
// (WEIR_TRUST_PROXY), the one that the proxy names in X-Forwarded-For.
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { clientOfAddress } from '../../core/client-address.ts';

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
  let key = known.get(socket);
  if (key === undefined) {
    key = clientOfAddress(socket.remoteAddress ?? '') ?? unknownClient;
    known.set(socket, key);
  }
  return key;
}

interface ClientOptions {
  /** Whether an address is that of a trusted proxy; undefined if no proxy is trusted. */
  trusts: ((address: string) => boolean) | undefined;
}

async function installClient(app: FastifyInstance, { trusts }: ClientOptions): Promise<void> {
  app.decorateRequest('clientKey', '');
  app.addHook('onRequest', (request, _reply, done) => {
    request.clientKey = trusts ? clientBehind(request) : clientOfSocket(request.raw.socket);
    done();
  });
}

export const client = fp(installClient, { name: 'client', fastify: '5.x' });

/** The farthest address that trusted proxies report. Entries that are not addresses are skipped: they are not trustworthy. */
function clientBehind(request: FastifyRequest): string {
  for (const address of request.ips?.toReversed() ?? []) {
    const key = clientOfAddress(address);
    if (key !== undefined) return key;
  }
  return clientOfSocket(request.raw.socket);
}
