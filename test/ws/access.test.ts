// Access control of WebSockets: at their start, for each frame, for each event, and when the policy changes under them.
import t from 'tap';
import WebSocket from 'ws';
import { writePolicy } from '../helpers/access.ts';
import { openEventStream } from '../helpers/event-stream.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const rules = `
allow:
  - who: admin
    admin: true
  - who: billing
    nodes: { "/app/billing/**": [read, write], "/app": [read] }
    topics: { "billing.*": [read] }
    groups: { "billing.*": [use] }
`;

async function start(t: Parameters<typeof startTestServer>[0]) {
  const policy = await writePolicy(t, ['admin', 'billing', 'nobody'], rules);
  const server = await startTestServer(t, { accessFile: policy.file });
  const admin = (method: string, path: string, body?: unknown) =>
    http(`${server.url}${path}`, method, body, policy.as('admin'));
  for (const path of ['/app', '/app/billing', '/app/secret']) await admin('PUT', `/v1/nodes${path}`, 'x');
  for (const name of ['billing.a', 'secret']) await admin('POST', '/v1/topics', { name });
  return { server, policy, admin };
}

t.test('a socket without a token, or without rights, gets the reason and is closed', async (t) => {
  const { server, policy } = await start(t);
  for (const [path, headers, code] of [
    ['/v1/watch', {}, 4401],
    ['/v1/topics/billing.a/stream', {}, 4401],
    ['/v1/groups/billing.g/stream?topics=billing.a', {}, 4401],
    ['/v1/topics/secret/stream', policy.as('billing'), 4403],
    ['/v1/groups/other/stream?topics=billing.a', policy.as('billing'), 4403],
    ['/v1/groups/billing.g/stream?topics=secret', policy.as('billing'), 4403],
  ] as const) {
    const socket = await openSocket(t, `${server.url}${path}`, headers);
    t.match(await socket.frame({ type: 'error' }), { code: code === 4401 ? 'AUTH_REQUIRED' : 'FORBIDDEN' }, path);
    t.equal(await socket.closed, code, path);
  }
});

t.test('a browser sends its token as a subprotocol, which is never selected', async (t) => {
  const { server, policy } = await start(t);
  const { token } = policy.tokens.billing!;
  const ws = new WebSocket(`${server.url.replace('http', 'ws')}/v1/watch`, [`weir.bearer.${token}`, 'weir.v1']);
  t.teardown(() => ws.terminate());
  const frames: unknown[] = [];
  ws.on('message', (data: Buffer) => frames.push(JSON.parse(data.toString())));
  await new Promise((resolve) => ws.on('open', resolve));
  t.equal(ws.protocol, 'weir.v1');
  ws.send(JSON.stringify({ type: 'watch', id: 'a', path: '/app', mode: 'node' }));
  await eventually(() => frames.length > 0, 'a frame');
  t.match(frames, [{ type: 'watching', id: 'a' }]);
});

t.test(
  'all recursive watches of a client have one function for what it may read: an event is matched once for all',
  async (t) => {
    const { server, policy } = await start(t);
    const open = await startTestServer(t);
    for (const { url, broker, headers } of [
      { ...server, headers: policy.as('billing') },
      { ...open, headers: {} },
    ]) {
      const readers: unknown[] = [];
      const watch = broker.watches.watch.bind(broker.watches);
      broker.watches.watch = (request, sink, connection) => {
        if (request.mode === 'recursive') readers.push(request.mayRead);
        return watch(request, sink, connection);
      };
      const socket = await openSocket(t, `${url}/v1/watch`, headers);
      for (const id of ['a', 'b', 'c']) socket.send({ type: 'watch', id, path: '/app', mode: 'recursive' });
      await socket.frame({ type: 'watching', id: 'c' });
      t.equal(readers.length, 3);
      t.equal(new Set(readers).size, 1);
      t.equal(typeof readers[0], broker === server.broker ? 'function' : 'undefined');
    }
  },
);

t.test('each watch is checked when it starts, and each event of a recursive one', async (t) => {
  const { server, policy, admin } = await start(t);
  const socket = await openSocket(t, `${server.url}/v1/watch`, policy.as('billing'));
  socket.send({ type: 'watch', id: 'no', path: '/app/secret', mode: 'node' });
  t.match(await socket.frame({ id: 'no' }), { code: 'FORBIDDEN', detail: /billing needs read on node \/app\/secret/ });
  socket.send({ type: 'watch', id: 'all', path: '/app', mode: 'recursive' });
  const { zxid } = await socket.frame({ type: 'watching', id: 'all' });
  await admin('PUT', '/v1/nodes/app/secret', 'y');
  await admin('PUT', '/v1/nodes/app/secret/x', 'y');
  await admin('PUT', '/v1/nodes/app/billing', 'y');
  const { events } = await socket.frame({ type: 'events', id: 'all' });
  t.match(events, [{ path: '/app/billing' }]);
  socket.send({ type: 'watch', id: 'again', path: '/app', mode: 'recursive', since: zxid });
  t.match((await socket.frame({ type: 'events', id: 'again' })).events, [{ path: '/app/billing' }], 'history, too');
});

t.test('watches of two callers on one path see what each may read', async (t) => {
  const { server, policy, admin } = await start(t);
  const [mine, theirs] = [
    await openSocket(t, `${server.url}/v1/watch`, policy.as('billing')),
    await openSocket(t, `${server.url}/v1/watch`, policy.as('admin')),
  ];
  for (const socket of [mine, theirs]) {
    socket.send({ type: 'watch', id: 'a', path: '/app', mode: 'recursive' });
    await socket.frame({ type: 'watching' });
  }
  await admin('PUT', '/v1/nodes/app/secret', 'y');
  await admin('PUT', '/v1/nodes/app/billing', 'y');
  await mine.frame({ type: 'events' });
  await eventually(() => theirs.frames.filter(({ type }) => type === 'events').length === 2, 'both events');
  t.equal(mine.frames.filter(({ type }) => type === 'events').length, 1);
});

t.test('a changed policy ends the watches that it forbids, and no others', async (t) => {
  const { server, policy, admin } = await start(t);
  const socket = await openSocket(t, `${server.url}/v1/watch`, policy.as('billing'));
  for (const [id, path] of [
    ['kept', '/app/billing'],
    ['lost', '/app'],
  ]) {
    socket.send({ type: 'watch', id, path, mode: 'node' });
    await socket.frame({ type: 'watching', id });
  }
  await policy.change(rules.replace(', "/app": [read]', ''));
  t.match(await socket.frame({ type: 'error', id: 'lost' }), { code: 'FORBIDDEN' });
  await admin('PUT', '/v1/nodes/app', 'z');
  await admin('PUT', '/v1/nodes/app/billing', 'z');
  await socket.frame({ type: 'events', id: 'kept' });
  t.notOk(socket.frames.some(({ type, id }) => type === 'events' && id === 'lost'));
});

t.test('a revoked token ends its sockets and streams with AUTH_REQUIRED', async (t) => {
  const { server, policy } = await start(t);
  const as = policy.as('billing');
  const sockets = [];
  for (const path of ['/v1/watch', '/v1/topics/billing.a/stream', '/v1/groups/billing.g/stream?topics=billing.a']) {
    sockets.push(await openSocket(t, `${server.url}${path}`, as));
  }
  const streams = [];
  for (const path of ['/v1/watch/app', '/v1/topics/billing.a/stream']) {
    streams.push(await openEventStream(t, `${server.url}${path}`, as));
  }
  for (const stream of streams) await stream.message(() => true, 'the stream has begun');
  await policy.change(rules, ['billing']);
  for (const socket of sockets) {
    t.equal(await socket.closed, 4401);
    t.match(socket.frames.at(-1), { type: 'error', code: 'AUTH_REQUIRED' });
  }
  for (const stream of streams) {
    await stream.end();
    t.match(stream.messages.at(-1), { event: 'problem', data: { code: 'AUTH_REQUIRED' } });
  }
});

t.test('a topic that is taken away ends its tails and its members', async (t) => {
  const { server, policy } = await start(t);
  const as = policy.as('billing');
  const tail = await openSocket(t, `${server.url}/v1/topics/billing.a/stream`, as);
  const member = await openSocket(t, `${server.url}/v1/groups/billing.g/stream?topics=billing.a`, as);
  await member.frame({ type: 'joined' });
  await policy.change(rules.replace('topics: { "billing.*": [read] }', ''));
  t.equal(await tail.closed, 4403);
  t.equal(await member.closed, 4403);
});

t.test('a token that expires ends its sockets', async (t) => {
  const { server, policy } = await start(t);
  const { id, sha256 } = policy.tokens.billing!;
  const soon = new Date(Date.now() + 6000).toISOString();
  const text = `identities:\n  billing: { tokens: [ { id: ${id}, sha256: "${sha256}", expires: "${soon}" } ] }\n${rules.replace('  - who: admin\n    admin: true\n', '')}`;
  await policy.write(text);
  await eventually(async () => {
    const { status } = await http(`${server.url}/v1/topics`, 'GET', undefined, policy.as('billing'));
    return status === 200;
  }, 'the token is valid again');
  const again = await openSocket(t, `${server.url}/v1/watch`, policy.as('billing'));
  t.equal(await again.closed, 4401);
  t.match(again.frames.at(-1), { code: 'AUTH_REQUIRED', detail: /has expired/ });
});
