// /v1/topics: creates, lists, describes, alters and deletes topics. Records are in records.ts.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import {
  alterTopicBody,
  createTopicBody,
  listTopicsQuery,
  topicParams,
  topicResponse,
  topicsResponse,
} from '../../../schemas/topics.ts';
import type { Broker } from '../../broker/broker.ts';
import { partitionsOf } from '../known-items.ts';
import { problems } from '../problems.ts';
import { respondOnce } from '../respond-once.ts';

const topicsLimitDefault = 1000;

export const topicsRoutes: FastifyPluginAsyncZodOpenApi<{
  broker: Pick<Broker, 'topicAdmin' | 'topicDirectory' | 'topics' | 'store'>;
}> = async (app, { broker }) => {
  const { topicAdmin, topicDirectory } = broker;
  const { storedResponses } = broker.store;

  app.post(
    '/topics',
    {
      config: { access: 'operation', admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['topics'],
        operationId: 'topics.create',
        summary: 'Create a topic',
        body: createTopicBody,
        response: {
          201: { description: 'Created.', content: { 'application/json': { schema: topicResponse } } },
          ...problems(
            'BAD_REQUEST',
            'TOPIC_EXISTS',
            'INVALID_CONFIG',
            'INVALID_PARTITIONS',
            'QUOTA_EXCEEDED',
            'INVALID_REPLICATION_FACTOR',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      request.require('manage', 'topics', request.body.name);
      const topic = await respondOnce(storedResponses, request, reply, topicResponse, async ({ idempotency }) => {
        const { topic: body, ...made } = await topicAdmin.create(request.body, {
          idempotency,
          creator: request.account?.creator,
        });
        return { body, ...made };
      });
      reply.code(201).header('location', `/v1/topics/${topic.name}`);
      return topic;
    },
  );

  app.get(
    '/topics',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['topics'],
        operationId: 'topics.list',
        summary: 'List the topics, by name; view=summary adds sizes, rates, and the groups that read them',
        querystring: listTopicsQuery,
        response: {
          200: { description: 'A page of topics.', content: { 'application/json': { schema: topicsResponse } } },
          ...problems('BAD_REQUEST', 'TOO_LARGE', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { after, limit = topicsLimitDefault, view } = request.query;
      const mayRead = (topic: string) => request.may('read', 'topics', topic);
      const { topics, next, zxid } = await topicDirectory.page({ after, limit }, mayRead);
      reply.header('weir-zxid', zxid);
      return {
        topics:
          view === 'summary'
            ? await topicDirectory.summaries(topics, (group) => request.may('use', 'groups', group))
            : topics.map(({ name, topicId, partitionCount }) => ({ name, topicId, partitions: partitionCount })),
        ...(next !== undefined && { next }),
      };
    },
  );

  app.get(
    '/topics/:topic',
    {
      config: {
        access: { verb: 'read', kind: 'topics', in: 'topic' },
        admission: 'work',
        timeLimit: 'read',
        itemsOf: partitionsOf(broker.topics),
      },
      schema: {
        tags: ['topics'],
        operationId: 'topics.get',
        summary: 'Describe a topic: settings, partitions, leaders, offsets',
        params: topicParams,
        response: {
          200: { description: 'The topic.', content: { 'application/json': { schema: topicResponse } } },
          ...problems('UNKNOWN_TOPIC', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => topicAdmin.describe(request.params.topic),
  );

  app.patch(
    '/topics/:topic',
    {
      config: { access: { verb: 'manage', kind: 'topics', in: 'topic' }, admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['topics'],
        operationId: 'topics.alter',
        summary: 'Add partitions to a topic, or change its settings',
        params: topicParams,
        body: alterTopicBody,
        response: {
          200: { description: 'Changed.', content: { 'application/json': { schema: topicResponse } } },
          ...problems(
            'BAD_REQUEST',
            'UNKNOWN_TOPIC',
            'INVALID_CONFIG',
            'INVALID_PARTITIONS',
            'QUOTA_EXCEEDED',
            'INVALID_REPLICATION_FACTOR',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) =>
      respondOnce(storedResponses, request, reply, topicResponse, async ({ idempotency }) => {
        const { topic: body, ...altered } = await topicAdmin.alter(request.params.topic, request.body, idempotency);
        return { body, ...altered };
      }),
  );

  app.delete(
    '/topics/:topic',
    {
      config: { access: { verb: 'manage', kind: 'topics', in: 'topic' }, admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['topics'],
        operationId: 'topics.delete',
        summary: 'Delete a topic with all its records',
        params: topicParams,
        response: {
          204: { description: 'Deleted.' },
          ...problems('UNKNOWN_TOPIC', 'IDEMPOTENCY_KEY_REUSED', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      await respondOnce(storedResponses, request, reply, z.null(), async (attempt) => {
        await topicAdmin.delete(request.params.topic, attempt);
        return { body: null, replayed: attempt.isChanged };
      });
      return reply.code(204).send();
    },
  );
};
