// One log line and one measurement for each request: by route, never by URL, as URLs carry handles (guarantee E4).
import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../live/metrics.ts';

export function installRequestLog(app: FastifyInstance, metrics: Metrics): void {
  const durations = metrics.seconds('http_request_duration_seconds', 'Time from request to end of answer.', [
    'method',
    'route',
    'status',
  ]);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    durations.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000);
    // Ordinary answers are for debugging; the operator's log stays readable at any load.
    const level = reply.statusCode >= 500 ? 'warn' : 'debug';
    request.log[level](
      { method: request.method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime * 10) / 10 },
      'Request',
    );
  });
}
