// TLS of the port: failed handshakes, metrics of the certificate, and the response to plain HTTP.
import type { Server } from 'node:https';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Metrics } from '../../broker/metrics.ts';
import type { ServerTls } from '../../tls/server-tls.ts';
import { plainHttpRefusal } from '../connection-errors.ts';
import { type HandshakeError, mapTlsSockets } from '../tls-sockets.ts';

interface TlsPluginOptions {
  tls: ServerTls;
  metrics: Metrics;
}

async function installTls(app: FastifyInstance, { tls, metrics }: TlsPluginOptions): Promise<void> {
  const server = app.server as unknown as Server;
  tls.serve(server);
  const failed = metrics.counter('tls_handshakes_failed_total', 'TLS handshakes that failed, by reason.', ['reason']);
  mapTlsSockets(server, (error, socket) => {
    const reason = reasonOf(error);
    failed.inc({ reason });
    if (reason === 'plain_http') socket?.write(plainHttpRefusal());
  });
  metrics.gauge(
    'tls_certificate_expiry_timestamp_seconds',
    'When the certificate of this server expires, in seconds since 1970.',
    () => tls.expiresAt / 1000,
    'min',
  );
  metrics.gauge(
    'tls_loaded_timestamp_seconds',
    'When the TLS files in use were read, in seconds since 1970.',
    () => tls.loadedAt / 1000,
    'min',
  );
  const reloadErrorsHelp = 'Changes of the TLS files that could not be used; each worker counts its own.';
  metrics.counters('tls_reload_errors_total', reloadErrorsHelp, [], () => [{ labels: {}, value: tls.errors }]);
}

export const tlsOfPort = fp(installTls, { name: 'tls', fastify: '5.x' });

function reasonOf({ code = '' }: HandshakeError): string {
  switch (code) {
    case 'ERR_SSL_HTTP_REQUEST':
      return 'plain_http';
    case 'ERR_TLS_HANDSHAKE_TIMEOUT':
      return 'timeout';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'closed';
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
    case 'ERR_SSL_VERSION_TOO_LOW':
    case 'ERR_SSL_NO_SHARED_CIPHER':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return 'version';
  }
  // The client does not trust this server's certificate, or its name.
  return /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_)/.test(code) ? 'certificate_refused' : 'other';
}
