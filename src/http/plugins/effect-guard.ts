// Some GET routes have an effect: a consume call moves the position of its member. Such a call must not happen without intent. So these
// routes expose no HEAD, and requests with an effect are refused if they come from an <img> or link of another site or from a prefetch.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ServiceError } from '../../core/service-error.ts';
import { ownSites } from '../own-origin.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A GET that changes something. */
    hasEffect?: boolean;
  }
}

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

async function installEffectGuard(app: FastifyInstance): Promise<void> {
  app.addHook('onRoute', ({ method, url, config, exposeHeadRoute }) => {
    if (!config?.hasEffect || exposeHeadRoute === false || ![method].flat().includes('GET')) return;
    throw new Error(`GET ${url} has an effect: it must not expose a HEAD route`);
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const hasEffect = request.routeConfig.hasEffect || !safeMethods.has(request.method);
    done(hasEffect ? problemOf(request) : undefined);
  });
}

export const effectGuard = fp(installEffectGuard, {
  name: 'effect-guard',
  fastify: '5.x',
  dependencies: ['origin-check'],
});

function problemOf({ method, headers, routeConfig: { url } }: FastifyRequest): ServiceError | undefined {
  const purpose = headers['sec-purpose'] ?? headers.purpose ?? headers['x-moz'];
  if (purpose !== undefined && /prefetch|prerender|preview/i.test(String(purpose))) {
    return new ServiceError('FORBIDDEN', `${method} ${url} has an effect, so it cannot be fetched in advance.`);
  }
  const site = headers['sec-fetch-site'];
  // A request with Origin comes from a script, and origin.ts has allowed that origin.
  if (site === undefined || ownSites.has(String(site)) || headers.origin !== undefined) return undefined;
  const detail = `${method} ${url} has an effect, so a page of another origin cannot load it (Sec-Fetch-Site: ${site}); its script can, if WEIR_CORS_ORIGINS allows the origin.`;
  return new ServiceError('FORBIDDEN', detail);
}
