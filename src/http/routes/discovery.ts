// / and /v1: what a client sees that knows only the address.
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import type { z } from 'zod';
import { noQuery } from '../../../schemas/common.ts';
import { resourcesResponse, rootResponse } from '../../../schemas/discovery.ts';
import type { Broker } from '../../broker/broker.ts';
import { packageVersion } from '../../config/config.ts';
import { jsonType, preferredType } from '../media-types.ts';

const docs = '/docs';
const console = '/console/';
const openapi = '/openapi.json';
const htmlType = 'text/html';

const root: z.output<typeof rootResponse> = {
  name: 'Weirkeeper',
  api: '/v1',
  docs,
  guide: '/docs/guide/',
  openapi,
  health: '/health/ready',
  metrics: '/metrics',
};

/** To be registered before the routes that /v1 lists. */
const discovery: FastifyPluginAsyncZodOpenApi<{ broker: Pick<Broker, 'config' | 'registration'> }> = async (
  app,
  { broker },
) => {
  const { config, registration } = broker;
  const methodsOf = new Map<string, Record<string, string>>();
  app.addHook('onRoute', ({ method, url, schema }) => {
    const { summary } = (schema ?? {}) as { summary?: string };
    if (!url.startsWith('/v1/') || summary === undefined) return;
    const path = url.replace(/:(\w+)/g, '{$1}').replace('*', '{path}');
    const methods = methodsOf.get(path) ?? {};
    for (const name of [method].flat()) if (name !== 'HEAD') methods[name] = summary;
    methodsOf.set(path, methods);
  });

  app.get(
    '/v1',
    {
      config: { access: 'identity', admission: 'always', timeLimit: 'none' },
      schema: {
        tags: ['operation'],
        operationId: 'resources.list',
        summary: 'List the resources of the API',
        querystring: noQuery,
        response: {
          200: { description: 'All of them.', content: { 'application/json': { schema: resourcesResponse } } },
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async () => {
      const resources = [...methodsOf].map(([path, methods]) => ({ path, methods }));
      return {
        version: packageVersion(),
        brokerId: registration.session ? registration.brokerId : null,
        docs,
        openapi,
        resources,
      };
    },
  );

  app.get(
    '/',
    {
      config: { access: 'open', admission: 'always', timeLimit: 'none' },
      schema: {
        tags: ['operation'],
        operationId: 'root.get',
        summary: 'Find the API and its documentation',
        querystring: noQuery,
        response: {
          200: { description: 'Where things are.', content: { 'application/json': { schema: rootResponse } } },
          303: {
            description:
              'A client that prefers HTML is led to the console, or to the documentation if the console is off.',
          },
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      reply.header('vary', 'accept');
      if (preferredType(request, [jsonType, htmlType]) === htmlType)
        return reply.redirect(config.console === 'off' ? docs : console, 303);
      return root;
    },
  );
};

export const discoveryRoutes = fp(discovery, { name: 'discovery', fastify: '5.x' });
