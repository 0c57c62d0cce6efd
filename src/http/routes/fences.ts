// /v1/topics/{t}/partitions/{p}/fences: lists and deletes fences, the highest fencing token by name that a partition has seen.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import { fenceParams, fencesQuery, fencesResponse } from '../../../schemas/fences.ts';
import { partitionParams } from '../../../schemas/records.ts';
import type { Broker } from '../../broker/broker.ts';
import { checkPartition } from '../../broker/metadata/topic-cache.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { problems } from '../problems.ts';

export const fencesRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Pick<Broker, 'topics' | 'store'> }> = async (
  app,
  { broker },
) => {
  const { topics, store } = broker;

  app.get(
    '/topics/:topic/partitions/:partition/fences',
    {
      config: { access: { verb: 'read', kind: 'topics', in: 'topic' }, admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['topics'],
        operationId: 'fences.list',
        summary: 'List the fences of a partition, by name',
        params: partitionParams,
        querystring: fencesQuery,
        response: {
          200: { description: 'A page of fences.', content: { 'application/json': { schema: fencesResponse } } },
          ...problems('BAD_REQUEST', 'UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => {
      const { topic: name, partition } = request.params;
      const { after = '', limit } = request.query;
      const all = await topics.withTopic(name, async (topic) => {
        checkPartition(topic, partition);
        return store.fences.list(topic.topicId, partition);
      });
      const rest = all.filter((fence) => fence.name > after);
      const fences = rest.slice(0, limit).map(({ usedAt = null, ...fence }) => ({ ...fence, usedAt }));
      return { topic: name, partition, fences, ...(rest.length > limit && { next: fences.at(-1)?.name }) };
    },
  );

  app.delete(
    '/topics/:topic/partitions/:partition/fences/:fence',
    {
      config: { access: { verb: 'manage', kind: 'topics', in: 'topic' }, admission: 'work', timeLimit: 'write' },
      schema: {
        tags: ['topics'],
        operationId: 'fences.delete',
        summary: 'Delete a fence: the partition then accepts any token of that name',
        params: fenceParams,
        querystring: noQuery,
        response: {
          204: { description: 'Deleted.' },
          ...problems(
            'BAD_REQUEST',
            'NOT_FOUND',
            'UNKNOWN_TOPIC',
            'UNKNOWN_PARTITION',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { topic: name, partition, fence } = request.params;
      const idempotency = idempotencyOf(request);
      const { replayed } = await topics.withTopic(name, async (topic) => {
        checkPartition(topic, partition);
        return store.fences.delete(topic.topicId, partition, fence, idempotency);
      });
      return setOutcomeHeaders(reply, { replayed }).code(204).send();
    },
  );
};
