// Which web pages may use the service, and what the error tells the others: most of those are the user's own, behind a proxy.
import { once } from 'node:events';
import { pino } from 'pino';
import t from 'tap';
import { startServer } from '../../../src/server.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { freePort } from '../../../testbed/scope.ts';
import { writePolicy } from '../../helpers/access.ts';
import { openRaw, rawRequest } from '../../helpers/raw-connection.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, http, startTestServer, testConfig } from '../../helpers/server.ts';

const lines: { origin?: string; msg: string }[] = [];
const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
const { socketPath } = await startTestRedis(t);
const server = await startServer({ ...testConfig, corsOrigins: ['https://good.example'] }, { socketPath }, log);
t.teardown(() => server.close());
const { url } = server;

const ask = (...headers: string[]) => rawRequest(t, url, ['GET /v1/nodes/?view=stat HTTP/1.1', ...headers]);

t.test('a page of another origin is refused, with the setting that would allow it', async (t) => {
  const cases: [headers: string[], said: RegExp][] = [
    [
      ['Origin: https://app.example', 'Sec-Fetch-Site: same-origin'],
      /Host is 127\.0\.0\.1:\d+: a proxy between has replaced it; have it pass Host on .*Else WEIR_CORS_ORIGINS/,
    ],
    [
      ['Origin: https://app.example'],
      /If a proxy serves both as one origin, have it pass Host on .*; else WEIR_CORS_ORIGINS=https:\/\/app\.example/,
    ],
    [
      ['Origin: https://evil.example', 'Sec-Fetch-Site: cross-site'],
      /may not use this service, which was asked as [^;]*; WEIR_CORS_ORIGINS=/,
    ],
    [['Origin: null'], /Pages of null/],
  ];
  for (const [headers, said] of cases) {
    const { status, body } = await ask(...headers);
    t.match({ status, body }, { status: 403, body: said }, headers.join());
  }
  t.equal((await ask('Origin: https://good.example', 'Sec-Fetch-Site: cross-site')).status, 200);
  t.equal(
    (await ask('Host: LOCALHOST:1', 'Origin: http://localhost:1')).status,
    200,
    'its own one, however Host is spelt',
  );
});

t.test('a foreign origin is counted, and logged once with the remedy, in bounded memory', async (t) => {
  t.match((await http(`${url}/metrics`)).body, /weir_origins_refused_total 4/);
  const about = () => lines.filter(({ origin }) => origin !== undefined);
  t.same(
    about().map(({ origin }) => origin),
    ['https://app.example', 'https://evil.example', 'null'],
  );
  t.match(about()[0]!.msg, /WEIR_CORS_ORIGINS can allow it; .*pass Host on/);
  for (let i = 0; i < 150; i++) await ask(`Origin: https://evil-${i}.example`);
  t.equal(about().length, 100);
  t.match(about().at(-1)!.msg, /further values are not logged/);
});

t.test('the response to a preflight names what a page may send, whatever it asks for', async (t) => {
  const asked = { 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-evil, weir-session' };
  const { status, headers } = await http(`${url}/v1/nodes/a`, 'OPTIONS', undefined, {
    origin: 'https://good.example',
    ...asked,
  });
  t.equal(status, 204);
  const allowed = headers.get('access-control-allow-headers')?.toLowerCase().split(', ') ?? [];
  t.notOk(allowed.includes('x-evil'));
  const { paths } = (await http(`${url}/openapi.json`)).body as { paths: Record<string, Record<string, any>> };
  const { components } = (await http(`${url}/openapi.json`)).body;
  const all = Object.values(paths).flatMap((methods) =>
    Object.values(methods).flatMap(({ parameters = [] }) => parameters),
  );
  const named = all.map(({ $ref, ...own }) => ($ref ? components.parameters[$ref.split('/').at(-1)] : own));
  const documented = new Set(named.filter((each) => each.in === 'header').map(({ name }) => name.toLowerCase()));
  t.ok(documented.size > 5);
  for (const name of [...documented, 'authorization', 'content-type']) t.ok(allowed.includes(name), name);
});

t.test('a page of an allowed origin can read why it is refused, whatever refuses it', async (t) => {
  const origin = 'https://good.example';
  const isReadable = ({ headers }: { headers: Headers }) => headers.get('access-control-allow-origin') === origin;
  const redis = await startRedisNode(t, []);
  await redis.kill();
  const config = { ...testConfig, port: await freePort(), storeWaitMs: 60_000, corsOrigins: [origin] };
  const at = `http://127.0.0.1:${config.port}/v1/nodes/`;
  const starting = startServer(config, { url: `redis://127.0.0.1:${redis.port}` }, log);
  const early = await eventually(() => http(at, 'GET', undefined, { origin }).catch(() => undefined), 'it listens');
  t.equal(early.status, 503);
  t.ok(isReadable(early), 'by the start');
  const preflight = await http(at, 'OPTIONS', undefined, { origin, 'access-control-request-method': 'PUT' });
  t.equal(preflight.status, 204, 'else a page could not even ask');
  await redis.start();
  await (await starting).close();

  const policy = await writePolicy(t, ['a'], 'allow: []\n');
  const closed = await startTestServer(t, { accessFile: policy.file, corsOrigins: [origin] });
  const unknown = await http(`${closed.url}/v1/nodes/`, 'GET', undefined, { origin });
  t.equal(unknown.status, 401);
  t.ok(isReadable(unknown), 'by the policy');
  const foreign = await http(`${closed.url}/v1/nodes/`, 'GET', undefined, { origin: 'https://evil.example' });
  t.notOk(foreign.headers.has('access-control-allow-origin'));
  const full = await startTestServer(t, { maxConnections: 10, addressShare: 1, corsOrigins: [origin] });
  const idle = Array.from({ length: 10 }, () => openRaw(t, full.url));
  await Promise.all(idle.map(({ socket }) => once(socket, 'connect')));
  const refused = await rawRequest(t, full.url, ['GET /v1/nodes/ HTTP/1.1', `Origin: ${origin}`]);
  t.equal(refused.status, 429);
  t.match(refused.head.toLowerCase(), `access-control-allow-origin: ${origin}`, 'by the limit of connections');
  const asked = ['OPTIONS /v1/nodes/ HTTP/1.1', `Origin: ${origin}`, 'Access-Control-Request-Method: PUT'];
  const unhindered = await rawRequest(t, full.url, asked);
  t.equal(unhindered.status, 204, 'the preflight of such a request is answered');
  t.match(unhindered.head.toLowerCase(), /connection: close/);
});
