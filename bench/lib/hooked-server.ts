// The whole server with two more routes, whose handlers are those of the bare one (bare-server.ts): what they cost more is the cost of
// the hooks and plugins.
import { subscribe } from 'node:diagnostics_channel';
import type { FastifyInstance } from 'fastify';
import { rawBody } from '../../src/http/raw-content.ts';
import { nodeData } from './workload.ts';

const config = { access: 'identity', admission: 'work', timeLimit: 'write', takesBytes: true } as const;

async function bareRoutes(app: FastifyInstance): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.get('/constant', { config, schema: { operationId: 'bench.constant' } }, async () => nodeData);
  const discard = { operationId: 'bench.discard', body: rawBody };
  app.post('/discard', { config, schema: discard }, async () => ({ ok: true }));
}

subscribe('fastify.initialization', (message) => {
  const { fastify: app } = message as { fastify: FastifyInstance };
  const ready = app.ready.bind(app);
  // The application adds its plugins and routes before it calls ready(): these come last, and so get every hook.
  Object.assign(app, {
    ready: () => {
      Object.assign(app, { ready });
      app.register(bareRoutes);
      return ready();
    },
  });
});

await import('../../src/main.ts');
