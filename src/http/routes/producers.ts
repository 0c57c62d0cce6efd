// /v1/producers: registers named producers for exactly-once appends, and lists them. A new registration fences earlier ones of the
// same name.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import {
  createProducerBody,
  listProducersQuery,
  producerResponse,
  producersResponse,
} from '../../../schemas/producers.ts';
import { visiblePage } from '../../access/readable-children.ts';
import type { Broker } from '../../broker/broker.ts';
import { decodePlace, encodePlace } from '../../store/place-by-time.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { problems } from '../problems.ts';

export const producersRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Pick<Broker, 'producers' | 'store'> }> = async (
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
      const { id, epoch, replayed } = await broker.producers.register(
        request.body.name,
        request,
        idempotencyOf(request),
      );
      return setOutcomeHeaders(reply, { replayed }).code(201).send({ id, epoch });
    },
  );

  app.get(
    '/producers',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['topics'],
        operationId: 'producers.list',
        summary: 'List the named producers, those that were not used for longest first',
        description: 'A producer that is used between two pages may be on both; none is left out.',
        querystring: listProducersQuery,
        response: {
          200: { description: 'A page of producers.', content: { 'application/json': { schema: producersResponse } } },
          ...problems('BAD_REQUEST', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => {
      const { after, limit } = request.query;
      const { items, next } = await visiblePage(
        async (from, most) => {
          const page = await broker.store.producers.list(from, most);
          return { items: page.producers, next: page.next };
        },
        { after: after === undefined ? after : decodePlace(after), limit },
        ({ name }) => request.may('use', 'producers', name),
        ({ usedAt: time, id }) => ({ time, id }),
      );
      return { producers: items, ...(next && { next: encodePlace(next) }) };
    },
  );
};
