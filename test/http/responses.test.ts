// Rules for all responses and requests: what a cache may store, and durations that are too small by mistake.
import { connect } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
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
    const answer = await http(url + path, method, undefined, headers);
    t.equal(answer.headers.get('cache-control'), control, `${method} ${path}: ${answer.status}`);
  }
  const { host, port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(`GET / HTTP/9.9\r\nHost: ${host}\r\n\r\n`);
  let received = '';
  for await (const chunk of socket) received += String(chunk);
  t.match(received, /^HTTP\/1\.1 400 [\s\S]*cache-control: no-store/i, 'also what could not be read');
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
