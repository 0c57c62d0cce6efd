// Reads operations on the tree as clients write them in JSON: those of a multi, and the requests of sockets.
import type { CreateMode } from '../../../schemas/common.ts';
import type { MultiOp } from '../../../schemas/nodes.ts';
import type { Actor } from '../../core/actor.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import { withoutTrailingSlash } from '../../core/tree/path.ts';
import { contentTypeOf } from './content-type.ts';
import type { Op } from './op-codec.ts';
import { parseHandle, type SessionCredential } from './sessions.ts';

/** Where an operation stands, and the session of its request. */
interface OpContext {
  /** Begins error texts, such as `ops.3`. */
  where: string;
  /** Owns the ephemeral nodes of operations that name no session. */
  session: SessionCredential | undefined;
  /** Who asks for it. */
  actor: Pick<Actor, 'actsAs'>;
  /** How to give a session, for the text of an error. */
  remedy: string;
}

/** The operation that a client asks for. @throws ServiceError BAD_REQUEST if its fields contradict each other */
export function requestedOp(op: MultiOp, context: OpContext): Op {
  const { where } = context;
  switch (op.op) {
    case 'create':
      return creation(op, context);
    case 'set':
      if (op.data === undefined && op.dataBase64 === undefined) {
        throw bad(
          where,
          'a set needs data or dataBase64, as it replaces all data; to empty the node, send "data": "".',
        );
      }
      return {
        op: 'set',
        path: withoutTrailingSlash(op.path),
        version: op.version,
        mzxid: op.mzxid,
        ...content(op, where),
      };
    case 'delete':
      return { op: 'delete', path: withoutTrailingSlash(op.path), version: op.version, mzxid: op.mzxid };
    case 'check':
      return {
        op: 'check',
        path: withoutTrailingSlash(op.path),
        version: op.version,
        mzxid: op.mzxid,
        ...(op.czxid !== undefined && { czxid: op.czxid }),
        ...(op.exists !== undefined && { exists: op.exists }),
      };
  }
}

function creation(op: MultiOp & { op: 'create' }, context: OpContext): Op {
  const { where, remedy, actor } = context;
  const { ttl: ttlMs, sequential = false } = op;
  // The path of a sequential node with an empty name prefix ends with a slash, which counts.
  const path = sequential ? op.path : withoutTrailingSlash(op.path);
  const mode = modeOf(op, `${where}: `);
  const session = op.session === undefined ? context.session : sessionCredentialOf(op.session, actor);
  if (mode === 'ephemeral' && !session) throw bad(where, `an ephemeral node needs a session; ${remedy}.`);
  if (mode === 'ttl' && ttlMs === undefined) throw bad(where, 'mode ttl needs a ttl, such as "ttl": "10s".');
  if (mode !== undefined && mode !== 'ttl' && ttlMs !== undefined) {
    throw bad(where, `a ttl goes with mode ttl only, not with mode ${mode}.`);
  }
  return {
    op: 'create',
    path,
    sequential,
    ...content(op, where),
    ...(mode && { mode }),
    ...(ttlMs !== undefined && { ttlMs }),
    ...(session && { session }),
  };
}

/**
 * The requested mode: a session parameter makes the node ephemeral.
 * @param prefix of error texts
 * @throws ServiceError BAD_REQUEST
 */
export function modeOf({ mode, ttl, session }: Kind, prefix = ''): CreateMode | undefined {
  if (session === undefined || mode === 'ephemeral') return mode;
  const other = mode ?? (ttl === undefined ? undefined : 'ttl');
  if (other === undefined) return 'ephemeral';
  throw new ServiceError(
    'BAD_REQUEST',
    `${prefix}session=<handle> makes the node ephemeral, and mode is ${other}; leave one of them out (the header Weir-Session only renews a session).`,
  );
}

interface Kind {
  mode?: CreateMode | undefined;
  ttl?: number | undefined;
  session?: string | undefined;
}

function content(
  op: { data?: string | undefined; dataBase64?: string | undefined; contentType?: string | undefined },
  where: string,
) {
  if (op.data !== undefined && op.dataBase64 !== undefined) {
    throw bad(where, 'give either data or dataBase64, not both.');
  }
  const data = op.dataBase64 === undefined ? Buffer.from(op.data ?? '') : Buffer.from(op.dataBase64, 'base64');
  return { data, contentType: contentTypeOf(op.contentType, data) };
}

/** A malformed handle becomes that of an unknown session: the script then refuses it in the order of the operations. */
function sessionCredentialOf(handle: string, actor: Pick<Actor, 'actsAs'>): SessionCredential {
  try {
    return parseHandle(handle, actor);
  } catch (error) {
    if (!hasCode(error, 'SESSION_EXPIRED')) throw error;
    return { id: 'unknown', secretHash: 'unknown', actsAs: actor.actsAs };
  }
}

/** Adds the result of each operation to an error: OK before the one that failed, the code of the error, then ROLLED_BACK. */
export function withResults(error: unknown, count: number): unknown {
  if (!(error instanceof ServiceError) || typeof error.fields.failed !== 'number') return error;
  const failed = error.fields.failed;
  const results = Array.from({ length: count }, (_, index) =>
    index < failed ? 'OK' : index === failed ? error.code : 'ROLLED_BACK',
  );
  return new ServiceError(error.code, error.message, { ...error.fields, results });
}

function bad(where: string, problem: string): ServiceError {
  return new ServiceError('BAD_REQUEST', `${where}: ${problem}`);
}
