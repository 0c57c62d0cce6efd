// What decides how a request is let in: what kind its route is of, and whether it waits or streams.
import type { FastifyRequest } from 'fastify';
import { mediaTypeOf, ndjsonType } from './media-types.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    route?: RouteKind;
  }
}

/** What is decided about a route when it is made. */
export type RouteKind = 'always' | 'renewal' | 'heartbeat' | 'commit' | 'consume' | 'stream' | 'other';

const alwaysAnswered = new Set(['/health/live', '/health/ready', '/metrics']);
const eventStreams = new Set(['/v1/watch/*', '/v1/topics/:topic/stream']);

export function routeKindOf(url: string, methods: string[]): RouteKind {
  if (alwaysAnswered.has(url)) return 'always';
  if (eventStreams.has(url)) return 'stream';
  if (url.startsWith('/v1/sessions/') && methods.includes('PUT')) return 'renewal';
  if (url === '/v1/groups/:group/members/:member/heartbeat') return 'heartbeat';
  if (url === '/v1/groups/:group/members/:member/records') return 'consume';
  if (url === '/v1/groups/:group/offsets' && methods.includes('POST')) return 'commit';
  return 'other';
}

export function routeOf(request: FastifyRequest): RouteKind {
  return request.routeOptions.config?.route ?? 'other';
}

export function isReserved(route: RouteKind): boolean {
  return route === 'renewal' || route === 'heartbeat' || route === 'commit';
}

export function isWait({ method, query, body, routeOptions }: FastifyRequest): boolean {
  if (routeOptions.config?.route === 'stream') return true;
  const asked = query as { wait?: unknown };
  if (method === 'GET') return asked.wait !== undefined && asked.wait !== '0';
  // A consume call by POST may say it in its body.
  const wait = asked.wait ?? (body as { wait?: unknown } | null | undefined)?.wait;
  return routeOptions.config?.route === 'consume' && wait !== undefined && wait !== '0' && wait !== 0;
}

export function isUpload(request: FastifyRequest): boolean {
  return request.method === 'POST' && mediaTypeOf(request) === ndjsonType;
}
