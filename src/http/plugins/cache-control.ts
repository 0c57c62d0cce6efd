// Nothing that is answered here is to be taken from a cache: without a word on it, shared caches keep nodes, fetches and even long
// polls for minutes by default. What has a tag may be kept, but must be asked for each time.
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

async function installCacheControl(app: FastifyInstance): Promise<void> {
  app.addHook('onSend', (request, reply, _payload, done) => {
    const isDynamic = reply.statusCode >= 400 || request.routeOptions.config?.admission !== undefined;
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
