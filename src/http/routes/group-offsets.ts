// The routes below /v1/groups/{group}/offsets: commit, list, delete and reset the committed offsets of a group.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import {
  commitBody,
  commitResponse,
  groupOffsetsQuery,
  groupOffsetsResponse,
  groupParams,
  memberHeaders,
  resetBody,
  resetResponse,
} from '../../../schemas/groups.ts';
import { requireTopics } from '../../access/topic-rights.ts';
import type { Broker } from '../../broker/broker.ts';
import type { OffsetFilter } from '../../broker/groups/offsets/group-offsets.ts';
import { ServiceError } from '../../core/service-error.ts';
import { KnownSizes } from '../known-items.ts';
import { bodyBytes } from '../limits.ts';
import { memberCredentialOf } from '../member-header.ts';
import { onlyDescribed } from '../plugins/validation.ts';
import { problems } from '../problems.ts';
import { respondOnce } from '../respond-once.ts';

interface Options {
  broker: Pick<Broker, 'groupOffsets' | 'store'>;
}

export const groupOffsetsRoutes: FastifyPluginAsyncZodOpenApi<Options> = async (app, { broker }) => {
  const { groupOffsets } = broker;
  const { storedResponses } = broker.store;
  const sizes = new KnownSizes('group');

  app.post(
    '/groups/:group/offsets',
    {
      bodyLimit: bodyBytes.list,
      config: {
        access: { verb: 'use', kind: 'groups', in: 'group' },
        admission: 'commit',
        timeLimit: 'write',
        tooLargeRemedy: 'Commit fewer offsets in one request.',
      },
      schema: {
        tags: ['groups'],
        operationId: 'groups.commit',
        summary: 'Commit offsets, as a member for its partitions or as an operator for an empty group',
        params: groupParams,
        headers: onlyDescribed(z.looseObject(memberHeaders)),
        body: commitBody,
        response: {
          200: {
            description: 'The offsets are committed.',
            content: { 'application/json': { schema: commitResponse } },
          },
          ...problems(
            'BAD_REQUEST',
            'FORBIDDEN',
            'MEMBER_SUPERSEDED',
            'UNKNOWN_GROUP',
            'UNKNOWN_MEMBER',
            'UNKNOWN_TOPIC',
            'UNKNOWN_PARTITION',
            'GROUP_NOT_EMPTY',
            'FENCED_MEMBER_EPOCH',
            'STALE_MEMBER_EPOCH',
            'FENCED_INSTANCE_ID',
            'IDEMPOTENCY_KEY_REUSED',
            'TOO_MANY_REQUESTS',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { memberId, memberEpoch, offsets } = request.body;
      if (memberId === undefined && memberEpoch !== undefined) {
        throw new ServiceError('BAD_REQUEST', 'memberEpoch was sent without memberId. Send both, or neither.');
      }
      requireTopics(request, { topics: [...new Set(offsets.map(({ topic }) => topic))] });
      const by =
        memberId === undefined ? undefined : { memberId, memberEpoch, credential: memberCredentialOf(request) };
      return respondOnce(storedResponses, request, reply, commitResponse, async ({ idempotency, isChanged }) => {
        if (isChanged) return { body: { offsets }, replayed: true };
        const { zxid } = await groupOffsets.commit(request.params.group, by, offsets, idempotency);
        return { body: { offsets }, zxid };
      });
    },
  );

  app.get(
    '/groups/:group/offsets',
    {
      config: {
        access: { verb: 'use', kind: 'groups', in: 'group' },
        admission: 'work',
        timeLimit: 'read',
        itemsOf: sizes.of,
      },
      schema: {
        tags: ['groups'],
        operationId: 'groups.offsets',
        summary: 'List the committed offsets of a group',
        params: groupParams,
        querystring: groupOffsetsQuery,
        response: {
          200: {
            description: 'The committed offsets, sorted by topic and partition.',
            content: { 'application/json': { schema: groupOffsetsResponse } },
          },
          ...problems('BAD_REQUEST', 'UNKNOWN_GROUP', 'NO_COMMITTED_OFFSET', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { zxid, offsets } = await groupOffsets.list(request.params.group, checked(request.query));
      reply.header('weir-zxid', zxid);
      sizes.set(request.params.group, offsets.length);
      return {
        offsets: offsets.map(({ topic, partition, offset, metadata, committedAt }) => ({
          topic,
          partition,
          offset,
          ...(metadata !== undefined && { metadata }),
          committedAt,
        })),
      };
    },
  );

  app.delete(
    '/groups/:group/offsets',
    {
      config: { access: { verb: 'manage', kind: 'groups', in: 'group' }, admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['groups'],
        operationId: 'groups.deleteOffsets',
        summary: 'Delete committed offsets of topics to which no member subscribes',
        params: groupParams,
        querystring: groupOffsetsQuery,
        response: {
          204: { description: 'The committed offsets are deleted.' },
          ...problems(
            'BAD_REQUEST',
            'UNKNOWN_GROUP',
            'GROUP_NOT_EMPTY',
            'IDEMPOTENCY_KEY_REUSED',
            'TOO_MANY_REQUESTS',
            'STORE_UNAVAILABLE',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const only = checked(request.query);
      await respondOnce(storedResponses, request, reply, z.null(), async ({ idempotency, isChanged }) => {
        if (!isChanged) {
          const { zxid } = await groupOffsets.delete(request.params.group, only, idempotency);
          return { body: null, zxid };
        }
        await groupOffsets.finishDelete(request.params.group, only);
        return { body: null, replayed: true };
      });
      return reply.code(204).send();
    },
  );

  app.post(
    '/groups/:group/offsets/reset',
    {
      bodyLimit: bodyBytes.list,
      config: { access: { verb: 'manage', kind: 'groups', in: 'group' }, admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['groups'],
        operationId: 'groups.resetOffsets',
        summary: 'Reset the committed offsets of an empty group',
        params: groupParams,
        body: resetBody,
        response: {
          200: {
            description: 'The offsets that were set, or with dryRun would be set.',
            content: { 'application/json': { schema: resetResponse } },
          },
          ...problems(
            'BAD_REQUEST',
            'UNKNOWN_GROUP',
            'UNKNOWN_TOPIC',
            'NO_COMMITTED_OFFSET',
            'TOO_LARGE',
            'GROUP_NOT_EMPTY',
            'IDEMPOTENCY_KEY_REUSED',
            'TOO_MANY_REQUESTS',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { to, topics, dryRun } = request.body;
      requireTopics(request, { topics });
      return respondOnce(storedResponses, request, reply, resetResponse, async ({ idempotency, storedText }) => {
        if (storedText !== undefined) {
          return {
            body: { dryRun, offsets: resetResponse.shape.offsets.parse(JSON.parse(storedText)) },
            replayed: true,
          };
        }
        const { zxid, offsets } = await groupOffsets.reset(request.params.group, to, topics, dryRun, idempotency);
        return { body: { dryRun, offsets }, zxid };
      });
    },
  );
};

/** Returns the query unchanged. @throws ServiceError BAD_REQUEST if it has `partition` without `topic` */
function checked(only: OffsetFilter): OffsetFilter {
  if (only.topic === undefined && only.partition !== undefined) {
    throw new ServiceError('BAD_REQUEST', 'partition was sent without topic. Send both, or only topic.');
  }
  return only;
}
