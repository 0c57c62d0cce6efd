// /v1/nodes: the tree over HTTP.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { entityTags } from '../../schemas/common.ts';
import {
  childrenReply,
  createdReply,
  deleteNodeQuery,
  getNodeQuery,
  nodeReply,
  postNodeQuery,
  putNodeQuery,
  statReply,
  treeReply,
} from '../../schemas/nodes.ts';
import { inJson } from '../core/json-data.ts';
import { nameOf, pathProblem } from '../core/path.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Broker } from '../live/broker.ts';
import type { Namespace, Op, OpResult } from '../store/namespace.ts';
import { type Condition, conditionOf, matchesWeakly, refuseConditions, strongMzxids } from './conditions.ts';
import { contentTypeOf } from './content.ts';
import { idempotencyOf } from './idempotency.ts';
import { nodeLocation, nodePathOf } from './node-path.ts';
import { waitForChange } from './node-wait.ts';
import { problems } from './problems.ts';
import { rawBody, rawJson, rawReply } from './raw-content.ts';
import { sessionOf } from './session-header.ts';
import { onlyDescribed } from './validation.ts';

export const nodesPrefix = '/v1/nodes/';

/** The tag of a node that does not exist. */
const absentTag = '"0"';
const childrenLimitDefault = 1000;
const treeLimitDefault = 1000;
const treeDepthDefault = 1000;

const ifMatch = { 'if-match': entityTags.optional() };
const ifNoneMatch = { 'if-none-match': entityTags.optional() };

