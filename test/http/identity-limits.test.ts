// The limits of an identity over HTTP and on all kinds of sockets: what is refused, what waits, and whom it does not touch.
import t from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { openEventStream } from '../helpers/event-stream.ts';
import { openPipeline } from '../helpers/pipeline.ts';
import { eventually, http, metric, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const everything =
  'nodes: { "/**": [read, write, delete] }, topics: { "*": [read, write, manage] }, groups: { "*": [use] }';

async function start(t: Parameters<typeof startTestServer>[0], limits: string) {
  const policy = await writePolicy(
    t,
    ['admin', 'greedy', 'other', 'prometheus'],
    `public: [metrics]\nallow:\n  - { who: admin, admin: true }\n  - { who: greedy, ${everything}, limits: { ${limits} } }\n  - { who: other, ${everything} }\n`,
  );
  const server = await startTestServer(t, { accessFile: policy.file });
  const as =
    (identity: string) =>
    (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      http(`${server.url}${path}`, method, body, { ...policy.as(identity), ...headers });
  return { server, policy, admin: as('admin'), greedy: as('greedy'), other: as('other') };
}

t.test('requests beyond the rate get 429 with the limit, its value and the time to wait', async (t) => {
  const { greedy, other, admin, server } = await start(t, 'requests: 5/s');
  const first = await greedy('GET', '/v1/nodes/');
  t.equal(first.headers.get('ratelimit-limit'), '5');
  t.equal(first.headers.get('ratelimit-remaining'), '4');
  const refused = await eventually(async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => greedy('GET', '/v1/nodes/')));
    return all.find(({ status }) => status === 429);
  }, 'a refusal');
  t.match(refused.body, {
    code: 'TOO_MANY_REQUESTS',
    detail:
      /greedy may use 5 requests\/s \(limits\.requests in the policy\), and has used that up; nothing was done\. Try again in \d+ s/,
    limit: 'requests',
  });
  t.match(refused.headers.get('retry-after'), /^[1-9]\d*$/);
  t.equal(refused.headers.get('ratelimit-remaining'), '0');
  t.equal((await other('GET', '/v1/nodes/')).status, 200, 'another identity at the same address');
  t.equal((await admin('GET', '/v1/nodes/')).status, 200);
  t.equal((await http(`${server.url}/health/ready`)).status, 200);
  t.ok((await metric(server, 'weir_access_limited_total{identity="greedy",limit="requests"}')) > 0);
  await eventually(async () => (await greedy('GET', '/v1/nodes/')).status === 200, 'the rate lets it in again');
});

t.test('a request beyond the rate still renews its session, and renewals are never refused', async (t) => {
  const { greedy } = await start(t, 'requests: 1/s');
  const { session } = (await eventually(async () => {
    const { status, body } = await greedy('POST', '/v1/sessions', { ttl: 1500 });
    return status === 201 && body;
  }, 'a session')) as { session: string };
  const until = Date.now() + 3000;
  let refusals = 0;
  while (Date.now() < until) {
    const { status } = await greedy('GET', '/v1/nodes/', undefined, { 'weir-session': session });
    if (status === 429) refusals += 1;
  }
  t.ok(refusals > 0);
  for (let n = 0; n < 10; n += 1) {
    t.equal(
      (await greedy('PUT', '/v1/sessions/self', undefined, { 'weir-session': session })).status,
      200,
      'it is alive',
    );
  }
});

t.test('bytes count in both directions, and what was used too much is waited for', async (t) => {
  const { greedy, other } = await start(t, 'bytes: 64KiB/s');
  await other('PUT', '/v1/nodes/large', 'x'.repeat(200_000));
  t.equal((await greedy('GET', '/v1/nodes/large')).status, 200, 'the first one overdraws the rate');
  const { status, body, headers } = await greedy('GET', '/v1/nodes/large');
  t.equal(status, 429);
  t.match(body.detail, /greedy may use 65536 bytes\/s \(limits\.bytes in the policy\)/);
  t.ok(Number(headers.get('retry-after')) >= 1);
  t.equal((await other('GET', '/v1/nodes/large')).status, 200);
  await eventually(async () => (await greedy('GET', '/v1/nodes/')).status === 200, 'the time is over');
  t.equal((await greedy('PUT', '/v1/nodes/large', 'y'.repeat(200_000))).status, 200);
  t.equal((await greedy('GET', '/v1/nodes/')).status, 429, 'bodies count, too');
});

