// Builds the operation on the tree from a request that writes one node: from its query, body and condition.
import type { FastifyRequest } from 'fastify';
import type { CreateMode } from '../../schemas/common.ts';
import type { ErrorCode } from '../../schemas/errors.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import { contentTypeOf } from '../store/tree/content-type.ts';
import type { Namespace, Op } from '../store/tree/namespace.ts';
import { modeOf } from '../store/tree/requested-op.ts';
import { isNodeTag, type WriteCondition } from './conditions.ts';
import { sessionOf } from './plugins/session-header.ts';

/** The errors of every operation that creates a node. */
export const creationProblems: readonly ErrorCode[] = [
  'BAD_REQUEST',
  'INVALID_PATH',
  'RESERVED_PATH',
  'NO_PARENT',
  'NODE_EXISTS',
  'NO_CHILDREN_FOR_EPHEMERALS',
  'SESSION_EXPIRED',
  'TOO_LARGE',
  'QUOTA_EXCEEDED',
  'IDEMPOTENCY_KEY_REUSED',
  'STORE_UNAVAILABLE',
  'STORE_FULL',
];

type NodeCreation = ReturnType<typeof readCreation>;

/** The parts of a creation, from query and body. @throws ServiceError BAD_REQUEST if they contradict each other */
export function readCreation(
  request: FastifyRequest,
  query: {
    mode?: CreateMode | undefined;
    ttl?: number | undefined;
    parents?: boolean | undefined;
    session?: string | undefined;
  },
) {
  const { ttl: ttlMs, parents = false } = query;
  const mode = modeOf(query);
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

/**
 * The operation of a PUT: the only place that decides whether it creates the node, sets its data, or does either.
 * @throws ServiceError STORE_UNAVAILABLE where the node must be read for that
 */
export async function putOp(
  namespace: Namespace,
  path: string,
  creation: NodeCreation,
  condition: WriteCondition,
): Promise<Op> {
  if (condition.kind === 'none') return { op: 'put', path, ...creation };
  if (condition.kind === 'absent') return { op: 'create', path, ...creation };
  const mzxid = await requiredMzxid(namespace, path, condition.mzxids);
  // 0 is also the mzxid of a root whose data was never set.
  if (mzxid === 0 && path !== '/') return { op: 'create', path, ...creation };
  const { parents: _, ...written } = creation;
  return { op: 'set', path, ...written, version: condition.version, mzxid };
}

/** The operation of a DELETE. @throws ServiceError STORE_UNAVAILABLE where the node must be read for that */
export async function deleteOp(
  namespace: Namespace,
  path: string,
  recursive: boolean,
  condition: WriteCondition,
): Promise<Op> {
  const op = recursive ? 'delete-recursive' : 'delete';
  if (condition.kind !== 'match') return { op, path };
  const mzxid = await requiredMzxid(namespace, path, condition.mzxids);
  return { op, path, version: condition.version, mzxid };
}

/** An mzxid that no node has. */
const noMzxid = Number.MAX_SAFE_INTEGER;

/**
 * The mzxid that a node must have; undefined = any. Of several it is the one that the node has now: should the node get another one of
 * them before the write, that is refused like any change, and the client reads again.
 */
async function requiredMzxid(
  namespace: Namespace,
  path: string,
  mzxids: readonly number[] | undefined,
): Promise<number | undefined> {
  if (mzxids === undefined) return undefined;
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

/** Says in a BAD_VERSION what is wrong with an If-Match that has several tags, or one that no node can have. */
export function explainBadVersion(error: unknown, condition: WriteCondition): unknown {
  if (condition.kind !== 'match' || !(error instanceof ServiceError) || error.code !== 'BAD_VERSION') return error;
  const { tags } = condition;
  const { fields } = error;
  const foreignTag = tags.find((tag) => !isNodeTag(tag));
  if (foreignTag !== undefined) {
    const detail =
      `The tag of the node's data is "${fields.mzxid}", which is not in If-Match; "${foreignTag}" there is no tag that this service makes:` +
      ' a proxy may have put its own in its place.';
    return new ServiceError('BAD_VERSION', detail, fields);
  }
  if (tags.length < 2) return error;
  const detail = `Node ${fields.path} is at mzxid ${fields.mzxid}, which is in no tag of If-Match; read it again.`;
  return new ServiceError('BAD_VERSION', detail, fields);
}
