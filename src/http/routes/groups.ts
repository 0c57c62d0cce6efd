// The routes below /v1/groups: lists, describes and deletes groups; joins, heartbeats, leaves and consume calls of members.
// Committed offsets are in group-offsets.ts.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { groupsResponse, listGroupsQuery } from '../../../schemas/group-list.ts';
import {
  consumeQuery,
  consumeResponse,
  describeGroupQuery,
  groupParams,
  groupResponse,
  heartbeatBody,
  joinBody,
  joinHeaders,
  joinResponse,
  leaveQuery,
  memberHeaders,
  memberParams,
  memberResponse,
} from '../../../schemas/groups.ts';
import { requireTopics } from '../../access/topic-rights.ts';
import type { Broker } from '../../broker/broker.ts';
import type { ConsumeResult } from '../../broker/groups/consume/consume-request.ts';
import { joinOf } from '../../broker/groups/join-request.ts';
import { asRecords } from '../../broker/log/read-forms.ts';
import { ServiceError } from '../../core/service-error.ts';
import { batchesForm, batchesResponse } from '../batches.ts';
import { KnownSizes } from '../known-items.ts';
import { bodyBytes } from '../limits.ts';
import { batchesType, jsonType, preferredType } from '../media-types.ts';
import { memberCredentialOf, memberSecretOf } from '../member-header.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { onlyDescribed } from '../plugins/validation.ts';
import { problems } from '../problems.ts';
import { RequestSignals } from '../request-signal.ts';
import { respondOnce } from '../respond-once.ts';

interface Options {
  broker: Pick<Broker, 'config' | 'groups' | 'groupConsumer' | 'groupDirectory' | 'stopping' | 'store'>;
}

