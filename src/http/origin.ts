// Which web pages may use the service. A browser sends Origin with every request that another page's script makes, also
// with WebSocket handshakes, which no same-origin policy guards; so a foreign one is refused unless it is configured.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ServiceError } from '../core/service-error.ts';

const exposedHeaders = 'ETag, Location, Weir-Zxid, Weir-Stat, Idempotency-Replayed, Retry-After';

export function installOriginCheck(app: FastifyInstance, allowed: readonly string[]): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { origin } = request.headers;
    if (origin === undefined || isOwn(request, origin)) return done();
    if (!allowed.includes('*') && !allowed.includes(origin)) {
      const detail = `Pages of ${origin} may not use this service; WEIR_CORS_ORIGINS can allow it.`;
      return done(new ServiceError('FORBIDDEN', detail));
    }
    reply.header('access-control-allow-origin', origin).header('vary', 'Origin');
    reply.header('access-control-expose-headers', exposedHeaders);
    // A preflight asks what the request itself may do.
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
      reply.header('access-control-allow-methods', 'GET, HEAD, PUT, POST, PATCH, DELETE');
      reply.header('access-control-allow-headers', request.headers['access-control-request-headers'] ?? '*');
      reply.header('access-control-max-age', 600);
      reply.code(204).send();
      return;
    }
    done();
  });
}

function isOwn(request: FastifyRequest, origin: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === request.headers.host;
}
