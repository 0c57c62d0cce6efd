// /v1/producers: registers named producers for exactly-once appends. A new registration fences earlier ones of the same name.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import { createProducerBody, producerResponse } from '../../../schemas/producers.ts';
import type { Broker } from '../../broker/broker.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { problems } from '../problems.ts';

export const producersRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Pick<Broker, 'producers'> }> = async (
  app,
  { broker },
) => {
  app.post(
    '/producers',
    {
      config: { access: 'operation', admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['topics'],
        operationId: 'producers.register',
        summary: 'Register a named producer, or take it over: the new epoch fences the old one in every partition',
        querystring: noQuery,
        body: createProducerBody,
        response: {
          201: {
            description: 'The id of the producer and its new epoch.',
            content: { 'application/json': { schema: producerResponse } },
          },
          ...problems('BAD_REQUEST', 'IDEMPOTENCY_KEY_REUSED', 'STORE_UNAVAILABLE', 'STORE_FULL'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      request.require('use', 'producers', request.body.name);
      const { id, epoch, replayed } = await broker.producers.register(request.body.name, idempotencyOf(request));
      return setOutcomeHeaders(reply, { replayed }).code(201).send({ id, epoch });
    },
  );
};
