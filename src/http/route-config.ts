// What a route declares about itself in its `config`, so that the plugins around it need no tables of URLs or operation ids.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ndjsonType } from './media-types.ts';

/**
 * How admission control treats the requests of a route: they are always served; they renew a session, are a heartbeat, commit offsets
 * or make a consume call, and may use the reserved capacity for that; they open an event stream; or they are ordinary work.
 */
export type RouteKind = 'always' | 'renewal' | 'heartbeat' | 'commit' | 'consume' | 'stream' | 'work';

declare module 'fastify' {
  interface FastifyRequest {
    /** The config of its route, and the pattern of its URL, if it has a route. `routeOptions` is made anew each time that it is read. */
    routeConfig: Readonly<FastifyContextConfig> & { readonly url?: string };
  }
  interface FastifyContextConfig {
    /** Every operation of the API declares it. */
    admission?: RouteKind;
    /**
     * What a request that exceeds the time limit may have done, for the text of its error. `none` = there is no limit: the work grows
     * with what it touches or is shared with other requests, or the operation has a limit of its own (broker/log/log-writer.ts). Every
     * operation of the API declares it.
     */
    timeLimit?: 'read' | 'write' | 'consume' | 'none';
    /** If-Match and If-None-Match are conditions of the operation. Other writes refuse them. */
    takesConditions?: boolean;
    /** Every request of the route may wait for records, whatever its query says. */
    isLongPoll?: boolean;
    /** The body is a stream of any length, as an NDJSON body is: the route never has all of it in memory. */
    takesStream?: boolean;
    /** The route may be called under any Host. */
    takesAnyHost?: boolean;
    /** The route outside /v1 cannot be served before the store can be used. */
    needsStore?: boolean;
    /** What the client can do when its body is over the limit of the route. */
    tooLargeRemedy?: string;
  }
}

const withoutRoute = {};

/**
 * Refuses to add an operation that does not declare what every operation must.
 * @throws Error when such a route is added
 */
async function requireRouteConfig(app: FastifyInstance): Promise<void> {
  app.decorateRequest('routeConfig');
  app.addHook('onRequest', (request, _reply, done) => {
    request.routeConfig = request.routeOptions.config ?? withoutRoute;
    done();
  });
  app.addHook('onRoute', ({ method, url, schema, config }) => {
    const operation = (schema as { operationId?: string } | undefined)?.operationId;
    const isOperation = operation !== undefined || url.startsWith('/v1/');
    if (!isOperation || (operation !== undefined && config?.admission && config.timeLimit && config.access)) return;
    throw new Error(`${method} ${url} must declare an operationId, and access, admission and timeLimit in its config`);
  });
}

export const routeConfig = fp(requireRouteConfig, { name: 'route-config', fastify: '5.x' });

export function routeOf(request: FastifyRequest): RouteKind {
  return request.routeConfig.admission ?? 'work';
}

export function isReserved(route: RouteKind): boolean {
  return route === 'renewal' || route === 'heartbeat' || route === 'commit';
}

/** Whether requests of a route may use the reserved capacity, for what they name. A consume call uses it beside its own work. */
export function mayBeReserved(route: RouteKind): boolean {
  return isReserved(route) || route === 'consume';
}

export function isWait({ method, query, body, routeConfig }: FastifyRequest): boolean {
  if (routeConfig.admission === 'stream' || routeConfig.isLongPoll) return true;
  const asked = query as { wait?: unknown };
  if (method === 'GET') return asked.wait !== undefined && asked.wait !== '0';
  // A consume call by POST may say it in its body.
  const wait = asked.wait ?? (body as { wait?: unknown } | null | undefined)?.wait;
  return routeConfig.admission === 'consume' && wait !== undefined && wait !== '0' && wait !== 0;
}

export function isUpload(request: FastifyRequest): boolean {
  return request.method === 'POST' && hasStreamedBody(request);
}

/** Whether the body may arrive for any time, with pauses. */
export function hasStreamedBody({ bodyType, routeOptions }: FastifyRequest): boolean {
  return bodyType === ndjsonType || routeOptions.config?.takesStream === true;
}
