// Builds the operation on the tree from a request that writes one node: from its query, body and conditions.
import type { FastifyRequest } from 'fastify';
import type { CreateMode } from '../../schemas/nodes.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Namespace, Op } from '../store/tree/namespace.ts';
import { type Condition, expectedMzxids } from './conditions.ts';
import { contentTypeOf } from './content.ts';
import { sessionOf } from './plugins/session-header.ts';

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

/** The requested mode: a session parameter makes the node ephemeral. @throws ServiceError BAD_REQUEST */
export function modeOf({ mode, ttl, session }: Kind, where = ''): CreateMode | undefined {
  if (session === undefined || mode === 'ephemeral') return mode;
  const other = mode ?? (ttl === undefined ? undefined : 'ttl');
  if (other === undefined) return 'ephemeral';
  throw new ServiceError(
    'BAD_REQUEST',
    `${where}session=<handle> makes the node ephemeral, and mode is ${other}; leave one of them out (the header Weir-Session only renews a session).`,
  );
}

interface Kind {
  mode?: CreateMode | undefined;
  ttl?: number | undefined;
  session?: string | undefined;
}

/** The operation of a PUT by its conditions: create only, compare and set, or either. @param mzxid the mzxid that If-Match requires */
export function putOp(
  path: string,
  what: ReturnType<typeof readCreation>,
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
  const { parents: _, ...written } = what;
  return { op: 'set', path, ...written, version, mzxid };
}

/** An mzxid that no node has. */
const noMzxid = Number.MAX_SAFE_INTEGER;

/**
 * The mzxid that a node must have, by If-Match; undefined = any. Of several tags it is the one that the node has now: should it get
 * another one of them before the write, that is refused like any change, and the client reads again.
 */
export async function expectedMzxid(
  namespace: Namespace,
  path: string,
  ifMatch: Condition | undefined,
): Promise<number | undefined> {
  if (ifMatch === undefined || ifMatch === '*') return undefined;
  const mzxids = expectedMzxids(ifMatch);
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

/** Adds the reason to a BAD_VERSION whose If-Match no node can meet. */
export function explainBadVersion(error: unknown, ifMatch: Condition | undefined): unknown {
  if (!hasCode(error, 'BAD_VERSION') || ifMatch === undefined || ifMatch === '*') return error;
  const { fields } = error as ServiceError;
  const foreign = ifMatch.find((tag) => expectedMzxids([tag]).length === 0);
  if (foreign === undefined) {
    if (ifMatch.length === 1) return error;
    const detail = `Node ${fields.path} is at mzxid ${fields.mzxid}, which is in no tag of If-Match; read it again.`;
    return new ServiceError('BAD_VERSION', detail, fields);
  }
  const detail =
    `The tag of the node's data is "${fields.mzxid}", which is not in If-Match; "${foreign}" there is no tag that this service makes:` +
    ' a proxy may have put its own in its place.';
  return new ServiceError('BAD_VERSION', detail, fields);
}
