// Of a connection with TLS Node shows two sockets: the one below, when it is opened, and the encrypted one, with its requests. Limits
// count the first, as a handshake may never end; requests name the second.
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** An error of OpenSSL or Node. */
export interface HandshakeError extends Error {
  code?: string;
}

const below = new WeakMap<Socket, Socket>();

/** The socket that was opened for a request: below the encrypted one, or itself without TLS. */
export function connectionBelow(socket: Socket): Socket {
  return below.get(socket) ?? socket;
}

/**
 * Tells connectionBelow() of all connections of a server from now on.
 * @param onFailure called for each handshake that fails, with the socket below it, before it is closed
 */
export function mapTlsSockets(server: Server, onFailure: (error: HandshakeError, socket?: Socket) => void): void {
  // Node does not say which socket is below which: they have the same addresses.
  const open = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const key = addressesOf(socket);
    open.set(key, socket);
    socket.once('close', () => {
      if (open.get(key) === socket) open.delete(key);
    });
  });
  server.on('secureConnection', (encrypted: TLSSocket) => {
    const socket = open.get(addressesOf(encrypted));
    if (socket) below.set(encrypted, socket);
  });
  // Before Node's own, which closes it.
  server.prependListener('tlsClientError', (error: HandshakeError, encrypted: TLSSocket) =>
    onFailure(error, open.get(addressesOf(encrypted))),
  );
}

function addressesOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
