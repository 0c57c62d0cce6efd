// /v1/nodes: the tree over HTTP.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { entityTags } from '../../../schemas/common.ts';
import {
  childrenLimitDefault,
  childrenResponse,
  createdResponse,
  deleteNodeQuery,
  getNodeQuery,
  nodeResponse,
  postNodeQuery,
  putNodeQuery,
  statResponse,
  treeResponse,
} from '../../../schemas/nodes.ts';
import { exportResponse } from '../../../schemas/transfer.ts';
import { readableChildren } from '../../access/readable-children.ts';
import type { Broker } from '../../broker/broker.ts';
import { toJsonData } from '../../core/json-data.ts';
import { required } from '../../core/required.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import { nameOf, pathProblem, sequentialPathProblem, shownPath } from '../../core/tree/path.ts';
import type { LargeRead } from '../../store/redis/concurrency-limiter.ts';
import type { Op, OpResult } from '../../store/tree/namespace.ts';
import {
  absentTag,
  type Condition,
  childrenTag,
  conditionOf,
  dataTag,
  type EntityTag,
  isKnown,
  pageTag,
  refuseConditions,
  statTag,
  type WriteCondition,
  writeConditionOf,
} from '../conditions.ts';
import { ndjsonType } from '../media-types.ts';
import { type ExportOptions, exportHandler } from '../node-export.ts';
import { nodeLocation, nodePathOf } from '../node-path.ts';
import { type WaitTarget, waitForChange } from '../node-wait.ts';
import { creationProblems, deleteOp, explainBadVersion, putOp, readCreation } from '../node-writes.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { readableTree, writePermitted } from '../permissions.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { onlyDescribed } from '../plugins/validation.ts';
import { problems } from '../problems.ts';
import { rawBody, rawContent, rawJson } from '../raw-content.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the routes below /v1/nodes: the path of the node, or the prefix of a sequential one. */
    nodePath: string;
  }
}

const nodesPrefix = '/v1/nodes/';

const treeLimitDefault = 1000;
const treeDepthDefault = 1000;

const ifMatch = { 'if-match': entityTags.optional() };
/** Not a constant, of which some tools make no header. */
const onlyNew = z.string().meta({ pattern: String.raw`^\*$` }).describe('`*`: only create the node, do not set it.');
const ifNoneMatch = { 'if-none-match': entityTags.optional() };

interface NodesOptions extends ExportOptions {
  broker: Pick<Broker, 'config' | 'localNodes' | 'metrics' | 'stopping' | 'store' | 'watches'>;
}

