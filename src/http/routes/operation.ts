// /health and /metrics.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import type { Broker } from '../../broker/broker.ts';
import { ServiceError } from '../../core/service-error.ts';
import { problems } from '../problems.ts';

const healthReply = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });

export const operationRoutes: FastifyPluginAsyncZodOpenApi<{
  broker: Pick<Broker, 'isRegistered' | 'metrics' | 'store'>;
}> = async (app, { broker }) => {
  app.get(
    '/health/live',
    {
      config: { access: 'open', admission: 'always', timeLimit: 'none', takesAnyHost: true },
      schema: {
        tags: ['operation'],
        operationId: 'health.live',
        summary: 'Check whether the process runs',
        response: { 200: { description: 'It runs.', content: { 'application/json': { schema: healthReply } } } },
      } satisfies FastifyZodOpenApiSchema,
    },
    async () => ({ status: 'ok' as const }),
  );

  app.get(
    '/health/ready',
    {
      config: {
        access: 'open',
        admission: 'always',
        timeLimit: 'none',
        takesAnyHost: true,
        needsStore: true,
        isHealthCheck: true,
      },
      schema: {
        tags: ['operation'],
        operationId: 'health.ready',
        summary: 'Check whether the broker can serve: it is registered in the cluster and can read the tree',
        description:
          'Describes this broker, not all of the data. In a Redis Cluster the Redis of some logs may be away: then every broker ' +
          'refuses requests for those logs and serves all others. /v1/cluster lists what is away.',
        response: {
          200: { description: 'It can serve.', content: { 'application/json': { schema: healthReply } } },
          ...problems('STORE_UNAVAILABLE', 'LOADING'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async () => {
      if (!broker.isRegistered) {
        throw new ServiceError(
          'STORE_UNAVAILABLE',
          'The broker is not registered: it is starting, stopping, or cut off from its store.',
        );
      }
      await broker.store.events.newestZxid();
      return { status: 'ok' as const };
    },
  );

  const { metrics } = broker;
  app.get(
    '/metrics',
    {
      config: { access: 'metrics', admission: 'always', timeLimit: 'none' },
      schema: {
        tags: ['operation'],
        operationId: 'metrics',
        summary: "Metrics in Prometheus' text format",
        response: {
          200: {
            description: 'All metrics of this server: those of its workers together, if it has several.',
            content: { 'text/plain': { schema: z.string() } },
          },
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.text()),
  );
};
