// GET is safe everywhere but where a route says that it has an effect, as a consume call moves the position of its member. Nothing may make
// such a call by itself: not a HEAD (the route exposes none), not the <img> or link of another site, and not a prefetch.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ServiceError } from '../../core/service-error.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A GET that changes something. */
    hasEffect?: boolean;
  }
}

/** Where a browser says that a request comes from, if not from a page of another origin: `none` is the user himself. */
const ownSites = new Set(['same-origin', 'none']);

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

async function installEffectGuard(app: FastifyInstance): Promise<void> {
  app.addHook('onRoute', ({ method, url, config, exposeHeadRoute }) => {
    if (!config?.hasEffect || exposeHeadRoute === false || ![method].flat().includes('GET')) return;
    throw new Error(`GET ${url} has an effect: it must not expose a HEAD route`);
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const hasEffect = request.routeOptions.config?.hasEffect || !safeMethods.has(request.method);
    done(hasEffect ? problemOf(request) : undefined);
  });
}

export const effectGuard = fp(installEffectGuard, {
  name: 'effect-guard',
  fastify: '5.x',
  dependencies: ['origin-check'],
});

function problemOf({ method, headers, routeOptions: { url } }: FastifyRequest): ServiceError | undefined {
  const purpose = headers['sec-purpose'] ?? headers.purpose ?? headers['x-moz'];
  if (purpose !== undefined && /prefetch|prerender|preview/i.test(String(purpose))) {
    return new ServiceError('FORBIDDEN', `${method} ${url} has an effect, so it cannot be fetched in advance.`);
  }
  const site = headers['sec-fetch-site'];
  // With an Origin it is a call of a script, and of an origin that is allowed.
  if (site === undefined || ownSites.has(String(site)) || headers.origin !== undefined) return undefined;
  const detail = `${method} ${url} has an effect, so a page of another origin cannot load it (Sec-Fetch-Site: ${site}); its script can, if WEIR_CORS_ORIGINS allows the origin.`;
  return new ServiceError('FORBIDDEN', detail);
}
