// The pages that show the OpenAPI document. Their packages are a fifth of the program's code, so routes/docs.ts imports this file for
// the first reader only.
import Fastify, { type FastifyInstance } from 'fastify';
import { schemaController } from './plugins/validation.ts';

/** An application that serves the pages below /docs by `inject`; it never listens. @param document the OpenAPI document */
export async function openDocsPages(document: object): Promise<FastifyInstance> {
  const app = Fastify({ logger: false, schemaController });
  // One after the other: loading a package blocks the event loop, and other requests are served between the two.
  const { default: fastifySwagger } = await import('@fastify/swagger');
  const { default: fastifySwaggerUi } = await import('@fastify/swagger-ui');
  await app.register(fastifySwagger, { mode: 'static', specification: { document: document as never } });
  await app.register(fastifySwaggerUi, { routePrefix: '/docs' });
  await app.ready();
  return app;
}
