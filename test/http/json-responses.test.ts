// How JSON is written, and what a client finds that knows only the address.
import t from 'tap';
import { prettyBytesMax } from '../../src/http/plugins/json-responses.ts';
import { http, startTestServer } from '../helpers/server.ts';

const { url } = await startTestServer(t);
const textOf = async (path: string, init?: RequestInit) => (await fetch(url + path, init)).text();

t.test('every JSON response ends with a line feed, and stored data stay as they are', async (t) => {
  await http(`${url}/v1/nodes/n`, 'PUT', '{"a":1}', { 'content-type': 'application/json' });
  await http(`${url}/v1/topics`, 'POST', { name: 't' });
  await http(`${url}/v1/groups/g/members`, 'POST', { memberId: 'm', topics: ['t'] });
  const paths = [
    ...['/', '/v1', '/v1/nodes/n?view=node', '/v1/nodes/?view=tree', '/v1/nodes/none', '/v1/topics/t', '/none'],
    ...['/v1/topics/t/partitions/0/records', '/v1/nodes/a//b', '/v1/cluster?no', '/health/live', '/openapi.json'],
  ];
  for (const path of paths) t.match(await textOf(path), /^\{.*[^\n]\n$/s, path);
  t.equal(await textOf('/v1/nodes/n'), '{"a":1}');
  t.equal(await textOf('/v1/nodes/n?pretty'), '{"a":1}');
});

t.test('?pretty indents every JSON response, and changes no number', async (t) => {
  await http(`${url}/v1/topics`, 'POST', { name: 'p' });
  const big = '{"records":[{"key":"k","value":{"n":12345678901234567890,"none":[],"list":[1,{"a":"\\"}]"}]}}]}';
  await http(`${url}/v1/topics/p/records`, 'POST', big, { 'content-type': 'application/json' });
  const fetched = await textOf('/v1/topics/p/partitions/0/records?pretty');
  t.match(fetched, /\n {8}"n": 12345678901234567890,\n {8}"none": \[\],\n {8}"list": \[\n {10}1,\n {10}\{\n/);
  t.ok(fetched.endsWith('\n}\n'));
  for (const [path, expected] of [
    ['/health/live?pretty', '{\n  "status": "ok"\n}\n'],
    ['/health/live?pretty=true', '{\n  "status": "ok"\n}\n'],
    ['/health/live?pretty=false', '{"status":"ok"}\n'],
  ] as const) {
    t.equal(await textOf(path), expected, path);
  }
  t.match(await textOf('/v1/nodes/none?pretty'), /^\{\n {2}"type": "\/docs\/errors#NO_NODE",\n/);
  const created = await fetch(`${url}/v1/sessions?pretty`, { method: 'POST' });
  t.match(await created.text(), /^\{\n {2}"id": /, 'of requests of any method');
  t.match(await http(`${url}/v1/cluster?pretty=2`), { status: 400, body: { detail: /pretty must be true or false/ } });
  const [plain, indented] = await Promise.all(
    ['', '?pretty'].map((query) => fetch(`${url}/v1/cluster${query}`, { method: 'HEAD' })),
  );
  t.ok(Number(indented?.headers.get('content-length')) > Number(plain?.headers.get('content-length')));
});

t.test('a response above 1 MiB is not indented', async (t) => {
  await http(`${url}/v1/topics`, 'POST', { name: 'large' });
  const body = { records: [{ value: 'x'.repeat(prettyBytesMax / 2) }] };
  for (let i = 0; i < 3; i++) await http(`${url}/v1/topics/large/records`, 'POST', body);
  const target = '/v1/topics/large/partitions/0/records?pretty&maxBytes=4194304&maxRecords=';
  t.match((await textOf(`${target}1`)).slice(0, 20), /^\{\n {2}"topic"/);
  t.match((await textOf(`${target}3`)).slice(0, 20), /^\{"topic"/);
});

t.test('GET /v1 lists every resource with what its methods do', async (t) => {
  const { body: document } = await http(`${url}/openapi.json`);
  const { body } = await http(`${url}/v1`);
  t.match(body, { version: /^\d+\.\d+\.\d+/, docs: '/docs', openapi: '/openapi.json' });
  const listed = body.resources.flatMap(({ path, methods }: any) =>
    Object.entries(methods).map(([method, summary]) => `${method} ${path}: ${summary}`),
  );
  const described = Object.entries<any>(document.paths)
    .filter(([path]) => path.startsWith('/v1/'))
    .flatMap(([path, operations]) =>
      Object.entries<any>(operations).map(([method, { summary }]) => `${method.toUpperCase()} ${path}: ${summary}`),
    );
  t.same(listed.sort(), described.sort());
});

t.test('the address alone leads a browser to the console, and others to the API', async (t) => {
  const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
  for (const accept of [browser, 'text/html', 'application/json;q=0.5, text/html']) {
    const response = await fetch(`${url}/`, { headers: { accept }, redirect: 'manual' });
    t.equal(response.status, 303, accept);
    t.equal(response.headers.get('location'), '/console/');
    t.equal(response.headers.get('vary'), 'accept');
  }
  for (const accept of ['*/*', 'application/json', 'text/html;q=0.5, application/json', 'text/html;q=0, */*']) {
    const { status, body } = await http(`${url}/`, 'GET', undefined, { accept });
    t.equal(status, 200, accept);
    t.match(body, { name: 'Weirkeeper', api: '/v1', docs: '/docs', openapi: '/openapi.json' });
  }
});
