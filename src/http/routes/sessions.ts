// /v1/sessions: creates, lists, renews, describes and ends sessions, the owners of ephemeral nodes.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { noQuery } from '../../../schemas/common.ts';
import {
  createSessionBody,
  endSessionQuery,
  listSessionsQuery,
  sessionCreatedResponse,
  sessionDetailResponse,
  sessionResponse,
  sessionsResponse,
  sessionTtlDefaultMs,
} from '../../../schemas/sessions.ts';
import { visiblePage } from '../../access/readable-children.ts';
import type { Broker } from '../../broker/broker.ts';
import { requestedMs } from '../../core/requested-duration.ts';
import { ServiceError } from '../../core/service-error.ts';
import { decodePlace, encodePlace } from '../../store/place-by-time.ts';
import { anySecret, isSessionId, parseHandle, type SessionCredential } from '../../store/tree/sessions.ts';
import { isFromLoopback } from '../loopback.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { problems } from '../problems.ts';

const handleParam = z.strictObject({
  handle: z.string().describe('`<id>.<secret>`, the member `session` of the response to the creation.'),
});

export const sessionsRoutes: FastifyPluginAsyncZodOpenApi<{
  broker: Pick<Broker, 'access' | 'config' | 'store'>;
}> = async (app, { broker }) => {
  const { sessions } = broker.store;

  app.post(
    '/sessions',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'write' },
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.create',
        summary: 'Create a session',
        querystring: noQuery,
        body: createSessionBody.nullish(),
        response: {
          201: { description: 'Created.', content: { 'application/json': { schema: sessionCreatedResponse } } },
          ...problems('BAD_REQUEST', 'IDEMPOTENCY_KEY_REUSED', 'STORE_UNAVAILABLE', 'STORE_FULL'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { ttl, label } = request.body ?? {};
      const ttlMs = ttl ? requestedMs('ttl', ttl, broker.config.sessionMinTtlMs) : sessionTtlDefaultMs;
      const created = await sessions.create(ttlMs, request, idempotencyOf(request, { secret: true }), { label });
      setOutcomeHeaders(reply, { replayed: created.replayed })
        .code(201)
        .header('location', `/v1/sessions/${created.handle}`);
      return { id: created.id, session: created.handle, ttlMs: created.ttlMs, expiresAt: created.expiresAt };
    },
  );

  app.get(
    '/sessions',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.list',
        summary:
          'List the sessions that the caller may see, with those of brokers and group members; those that expire first at first',
        description:
          'A session that is renewed between two pages may be on both; none is left out. The handles are not shown: who has one can use the session.',
        querystring: listSessionsQuery,
        response: {
          200: { description: 'A page of sessions.', content: { 'application/json': { schema: sessionsResponse } } },
          ...problems('BAD_REQUEST', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => {
      const { after, limit } = request.query;
      const { actsAs } = request;
      const { items, next } = await visiblePage(
        async (from, most) => {
          const page = await sessions.list(from, most);
          return { items: page.sessions, next: page.next };
        },
        { after: after === undefined ? after : decodePlace(after), limit },
        ({ identity }) => actsAs === undefined || identity === actsAs,
        ({ expiresAt: time, id }) => ({ time, id }),
      );
      return { sessions: items, ...(next && { next: encodePlace(next) }) };
    },
  );

  const renewed = {
    200: { description: 'Renewed.', content: { 'application/json': { schema: sessionResponse } } },
    ...problems('BAD_REQUEST', 'FORBIDDEN', 'SESSION_EXPIRED', 'STORE_UNAVAILABLE'),
  };
  const described = {
    200: { description: 'Alive.', content: { 'application/json': { schema: sessionDetailResponse } } },
    ...problems('BAD_REQUEST', 'FORBIDDEN', 'SESSION_EXPIRED', 'STORE_UNAVAILABLE'),
  };
  const ended = {
    204: { description: 'Ended.' },
    ...problems('BAD_REQUEST', 'FORBIDDEN', 'SESSION_EXPIRED', 'IDEMPOTENCY_KEY_REUSED', 'STORE_UNAVAILABLE'),
  };

  // A repeated renewal renews again, whatever its Idempotency-Key: `expiresAt` of a stored response would be out of date.
  app.put(
    '/sessions/:handle',
    {
      config: { access: 'identity', admission: 'renewal', timeLimit: 'write' },
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.renew',
        summary: 'Renew a session for its full TTL',
        querystring: noQuery,
        params: handleParam,
        response: renewed,
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => sessions.renew(parseHandle(request.params.handle, request)),
  );

  app.put(
    '/sessions/self',
    {
      config: { access: 'identity', admission: 'renewal', timeLimit: 'write', isAboutOwnSession: true },
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.renewSelf',
        summary: 'Renew the session of the header Weir-Session for its full TTL',
        querystring: noQuery,
        response: renewed,
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => sessions.renew(ownSession(request)),
  );

  app.get(
    '/sessions/:handle',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.get',
        summary: 'Describe a session and its ephemeral nodes, without renewing it',
        description:
          'In place of its handle, its public id will do for its identity and for an admin. Then only those of its nodes are named that the caller may read.',
        querystring: noQuery,
        params: handleParam,
        response: described,
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => {
      const { handle } = request.params;
      if (!isSessionId(handle)) return sessions.get(parseHandle(handle, request));
      const session = await sessions.get({ id: handle, secretHash: anySecret, actsAs: request.actsAs });
      return { ...session, ephemerals: session.ephemerals.filter((path) => request.may('read', 'nodes', path)) };
    },
  );

  app.get(
    '/sessions/self',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read', isAboutOwnSession: true },
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.getSelf',
        summary: 'Describe the session of the header Weir-Session and its ephemeral nodes, without renewing it',
        querystring: noQuery,
        response: described,
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => sessions.get(ownSession(request)),
  );

  app.delete(
    '/sessions/:handle',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'write' },
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.end',
        summary: 'End a session with all its ephemeral nodes',
        querystring: endSessionQuery,
        params: handleParam,
        response: ended,
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { handle } = request.params;
      if (!request.query.force || !isSessionId(handle)) return end(request, reply, parseHandle(handle, request));
      if (!broker.access.isOn) requireLoopback(request);
      const { isDerived, rights } = request.caller;
      if (isDerived && !rights.isAdmin) {
        const detail =
          'A derived token ends only sessions whose handle it knows, as their nodes may be beyond its rights.';
        throw new ServiceError('FORBIDDEN', detail);
      }
      broker.access.noteAdministration(request.caller, `session ${handle}`, request);
      return end(request, reply, { id: handle, secretHash: anySecret, actsAs: request.actsAs });
    },
  );

  app.delete(
    '/sessions/self',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'write', isAboutOwnSession: true },
      schema: {
        tags: ['sessions'],
        operationId: 'sessions.endSelf',
        summary: 'End the session of the header Weir-Session with all its ephemeral nodes',
        querystring: noQuery,
        response: ended,
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => end(request, reply, ownSession(request)),
  );

  async function end(request: FastifyRequest, reply: FastifyReply, session: SessionCredential) {
    const outcome = await sessions.end(session, idempotencyOf(request));
    return setOutcomeHeaders(reply, outcome).code(204).send();
  }
};

/** The session of the header Weir-Session, without a renewal. @throws ServiceError BAD_REQUEST, SESSION_EXPIRED */
function ownSession(request: FastifyRequest): SessionCredential {
  const handle = request.headers['weir-session'];
  if (typeof handle === 'string') return parseHandle(handle, request);
  throw new ServiceError(
    'BAD_REQUEST',
    '/v1/sessions/self is the session of the header Weir-Session, which is missing. Send the handle of a session in it.',
  );
}

/** Without access control only who is on this machine may end a session by its public id. @throws ServiceError FORBIDDEN */
function requireLoopback(request: FastifyRequest): void {
  if (isFromLoopback(request)) return;
  throw new ServiceError(
    'FORBIDDEN',
    `A session is not ended by its public id, as the request comes from ${request.ip}. Only requests over the loopback, without a proxy, may do so. Send the handle of the session.`,
  );
}
