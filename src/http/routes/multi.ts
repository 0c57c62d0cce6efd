// /v1/multi: several operations on the tree as one transaction.
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import { type MultiOp, multiBody, multiResponse } from '../../../schemas/nodes.ts';
import { requireOperations } from '../../access/node-operations.ts';
import type { Broker } from '../../broker/broker.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Op } from '../../store/tree/namespace.ts';
import { requestedOp, withResults } from '../../store/tree/requested-op.ts';
import { bodyBytes } from '../limits.ts';
import { creationProblems } from '../node-writes.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
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
      const ops = request.body.ops.map((op, index) => toOp(op, index, request));
      requireOperations(request, ops);
      try {
        const { zxid, results, replayed } = await namespace.write(ops, {
          idempotency: idempotencyOf(request),
          creator: request.account?.creator,
        });
        setOutcomeHeaders(reply, { zxid, replayed });
        return { zxid, results: results.map(({ op, path, stat }) => ({ op, path, ...(stat && { stat }) })) };
      } catch (error) {
        throw withResults(error, ops.length);
      }
    },
  );
};

/** Reads one operation, and adds its index to an error. */
function toOp(op: MultiOp, index: number, request: FastifyRequest): Op {
  try {
    return requestedOp(op, {
      where: `ops.${index}`,
      session: request.session,
      actor: request,
      remedy: 'send its handle as session or in Weir-Session',
    });
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new ServiceError(error.code, error.message, { ...error.fields, failed: index });
  }
}
