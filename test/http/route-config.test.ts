import Fastify from 'fastify';
import t from 'tap';
import { routeConfig } from '../../src/http/route-config.ts';

t.test('the server does not start with a route that lacks a required declaration', async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  await app.register(routeConfig);
  const schema = { operationId: 'things.get' };
  const handler = async () => 'ok';
  for (const [url, options] of [
    ['/v1/things', {}],
    ['/v1/things', { schema }],
    ['/things', { schema }],
    ['/v1/things', { schema, config: { access: 'open', admission: 'work' } }],
    ['/v1/things', { schema, config: { access: 'open', timeLimit: 'read' } }],
    ['/v1/things', { schema, config: { admission: 'work', timeLimit: 'read' } }],
    ['/v1/things', { config: { access: 'open', admission: 'work', timeLimit: 'read' } }],
  ] as const) {
    t.throws(() => app.get(url, options, handler), /must declare/, `${url} ${JSON.stringify(options)}`);
  }
  app.get('/v1/things', { schema, config: { access: 'open', admission: 'work', timeLimit: 'read' } }, handler);
  app.get('/docs/things', handler);
  await app.ready();
});
