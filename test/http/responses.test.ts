// Rules for all responses and requests: what a cache may store, and durations that are too small by mistake.
import t from 'tap';
import { WebSocket } from 'ws';
import { defaultLimits } from '../../src/app.ts';
import { defaultHttpTimeouts } from '../../src/http/limits.ts';
import { openRaw, rawRequest, responsesIn } from '../helpers/raw-connection.ts';
import { http, startTestServer } from '../helpers/server.ts';

const { url } = await startTestServer(t, { sessionMinTtlMs: 1000 });
await http(`${url}/v1/topics`, 'POST', { name: 'cached', partitions: 1 });

t.test('no response is served from a cache without revalidation', async (t) => {
  await http(`${url}/v1/nodes/a`, 'PUT', 'x');
  const tag = (await http(`${url}/v1/nodes/a`)).headers.get('etag')!;
  const cases: [method: string, path: string, control: string, headers?: Record<string, string>][] = [
    ['GET', '/v1/nodes/a', 'no-cache'],
    ['GET', '/v1/nodes/a?view=stat', 'no-cache'],
    ['GET', '/v1/nodes/a', 'no-cache', { 'if-none-match': tag }],
    ['GET', '/v1/nodes/a?view=tree', 'no-store'],
    ['HEAD', '/v1/nodes/a', 'no-cache'],
    ['GET', '/v1/topics', 'no-store'],
    ['GET', '/v1/topics/cached', 'no-store'],
    ['GET', '/v1/topics/cached/partitions/0/records', 'no-store'],
    ['GET', '/v1/topics/none', 'no-store'],
    ['GET', '/v1/cluster', 'no-store'],
    ['GET', '/v1/groups', 'no-store'],
    ['POST', '/v1/sessions', 'no-store'],
    ['DELETE', '/v1/nodes/none', 'no-store'],
    ['GET', '/v1/nodes/a//b', 'no-store'],
    ['PATCH', '/v1/nodes/a', 'no-store'],
    ['GET', '/health/live', 'no-store'],
    ['GET', '/health/ready', 'no-store'],
    ['GET', '/metrics', 'no-store'],
    ['GET', '/nothing', 'no-store'],
    ['GET', '/v1/watch/a?since=x', 'no-store'],
  ];
  for (const [method, path, control, headers] of cases) {
    const response = await http(url + path, method, undefined, headers);
    t.equal(response.headers.get('cache-control'), control, `${method} ${path}: ${response.status}`);
  }
});

t.test('every refusal has a request id and is stored by no cache, however early it comes', async (t) => {
  const impatient = await startTestServer(t, { maxBodyBytes: 1024, maxNodeBytes: 1024 }, undefined, {
    ...defaultLimits,
    timeouts: { ...defaultHttpTimeouts, headMs: 300, bodyIdleMs: 300, checkIntervalMs: 50 },
  });
  const host = `Host: ${new URL(impatient.url).host}`;
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGVhIHRlYSB0ZWEgdGVhIQ=='];
  const cases: [lines: string[], status: number, body: RegExp][] = [
    [['GET /v1/nodes/50% HTTP/1.1', host, '', ''], 400, /The path of the URL has/],
    [['PUT /v1/nodes/caf%E9?x=1 HTTP/1.1', host, 'Content-Length: 1', '', 'x'], 400, /not UTF-8/],
    [['GET /%zz HTTP/1.1', host, ...upgrade, 'Sec-WebSocket-Version: 13', '', ''], 400, /The path of the URL has/],
    [['OPTIONS * HTTP/1.1', host, '', ''], 404, /NOT_FOUND/],
    [['GET /nothing HTTP/1.1', host, '', ''], 404, /NOT_FOUND/],
    [['PROPFIND /v1/nodes/a HTTP/1.1', host, '', ''], 405, /METHOD_NOT_ALLOWED/],
    [['PUT /v1/nodes/a HTTP/1.1', host, 'Content-Length: 2000', '', ''], 413, /TOO_LARGE/],
    [['PUT /v1/nodes/a HTTP/1.1', host, 'Content-Length: 2', '', 'x'], 408, /REQUEST_TIMEOUT/],
    [['GET /v1/nodes/a HTTP/1.1', host, ''], 408, /REQUEST_TIMEOUT/],
    [[`GET /v1/nodes/${'a'.repeat(20_000)} HTTP/1.1`, host, '', ''], 413, /TOO_LARGE/],
    [['GET /v1/nodes/a HTTP/1.1', host, `X-Long: ${'a'.repeat(20_000)}`, '', ''], 413, /TOO_LARGE/],
    [['GET / HTTP/9.9', host, '', ''], 400, /not a valid HTTP/],
    [['PUT /v1/nodes/a HTTP/1.1', host, 'Expect: tea', 'Content-Length: 1', '', 'x'], 400, /Expect: tea/],
    [['GET /v1/nodes/a HTTP/1.1', host, ...upgrade, 'Sec-WebSocket-Version: 13', '', ''], 400, /takes no WebSocket/],
    [['GET /v1/watch HTTP/1.1', host, ...upgrade, 'Sec-WebSocket-Version: 7', '', ''], 400, /Version is 7/],
  ];
  for (const [lines, status, body] of cases) {
    const name = lines[0]!.slice(0, 60);
    const connection = openRaw(t, impatient.url);
    connection.send(...lines);
    await connection.receives(/\r\n\r\n\{.*\}/);
    const response = responsesIn(connection.received())[0]!;
    connection.socket.destroy();
    t.match(response, { status, body }, name);
    for (const header of [
      /^content-type: application\/problem\+json/im,
      /^cache-control: no-store\r$/im,
      /^x-request-id: [0-9a-f-]{36}\r$/im,
    ]) {
      t.match(response.head, header, name);
    }
  }
});

