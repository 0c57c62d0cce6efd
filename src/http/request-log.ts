// One log line and one measurement for each request: by route, never by URL, as URLs carry handles (guarantee E4).
// These hooks run at every request, so they take callbacks: a promise each would cost more than what they do.
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Metrics } from '../live/metrics.ts';

export function installRequestLog(
  app: FastifyInstance,
  metrics: Metrics,
  levels: Pick<Logger, 'isLevelEnabled'>,
): void {
  const durations = metrics.seconds('http_request_duration_seconds', 'Time from request to end of answer.', [
    'method',
    'route',
    'status',
  ]);
  /** The histogram's own children, by what they are labelled with: looking one up there costs a few times more. */
  const children = new Map<string, { observe(seconds: number): void }>();
  const childOf = (method: string, route: string, status: number) => {
    const key = `${method} ${status} ${route}`;
    let child = children.get(key);
    if (!child) {
      child = durations.labels(method, route, String(status));
      children.set(key, child);
    }
    return child;
  };

  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method, log } = request;
    const { statusCode: status, elapsedTime: ms } = reply;
    const route = request.routeOptions.url ?? 'none';
    childOf(method, route, status).observe(ms / 1000);
    // Ordinary answers are for debugging; the operator's log stays readable at any load.
    if (status >= 500) log.warn({ method, route, status, ms: tenths(ms) }, 'Request');
    else if (levels.isLevelEnabled('debug')) log.debug({ method, route, status, ms: tenths(ms) }, 'Request');
    done();
  });
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
