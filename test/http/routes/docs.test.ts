// The pages below /docs as they are served: the API, the guide, and the error codes.
import t from 'tap';
import { writePolicy } from '../../helpers/access.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const policy = await writePolicy(t, ['reader', 'nobody'], 'allow:\n  - who: reader\n    read: [docs]\n');
const { url } = await startTestServer(t, { accessFile: policy.file });
const as = (identity: 'reader' | 'nobody', path: string, headers: Record<string, string> = {}) =>
  fetch(`${url}${path}`, { headers: { ...policy.as(identity), ...headers }, redirect: 'manual' });

t.test('the guide is for those who may read the docs', async (t) => {
  for (const path of ['/docs/guide/', '/docs/guide/concepts', '/docs/guide', '/docs']) {
    t.equal((await http(`${url}${path}`)).status, 401, path);
    t.equal((await as('nobody', path)).status, 403, path);
  }
  const { status, headers } = await as('reader', '/docs/guide/concepts');
  t.equal(status, 200);
  t.equal(headers.get('content-type'), 'text/html; charset=utf-8');
  const rules = headers.get('content-security-policy') ?? '';
  t.match(rules, /^default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; /);
  t.notMatch(rules, 'unsafe');
});

t.test('a page is checked for a newer one each time, and its files never change', async (t) => {
  const page = await as('reader', '/docs/guide/console');
  t.equal(page.headers.get('cache-control'), 'no-cache');
  const etag = page.headers.get('etag') ?? '';
  t.equal((await as('reader', '/docs/guide/console', { 'if-none-match': etag })).status, 304);
  const html = await page.text();
  const files = [...html.matchAll(/ (?:src|href|data-index)="(assets\/[^"]+)"/g)].map((match) => match[1]);
  for (const ending of ['.js', '.css', '.svg', '.json', '.png']) {
    const name = files.find((file) => file?.endsWith(ending));
    const { status, headers } = await as('reader', `/docs/guide/${name}`);
    t.equal(status, 200, `${name}`);
    t.equal(headers.get('cache-control'), 'public, max-age=31536000, immutable');
  }
});

t.test('a page comes compressed, as the browser takes it', async (t) => {
  for (const encoding of ['br', 'gzip', null]) {
    const { headers } = await as('reader', '/docs/guide/http', { 'accept-encoding': encoding ?? 'identity' });
    t.equal(headers.get('content-encoding'), encoding);
    t.equal(headers.get('vary'), 'accept-encoding');
  }
});

t.test('a page is also found as its file is called', async (t) => {
  for (const [path, location] of [
    ['', '/'],
    ['/GLOSSARY.md', '/glossary'],
    ['/security.md', '/security'],
    ['/incidents/README.md', '/incidents/'],
    ['/concepts/', '/concepts'],
  ] as const) {
    const response = await as('reader', `/docs/guide${path}`);
    t.equal(response.status, 308, path);
    t.equal(response.headers.get('location'), `/docs/guide${location}`);
  }
  for (const path of ['/docs/guide/none', '/docs/guide/concepts.html', '/docs/guide/..%2f..%2fpackage.json'])
    t.equal((await as('reader', path)).status, 404, path);
});

t.test('every error code is explained on a page of the guide', async (t) => {
  const html = await (await as('reader', '/docs/errors')).text();
  t.match(html, 'id="NO_NODE"');
  t.match(html, 'href="guide/concepts"');
});

t.test('the page of the API has the name and the logo of the project', async (t) => {
  const html = await (await as('reader', '/docs')).text();
  t.match(html, '<title>Weirkeeper API</title>');
  t.notMatch(html, /swagger ui|favicon-/i);
  const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
  for (const name of ['logo.svg', 'api-theme.js', 'api-theme.css'])
    t.ok(files.includes(`/docs/static/theme/${name}`), name);
  for (const file of files) t.equal((await as('reader', file)).status, 200, file);
});