t.test('sockets, event streams and long polls count together, and are given back when they end', async (t) => {
  const { greedy, other, server, policy } = await start(t, 'sockets: 3');
  const as = policy.as('greedy');
  await greedy('PUT', '/v1/nodes/a', 'x');
  const socket = await openSocket(t, `${server.url}/v1/watch`, as);
  const stream = await openEventStream(t, `${server.url}/v1/watch/a`, as);
  await stream.message(({ data }) => data.type === 'watching', 'the stream');
  const { headers } = await greedy('GET', '/v1/nodes/a');
  const gone = new AbortController();
  const poll = http(
    `${server.url}/v1/nodes/a?wait=60s`,
    'GET',
    undefined,
    { ...as, 'if-none-match': headers.get('etag') ?? '' },
    gone.signal,
  );
  poll.catch(() => undefined);
  await eventually(async () => (await greedy('GET', '/v1/access/me')).body.limits.sockets.used === 3, 'three are open');
  const refused = await openSocket(t, `${server.url}/v1/socket`, as);
  t.match(await refused.frame({ type: 'error' }), {
    code: 'TOO_MANY_REQUESTS',
    detail: /greedy may have 3 open sockets, event streams and long polls \(limits\.sockets in the policy\), and has 3/,
  });
  t.equal(await refused.closed, 4429);
  t.equal(
    (await greedy('GET', '/v1/nodes/a?wait=1s', undefined, { 'if-none-match': headers.get('etag') ?? '' })).status,
    429,
  );
  t.equal((await greedy('GET', '/v1/nodes/a')).status, 200, 'usual requests go on');
  await openSocket(t, `${server.url}/v1/watch`, policy.as('other'));
  t.equal((await other('GET', '/v1/nodes/a')).status, 200);
  socket.ws.terminate();
  gone.abort();
  await eventually(
    async () => (await greedy('GET', '/v1/access/me')).body.limits.sockets.used === 1,
    'they are given back',
  );
});

t.test('watches on all sockets and event streams count together', async (t) => {
  const { greedy, server, policy } = await start(t, 'watches: 3');
  const as = policy.as('greedy');
  const sockets = [
    await openSocket(t, `${server.url}/v1/watch`, as),
    await openSocket(t, `${server.url}/v1/watch`, as),
  ];
  for (const socket of sockets) {
    socket.send({ type: 'watch', id: 'a', path: '/', mode: 'node' });
    await socket.frame({ type: 'watching' });
  }
  const pipeline = await openPipeline(t, server.url, { headers: as });
  t.match(await pipeline.ask({ op: 'watch', path: '/', mode: 'node' }), { ok: {} });
  const text = /greedy may have 3 watches \(limits\.watches in the policy\), and has 3/;
  t.match(await pipeline.ask({ op: 'watch', path: '/', mode: 'node' }), {
    error: { code: 'TOO_MANY_REQUESTS', detail: text },
  });
  sockets[0]!.send({ type: 'watch', id: 'b', path: '/', mode: 'node' });
  t.match(await sockets[0]!.frame({ type: 'error', id: 'b' }), { code: 'TOO_MANY_REQUESTS', detail: text });
  t.match((await greedy('GET', '/v1/watch/')).body, { code: 'TOO_MANY_REQUESTS', detail: text });
  sockets[1]!.send({ type: 'unwatch', id: 'a' });
  await sockets[1]!.frame({ type: 'unwatched' });
  t.match(await pipeline.ask({ op: 'watch', path: '/', mode: 'node' }), { ok: {} }, 'one was given back');
});

t.test('each frame of a watch socket counts; one beyond the rate is refused by its id', async (t) => {
  const { server, policy } = await start(t, 'requests: 5/s');
  const socket = await openSocket(t, `${server.url}/v1/watch`, policy.as('greedy'));
  for (let n = 0; n < 20; n += 1) socket.send({ type: 'watch', id: `w${n}`, path: '/', mode: 'node' });
  socket.send({ type: 'ping' });
  t.match(await socket.frame({ type: 'error', id: 'w19' }), { code: 'TOO_MANY_REQUESTS', limit: 'requests' });
  await socket.frame({ type: 'pong' });
  await socket.frame({ type: 'watching' });
});

t.test(
  'each request of a pipelined socket counts; the socket is not read, nothing is lost, and the client is told',
  async (t) => {
    const { server, policy, other, greedy } = await start(t, 'requests: 40/s');
    const pipeline = await openPipeline(t, server.url, { headers: policy.as('greedy') });
    const began = performance.now();
    const request = (n: number) => ({ id: n, op: 'create', path: `/n${n}` });
    pipeline.send(Array.from({ length: 100 }, (_, n) => request(n + 1)));
    for (let n = 101; n <= 120; n += 1) pipeline.send(request(n));
    const told = await pipeline.event('throttled');
    t.match(told, { code: 'TOO_MANY_REQUESTS', limit: 'requests', detail: /greedy may use 40 requests\/s/ });
    t.ok(told.retryAfterMs > 0);
    t.equal((await greedy('GET', '/v1/nodes/')).status, 429, 'its rate is that of the identity');
    t.equal((await other('GET', '/v1/nodes/')).status, 200);
    t.match(await pipeline.response(120), { ok: {} }, 'the last one is carried out');
    t.ok(performance.now() - began >= 1000, '120 requests take 40 at once and the rest at 40 a second');
    t.same(
      pipeline.received.filter(({ id }) => id !== undefined).map(({ id }) => id),
      Array.from({ length: 120 }, (_, n) => n + 1),
      'in order',
    );
  },
);

