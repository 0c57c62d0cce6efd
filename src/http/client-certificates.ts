// The client certificate of a request's connection, read once for each connection.
import type { X509Certificate } from 'node:crypto';
import type { Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import { type ClientCertificate, readClientCertificate } from '../access/client-certificate.ts';
import type { ServerTls } from '../tls/server-tls.ts';
import { isFromOtherSite } from './own-origin.ts';
import { connectionBelow } from './tls-sockets.ts';

/** A browser shows its certificate with any request, also one that a page of another site has made. */
const ofOtherSite =
  'Its client certificate does not count for pages of other sites, which must send a token: Authorization: Bearer weir_….';

interface Known {
  certificate: ClientCertificate | undefined;
  x509: X509Certificate | undefined;
  /** The authorities by which it was judged. */
  authoritiesVersion: number;
}

export class ClientCertificates {
  readonly #tls: ServerTls;
  /** The authorities in use when a connection was opened, which its handshake goes by. */
  readonly #openedAt = new WeakMap<Socket, number>();
  readonly #known = new WeakMap<Socket, Known>();

  constructor(tls: ServerTls, server: Server) {
    this.#tls = tls;
    server.on('connection', (socket: Socket) => this.#openedAt.set(socket, tls.authoritiesVersion));
  }

  /** What a request proves its identity with besides its headers. */
  of(request: FastifyRequest): { certificate?: ClientCertificate; ignored?: string } {
    const certificate = this.#certificateOf(request.raw.socket as TLSSocket);
    if (!certificate) return {};
    return request.headers.authorization === undefined && isFromOtherSite(request)
      ? { certificate, ignored: ofOtherSite }
      : { certificate };
  }

  #certificateOf(socket: TLSSocket): ClientCertificate | undefined {
    const { authoritiesVersion } = this.#tls;
    const known = this.#known.get(socket);
    if (known && (known.x509 === undefined || known.authoritiesVersion === authoritiesVersion))
      return known.certificate;
    const x509 = known ? known.x509 : socket.getPeerX509Certificate();
    const certificate = x509 && readClientCertificate(x509, this.#problemOf(socket, x509));
    this.#known.set(socket, { certificate, x509, authoritiesVersion });
    return certificate;
  }

  #problemOf(socket: TLSSocket, x509: X509Certificate): string | undefined {
    if (!socket.authorized) return `${socket.authorizationError}`;
    const isAsInHandshake = this.#openedAt.get(connectionBelow(socket)) === this.#tls.authoritiesVersion;
    if (isAsInHandshake || this.#tls.isTrusted(x509)) return undefined;
    return 'the authorities of client certificates have changed, and none of them has signed it';
  }
}
