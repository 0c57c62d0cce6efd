// The files of the console, as they are served.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import Fastify from 'fastify';
import t, { type Test } from 'tap';
import { consoleRoutes } from '../../../src/http/routes/console.ts';
import { temporaryFolder } from '../../../testbed/scope.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const script = 'console.log(1);';

/** A server of a console with a page and a script. */
async function serve(t: Test, mode: 'on' | 'read-only' | 'off', isBuilt = true): Promise<string> {
  const folder = join(temporaryFolder(t), 'console');
  if (isBuilt) {
    mkdirSync(join(folder, 'assets'), { recursive: true });
    writeFileSync(join(folder, 'index.html'), '<meta name="weir-console" content="%CONSOLE_MODE%">');
    writeFileSync(join(folder, 'assets/main-abc.js'), script);
    writeFileSync(join(folder, 'assets/main-abc.js.gz'), gzipSync(script));
    writeFileSync(join(folder, 'assets/main-abc.js.br'), brotliCompressSync(script));
  }
  const app = Fastify();
  t.teardown(() => app.close());
  await app.register(consoleRoutes, { mode, folder });
  return app.listen({ port: 0, host: '127.0.0.1' });
}

t.test('the page is checked for a newer one each time, and runs only what the server serves', async (t) => {
  const url = await serve(t, 'on');
  const { status, headers, body } = await http(`${url}/console/`);
  t.equal(status, 200);
  t.equal(body, '<meta name="weir-console" content="on">');
  t.equal(headers.get('cache-control'), 'no-cache');
  const policy = headers.get('content-security-policy') ?? '';
  t.match(policy, "default-src 'none'; script-src 'self'; style-src 'self';");
  t.match(policy, `connect-src 'self' ${url.replace('http', 'ws')}`);
  t.notMatch(policy, 'unsafe');
  const again = await http(`${url}/console/`, 'GET', undefined, { 'if-none-match': headers.get('etag') ?? '' });
  t.equal(again.status, 304);
});

t.test('a script is served as the browser takes it, and never changes', async (t) => {
  const url = await serve(t, 'on');
  for (const [accepted, encoding] of [
    ['gzip, br', 'br'],
    ['gzip', 'gzip'],
    ['identity', null],
  ] as const) {
    const response = await fetch(`${url}/console/assets/main-abc.js`, { headers: { 'accept-encoding': accepted } });
    t.equal(await response.text(), script);
    t.equal(response.headers.get('content-encoding'), encoding, accepted);
    t.equal(response.headers.get('content-type'), 'text/javascript; charset=utf-8');
    t.equal(response.headers.get('cache-control'), 'public, max-age=31536000, immutable');
    t.equal(response.headers.get('vary'), 'accept-encoding');
  }
});

t.test('what is no file of the console is 404, and nothing else of the machine is read', async (t) => {
  const url = await serve(t, 'on');
  for (const path of ['assets/none.js', 'assets/main-abc.js.br', 'index.html', '..%2fpackage.json', 'assets/']) {
    t.equal((await http(`${url}/console/${path}`)).status, 404, path);
  }
});

t.test('a page that only reads is told so', async (t) => {
  const url = await serve(t, 'read-only');
  t.match((await http(`${url}/console/`)).body, 'content="read-only"');
});

t.test('a console that was not built says so', async (t) => {
  const url = await serve(t, 'on', false);
  const { status, body } = await http(`${url}/console/`);
  t.equal(status, 503);
  t.match(body, 'npm run build');
});

t.test('without a console browsers are led to the documentation', async (t) => {
  const { url } = await startTestServer(t, { console: 'off' });
  t.equal((await http(`${url}/console/`)).status, 404);
  const response = await fetch(url, { headers: { accept: 'text/html' }, redirect: 'manual' });
  t.equal(response.headers.get('location'), '/docs');
});

t.test('the address without its slash leads to the page', async (t) => {
  const { url } = await startTestServer(t);
  const response = await fetch(`${url}/console`, { redirect: 'manual' });
  t.equal(response.status, 308);
  t.equal(response.headers.get('location'), '/console/');
});
