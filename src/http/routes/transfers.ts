// /v1/import and /v1/copy: bring many nodes at once. The export is a view of /v1/nodes (../node-export.ts).
import { Readable } from 'node:stream';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import { copyBody, copyResponse, importBody, importQuery, importResponse } from '../../../schemas/transfer.ts';
import { permittedWrites } from '../../access/node-operations.ts';
import type { Broker } from '../../broker/broker.ts';
import { required } from '../../core/required.ts';
import { ServiceError } from '../../core/service-error.ts';
import { SharedLimit } from '../../core/shared-limit.ts';
import { newPathProblem, pathProblem, shownPath, withoutTrailingSlash } from '../../core/tree/path.ts';
import type { Step } from '../../store/tree/op-codec.ts';
import { ndjsonType, ndjsonTypes } from '../media-types.ts';
import { importLimits, importNodes } from '../node-import.ts';
import { nodeLocation } from '../node-path.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { onlyDescribed } from '../plugins/validation.ts';
import { problems } from '../problems.ts';
import type { Refuse } from '../refusals.ts';

/** Imports at the same time, of which each holds some MiB. */
export const importsMax = 32;
/** A chunk of so many bytes, or so many nodes, is about the work of one usual request (request-weight.ts). */
const bytesPerWeight = 16 * 1024;
const nodesPerWeight = 20;

interface TransferOptions {
  broker: Pick<Broker, 'config' | 'metrics' | 'store'>;
  addressShare: number;
  refuse: Refuse;
}

