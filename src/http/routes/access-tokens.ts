// /v1/access/tokens and /v1/access/tickets: credentials that come from another one, for a part of what it may do and a short time.
import { randomBytes } from 'node:crypto';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import {
  createTicketBody,
  createTokenBody,
  derivedTokenAllowBytesMax,
  listTokensQuery,
  ticketCreatedResponse,
  tokenCreatedResponse,
  tokenParams,
  tokensResponse,
} from '../../../schemas/access.ts';
import { noQuery } from '../../../schemas/common.ts';
import { grantsSchema, identityNamePattern } from '../../access/policy-file.ts';
import { newDerivedId, newToken } from '../../access/tokens.ts';
import type { Broker } from '../../broker/broker.ts';
import { readInput } from '../../core/issues.ts';
import { ServiceError } from '../../core/service-error.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { problems } from '../problems.ts';
import { urlWithTicket } from '../tickets.ts';

const ticketBytes = 32;

export const accessTokenRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Pick<Broker, 'access' | 'store'> }> = async (
  app,
  { broker },
) => {
  const { access } = broker;
  const { accessTokens } = broker.store;

  app.post(
    '/access/tokens',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'write' },
      schema: {
        tags: ['access'],
        operationId: 'access.createToken',
        summary: 'Derive a token with fewer rights, for a short time',
        description:
          'The token acts as the identity of the caller, and counts in its limits. At each request it may do what it allows itself and its parent may then. It ends with its parent, and makes no other tokens.',
        querystring: noQuery,
        body: createTokenBody,
        response: {
          201: { description: 'The token.', content: { 'application/json': { schema: tokenCreatedResponse } } },
          ...problems(
            'BAD_REQUEST',
            'FORBIDDEN',
            'IDEMPOTENCY_KEY_REUSED',
            'TOO_MANY_REQUESTS',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { ttl: ttlMs, allow } = request.body;
      if (request.caller.isDerived) {
        throw new ServiceError('FORBIDDEN', 'A derived token makes no others. Use the token that it comes from.');
      }
      const parent = access.credentialOf(request.caller);
      const grants = JSON.stringify(readInput(grantsSchema, allow, 'allow'));
      if (Buffer.byteLength(grants) > derivedTokenAllowBytesMax) {
        throw new ServiceError(
          'BAD_REQUEST',
          `allow has ${Buffer.byteLength(grants)} bytes as JSON; the limit is ${derivedTokenAllowBytesMax}. Use patterns.`,
        );
      }
      const made = { ...newToken(newDerivedId()), allow: grants, ttlMs };
      const created = await accessTokens.create(made, parent, idempotencyOf(request, { secret: true }));
      setOutcomeHeaders(reply, { replayed: created.replayed })
        .code(201)
        .header('location', `/v1/access/tokens/${created.id}`);
      return { id: created.id, token: created.token, expires: created.expiresAt };
    },
  );

  app.get(
    '/access/tokens',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['access'],
        operationId: 'access.listTokens',
        summary: 'List the derived tokens of an identity',
        querystring: listTokensQuery,
        response: {
          200: {
            description: 'Those that have not expired, the next to expire first; at most 1,000.',
            content: { 'application/json': { schema: tokensResponse } },
          },
          ...problems('BAD_REQUEST', 'FORBIDDEN', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => {
      const { of = request.identity } = request.query;
      if (of !== request.identity) access.requireAdmin(request.caller);
      const { isDerived, rights, tokenId } = request.caller;
      if (of !== undefined && !identityNamePattern.test(of)) {
        throw new ServiceError('BAD_REQUEST', `of is ${JSON.stringify(of)}, which cannot be the name of an identity.`);
      }
      const tokens = of === undefined ? [] : await accessTokens.list(of);
      // Beside others of its identity a derived token has no business.
      const shown = isDerived && !rights.isAdmin ? tokens.filter(({ id }) => id === tokenId) : tokens;
      return {
        tokens: shown.map(({ id, parent, createdAt, expiresAt }) => ({
          id,
          ...(parent !== undefined && { parent }),
          created: createdAt,
          expires: expiresAt,
        })),
      };
    },
  );

  app.delete(
    '/access/tokens/:tokenId',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'write' },
      schema: {
        tags: ['access'],
        operationId: 'access.revokeToken',
        summary: 'Revoke a derived token on every broker, within a second',
        params: tokenParams,
        querystring: noQuery,
        response: {
          204: { description: 'Revoked.' },
          ...problems('FORBIDDEN', 'NOT_FOUND', 'IDEMPOTENCY_KEY_REUSED', 'TOO_MANY_REQUESTS', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { isDerived, rights, tokenId } = request.caller;
      if (isDerived && !rights.isAdmin && request.params.tokenId !== tokenId) {
        throw new ServiceError('FORBIDDEN', 'A derived token revokes only itself. Use the token that it comes from.');
      }
      const outcome = await accessTokens.revoke(request.params.tokenId, request, idempotencyOf(request));
      return setOutcomeHeaders(reply, outcome).code(204).send();
    },
  );

  app.post(
    '/access/tickets',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'write' },
      schema: {
        tags: ['access'],
        operationId: 'access.createTicket',
        summary: 'Get a ticket with which an EventSource opens one event stream',
        description:
          'The stream must be opened within 30 s. The ticket is good for reconnects while the stream is open and for 60 s after, for one stream at a time, and ends with the token of the caller.',
        querystring: noQuery,
        body: createTicketBody,
        response: {
          201: { description: 'The ticket.', content: { 'application/json': { schema: ticketCreatedResponse } } },
          ...problems('BAD_REQUEST', 'IDEMPOTENCY_KEY_REUSED', 'TOO_MANY_REQUESTS', 'STORE_UNAVAILABLE', 'STORE_FULL'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { path } = request.body;
      const parent = access.credentialOf(request.caller);
      const fresh = randomBytes(ticketBytes).toString('base64url');
      const idempotency = idempotencyOf(request, { secret: true });
      const { ticket, expiresAt, replayed } = await accessTokens.createTicket(fresh, path, parent, idempotency);
      setOutcomeHeaders(reply, { replayed }).code(201);
      return { ticket, url: urlWithTicket(path, ticket), expires: expiresAt };
    },
  );
};
