// No response of the API may be served from a cache. Without Cache-Control, shared caches would store nodes, fetches and even long polls
// for minutes. A response with an ETag may be stored, but must be revalidated each time (no-cache); all others are no-store.
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

async function installCacheControl(app: FastifyInstance): Promise<void> {
  app.addHook('onSend', (request, reply, _payload, done) => {
    const isDynamic = reply.statusCode >= 400 || request.routeConfig.admission !== undefined;
    if (isDynamic && !reply.hasHeader('cache-control')) {
      reply.header('cache-control', reply.hasHeader('etag') ? 'no-cache' : 'no-store');
    }
    done();
  });
}

export const cacheControl = fp(installCacheControl, {
  name: 'cache-control',
  fastify: '5.x',
  dependencies: ['route-config'],
});
