// /v1/multi: several operations on the tree as one transaction.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import { type MultiOp, multiBody, multiResponse } from '../../../schemas/nodes.ts';
import type { Broker } from '../../broker/broker.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import { withoutTrailingSlash } from '../../core/tree/path.ts';
import type { Op } from '../../store/tree/namespace.ts';
import { parseHandle, type SessionCredential } from '../../store/tree/sessions.ts';
import { contentTypeOf } from '../content.ts';
import { bodyBytes } from '../limits.ts';
import { creationProblems, modeOf } from '../node-writes.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { requireOperations } from '../permissions.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { problems } from '../problems.ts';

export const multiRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Pick<Broker, 'store'> }> = async (app, { broker }) => {
  const { namespace } = broker.store;

  app.post(
    '/multi',
    {
      bodyLimit: bodyBytes.transaction,
      config: {
        access: 'operation',
        admission: 'work',
        timeLimit: 'write',
        tooLargeRemedy: 'Split it into several transactions.',
      },
      schema: {
        tags: ['nodes'],
        operationId: 'multi',
        summary: 'Apply several operations as one transaction: all or nothing, one zxid',
        querystring: noQuery,
        body: multiBody,
        response: {
          200: { description: 'All are applied.', content: { 'application/json': { schema: multiResponse } } },
          ...problems('NO_NODE', 'NOT_EMPTY', 'BAD_VERSION', ...creationProblems),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const ops = request.body.ops.map((op, index) => toOp(op, index, request.session));
      requireOperations(request, ops);
      try {
        const { zxid, results, replayed } = await namespace.write(ops, { idempotency: idempotencyOf(request) });
        setOutcomeHeaders(reply, { zxid, replayed });
        return { zxid, results: results.map(({ op, path, stat }) => ({ op, path, ...(stat && { stat }) })) };
      } catch (error) {
        throw withResults(error, ops.length);
      }
    },
  );
};

function toOp(op: MultiOp, index: number, header: SessionCredential | undefined): Op {
  switch (op.op) {
    case 'create': {
      const { op: _, ttl: ttlMs, sequential = false } = op;
      // The path of a sequential node with an empty name prefix ends with a slash, which counts.
      const path = sequential ? op.path : withoutTrailingSlash(op.path);
      const mode = refusedAt(index, () => modeOf(op));
      const session = op.session === undefined ? header : sessionCredentialOf(op.session);
      if (mode === 'ephemeral' && !session) {
        throw new ServiceError(
          'BAD_REQUEST',
          `ops.${index}: an ephemeral node needs a session; send its handle as session or in Weir-Session.`,
          { failed: index },
        );
      }
      if (mode !== undefined && (mode === 'ttl') !== (ttlMs !== undefined)) {
        throw new ServiceError('BAD_REQUEST', `ops.${index}: mode ttl needs a ttl, and no other mode takes one.`, {
          failed: index,
        });
      }
      return {
        op: 'create',
        path,
        sequential,
        ...content(op, index),
        ...(mode && { mode }),
        ...(ttlMs !== undefined && { ttlMs }),
        ...(session && { session }),
      };
    }
    case 'set':
      if (op.data === undefined && op.dataBase64 === undefined) {
        throw new ServiceError(
          'BAD_REQUEST',
          `ops.${index}: a set needs data or dataBase64, as it replaces all data; to empty the node, send "data": "".`,
          { failed: index },
        );
      }
      return {
        op: 'set',
        path: withoutTrailingSlash(op.path),
        version: op.version,
        mzxid: op.mzxid,
        ...content(op, index),
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

/** Reads a part of an operation, and adds the operation's index to an error and its text. */
function refusedAt<T>(index: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new ServiceError(error.code, `ops.${index}: ${error.message}`, { ...error.fields, failed: index });
  }
}

function content(
  op: { data?: string | undefined; dataBase64?: string | undefined; contentType?: string | undefined },
  index: number,
) {
  if (op.data !== undefined && op.dataBase64 !== undefined) {
    throw new ServiceError('BAD_REQUEST', `ops.${index}: give either data or dataBase64, not both.`, { failed: index });
  }
  const data = op.dataBase64 === undefined ? Buffer.from(op.data ?? '') : Buffer.from(op.dataBase64, 'base64');
  return { data, contentType: contentTypeOf(op.contentType, data) };
}

/** A malformed handle becomes that of an unknown session: the script then refuses it in the order of the operations. */
function sessionCredentialOf(handle: string): SessionCredential {
  try {
    return parseHandle(handle);
  } catch (error) {
    if (!hasCode(error, 'SESSION_EXPIRED')) throw error;
    return { id: 'unknown', secretHash: 'unknown' };
  }
}

/** Adds the result of each operation to an error: OK before the one that failed, the code of the error, then ROLLED_BACK. */
function withResults(error: unknown, count: number): unknown {
  if (!(error instanceof ServiceError) || typeof error.fields.failed !== 'number') return error;
  const failed = error.fields.failed;
  const results = Array.from({ length: count }, (_, index) =>
    index < failed ? 'OK' : index === failed ? error.code : 'ROLLED_BACK',
  );
  return new ServiceError(error.code, error.message, { ...error.fields, results });
}
