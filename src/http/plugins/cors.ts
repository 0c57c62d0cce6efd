// Lets pages of the origins that WEIR_CORS_ORIGINS allows read every response (CORS), also a refusal: its hook runs before all that
// refuse. origin.ts refuses the pages of other origins, and responds to preflights.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { isOwnOrigin } from '../own-origin.ts';

/** What a page may send besides the headers that need no leave. */
export const allowedHeaders =
  'Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Weir-Fence, Weir-Member, Weir-Producer, Weir-Session, X-Request-ID';

const exposedHeaders =
  'ETag, Location, Weir-Zxid, Weir-Read, Weir-Stat, Idempotency-Replayed, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset';

/** `own`: the page is of this server, or there is no page; `allowed` and `foreign`: it is of another origin. */
type OriginKind = 'own' | 'allowed' | 'foreign';

declare module 'fastify' {
  interface FastifyRequest {
    /** Which page sends the request, by its header Origin. */
    originKind: OriginKind;
  }
}

async function installCors(app: FastifyInstance, { allowed }: { allowed: readonly string[] }): Promise<void> {
  app.decorateRequest('originKind', 'own');
  app.addHook('onRequest', (request, reply, done) => {
    const { origin } = request.headers;
    if (origin === undefined || isOwnOrigin(request, origin)) return done();
    const isAllowed = allowed.includes('*') || allowed.includes(origin);
    request.originKind = isAllowed ? 'allowed' : 'foreign';
    if (isAllowed) {
      reply.header('access-control-allow-origin', origin).header('vary', 'Origin');
      reply.header('access-control-expose-headers', exposedHeaders);
    }
    done();
  });
}

export const cors = fp(installCors, { name: 'cors', fastify: '5.x' });

/** Whether a browser asks what a page may send. Without a success the page could read no response at all. */
export function isPreflight({ method, headers, originKind }: FastifyRequest): boolean {
  return originKind === 'allowed' && method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
}
