// /v1/sessions: what ephemeral nodes live with.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { noQuery } from '../../schemas/common.ts';
import {
  createSessionBody,
  sessionCreatedReply,
  sessionDetailReply,
  sessionReply,
  sessionTtlDefaultMs,
} from '../../schemas/sessions.ts';
import { askedMs } from '../core/asked-duration.ts';
import type { Broker } from '../live/broker.ts';
import { parseHandle } from '../store/sessions.ts';
import { idempotencyOf } from './idempotency.ts';
import { problems } from './problems.ts';

const handleParam = z.strictObject({ handle: z.string().describe('`<id>.<secret>`, as the creation answered it.') });

export const sessionsRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Broker }> = async (app, { broker }) => {
  const { sessions } = broker.store;

  app.post(
    '/sessions',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.create',
        summary: 'Create a session',
        querystring: noQuery,
        body: createSessionBody.nullish(),
        response: {
          201: { description: 'Created.', content: { 'application/json': { schema: sessionCreatedReply } } },
          ...problems('BAD_REQUEST', 'IDEMPOTENCY_KEY_REUSED', 'STORE_UNAVAILABLE', 'STORE_FULL'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { ttl } = request.body ?? {};
      const ttlMs = ttl ? askedMs('ttl', ttl, broker.config.sessionMinTtlMs) : sessionTtlDefaultMs;
      const created = await sessions.create(ttlMs, idempotencyOf(request, { secret: true }));
      if (created.replayed) reply.header('idempotency-replayed', 'true');
      reply.code(201).header('location', `/v1/sessions/${created.handle}`);
      return { id: created.id, session: created.handle, ttlMs: created.ttlMs, expiresAt: created.expiresAt };
    },
  );

  app.put(
    '/sessions/:handle',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.renew',
        summary: 'Renew a session for its full time',
        querystring: noQuery,
        params: handleParam,
        response: {
          200: { description: 'Renewed.', content: { 'application/json': { schema: sessionReply } } },
          ...problems('SESSION_EXPIRED', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => sessions.renew(parseHandle(request.params.handle)),
  );

  app.get(
    '/sessions/:handle',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.get',
        summary: 'Describe a session and its ephemeral nodes, without renewing it',
        querystring: noQuery,
        params: handleParam,
        response: {
          200: { description: 'Alive.', content: { 'application/json': { schema: sessionDetailReply } } },
          ...problems('SESSION_EXPIRED', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => sessions.get(parseHandle(request.params.handle)),
  );

  app.delete(
    '/sessions/:handle',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.end',
        summary: 'End a session with all its ephemeral nodes',
        querystring: noQuery,
        params: handleParam,
        response: { 204: { description: 'Ended.' }, ...problems('SESSION_EXPIRED', 'STORE_UNAVAILABLE') },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { zxid } = await sessions.end(parseHandle(request.params.handle));
      return reply.code(204).header('weir-zxid', zxid).send();
    },
  );
};