export const nodesRoutes: FastifyPluginAsyncZodOpenApi<NodesOptions> = async (app, options) => {
  const { broker } = options;
  const { namespace } = broker.store;
  const sendExport = exportHandler(options);

  // A node takes any bytes of any type: nothing is parsed.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  const takesData = {
    config: {
      access: { verb: 'write', kind: 'nodes', prefix: nodesPrefix },
      admission: 'work',
      timeLimit: 'write',
      takesConditions: true,
      tooLargeRemedy: 'Keep what is larger elsewhere, and its address in the node.',
      takesBytes: true,
    },
    bodyLimit: broker.config.maxBodyBytes,
  } as const;

  // A fault in the path is reported before any other, as ZooKeeper's client checks paths before it sends a request.
  app.decorateRequest('nodePath', '');
  app.addHook('preValidation', (request, _reply, done) => {
    request.nodePath = validPath(request);
    done();
  });

  /** Where a GET reads. @throws ServiceError BAD_REQUEST */
  function readsOf(
    request: FastifyRequest,
    { read, minZxid, view, stats }: z.output<typeof getNodeQuery>,
    reply: FastifyReply,
  ) {
    const inTurn: LargeRead = (bytes, readAll) => request.readInTurn(reply, bytes, readAll);
    if (read === undefined) {
      if (minZxid === undefined) {
        return {
          get: (path: string) => namespace.get(path, { inTurn }),
          stat: (path: string) => namespace.stat(path),
          children: (...asked: Parameters<typeof namespace.children>) => namespace.children(...asked),
        };
      }
      throw new ServiceError(
        'BAD_REQUEST',
        'minZxid belongs to read=local; other reads reflect every change. Leave it out.',
      );
    }
    if (view === 'tree' || (view === 'children' && stats)) {
      const what = view === 'tree' ? 'A tree is' : 'Children with stats=true are';
      throw new ServiceError('BAD_REQUEST', `${what} not read from memory; leave out read=local.`);
    }
    return broker.localNodes.reads({ minZxid, inTurn, served: (source) => reply.header('weir-read', source) });
  }

  app.get(
    '/nodes/*',
    {
      config: {
        access: { verb: 'read', kind: 'nodes', prefix: nodesPrefix },
        admission: 'work',
        timeLimit: 'read',
        takesConditions: true,
      },
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.get',
        summary: 'Read a node: its data, stat, children, or the tree below it, also as an export',
        querystring: getNodeQuery,
        headers: onlyDescribed(z.looseObject(ifNoneMatch)),
        response: {
          200: {
            description:
              'By `view`: the raw bytes with their own type, of which the types here are examples, or JSON. `view=node` gives a `Node`, `view=stat` a `NodeStat`, `view=children` `Children`, `view=tree` a `Tree`. No document can say which of them a parameter selects, and raw JSON may be anything: a generated client takes the result for any of these, and its caller names the one that was asked for.',
            headers: z.object({
              etag: z.string().optional(),
              'weir-stat': z.string().optional(),
              'weir-read': z
                .enum(['local', 'store'])
                .optional()
                .describe('With read=local: whether the response came from the memory of the broker.'),
            }),
            content: {
              ...rawContent,
              [ndjsonType]: { schema: exportResponse },
              'application/json': {
                schema: z.union([nodeResponse, statResponse, childrenResponse, treeResponse, rawJson]),
              },
            },
          },
          304: { description: 'Not changed: within the wait, if there is one.' },
          ...problems('BAD_REQUEST', 'INVALID_PATH', 'NO_NODE', 'SESSION_EXPIRED', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const path = request.nodePath;
      const { view, limit, after, stats, depth, wait } = request.query;
      if (view === 'export') return sendExport(request, reply, path);
      const reads = readsOf(request, request.query, reply);
      refuseConditions(request, 'If-Match');
      const known = conditionOf('If-None-Match', request.headers['if-none-match']);
      if (view === 'tree') {
        if (wait !== undefined) {
          throw new ServiceError(
            'BAD_REQUEST',
            'A tree cannot be waited on; watch it: GET /v1/watch/{path}?mode=recursive.',
          );
        }
        const bounds = { depth: depth ?? treeDepthDefault, limit: limit ?? treeLimitDefault };
        const { zxid, tree, truncated } = await namespace.tree(path, bounds);
        reply.header('weir-zxid', zxid);
        return { path, tree: readableTree(request, path, tree), truncated };
      }
      const absent = (error: unknown): never => {
        if (hasCode(error, 'NO_NODE')) reply.header('etag', `"${absentTag}"`);
        throw error;
      };
      const page = async () => {
        const below = path === '/' ? '/' : `${path}/`;
        const { zxid, stat, children, next } = await readableChildren(
          (asked) => reads.children(path, asked),
          { after, limit: limit ?? childrenLimitDefault, stats: stats ?? false },
          (name) => request.may('read', 'nodes', below + name),
        ).catch(absent);
        const names = stats ? children : children.map(({ name }) => name);
        const body = { path, children: names, ...(next !== undefined && { next }), stat };
        return { zxid, tag: stats ? pageTag(body) : childrenTag(stat), body };
      };
      if (wait !== undefined && known !== undefined) {
        const seen: WaitTarget =
          view === 'children' && stats
            ? { interest: 'page', read: page }
            : view === 'children'
              ? { interest: 'list', tagOf: childrenTag }
              : view === 'data'
                ? { interest: 'content', tagOf: dataTag }
                : { interest: 'node', tagOf: statTag };
        const { changed, zxid, tag } = await waitForChange(broker.watches, reply, { path, reads }, seen, known, wait);
        await request.recheckAccess();
        if (broker.stopping.aborted) reply.header('connection', 'close');
        if (!changed) return tagged(reply, zxid, tag).code(304).send();
      }
      switch (view) {
        case 'data': {
          const { zxid, stat, contentType, data } = await reads.get(path).catch(absent);
          if (isUnchanged(reply, zxid, dataTag(stat), known)) return reply.code(304).send();
          reply.isStoredContent = true;
          // Data stored by one user must not run as a script in the browser of another.
          return reply
            .header('weir-stat', JSON.stringify(stat))
            .header('content-security-policy', "sandbox; default-src 'none'")
            .type(contentType)
            .send(data);
        }
        case 'node': {
          const { zxid, stat, contentType, data } = await reads.get(path).catch(absent);
          if (isUnchanged(reply, zxid, statTag(stat), known)) return reply.code(304).send();
          return { path, ...toJsonData(data), contentType, stat };
        }
        case 'stat': {
          const { zxid, stat } = await reads.stat(path).catch(absent);
          if (isUnchanged(reply, zxid, statTag(stat), known)) return reply.code(304).send();
          return { path, stat };
        }
        case 'children': {
          const { zxid, tag, body } = await page();
          if (isUnchanged(reply, zxid, tag, known)) return reply.code(304).send();
          return body;
        }
      }
    },
  );

  /** Applies the operation of a request, and sets the headers that tell its outcome. */
  async function write(request: FastifyRequest, reply: FastifyReply, op: Op, condition: WriteCondition) {
    try {
      const applied = await writePermitted(namespace, request, op, {
        idempotency: idempotencyOf(request),
        creator: request.account?.creator,
      });
      setOutcomeHeaders(reply, applied);
      return applied.result;
    } catch (error) {
      throw explainBadVersion(error, condition);
    }
  }

  app.put(
    '/nodes/*',
    {
      ...takesData,
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.put',
        summary: 'Set the data of a node, or create it',
        querystring: putNodeQuery,
        headers: onlyDescribed(z.looseObject({ ...ifMatch, 'if-none-match': onlyNew.optional() })),
        body: rawBody,
        response: {
          200: { description: 'Set.', content: { 'application/json': { schema: statResponse } } },
          201: { description: 'Created.', content: { 'application/json': { schema: statResponse } } },
          ...problems('NO_NODE', 'BAD_VERSION', ...creationProblems),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const path = request.nodePath;
      const condition = writeConditionOf(request, request.query.version);
      const op = await putOp(namespace, path, readCreation(request, request.query), condition);
      const result = await write(request, reply, op, condition);
      const created = result.op === 'create';
      written(reply, result).code(created ? 201 : 200);
      if (created) reply.header('location', nodeLocation(nodesPrefix, path));
      return { path, stat: statOf(result) };
    },
  );

  app.post(
    '/nodes/*',
    {
      ...takesData,
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.createSequential',
        summary: "Create a sequential node: the parent's counter is appended to the path",
        querystring: postNodeQuery,
        body: rawBody,
        response: {
          201: { description: 'Created.', content: { 'application/json': { schema: createdResponse } } },
          ...problems(...creationProblems),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const prefix = request.nodePath;
      refuseConditions(request, 'If-Match', 'If-None-Match');
      const op: Op = { op: 'create', path: prefix, sequential: true, ...readCreation(request, request.query) };
      const result = await write(request, reply, op, { kind: 'none' });
      const { path } = result;
      written(reply, result).code(201).header('location', nodeLocation(nodesPrefix, path));
      return { path, name: nameOf(path), stat: statOf(result) };
    },
  );

  app.delete(
    '/nodes/*',
    {
      config: {
        access: { verb: 'delete', kind: 'nodes', prefix: nodesPrefix },
        admission: 'work',
        timeLimit: 'write',
        takesConditions: true,
      },
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
            'IDEMPOTENCY_KEY_REUSED',
            'TOO_MANY_REQUESTS',
            'STORE_UNAVAILABLE',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const path = request.nodePath;
      const { version, recursive } = request.query;
      if (recursive) request.requireSubtree('delete', path);
      refuseConditions(request, 'If-None-Match');
      const condition = writeConditionOf(request, version);
      const op = await deleteOp(namespace, path, recursive ?? false, condition);
      await write(request, reply, op, condition);
      return reply.code(204).send();
    },
  );
};

/** The path of a request; a POST has the prefix of a sequential node. @throws ServiceError INVALID_PATH */
function validPath({ url, method, checkedPath }: FastifyRequest): string {
  if (checkedPath !== undefined) return checkedPath;
  const isPrefix = method === 'POST';
  const path = nodePathOf(url, nodesPrefix, isPrefix);
  const problem = isPrefix ? sequentialPathProblem(path) : pathProblem(path);
  if (problem) throw new ServiceError('INVALID_PATH', `${shownPath(path)}: ${problem}.`, { path });
  return path;
}

/** Sets the tag of the response. @returns whether If-None-Match contains it */
function isUnchanged(reply: FastifyReply, zxid: number, tag: EntityTag, known: Condition | undefined): boolean {
  tagged(reply, zxid, tag);
  return known !== undefined && isKnown(known, tag);
}

function tagged(reply: FastifyReply, zxid: number, tag: EntityTag): FastifyReply {
  return reply.header('weir-zxid', zxid).header('etag', `"${tag}"`);
}

/** Sets the tag that the node has after a write. */
function written(reply: FastifyReply, result: OpResult): FastifyReply {
  return reply.header('etag', `"${dataTag(statOf(result))}"`);
}

/** The stat of a node that was created or set. */
function statOf({ stat }: OpResult) {
  return required(stat, 'stat of a written node');
}