export const transferRoutes: FastifyPluginAsyncZodOpenApi<TransferOptions> = async (app, options) => {
  const { broker, addressShare, refuse } = options;
  const { namespace } = broker.store;
  const limit = new SharedLimit(importsMax, addressShare);
  broker.metrics.gauge('node_imports_in_flight', 'Imports of nodes in flight.', () => limit.used);

  app.post(
    '/copy',
    {
      config: { access: 'operation', admission: 'work', timeLimit: 'write' },
      schema: {
        tags: ['nodes'],
        operationId: 'nodes.copy',
        summary: 'Copy a node and everything below it, or move it, in one transaction',
        querystring: noQuery,
        body: copyBody,
        response: {
          201: { description: 'Copied, or moved.', content: { 'application/json': { schema: copyResponse } } },
          ...problems(
            'BAD_REQUEST',
            'INVALID_PATH',
            'RESERVED_PATH',
            'NO_NODE',
            'NO_PARENT',
            'NODE_EXISTS',
            'NO_CHILDREN_FOR_EPHEMERALS',
            'TOO_LARGE',
            'QUOTA_EXCEEDED',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
            'STORE_FULL',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { move } = request.body;
      const [from, to] = [withoutTrailingSlash(request.body.from), withoutTrailingSlash(request.body.to)];
      checkPlaces(from, to);
      request.requireSubtree('read', from);
      request.requireSubtree('write', to);
      if (move) request.requireSubtree('delete', from);
      const { zxid, replayed, results } = await namespace.write([{ op: move ? 'move' : 'copy', path: from, to }], {
        idempotency: idempotencyOf(request),
        creator: request.account?.creator,
      });
      const { stat, copied } = required(results[0], 'result of a copy');
      setOutcomeHeaders(reply, { zxid, replayed });
      reply.code(201).header('location', nodeLocation('/v1/nodes/', to));
      return { zxid, from, to, ...required(copied, 'counts of a copy'), stat: required(stat, 'stat of a copy') };
    },
  );

  await app.register(async (lines) => {
    lines.removeAllContentTypeParsers();
    lines.addContentTypeParser(ndjsonTypes, (_request, payload, done) => done(null, payload));
    lines.addContentTypeParser('*', (request, _payload, done) => {
      const given = request.headers['content-type'] ?? 'none';
      const detail = `An import is NDJSON; the content type is ${given}. Send it as ${ndjsonType} (with curl: -H 'Content-Type: ${ndjsonType}' -T FILE).`;
      done(new ServiceError('UNSUPPORTED_MEDIA_TYPE', detail));
    });

    (lines as typeof app).post(
      '/import',
      {
        config: { access: 'operation', admission: 'work', timeLimit: 'none' },
        schema: {
          tags: ['nodes'],
          operationId: 'nodes.import',
          summary: 'Create nodes from lines of JSON, such as those of an export',
          querystring: importQuery,
          body: { content: { [ndjsonType]: { schema: onlyDescribed(importBody) } } },
          response: {
            200: {
              description: 'All lines are imported, chunk by chunk; or, in a dry run, none.',
              content: { 'application/json': { schema: importResponse } },
            },
            ...problems(
              'BAD_REQUEST',
              'INVALID_PATH',
              'FORBIDDEN',
              'RESERVED_PATH',
              'NO_PARENT',
              'NODE_EXISTS',
              'NO_CHILDREN_FOR_EPHEMERALS',
              'TOO_LARGE',
              'UNSUPPORTED_MEDIA_TYPE',
              'QUOTA_EXCEEDED',
              'IDEMPOTENCY_KEY_REUSED',
              'TOO_MANY_REQUESTS',
              'STORE_UNAVAILABLE',
              'STORE_FULL',
            ),
          },
        } satisfies FastifyZodOpenApiSchema,
      },
      async (request, reply) => {
        const { onConflict, dryRun = false, parents = false, path } = request.query;
        const to = path === undefined ? undefined : withoutTrailingSlash(path);
        if (to !== undefined) refusePath(to, newPathProblem(to));
        const source: unknown = request.body;
        if (!(source instanceof Readable))
          throw new ServiceError('BAD_REQUEST', 'The body is empty; give a node on each line.');
        const { clientKey } = request;
        const reason = limit.acquire(clientKey);
        if (reason) throw refuse('imports', reason, clientKey, limit);
        reply.raw.once('close', () => limit.release(clientKey));
        const { result, zxid, replayed } = await importNodes(source, {
          onConflict,
          dryRun,
          parents,
          to,
          idempotency: dryRun ? undefined : idempotencyOf(request),
          maxNodeBytes: broker.config.maxNodeBytes,
          limits: importLimits,
          countLine: (bytes) => request.countLine(bytes),
          requireNode: (node) => {
            // Whether a node has the same content tells what is in it.
            request.require('write', 'nodes', node);
            request.require('read', 'nodes', node);
          },
          write: async (ops, bytes, idempotency) => {
            // An import may last for any time.
            await request.recheckAccess();
            await request.waitForRates(bytes);
            const weight = 1 + Math.floor(Math.max(bytes / bytesPerWeight, ops.length / nodesPerWeight));
            const options = { idempotency, creator: request.account?.creator, trial: dryRun };
            if (!parents) return request.withPermit(weight, () => namespace.write(ops, options));
            const { steps, resultsOf, errorOf } = permittedWrites<Step>(request, ops);
            try {
              const written = await request.withPermit(weight, () => namespace.write(steps, options));
              return { ...written, results: resultsOf(written.results) };
            } catch (error) {
              throw errorOf(error);
            }
          },
        });
        setOutcomeHeaders(reply, { zxid, replayed });
        return result;
      },
    );
  });
};

/** @throws ServiceError INVALID_PATH, BAD_REQUEST */
function checkPlaces(from: string, to: string): void {
  refusePath(from, pathProblem(from));
  refusePath(to, newPathProblem(to));
  if (from === '/') throw new ServiceError('BAD_REQUEST', 'The root cannot be copied or moved; copy its children.');
  if (to === from || to.startsWith(`${from}/`)) {
    throw new ServiceError(
      'BAD_REQUEST',
      `${shownPath(to)} is ${shownPath(from)} or below it; a node cannot be copied into itself.`,
    );
  }
}

function refusePath(path: string, problem: string | undefined): void {
  if (problem) throw new ServiceError('INVALID_PATH', `${shownPath(path)}: ${problem}.`, { path });
}
