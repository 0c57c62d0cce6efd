// One log line and one duration for each request, by route and never by URL: URLs contain session handles (guarantee E4).
// These hooks run for every request, so they take callbacks: a promise would cost more than their work.
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Logger } from 'pino';
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
  log: Pick<Logger, 'isLevelEnabled'>;
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
  /** The histogram's children by their labels: the histogram's own lookup costs several times more. */
  const children = new Map<string, { observe(seconds: number): void }>();
  const childOf = (method: string, route: string, status: number, isWaiting: boolean) => {
    const key = `${method} ${status} ${isWaiting} ${route}`;
    let child = children.get(key);
    if (!child) {
      child = durations.labels(method, route, String(status), String(isWaiting));
      children.set(key, child);
    }
    return child;
  };

  /** The health checks that failed when they were last asked. */
  const failing = new Set<string>();

  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method, log } = request;
    const { statusCode: status, elapsedTime: ms } = reply;
    const route = request.routeOptions.url ?? 'none';
    // A request that was refused early may have no parsed query yet.
    const isWaiting = request.query !== undefined && request.query !== null && isWait(request);
    childOf(method, route, status, isWaiting).observe(ms / 1000);
    requests.note(ms, isWaiting);
    const isFailure = status >= 500;
    // Load balancers ask several times a second: only a change is worth a line.
    if (request.routeOptions.config?.isHealthCheck && isFailure !== failing.has(route)) {
      if (isFailure) {
        failing.add(route);
        log.warn({ method, route, status }, 'The health check fails; the log tells when it succeeds again');
      } else {
        failing.delete(route);
        log.info({ method, route, status }, 'The health check succeeds again');
      }
    }
    // Only server errors are warnings, so that the log stays readable under load.
    else if (isFailure && !failing.has(route)) log.warn({ method, route, status, ms: tenths(ms) }, 'Request');
    else if (levels.isLevelEnabled('debug')) log.debug({ method, route, status, ms: tenths(ms) }, 'Request');
    done();
  });
}

export const requestLog = fp(installRequestLog, { name: 'request-log', fastify: '5.x' });

/**
 * The logger of one request, for Fastify's childLoggerFactory. Few requests log anything, and a child
 * logger with the request id costs more than most hooks, so it is created at the first line.
 */
export function requestLogger(parent: FastifyBaseLogger, bindings: object, options: object): FastifyBaseLogger {
  return new RequestLogger(parent, bindings, options);
}

type Line = [what: unknown, message?: string, ...values: unknown[]];

class RequestLogger implements FastifyBaseLogger {
  readonly #parent: FastifyBaseLogger;
  readonly #bindings: object;
  readonly #options: object;
  #made: FastifyBaseLogger | undefined;

  constructor(parent: FastifyBaseLogger, bindings: object, options: object) {
    this.#parent = parent;
    this.#bindings = bindings;
    this.#options = options;
  }

  get #child(): FastifyBaseLogger {
    this.#made ??= this.#parent.child(this.#bindings, this.#options);
    return this.#made;
  }

  get level(): string {
    return this.#parent.level;
  }

  fatal(...line: Line): void {
    this.#child.fatal(...line);
  }

  error(...line: Line): void {
    this.#child.error(...line);
  }

  warn(...line: Line): void {
    this.#child.warn(...line);
  }

  info(...line: Line): void {
    this.#child.info(...line);
  }

  debug(...line: Line): void {
    this.#child.debug(...line);
  }

  trace(...line: Line): void {
    this.#child.trace(...line);
  }

  silent(...line: Line): void {
    this.#child.silent(...line);
  }

  child(bindings: object, options?: object): FastifyBaseLogger {
    return this.#child.child(bindings, options);
  }
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
