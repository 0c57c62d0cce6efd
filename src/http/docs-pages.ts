// The pages that show the OpenAPI document. Their packages are a fifth of the program's code, so routes/docs.ts imports this file for
// the first reader only.
import type { FastifySwaggerUiOptions } from '@fastify/swagger-ui';
import Fastify, { type FastifyInstance } from 'fastify';
import { schemaController } from './plugins/validation.ts';

/** What gives the pages our name and colours. */
export interface DocsTheme {
  logo: Buffer;
  script: Buffer;
  stylesheet: Buffer;
}

/**
 * An application that serves the pages below /docs by `inject`; it never listens.
 * @param document the OpenAPI document
 * @param theme without it the pages look as their package has them
 */
export async function openDocsPages(document: object, theme: DocsTheme | undefined): Promise<FastifyInstance> {
  const app = Fastify({ logger: false, schemaController });
  // One after the other: loading a package blocks the event loop, and other requests are served between the two.
  const { default: fastifySwagger } = await import('@fastify/swagger');
  const { default: fastifySwaggerUi } = await import('@fastify/swagger-ui');
  await app.register(fastifySwagger, { mode: 'static', specification: { document: document as never } });
  await app.register(fastifySwaggerUi, { routePrefix: '/docs', ...(theme && optionsOf(theme)) });
  await app.ready();
  return app;
}

function optionsOf({ logo, script, stylesheet }: DocsTheme): Pick<FastifySwaggerUiOptions, 'theme' | 'logo'> {
  const type = 'image/svg+xml';
  return {
    logo: { type, content: logo, href: '/', target: '_self' },
    theme: {
      title: 'Weirkeeper API',
      favicon: [{ filename: 'logo.svg', rel: 'icon', sizes: 'any', type, content: logo }],
      js: [{ filename: 'api-theme.js', content: script.toString() }],
      css: [{ filename: 'api-theme.css', content: stylesheet.toString() }],
    },
  };
}
