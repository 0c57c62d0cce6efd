// /v1/topics/{t}/partitions/{p} and /v1/elections: describes partitions, reassigns their replicas and elects leaders. Records are in
// records.ts.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import { partitionParams } from '../../../schemas/records.ts';
import { electionBody, electionResponse, partitionResponse, reassignBody } from '../../../schemas/topics.ts';
import type { Broker } from '../../broker/broker.ts';
import { problems } from '../problems.ts';
import { respondOnce } from '../respond-once.ts';

export const partitionsRoutes: FastifyPluginAsyncZodOpenApi<{
  broker: Pick<Broker, 'partitionAdmin' | 'store'>;
}> = async (app, { broker }) => {
  const { partitionAdmin } = broker;
  const { storedResponses } = broker.store;

  app.get(
    '/topics/:topic/partitions/:partition',
    {
      config: { access: { verb: 'read', kind: 'topics', in: 'topic' }, admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['cluster'],
        operationId: 'partitions.get',
        summary: 'Describe a partition: leader, replicas, offsets',
        params: partitionParams,
        querystring: noQuery,
        response: {
          200: { description: 'The partition.', content: { 'application/json': { schema: partitionResponse } } },
          ...problems('BAD_REQUEST', 'UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { description, zxid } = await partitionAdmin.describe(request.params.topic, request.params.partition);
      reply.header('weir-zxid', zxid);
      return description;
    },
  );

  app.patch(
    '/topics/:topic/partitions/:partition',
    {
      config: { access: 'admin', admission: 'work', timeLimit: 'write' },
      schema: {
        tags: ['cluster'],
        operationId: 'partitions.reassign',
        summary: 'Reassign a partition to other brokers',
        description:
          'The new list of replicas applies at once. No data is moved, as the log is in the store that all brokers share. ' +
          'Brokers that are added must be alive. The leader stays if it is in the list.',
        params: partitionParams,
        querystring: noQuery,
        body: reassignBody,
        response: {
          200: { description: 'Reassigned.', content: { 'application/json': { schema: partitionResponse } } },
          ...problems(
            'BAD_REQUEST',
            'UNKNOWN_TOPIC',
            'UNKNOWN_PARTITION',
            'INVALID_REPLICA_ASSIGNMENT',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { topic, partition } = request.params;
      return respondOnce(storedResponses, request, reply, partitionResponse, async ({ idempotency }) => {
        const { description, ...rest } = await partitionAdmin.reassign(
          topic,
          partition,
          request.body.replicas,
          idempotency,
        );
        return { body: description, ...rest };
      });
    },
  );

  app.post(
    '/elections',
    {
      config: { access: 'admin', admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['cluster'],
        operationId: 'elections.create',
        summary: 'Elect the preferred leaders of a topic',
        description:
          'The first replica of each partition becomes its leader, if it is alive. The controller also does so by itself a second ' +
          'after brokers joined or left, if a broker leads less than nine tenths of the partitions that prefer it.',
        querystring: noQuery,
        body: electionBody,
        response: {
          200: {
            description: 'The result for each partition.',
            content: { 'application/json': { schema: electionResponse } },
          },
          ...problems(
            'BAD_REQUEST',
            'UNKNOWN_TOPIC',
            'UNKNOWN_PARTITION',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { topic, partition } = request.body;
      // A repeated election is harmless, so only the response is stored.
      return respondOnce(storedResponses, request, reply, electionResponse, async () => {
        const { partitions, zxid } = await partitionAdmin.electPreferred(topic, partition);
        return { body: { topic, partitions }, zxid };
      });
    },
  );
};