t.test('a URL that cannot be decoded is refused like any other request', async (t) => {
  const own = await startTestServer(t, { corsOrigins: ['https://app.example'] });
  const head = ['GET /v1/nodes/50% HTTP/1.1', 'Origin: https://app.example', 'X-Request-Id: mine'];
  const { head: headers } = await rawRequest(t, own.url, head);
  t.match(headers, /^access-control-allow-origin: https:\/\/app\.example\r$/im, 'its page can read the reason');
  t.match(headers, /^x-request-id: mine\r$/im);
  const metrics = (await http(`${own.url}/metrics`)).body as string;
  t.match(metrics, /http_request_duration_seconds_count\{method="GET",route="none",status="400"/, 'it is counted');
});

t.test(
  'a duration in ms below the minimum is refused as a mistake, and a duration with a unit is clamped',
  async (t) => {
    const session = (ttl: unknown) => http(`${url}/v1/sessions`, 'POST', { ttl });
    for (const ttl of [30, '30', 999]) {
      const detail = new RegExp(`ttl is ${ttl}, .* in ms; the least is 1000 ms; did you mean "${ttl}s"\\?`);
      t.match(await session(ttl), { status: 400, body: { code: 'BAD_REQUEST', detail, minMs: 1000 } }, String(ttl));
    }
    t.match((await session(0)).body.detail, /the least is 1000 ms\.$/);
    for (const [ttl, ttlMs] of [
      ['30ms', 1000],
      ['0s', 1000],
      [1000, 1000],
      ['1500', 1500],
      [999_999_999_999, 86_400_000],
    ] as const) {
      t.match(await session(ttl), { status: 201, body: { ttlMs } }, String(ttl));
    }
    const join = (times: object) => http(`${url}/v1/groups/g/members`, 'POST', { topics: ['cached'], ...times });
    t.match((await join({ sessionTimeout: 45 })).body.detail, /^sessionTimeout is 45, .*did you mean "45s"\?$/);
    t.match((await join({ rebalanceTimeout: 60 })).body.detail, /^rebalanceTimeout is 60, .*did you mean "60s"\?$/);
    t.match(await join({ sessionTimeout: '45ms' }), { status: 201, body: { sessionTimeoutMs: 1000 } });
    const ws = new WebSocket(`${url.replace('http', 'ws')}/v1/groups/g/stream?topics=cached&sessionTimeout=45`);
    const [frame] = await new Promise<any[]>((resolve) => ws.once('message', (...args) => resolve(args)));
    t.match(JSON.parse(String(frame)), { type: 'error', code: 'BAD_REQUEST', detail: /did you mean "45s"/ });
    ws.terminate();
  },
);
