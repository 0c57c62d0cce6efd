// One log line and one duration for each request, by route and never by URL: URLs contain session handles (guarantee E4).
// These hooks run for every request, so they take callbacks: a promise would cost more than their work.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Logger } from 'pino';
import { ClientEventsLog } from '../../broker/client-events-log.ts';
import type { Metrics } from '../../broker/metrics.ts';
import type { RequestDurations } from '../../broker/request-durations.ts';
import { isWait } from '../route-config.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Programs ask it at short intervals: it is logged only when it begins or ceases to fail. */
    isHealthCheck?: boolean;
  }
}

interface RequestLogOptions {
  metrics: Metrics;
  /** Takes the duration of each request. */
  requests: RequestDurations;
  log: Logger;
}

async function installRequestLog(
  app: FastifyInstance,
  { metrics, requests, log: levels }: RequestLogOptions,
): Promise<void> {
  const durations = metrics.histogram(
    'http_request_duration_seconds',
    'Time from a request to the end of its response; with wait="true" of requests that asked the server to wait.',
    ['method', 'route', 'status', 'wait'],
  );
  /** By the config of the route, its method, and status and wait as one number. */
  const known = new WeakMap<object, Map<string, Map<number, { observe(seconds: number): void }>>>();
  const durationsOf = ({ method, routeConfig }: FastifyRequest, status: number, isWaiting: boolean) => {
    const ofRoute = entryOf(known, routeConfig, () => new Map());
    const ofMethod = entryOf(ofRoute, method, () => new Map());
    return entryOf(ofMethod, isWaiting ? -status : status, () =>
      durations.labels(method, routeConfig.url ?? 'none', String(status), String(isWaiting)),
    );
  };

  // While the store is away every request fails; a status of its own, so that these hide no others.
  const failures = new ClientEventsLog(levels);
  /** The health checks that failed when they were last asked. */
  const failing = new Set<string>();

  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method, log, routeConfig } = request;
    const { statusCode: status, elapsedTime: ms } = reply;
    const route = routeConfig.url ?? 'none';
    // A request that was refused early may have no parsed query yet.
    const isWaiting = request.query !== undefined && request.query !== null && isWait(request);
    durationsOf(request, status, isWaiting).observe(ms / 1000);
    requests.note(ms, isWaiting);
    const isFailure = status >= 500;
    // Load balancers ask several times a second: only a change is worth a line.
    if (routeConfig.isHealthCheck && isFailure !== failing.has(route)) {
      if (isFailure) {
        failing.add(route);
        log.warn({ method, route, status }, 'The health check fails; the log tells when it succeeds again');
      } else {
        failing.delete(route);
        log.info({ method, route, status }, 'The health check succeeds again');
      }
    }
    // Only server errors are warnings, so that the log stays readable under load.
    else if (isFailure && !failing.has(route)) {
      if (failures.mayWrite(`Request with status ${status}`)) {
        log.warn({ method, route, status, ms: tenths(ms) }, 'Request');
      }
    } else if (levels.isLevelEnabled('debug')) log.debug({ method, route, status, ms: tenths(ms) }, 'Request');
    done();
  });
}

export const requestLog = fp(installRequestLog, { name: 'request-log', fastify: '5.x' });

function entryOf<K, V>(map: { get(key: K): V | undefined; set(key: K, value: V): unknown }, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