export const nodesRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Broker }> = async (app, { broker }) => {
  const { namespace } = broker.store;

  // A node takes any bytes of any type: nothing is parsed.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.get(
    '/nodes/*',
    {
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.get',
        summary: 'Read a node: its data, stat, children, or the tree below it',
        querystring: getNodeQuery,
        headers: onlyDescribed(z.looseObject(ifNoneMatch)),
        response: {
          200: {
            description: 'By `view`: the raw bytes with their own type, or JSON.',
            headers: z.object({ etag: z.string().optional(), 'weir-stat': z.string().optional() }),
            content: {
              '*/*': rawReply,
              'application/json': { schema: z.union([nodeReply, statReply, childrenReply, treeReply, rawJson]) },
            },
          },
          304: { description: 'Not changed: within the wait, if there is one.' },
          ...problems('BAD_REQUEST', 'INVALID_PATH', 'NO_NODE', 'SESSION_EXPIRED', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const path = validPath(request);
      const { view, limit, after, stats, depth, wait } = request.query;
      refuseConditions(request, 'If-Match');
      const known = conditionOf('If-None-Match', request.headers['if-none-match']);
      const isKnown = (tag: number) => known !== undefined && matchesWeakly(known, tag);
      if (wait !== undefined && view === 'tree') {
        throw new ServiceError(
          'BAD_REQUEST',
          'A tree cannot be waited on; watch it: GET /v1/watch/{path}?mode=recursive.',
        );
      }
      if (wait !== undefined && known !== undefined) {
        const kind = view === 'children' ? 'children' : 'node';
        const { changed, zxid, tag } = await waitForChange(broker, reply, path, kind, known, wait);
        if (broker.stopping.aborted) reply.header('connection', 'close');
        if (!changed) return tagged(reply, zxid, tag).code(304).send();
      }
      const absent = (error: unknown): never => {
        if (hasCode(error, 'NO_NODE')) reply.header('etag', absentTag);
        throw error;
      };
      switch (view) {
        case 'data': {
          const { zxid, stat, contentType, data } = await namespace.get(path).catch(absent);
          tagged(reply, zxid, stat.mzxid);
          if (isKnown(stat.mzxid)) return reply.code(304).send();
          // What one user stored must not run in another's browser.
          return reply
            .header('weir-stat', JSON.stringify(stat))
            .header('x-content-type-options', 'nosniff')
            .header('content-security-policy', "sandbox; default-src 'none'")
            .type(contentType)
            .send(data);
        }
        case 'node': {
          const { zxid, stat, contentType, data } = await namespace.get(path).catch(absent);
          tagged(reply, zxid, stat.mzxid);
          if (isKnown(stat.mzxid)) return reply.code(304).send();
          return { path, ...inJson(data), contentType, stat };
        }
        case 'stat': {
          const { zxid, stat } = await namespace.stat(path).catch(absent);
          tagged(reply, zxid, stat.mzxid);
          if (isKnown(stat.mzxid)) return reply.code(304).send();
          return { path, stat };
        }
        case 'children': {
          const page = { after, limit: limit ?? childrenLimitDefault, stats: stats ?? false };
          const { zxid, stat, children, next } = await namespace.children(path, page).catch(absent);
          // pzxid changes exactly when the list does: it is the list's own tag.
          tagged(reply, zxid, stat.pzxid);
          if (isKnown(stat.pzxid)) return reply.code(304).send();
          const names = stats ? children : children.map(({ name }) => name);
          return { path, children: names, ...(next !== undefined && { next }), stat };
        }
        case 'tree': {
          const bounds = { depth: depth ?? treeDepthDefault, limit: limit ?? treeLimitDefault };
          const { zxid, tree, truncated } = await namespace.tree(path, bounds);
          reply.header('weir-zxid', zxid);
          return { path, tree, truncated };
        }
      }
    },
  );

  app.put(
    '/nodes/*',
    {
      config: { takesBytes: true },
      bodyLimit: broker.config.maxBodyBytes,
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.put',
        summary: 'Set the data of a node, or create it',
        querystring: putNodeQuery,
        headers: onlyDescribed(z.looseObject({ ...ifMatch, 'if-none-match': z.literal('*').optional() })),
        body: rawBody,
        response: {
          200: { description: 'Set.', content: { 'application/json': { schema: statReply } } },
          201: { description: 'Created.', content: { 'application/json': { schema: statReply } } },
          ...problems(
            'BAD_REQUEST',
            'INVALID_PATH',
            'RESERVED_PATH',
            'NO_NODE',
            'NO_PARENT',
            'NODE_EXISTS',
            'NO_CHILDREN_FOR_EPHEMERALS',
            'SESSION_EXPIRED',
            'BAD_VERSION',
            'TOO_LARGE',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const path = nodePathOf(request.url, nodesPrefix);
      const ifMatch = conditionOf('If-Match', request.headers['if-match']);
      const mzxid = await expectedMzxid(namespace, path, ifMatch);
      const op = putOp(path, creation(request, request.query), request.query.version, mzxid, request.headers);
      const { zxid, result, replayed } = await namespace
        .writeOne(op, { idempotency: idempotencyOf(request) })
        .catch((error: unknown) => {
          throw explained(error, ifMatch);
        });
      if (replayed) reply.header('idempotency-replayed', 'true');
      const created = result.op === 'create';
      written(reply, zxid, result).code(created ? 201 : 200);
      if (created) reply.header('location', nodeLocation(nodesPrefix, path));
      return { path, stat: result.stat! };
    },
  );

  app.post(
    '/nodes/*',
    {
      config: { takesBytes: true },
      bodyLimit: broker.config.maxBodyBytes,
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.createSequential',
        summary: "Create a sequential node: the parent's counter is appended to the path",
        querystring: postNodeQuery,
        body: rawBody,
        response: {
          201: { description: 'Created.', content: { 'application/json': { schema: createdReply } } },
          ...problems(
            'BAD_REQUEST',
            'INVALID_PATH',
            'RESERVED_PATH',
            'NO_PARENT',
            'NODE_EXISTS',
            'NO_CHILDREN_FOR_EPHEMERALS',
            'SESSION_EXPIRED',
            'TOO_LARGE',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const prefix = nodePathOf(request.url, nodesPrefix);
      refuseConditions(request, 'If-Match', 'If-None-Match');
      const op: Op = { op: 'create', path: prefix, sequential: true, ...creation(request, request.query) };
      const { zxid, result, replayed } = await namespace.writeOne(op, { idempotency: idempotencyOf(request) });
      const { path, stat } = result;
      if (replayed) reply.header('idempotency-replayed', 'true');
      written(reply, zxid, result).code(201).header('location', nodeLocation(nodesPrefix, path));
      return { path, name: nameOf(path), stat: stat! };
    },
  );

  app.delete(
    '/nodes/*',
    {
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.delete',
        summary: 'Delete a node, or with recursive=true everything below it, too',
        querystring: deleteNodeQuery,
        headers: onlyDescribed(z.looseObject(ifMatch)),
        response: {
          204: { description: 'Deleted.' },
          ...problems(
            'BAD_REQUEST',
            'INVALID_PATH',
            'RESERVED_PATH',
            'NO_NODE',
            'NOT_EMPTY',
            'BAD_VERSION',
            'TOO_LARGE',
            'SESSION_EXPIRED',
            'TOO_MANY_REQUESTS',
            'STORE_UNAVAILABLE',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const path = nodePathOf(request.url, nodesPrefix);
      const { version, recursive } = request.query;
      refuseConditions(request, 'If-None-Match');
      const op = recursive ? 'delete-recursive' : 'delete';
      const ifMatch = conditionOf('If-Match', request.headers['if-match']);
      const mzxid = await expectedMzxid(namespace, path, ifMatch);
      const { zxid } = await namespace.writeOne({ op, path, version, mzxid }).catch((error: unknown) => {
        throw explained(error, ifMatch);
      });
      return reply.code(204).header('weir-zxid', zxid).send();
    },
  );
};

/** The path of a read: its rules are checked first, as nothing else comes before them. */
function validPath(request: FastifyRequest): string {
  const path = nodePathOf(request.url, nodesPrefix);
  const problem = pathProblem(path);
  if (problem) throw new ServiceError('INVALID_PATH', `${path}: ${problem}.`, { path });
  return path;
}

/** What a creation takes from the query and the body. @throws ServiceError BAD_REQUEST where they contradict each other */
function creation(
  request: FastifyRequest,
  query: {
    mode?: 'persistent' | 'ephemeral' | 'container' | 'ttl' | undefined;
    ttl?: number | undefined;
    parents?: boolean | undefined;
    session?: string | undefined;
  },
) {
  const { mode, ttl: ttlMs, parents = false } = query;
  const session = sessionOf(request, query.session);
  if (mode === 'ephemeral' && !session) {
    throw new ServiceError(
      'BAD_REQUEST',
      'An ephemeral node needs a session: add session=<handle> or the header Weir-Session.',
    );
  }
  if ((mode === 'ttl') !== (ttlMs !== undefined) && !(mode === undefined && ttlMs !== undefined)) {
    const wrong =
      mode === 'ttl' ? 'mode=ttl needs a ttl, such as ttl=10s' : `A ttl goes with mode=ttl only, not with mode=${mode}`;
    throw new ServiceError('BAD_REQUEST', `${wrong}.`);
  }
  const data = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  return {
    data,
    contentType: contentTypeOf(request.headers['content-type'], data),
    parents,
    ...(mode && { mode }),
    ...(ttlMs !== undefined && { ttlMs }),
    ...(session && { session }),
  };
}

/** Which operation a PUT is, by its conditions: create only, compare and set, or either. @param mzxid what If-Match expects */
function putOp(
  path: string,
  what: ReturnType<typeof creation>,
  version: number | undefined,
  mzxid: number | undefined,
  headers: { 'if-match'?: string | undefined; 'if-none-match'?: string | undefined },
): Op {
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') {
    throw new ServiceError('BAD_REQUEST', `If-None-Match ${ifNoneMatch}: a PUT takes only * (create only).`);
  }
  const mustExist = ifMatch !== undefined || version !== undefined;
  if (ifNoneMatch && mustExist) {
    throw new ServiceError('BAD_REQUEST', 'If-None-Match: * (create only) contradicts If-Match and version.');
  }
  // "0" is the tag of a node that does not exist (and of a root whose data was never set).
  if (ifNoneMatch === '*' || (mzxid === 0 && path !== '/')) return { op: 'create', path, ...what };
  if (!mustExist) return { op: 'put', path, ...what };
  return { op: 'set', path, data: what.data, contentType: what.contentType, version, mzxid };
}

/** An mzxid that no node has. */
const noMzxid = Number.MAX_SAFE_INTEGER;

/**
 * The mzxid that a node must have, by If-Match; undefined = any. Of several tags it is the one that the node has now: should it get
 * another one of them before the write, that is refused like any change, and the client reads again.
 */
async function expectedMzxid(
  namespace: Namespace,
  path: string,
  ifMatch: Condition | undefined,
): Promise<number | undefined> {
  if (ifMatch === undefined || ifMatch === '*') return undefined;
  const mzxids = strongMzxids(ifMatch);
  if (mzxids.length < 2) return mzxids[0] ?? noMzxid;
  const now = await namespace.stat(path).then(
    ({ stat }) => stat.mzxid,
    (error: unknown) => {
      if (hasCode(error, 'NO_NODE')) return 0;
      throw error;
    },
  );
  return mzxids.find((mzxid) => mzxid === now) ?? noMzxid;
}

/** Says why a condition failed that no node can meet. */
function explained(error: unknown, ifMatch: Condition | undefined): unknown {
  if (!hasCode(error, 'BAD_VERSION') || ifMatch === undefined || ifMatch === '*') return error;
  if (strongMzxids(ifMatch).length === 1) return error;
  const { fields } = error as ServiceError;
  const detail = `The tag of the node is "${fields.mzxid}", which is not in If-Match; weak tags (W/) never match there.`;
  return new ServiceError('BAD_VERSION', detail, fields);
}

function tagged(reply: FastifyReply, zxid: number, tag: number): FastifyReply {
  return reply.header('weir-zxid', zxid).header('etag', `"${tag}"`);
}

function written(reply: FastifyReply, zxid: number, result: OpResult): FastifyReply {
  return tagged(reply, zxid, result.stat!.mzxid);
}
