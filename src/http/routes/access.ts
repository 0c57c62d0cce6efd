// /v1/access: tells callers what they may do, so that a refusal can be understood and a policy tried out.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import type { z } from 'zod';
import { accessCheckQuery, accessCheckResponse, accessMeResponse } from '../../../schemas/access.ts';
import { noQuery } from '../../../schemas/common.ts';
import type { Account } from '../../access/accounts.ts';
import { shownRule } from '../../access/policy.ts';
import { identityNamePattern } from '../../access/policy-file.ts';
import { missingText } from '../../access/rights.ts';
import { type Kind, type Resource, verbsOf } from '../../access/verbs.ts';
import type { Broker } from '../../broker/broker.ts';
import { alternativesProblem } from '../../core/alternatives.ts';
import { required } from '../../core/required.ts';
import { ServiceError } from '../../core/service-error.ts';
import { withoutTrailingSlash } from '../../core/tree/path.ts';
import { problems } from '../problems.ts';

const kindOf = { path: 'nodes', topic: 'topics', group: 'groups', producer: 'producers' } as const satisfies Record<
  string,
  Kind
>;

export const accessRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Pick<Broker, 'access' | 'store'> }> = async (
  app,
  { broker },
) => {
  const { access, store } = broker;

  /** By name, the limits of an account on what is stored, and what is used of them. */
  async function storedOf(account: Account | undefined): Promise<z.output<typeof accessMeResponse>['limits']> {
    const { name, limits = {} } = account?.creator ?? {};
    if (name === undefined) return {};
    const stored = await store.creators.find(name);
    const used = {
      nodes: stored?.nodes ?? 0,
      storedBytes: (stored?.bytes ?? 0) + (stored?.logBytes ?? 0),
      partitions: stored?.partitions ?? 0,
    };
    const known = (['nodes', 'storedBytes', 'partitions'] as const).flatMap((limit) => {
      const max = limits[limit];
      return max === undefined ? [] : [[limit, { limit: max, used: used[limit] }] as const];
    });
    return Object.fromEntries(known);
  }

  app.get(
    '/access/me',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['access'],
        operationId: 'access.me',
        summary: 'Who the caller is, and what it may do',
        querystring: noQuery,
        response: {
          200: { description: 'The caller.', content: { 'application/json': { schema: accessMeResponse } } },
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async ({ caller, account }) => {
      const { identity, tokenId, certificate, expiresAt, rights, narrowedTo } = caller;
      return {
        identity: identity ?? null,
        ...(tokenId !== undefined && { token: tokenId }),
        ...(certificate !== undefined && { certificate }),
        ...(expiresAt !== undefined && { expires: expiresAt }),
        admin: rights.isAdmin,
        allow: identity === undefined ? [] : (access.policy?.rulesOf(identity) ?? []),
        ...(narrowedTo &&
          identity !== undefined && { narrowedTo: narrowedTo.map((rule) => shownRule(rule, identity)) }),
        limits: { ...limitsOf(account), ...(await storedOf(account)) },
      } as z.output<typeof accessMeResponse>;
    },
  );

  app.get(
    '/access/check',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['access'],
        operationId: 'access.check',
        summary: 'Whether an identity may do something',
        querystring: accessCheckQuery,
        response: {
          200: { description: 'The decision.', content: { 'application/json': { schema: accessCheckResponse } } },
          ...problems('BAD_REQUEST'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => {
      const { as, verb, ...named } = request.query;
      const resource = resourceIn(named);
      const verbs: readonly string[] = verbsOf[resource.kind];
      if (!verbs.includes(verb)) {
        throw new ServiceError('BAD_REQUEST', `verb is ${verb}; of ${resource.kind} there are ${verbs.join(', ')}.`);
      }
      const { caller } = request;
      if (as !== undefined && !identityNamePattern.test(as)) {
        throw new ServiceError('BAD_REQUEST', `as is ${JSON.stringify(as)}, which cannot be the name of an identity.`);
      }
      if (as !== undefined && as !== caller.identity) access.requireAdmin(caller, request);
      const identity = as ?? caller.identity ?? null;
      const isOwn = as === undefined || as === caller.identity;
      const rights = isOwn ? caller.rights : (access.policy?.rightsOf(as) ?? caller.rights);
      if (rights.allows(verb, resource)) {
        const because = identity === null ? 'there is no policy' : access.policy?.reasonFor(identity, verb, resource);
        return { identity, allowed: true, ...(because !== undefined && { because }) };
      }
      return { identity, allowed: false, missing: missingText(identity ?? 'An anonymous client', verb, resource) };
    },
  );
};

/** By name, the limits of an account and what is used of them. */
function limitsOf(account: Account | undefined): z.output<typeof accessMeResponse>['limits'] {
  if (!account) return {};
  const limits = Object.entries(account.limits).map(([name, limit]) => [name, { limit }]);
  return { ...Object.fromEntries(limits), ...account.usage() };
}

/** @throws ServiceError BAD_REQUEST unless exactly one thing is named */
function resourceIn(named: { [Name in keyof typeof kindOf]?: string | undefined }): Resource {
  const { path, topic, group, producer } = named;
  const problem = alternativesProblem({ path, topic, group, producer });
  if (problem !== undefined) throw new ServiceError('BAD_REQUEST', problem);
  const only = required(
    (Object.keys(kindOf) as (keyof typeof kindOf)[]).find((name) => named[name] !== undefined),
    'kind of what is named',
  );
  const name = named[only] ?? '';
  return { kind: kindOf[only], name: only === 'path' ? withoutTrailingSlash(name) : name };
}
