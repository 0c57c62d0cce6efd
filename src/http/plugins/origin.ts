// Which web pages may use the server (CORS). A browser sends Origin with the requests of a page's script and with WebSocket handshakes,
// which no same-origin policy covers. So a request of another origin is refused unless WEIR_CORS_ORIGINS allows it.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Logger } from 'pino';
import type { Metrics } from '../../broker/metrics.ts';
import { ServiceError } from '../../core/service-error.ts';
import { createOnceLog } from '../log-once.ts';
import { allowedHeaders, isPreflight } from './cors.ts';

interface OriginCheckOptions {
  metrics: Metrics;
  log: Logger;
}

async function installOriginCheck(app: FastifyInstance, { metrics, log }: OriginCheckOptions): Promise<void> {
  const refused = metrics.counter('origins_refused_total', 'Requests of web pages refused for their origin.');
  const logOnce = createOnceLog(
    log,
    'origin',
    'Requests of web pages of another origin refused. WEIR_CORS_ORIGINS can allow it; a proxy that serves both must pass Host on',
  );

  app.addHook('onRequest', (request, reply, done) => {
    if (request.originKind === 'foreign') {
      const origin = String(request.headers.origin);
      refused.inc();
      logOnce(origin);
      return done(new ServiceError('FORBIDDEN', whyForeign(request, origin)));
    }
    // The response to a preflight lists what the request may use.
    if (isPreflight(request)) {
      reply.header('access-control-allow-methods', 'GET, HEAD, PUT, POST, PATCH, DELETE');
      reply.header('access-control-allow-headers', allowedHeaders);
      reply.header('access-control-max-age', 600);
      reply.code(204).send();
      return;
    }
    done();
  });
}

export const originCheck = fp(installOriginCheck, { name: 'origin-check', fastify: '5.x', dependencies: ['cors'] });

/** Behind a proxy that replaces Host, a page of the server's own origin looks like one of another origin. */
function whyForeign({ headers }: FastifyRequest, origin: string): string {
  const passHost = `have it pass Host on (nginx: proxy_set_header Host $http_host; Apache: ProxyPreserveHost On)`;
  const allow = `WEIR_CORS_ORIGINS=${origin} can allow it`;
  const site = headers['sec-fetch-site'];
  if (site === 'same-origin') {
    return `The page is of ${origin}, as the service is to its browser, but Host is ${headers.host}: a proxy between has replaced it; ${passHost}. Else ${allow}.`;
  }
  const foreign = `Pages of ${origin} may not use this service, which was asked as ${headers.host}`;
  // The browser is sure of it.
  if (site === 'cross-site' || site === 'same-site') return `${foreign}; ${allow}.`;
  return `${foreign}. If a proxy serves both as one origin, ${passHost}; else ${allow}.`;
}
