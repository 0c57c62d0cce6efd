// /v1/cluster and /v1/brokers: the cluster and its live brokers, read from the tree.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { brokerResponse, brokersResponse, clusterResponse } from '../../../schemas/cluster.ts';
import { noQuery } from '../../../schemas/common.ts';
import type { Broker } from '../../broker/broker.ts';
import { describeBroker, describeCluster } from '../../broker/metadata/cluster.ts';
import { problems } from '../problems.ts';

const brokerParam = z.strictObject({ id: z.coerce.number<string>().int().min(0).describe('Id of the broker.') });

export const clusterRoutes: FastifyPluginAsyncZodOpenApi<{
  broker: Pick<Broker, 'brokerDirectory' | 'store'>;
}> = async (app, { broker }) => {
  app.get(
    '/cluster',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['cluster'],
        operationId: 'cluster.get',
        summary: 'The cluster: its id, controller, live brokers, and store',
        querystring: noQuery,
        response: {
          200: { description: 'The cluster.', content: { 'application/json': { schema: clusterResponse } } },
          ...problems('STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async () => describeCluster(broker.store),
  );

  app.get(
    '/brokers',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['cluster'],
        operationId: 'brokers.list',
        summary: 'List the live brokers; each worker of a server is one',
        querystring: noQuery,
        response: {
          200: { description: 'All of them, by id.', content: { 'application/json': { schema: brokersResponse } } },
          ...problems('BAD_REQUEST', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (_request, reply) => {
      const { zxid, ...listed } = await broker.brokerDirectory.list();
      reply.header('weir-zxid', zxid);
      return listed;
    },
  );

  app.get(
    '/brokers/:id',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['cluster'],
        operationId: 'brokers.get',
        summary: 'One live broker',
        querystring: noQuery,
        params: brokerParam,
        response: {
          200: { description: 'The broker.', content: { 'application/json': { schema: brokerResponse } } },
          ...problems('BAD_REQUEST', 'NO_NODE', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => describeBroker(broker.store, request.params.id),
  );
};