export const groupsRoutes: FastifyPluginAsyncZodOpenApi<Options> = async (app, { broker }) => {
  const { groups, groupConsumer, groupDirectory } = broker;
  const signals = new RequestSignals(broker.stopping);
  const sizes = new KnownSizes('group');

  app.get(
    '/groups',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: {
        tags: ['groups'],
        operationId: 'groups.list',
        summary: 'List groups, sorted by name; view=summary adds their topics and lag',
        querystring: listGroupsQuery,
        response: {
          200: { description: 'A page of groups.', content: { 'application/json': { schema: groupsResponse } } },
          ...problems('BAD_REQUEST', 'TOO_LARGE', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { after, limit, view } = request.query;
      const mayUse = (group: string) => request.may('use', 'groups', group);
      const { zxid, groups: page, next } = await groupDirectory.page({ after, limit }, view === 'summary', mayUse);
      reply.header('weir-zxid', zxid);
      return {
        // A group may read what the caller may not know.
        groups: page.map(({ topics, lag, maxLag, ...group }) => {
          if (!topics) return group;
          return { ...group, topics: topics.filter((topic) => request.may('read', 'topics', topic)), lag, maxLag };
        }),
        ...(next !== undefined && { next }),
      };
    },
  );

  app.get(
    '/groups/:group',
    {
      config: {
        access: { verb: 'use', kind: 'groups', in: 'group' },
        admission: 'work',
        timeLimit: 'read',
        itemsOf: sizes.of,
      },
      schema: {
        tags: ['groups'],
        operationId: 'groups.get',
        summary:
          'Describe a group: its members, their assignments, and its lag; ages=true adds how long the lag has been waiting',
        params: groupParams,
        querystring: describeGroupQuery,
        response: {
          200: {
            description: 'The current state of the group.',
            content: { 'application/json': { schema: groupResponse } },
          },
          ...problems('BAD_REQUEST', 'UNKNOWN_GROUP', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { zxid, description } = await groupDirectory.describe(request.params.group, request.query.ages);
      sizes.set(request.params.group, description.members.length + description.partitions.length);
      reply.header('weir-zxid', zxid);
      return description;
    },
  );

  app.delete(
    '/groups/:group',
    {
      config: { access: { verb: 'manage', kind: 'groups', in: 'group' }, admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['groups'],
        operationId: 'groups.delete',
        summary: 'Delete an empty group with its committed offsets',
        params: groupParams,
        response: {
          204: { description: 'Deleted.' },
          ...problems('UNKNOWN_GROUP', 'GROUP_NOT_EMPTY', 'IDEMPOTENCY_KEY_REUSED', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      await respondOnce(broker.store.storedResponses, request, reply, z.null(), async ({ idempotency, isChanged }) => {
        if (isChanged) return { body: null, replayed: true };
        return { body: null, ...(await groups.delete(request.params.group, idempotency)) };
      });
      return reply.code(204).send();
    },
  );

  app.post(
    '/groups/:group/members',
    {
      bodyLimit: bodyBytes.list,
      config: {
        access: { verb: 'use', kind: 'groups', in: 'group' },
        admission: 'work',
        timeLimit: 'none',
        tooLargeRemedy: 'Subscribe to fewer topics, or use a pattern.',
      },
      schema: {
        tags: ['groups'],
        operationId: 'groups.join',
        summary: 'Join a group',
        description:
          'The response holds the member secret, and a repeat with the same Idempotency-Key gets the same response. So the key must have at least 16 characters here. A join that is repeated without a key begins a new incarnation of the member.',
        params: groupParams,
        headers: onlyDescribed(z.looseObject(joinHeaders)),
        body: joinBody,
        response: {
          201: { description: 'The member has joined.', content: { 'application/json': { schema: joinResponse } } },
          ...problems(
            'BAD_REQUEST',
            'FORBIDDEN',
            'MEMBER_SUPERSEDED',
            'UNSUPPORTED_ASSIGNOR',
            'FENCED_INSTANCE_ID',
            'UNRELEASED_INSTANCE_ID',
            'TOO_LARGE',
            'IDEMPOTENCY_KEY_REUSED',
            'TOO_MANY_REQUESTS',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { group } = request.params;
      requireTopics(request, request.body);
      const { zxid, response, replayed } = await groups.join(
        group,
        joinOf(request.body, request, broker.config.sessionMinTtlMs, request.ip),
        memberSecretOf(request),
        idempotencyOf(request, { secret: true }),
      );
      // The zxid of a replayed join is not stored.
      setOutcomeHeaders(reply, replayed ? { replayed } : { zxid });
      const [groupPart, memberPart] = [encodeURIComponent(group), encodeURIComponent(response.memberId)];
      reply.code(201).header('location', `/v1/groups/${groupPart}/members/${memberPart}`);
      return response;
    },
  );

  app.post(
    '/groups/:group/members/:member/heartbeat',
    {
      bodyLimit: bodyBytes.list,
      config: { access: { verb: 'use', kind: 'groups', in: 'group' }, admission: 'heartbeat', timeLimit: 'write' },
      schema: {
        tags: ['groups'],
        operationId: 'groups.heartbeat',
        summary: 'Renew the session of a member, report its owned partitions, and get its assignment',
        params: memberParams,
        headers: onlyDescribed(z.looseObject(memberHeaders)),
        body: heartbeatBody,
        response: {
          200: { description: 'The session is renewed.', content: { 'application/json': { schema: memberResponse } } },
          ...problems(
            'BAD_REQUEST',
            'FORBIDDEN',
            'MEMBER_SUPERSEDED',
            'UNKNOWN_GROUP',
            'UNKNOWN_MEMBER',
            'FENCED_MEMBER_EPOCH',
            'FENCED_INSTANCE_ID',
            'STORE_UNAVAILABLE',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { group, member } = request.params;
      const { memberEpoch, owned } = request.body;
      const { zxid, response } = await groups.heartbeat(group, member, memberEpoch, owned, memberCredentialOf(request));
      reply.header('weir-zxid', zxid);
      return response;
    },
  );

  app.delete(
    '/groups/:group/members/:member',
    {
      config: { access: { verb: 'use', kind: 'groups', in: 'group' }, admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['groups'],
        operationId: 'groups.leave',
        summary: 'Leave a group: other members get its partitions at once, unless a static member leaves temporarily',
        params: memberParams,
        headers: onlyDescribed(z.looseObject(memberHeaders)),
        querystring: leaveQuery,
        response: {
          204: { description: 'The member has left.' },
          ...problems(
            'BAD_REQUEST',
            'FORBIDDEN',
            'MEMBER_SUPERSEDED',
            'UNKNOWN_GROUP',
            'UNKNOWN_MEMBER',
            'FENCED_INSTANCE_ID',
            'IDEMPOTENCY_KEY_REUSED',
            'TOO_MANY_REQUESTS',
            'STORE_UNAVAILABLE',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { group, member } = request.params;
      const isTemporary = request.query.temporary ?? false;
      await respondOnce(broker.store.storedResponses, request, reply, z.null(), async ({ idempotency, isChanged }) => {
        if (isChanged) return { body: null, replayed: true };
        return {
          body: null,
          ...(await groups.leave(group, member, { isTemporary, credential: memberCredentialOf(request), idempotency })),
        };
      });
      return reply.code(204).send();
    },
  );

  const consumeSchema = (operationId: string, summary: string) =>
    ({
      tags: ['groups'],
      operationId,
      summary,
      description:
        'Returns records from all partitions that the member has. The call is also a heartbeat. It states that the member has processed the records of earlier calls, so it releases partitions that are being revoked. A member makes one call at a time: a newer call ends the older one, which then returns no records. GET and POST do the same, with the same query parameters. Use POST if a client or proxy repeats, caches or prefetches GET requests.',
      params: memberParams,
      headers: onlyDescribed(z.looseObject(memberHeaders)),
      querystring: consumeQuery,
      response: {
        200: {
          description:
            'Records; the list may be empty. As batches, the first line is the JSON response without `records`, and each batch names its topic.',
          content: { 'application/json': { schema: consumeResponse }, [batchesType]: batchesResponse },
        },
        ...problems(
          'BAD_REQUEST',
          'FORBIDDEN',
          'UNKNOWN_GROUP',
          'UNKNOWN_MEMBER',
          'NO_COMMITTED_OFFSET',
          'STALE_POSITION',
          'MEMBER_SUPERSEDED',
          'FENCED_INSTANCE_ID',
          'OFFSET_OUT_OF_RANGE',
          'STORE_UNAVAILABLE',
        ),
      },
    }) satisfies FastifyZodOpenApiSchema;

  async function consume(
    request: FastifyRequest,
    reply: FastifyReply,
    { group, member }: z.output<typeof memberParams>,
    { wait: waitMs, after: expectedSeq, ...query }: z.output<typeof consumeQuery>,
  ): Promise<Buffer> {
    if (expectedSeq !== undefined && query.from === 'committed') {
      throw new ServiceError(
        'BAD_REQUEST',
        'The query has both after and from=committed; from=committed discards the positions that after refers to. Send only one of them.',
      );
    }
    const credential = memberCredentialOf(request);
    const onWait = () => request.permit?.release();
    const mayRead = (topic: string) => request.may('read', 'topics', topic);
    const type = preferredType(request, [jsonType, batchesType]);
    const form = type === batchesType ? batchesForm(request) : asRecords;
    const call = { waitMs, ...query, form, expectedSeq, credential, onWait, mayRead };
    const consumed = await signals.run(reply.raw, (signal) => groupConsumer.consume(group, member, call, signal));
    await request.recheckAccess();
    for (const { topic } of consumed.records) request.require('read', 'topics', topic);
    reply.header('weir-zxid', consumed.zxid);
    if (type === batchesType) {
      reply.type(batchesType);
      return Buffer.concat([Buffer.from(`${headOf(consumed)}\n`), ...consumed.records.flatMap((some) => some.parts())]);
    }
    reply.type('application/json; charset=utf-8');
    return consumedJson(consumed);
  }
  const asReply = (text: Buffer) => text as unknown as z.infer<typeof consumeResponse>;

  app.get(
    '/groups/:group/members/:member/records',
    {
      exposeHeadRoute: false,
      config: {
        access: { verb: 'use', kind: 'groups', in: 'group' },
        admission: 'consume',
        timeLimit: 'consume',
        hasEffect: true,
        readsRecords: true,
      },
      schema: consumeSchema('groups.consume', 'Read records as a member'),
    },
    async (request, reply) => {
      const text = await consume(request, reply, request.params, request.query);
      return reply.send(asReply(text));
    },
  );

  app.post(
    '/groups/:group/members/:member/records',
    {
      config: {
        access: { verb: 'use', kind: 'groups', in: 'group' },
        admission: 'consume',
        timeLimit: 'consume',
        readsRecords: true,
      },
      schema: consumeSchema('groups.consumeByPost', 'Read records as a member, with POST'),
    },
    async (request, reply) => {
      const text = await consume(request, reply, request.params, request.query);
      return reply.send(asReply(text));
    },
  );
};

/** The JSON of a response without its records. */
function headOf({ lastSeq: next, memberEpoch, assignment, partitions }: ConsumeResult): string {
  return JSON.stringify({ next, memberEpoch, assignment, partitions });
}

/** The response as JSON text. Records are stored as JSON, so they are copied without parsing. */
function consumedJson(consumed: ConsumeResult): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`${headOf(consumed).slice(0, -1)},"records":[`)];
  for (const [i, some] of consumed.records.entries()) {
    if (i > 0) parts.push(comma);
    parts.push(...some.parts());
  }
  parts.push(end);
  return Buffer.concat(parts);
}

const comma = Buffer.from(',');
const end = Buffer.from(']}\n');
