// The routes of the servers that this process builds, as they are registered: so no list of them can miss one.
import { subscribe } from 'node:diagnostics_channel';
import type { FastifyInstance, RouteOptions } from 'fastify';

export interface ListedRoute {
  method: string;
  /** With parameters, such as `/v1/topics/:topic`. */
  url: string;
  /** `config.access`. */
  access: unknown;
  operationId: string | undefined;
  /** `config.hasEffect`: a GET that changes something. */
  hasEffect: boolean;
}

/**
 * Collects the routes of all servers that are started from now on. To be called before the first one is.
 * @returns the routes, each once; HEAD is left out where there is GET
 */
export function collectRoutes(): () => ListedRoute[] {
  const routes = new Map<string, { method: string; options: RouteOptions }>();
  subscribe('fastify.initialization', (message) => {
    const { fastify } = message as { fastify: FastifyInstance };
    fastify.addHook('onRoute', (options: RouteOptions) => {
      for (const method of [options.method].flat()) routes.set(`${method} ${options.url}`, { method, options });
    });
  });
  return () => {
    // Hooks that come later may still declare something for a route.
    const listed = [...routes.values()].map(({ method, options: { url, config, schema } }) => ({
      method,
      url,
      access: config?.access,
      operationId: (schema as { operationId?: string } | undefined)?.operationId,
      hasEffect: config?.hasEffect === true,
    }));
    return listed.filter(({ method, url }) => method !== 'HEAD' || !routes.has(`GET ${url}`));
  };
}
