// /v1/nodes: the tree over HTTP.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { entityTag } from '../../schemas/common.ts';
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
import type { Op, OpResult } from '../store/namespace.ts';
import { contentTypeOf } from './content.ts';
import { idempotencyOf } from './idempotency.ts';
import { nodeLocation, nodePathOf } from './node-path.ts';
import { problems } from './problems.ts';
import { rawBody, rawReply } from './raw-content.ts';
import { sessionOf } from './session-header.ts';

export const nodesPrefix = '/v1/nodes/';

/** The tag of a node that does not exist. */
const absentTag = '"0"';
const childrenLimitDefault = 1000;
const treeLimitDefault = 1000;
const treeDepthDefault = 1000;

const conditions = z.looseObject({
  'if-match': entityTag.optional(),
  'if-none-match': entityTag.optional(),
  'weir-session': z.string().optional().describe('Session handle; the request renews it.'),
});

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
        headers: conditions,
        response: {
          200: {
            description: 'By `view`: the raw bytes with their own type, or JSON.',
            headers: z.object({ etag: z.string().optional(), 'weir-stat': z.string().optional() }),
            content: {
              '*/*': rawReply,
              'application/json': { schema: z.union([nodeReply, statReply, childrenReply, treeReply]) },
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
      const ifNoneMatch = request.headers['if-none-match'];
      if (wait !== undefined && view === 'tree') {
        throw new ServiceError(
          'BAD_REQUEST',
          'A tree cannot be waited on; watch it: GET /v1/watch/{path}?mode=recursive.',
        );
      }
      if (wait !== undefined && ifNoneMatch !== undefined) {
        const kind = view === 'children' ? 'children' : 'node';
        const { changed, zxid, tag } = await waitForChange(broker, reply, path, kind, ifNoneMatch, wait);
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
          if (ifNoneMatch === `"${stat.mzxid}"`) return reply.code(304).send();
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
          if (ifNoneMatch === `"${stat.mzxid}"`) return reply.code(304).send();
          return { path, ...inJson(data), contentType, stat };
        }
        case 'stat': {
          const { zxid, stat } = await namespace.stat(path).catch(absent);
          tagged(reply, zxid, stat.mzxid);
          if (ifNoneMatch === `"${stat.mzxid}"`) return reply.code(304).send();
          return { path, stat };
        }
        case 'children': {
          const page = { after, limit: limit ?? childrenLimitDefault, stats: stats ?? false };
          const { zxid, stat, children, next } = await namespace.children(path, page).catch(absent);
          // pzxid changes exactly when the list does: it is the list's own tag.
          tagged(reply, zxid, stat.pzxid);
          if (ifNoneMatch === `"${stat.pzxid}"`) return reply.code(304).send();
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
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.put',
        summary: 'Set the data of a node, or create it',
        querystring: putNodeQuery,
        headers: conditions,
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
      const op = putOp(path, creation(request, request.query), request.query.version, request.headers);
      const { zxid, result, replayed } = await namespace.writeOne(op, { idempotency: idempotencyOf(request) });
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
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.createSequential',
        summary: "Create a sequential node: the parent's counter is appended to the path",
        querystring: postNodeQuery,
        headers: conditions,
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
        headers: conditions,
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
            'STORE_UNAVAILABLE',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const path = nodePathOf(request.url, nodesPrefix);
      const { version, recursive } = request.query;
      const op = recursive ? 'delete-recursive' : 'delete';
      const expected = { version, mzxid: expectedMzxid(request.headers['if-match']) };
      const { zxid } = await namespace.writeOne({ op, path, ...expected });
      return reply.code(204).header('weir-zxid', zxid).send();
    },
  );
};

/**
 * The long poll: waits until the node, or its list of children, no longer has the tag that the client knows.
 * @returns `changed` = false when `waitMs` are over, the client has gone or the broker stops; with the newest zxid and tag
 */
async function waitForChange(
  broker: Broker,
  reply: FastifyReply,
  path: string,
  view: 'node' | 'children',
  known: string,
  waitMs: number,
): Promise<{ changed: boolean; zxid: number; tag: number }> {
  const deadline = performance.now() + waitMs;
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  for (;;) {
    const { zxid, tag } = await currentTag(broker, path, view);
    // As everywhere, * is any node that exists: it is waited on until it is gone.
    const changed = known === '*' ? tag === 0 : known !== `"${tag}"`;
    if (changed) return { changed, zxid, tag };
    const leftMs = deadline - performance.now();
    if (leftMs <= 0 || !(await broker.watches.nextChange({ path, view, after: zxid }, leftMs, gone.signal))) {
      return { changed, zxid, tag };
    }
  }
}

/** The tag of a node, or of its list of children; 0 is the tag of what does not exist. */
async function currentTag(
  broker: Broker,
  path: string,
  view: 'node' | 'children',
): Promise<{ zxid: number; tag: number }> {
  try {
    const { zxid, stat } = await broker.store.namespace.stat(path);
    return { zxid, tag: view === 'children' ? stat.pzxid : stat.mzxid };
  } catch (error) {
    if (!hasCode(error, 'NO_NODE')) throw error;
    return { zxid: Number((error as ServiceError).fields.zxid), tag: 0 };
  }
}

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
    throw new ServiceError('BAD_REQUEST', `A ttl goes with mode=ttl and only with it, not with mode=${mode}.`);
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

/** Which operation a PUT is, by its conditions: create only, compare and set, or either. */
function putOp(
  path: string,
  what: ReturnType<typeof creation>,
  version: number | undefined,
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
  if (ifNoneMatch === '*' || (ifMatch === '"0"' && path !== '/')) return { op: 'create', path, ...what };
  if (!mustExist) return { op: 'put', path, ...what };
  return { op: 'set', path, data: what.data, contentType: what.contentType, version, mzxid: expectedMzxid(ifMatch) };
}

function expectedMzxid(ifMatch: string | undefined): number | undefined {
  return ifMatch === undefined || ifMatch === '*' ? undefined : Number(ifMatch.slice(1, -1));
}

function tagged(reply: FastifyReply, zxid: number, tag: number): FastifyReply {
  return reply.header('weir-zxid', zxid).header('etag', `"${tag}"`);
}

function written(reply: FastifyReply, zxid: number, result: OpResult): FastifyReply {
  return tagged(reply, zxid, result.stat!.mzxid);
}
