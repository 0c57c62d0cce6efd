// Headers that keep browsers from doing more with a response than its client asked for.
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

/**
 * For the pages of the server itself: they load only what it serves, and no other page may frame them, and so trick their user into
 * clicks. Swagger UI sets styles from its script.
 */
const ofPages =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

async function installSecurityHeaders(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', (request, reply, done) => {
    // A body is what its Content-Type says, whatever it looks like.
    reply.header('x-content-type-options', 'nosniff');
    if (request.routeConfig.access === 'docs') {
      reply.header('content-security-policy', ofPages).header('cross-origin-resource-policy', 'same-origin');
      reply.header('referrer-policy', 'no-referrer');
    }
    done();
  });
}

export const securityHeaders = fp(installSecurityHeaders, { name: 'security-headers', fastify: '5.x' });
