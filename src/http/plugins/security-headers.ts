// Headers that keep browsers from doing more with a response than its client asked for.
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

/** For the pages of the server itself: no other page may frame them, and so trick their user into clicks. */
const framing = "frame-ancestors 'none'";

async function installSecurityHeaders(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', (request, reply, done) => {
    // A body is what its Content-Type says, whatever it looks like.
    reply.header('x-content-type-options', 'nosniff');
    if (request.routeOptions.config?.access === 'docs') {
      reply.header('content-security-policy', framing).header('cross-origin-resource-policy', 'same-origin');
    }
    done();
  });
}

export const securityHeaders = fp(installSecurityHeaders, { name: 'security-headers', fastify: '5.x' });