t.test('bytes of a pipelined socket count, received and sent', async (t) => {
  const { server, policy, other } = await start(t, 'bytes: 256KiB/s');
  await other('PUT', '/v1/nodes/large', 'x'.repeat(200_000));
  const pipeline = await openPipeline(t, server.url, { headers: policy.as('greedy') });
  const began = performance.now();
  const reads = await pipeline.askAll(Array.from({ length: 6 }, () => ({ op: 'get', path: '/large' })));
  t.equal(reads.filter(({ ok }) => ok.data.length === 200_000).length, 6);
  t.ok(performance.now() - began >= 1000, '1.2 MB at 256 KiB/s');
  t.match(await pipeline.ask({ op: 'set', path: '/large', data: 'y'.repeat(300_000) }), { ok: {} });
  t.match(await pipeline.event('throttled'), { limit: 'bytes' });
});

t.test('a session on a pipelined socket that is not read stays alive', async (t) => {
  const { server, policy, admin } = await start(t, 'requests: 2/s');
  const pipeline = await openPipeline(t, server.url, { headers: policy.as('greedy') });
  const { ok } = await pipeline.ask({ op: 'session', ttl: 1000 });
  pipeline.send(Array.from({ length: 8 }, (_, n) => ({ id: n, op: 'get', path: '/' })));
  pipeline.send({ id: 'last', op: 'get', path: '/' });
  await pipeline.response('last');
  t.notOk(pipeline.received.some(({ type }) => type === 'sessionExpired'));
  t.equal((await admin('GET', `/v1/sessions/${ok.session}`)).status, 200);
});

t.test('an event stream of records is sent no faster than the rate', async (t) => {
  const { server, policy, other } = await start(t, 'bytes: 64KiB/s');
  await other('POST', '/v1/topics', { name: 'big' });
  for (let n = 0; n < 4; n += 1) {
    await other('POST', '/v1/topics/big/records', { records: [{ value: 'x'.repeat(60_000) }] });
  }
  const stream = await openEventStream(t, `${server.url}/v1/topics/big/stream?offset=earliest`, policy.as('greedy'));
  await stream.message(({ data }) => data.type === 'records', 'the first records overdraw the rate');
  const began = performance.now();
  await other('POST', '/v1/topics/big/records', { records: [{ value: 'last' }] });
  await stream.message(({ data }) => data.records?.at(-1)?.value === 'last', 'the last record');
  t.ok(performance.now() - began >= 1000, 'after 240 KB at 64 KiB/s');
});

t.test('batches of a stream of records count as they come', async (t) => {
  const { server, policy } = await start(t, 'bytes: 128KiB/s');
  const as = policy.as('greedy');
  await http(`${server.url}/v1/topics`, 'POST', { name: 'big' }, as);
  const lines = Array.from({ length: 6 }, () => `${JSON.stringify({ value: 'x'.repeat(100_000) })}\n`).join('');
  const began = performance.now();
  const sent = await http(`${server.url}/v1/topics/big/records`, 'POST', lines, {
    ...as,
    'content-type': 'application/x-ndjson',
  });
  t.equal(sent.status, 200);
  t.ok(performance.now() - began >= 1000);
});

t.test('a caller sees its limits and what it uses, and changed limits apply at once', async (t) => {
  const { greedy, other, policy } = await start(t, 'requests: 50/s, watches: 7k');
  const { limits, allow } = (await greedy('GET', '/v1/access/me')).body;
  t.match(limits, { requests: { limit: 50, used: Number }, watches: { limit: 7000, used: 0 } });
  t.match(allow, [{ limits: { requests: 50, watches: 7000 } }]);
  t.same((await other('GET', '/v1/access/me')).body.limits, {});
  await policy.change(
    `public: [metrics]\nallow:\n  - { who: greedy, limits: { watches: 8k } }\n  - { who: "*", limits: { watches: 9k } }\n`,
  );
  await eventually(
    async () => (await greedy('GET', '/v1/access/me')).body.limits.watches?.limit === 9000,
    'the largest of both',
  );
  t.notOk('requests' in (await greedy('GET', '/v1/access/me')).body.limits);
});

t.test('metrics show what identities use', async (t) => {
  const { greedy, server, policy } = await start(t, 'requests: 50/s, sockets: 5');
  await openSocket(t, `${server.url}/v1/watch`, policy.as('greedy'));
  await greedy('GET', '/v1/nodes/');
  t.equal(await metric(server, 'weir_access_limit{identity="greedy",limit="sockets"}'), 5);
  t.equal(await metric(server, 'weir_access_limit_used{identity="greedy",limit="sockets"}'), 1);
});
