// GET /v1/events: what happened last on the tree.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { eventsLimitDefault, eventsQuery, eventsResponse } from '../../../schemas/events.ts';
import type { Broker } from '../../broker/broker.ts';
import { eventsBefore } from '../../broker/watches/event-history.ts';
import { ServiceError } from '../../core/service-error.ts';
import { pathProblem, shownPath, withoutTrailingSlash } from '../../core/tree/path.ts';
import { problems } from '../problems.ts';

export const eventsRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Pick<Broker, 'store'> }> = async (
  app,
  { broker },
) => {
  const { events } = broker.store;

  app.get(
    '/events',
    {
      config: { access: 'operation', admission: 'work', timeLimit: 'read', readsRecords: true },
      schema: {
        tags: ['watches'],
        operationId: 'events.list',
        summary: 'List past transactions on the tree, the newest first',
        querystring: eventsQuery,
        response: {
          200: {
            description: 'A page of transactions, with the changes that the caller may see.',
            headers: z.object({
              'weir-zxid': z.int().describe('The newest zxid that the response reflects.'),
            }),
            content: { 'application/json': { schema: eventsResponse } },
          },
          ...problems('BAD_REQUEST', 'INVALID_PATH', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { before = Number.MAX_SAFE_INTEGER, limit = eventsLimitDefault, data = false } = request.query;
      const path = withoutTrailingSlash(request.query.path ?? '/');
      const problem = pathProblem(path);
      if (problem) throw new ServiceError('INVALID_PATH', `${shownPath(path)}: ${problem}.`, { path });
      // Without a path it is a list, which has what the caller may see.
      if (request.query.path !== undefined) request.require('read', 'nodes', path);
      const newest = await events.newestZxid();
      const mayRead = (changed: string) => request.may('read', 'nodes', changed);
      const page = await eventsBefore(events, { path, before, limit, data, mayRead });
      reply.header('weir-zxid', newest);
      return page;
    },
  );
};
