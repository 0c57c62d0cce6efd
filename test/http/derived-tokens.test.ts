// Derived tokens: they may do a part of what their parent may, for a short time, and end with it, on every broker.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { openPipeline } from '../helpers/pipeline.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const rules = `
public: [docs]
allow:
  - who: ops
    admin: true
  - who: alice
    nodes: { "/app/**": [read, write, delete] }
    topics: { "*": [read, write, manage] }
    groups: { "*": [use] }
    producers: { "*": [use] }
  - who: bob
    nodes: { "/app/**": [read, write] }
`;
const policy = await writePolicy(t, ['ops', 'alice', 'bob', 'carol'], rules);
const one = await startTestServer(t, { accessFile: policy.file });
const two = await startTestServer(t, { accessFile: policy.file }, one.target);
let calls = 0;

type Headers = Record<string, string>;
const send = (headers: Headers, method: string, path: string, body?: unknown, more: Headers = {}) =>
  http(`${(calls++ % 2 ? one : two).url}${path}`, method, body, { ...headers, ...more });
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const [alice, bob, ops] = [policy.as('alice'), policy.as('bob'), policy.as('ops')];
await send(ops, 'PUT', '/v1/nodes/app', 'x');
await send(ops, 'POST', '/v1/topics', { name: 'orders', partitions: 1 });

async function derive(headers: Headers, allow: unknown[], ttl = '1h') {
  const { status, body } = await send(headers, 'POST', '/v1/access/tokens', { ttl, allow });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return { ...(body as { id: string; token: string; expires: number }), headers: bearer(body.token) };
}
const readApp = { nodes: { '/app/**': ['read'] } };

/** Waits until both brokers use the file. */
async function applied(): Promise<void> {
  const hash = createHash('sha256')
    .update(await readFile(policy.file))
    .digest('hex')
    .slice(0, 16);
  await eventually(() => [one, two].every(({ broker }) => broker.access.policy?.hash === hash), 'the policy is used');
}

t.afterEach(async () => {
  await policy.change(rules);
  await applied();
});

t.test('a derived token may do what it allows, as the identity of its parent, on every broker', async (t) => {
  const { id, headers, expires } = await derive(alice, [readApp, { topics: { orders: ['read'] } }]);
  t.match(id, /^d-[0-9a-f]{16}$/);
  t.ok(expires > Date.now() + 3_500_000 && expires < Date.now() + 3_700_000);
  for (let i = 0; i < 4; i += 1) {
    t.equal((await send(headers, 'GET', '/v1/nodes/app')).status, 200);
    t.equal((await send(headers, 'PUT', '/v1/nodes/app', 'y')).status, 403);
    t.equal((await send(headers, 'GET', '/v1/topics/orders')).status, 200);
    t.equal((await send(headers, 'POST', '/v1/topics/orders/records', { records: [{ value: 1 }] })).status, 403);
    t.equal((await send(headers, 'GET', '/docs/errors')).status, 200, 'what is public stays so');
  }
  t.match((await send(headers, 'GET', '/v1/access/me')).body, {
    identity: 'alice',
    token: id,
    expires,
    admin: false,
    narrowedTo: [{ nodes: { '/app/**': ['read'] } }, { topics: { orders: ['read'] } }],
  });
  const check = async (query: string) => (await send(headers, 'GET', `/v1/access/check?${query}`)).body.allowed;
  t.same(
    [
      await check('verb=read&path=/app/x'),
      await check('verb=write&path=/app/x'),
      await check('as=alice&verb=write&path=/app'),
    ],
    [true, false, false],
  );
  const basic = { authorization: `Basic ${Buffer.from(`alice:${headers.authorization.slice(7)}`).toString('base64')}` };
  t.equal((await send(basic, 'GET', '/v1/nodes/app')).status, 200);
  const wrong = { authorization: `Basic ${Buffer.from(`bob:${headers.authorization.slice(7)}`).toString('base64')}` };
  t.equal((await send(wrong, 'GET', '/v1/nodes/app')).status, 401);
});

t.test('a derived token never may do more than its parent', async (t) => {
  const all = {
    nodes: { '/**': ['read', 'write', 'delete'] },
    topics: { '*': ['read', 'write', 'manage'] },
    admin: true,
  };
  const { headers } = await derive(bob, [all]);
  t.equal((await send(headers, 'GET', '/v1/nodes/app')).status, 200);
  for (const [method, path, body] of [
    ['DELETE', '/v1/nodes/app'],
    ['DELETE', '/v1/nodes/app?recursive=true'],
    ['GET', '/v1/nodes/other'],
    ['GET', '/v1/topics/orders'],
    ['POST', '/v1/topics', { name: 'x' }],
    ['POST', '/v1/elections', {}],
    ['GET', '/metrics'],
    ['GET', '/v1/access/check?as=alice&verb=read&topic=x'],
    ['GET', '/v1/access/tokens?of=alice'],
  ] as const) {
    t.equal((await send(headers, method, path, body)).status, 403, `${method} ${path}`);
  }
  const ofAlice = '/v1/access/tokens?of=alice';
  const mighty = await derive(ops, [{ admin: true }]);
  t.equal((await send(mighty.headers, 'GET', ofAlice)).status, 200, 'of an admin it may be one');
  const weak = await derive(ops, [readApp]);
  t.equal((await send(weak.headers, 'GET', ofAlice)).status, 403, 'and need not');
  const { session } = (await send(bob, 'POST', '/v1/sessions', {})).body;
  t.equal((await send(weak.headers, 'GET', `/v1/sessions/${session}`)).status, 403, 'then it has nothing of others');
  t.equal((await send(headers, 'GET', `/v1/sessions/${session}`)).status, 200, 'but what is of its identity');
});

t.test('the rights of a derived token shrink with those of its parent, and end with it', async (t) => {
  const { headers } = await derive(alice, [readApp, { topics: { '*': ['read'] } }]);
  const status = async (path: string) => (await send(headers, 'GET', path)).status;
  t.equal(await status('/v1/topics/orders'), 200);
  const both = async (wanted: number, path: string) => {
    await applied();
    t.same([await status(path), await status(path)], [wanted, wanted]);
  };
  await policy.change(rules.replace('topics: { "*": [read, write, manage] }', ''));
  await both(403, '/v1/topics/orders');
  t.equal(await status('/v1/nodes/app'), 200);
  await policy.change(rules, ['alice']);
  await both(401, '/v1/nodes/app');
  t.match((await send(headers, 'GET', '/v1/nodes/app')).body.detail, /comes from is not valid any more/);
  await policy.change(rules);
  await both(200, '/v1/nodes/app');
  const { id } = policy.tokens.alice!;
  const another = policy.tokens.bob!.sha256;
  const file = (alices: string) => `identities:\n  alice: ${alices}\n  bob: {}\n  ops: {}\n${rules}`;
  await policy.write(file(`{ tokens: [ { id: ${id}, sha256: "${another}" } ] }`));
  await both(401, '/v1/nodes/app');
  await policy.write(
    file('{}').replace('bob: {}', `bob: { tokens: [ { id: ${id}, sha256: "${policy.tokens.alice!.sha256}" } ] }`),
  );
  await eventually(
    async () => (await send(alice, 'GET', '/v1/access/me')).body.identity === 'bob',
    'the token is bobs',
  );
  await both(401, '/v1/nodes/app');
  const past = new Date(Date.now() - 1000).toISOString();
  await policy.write(
    file(`{ tokens: [ { id: ${id}, sha256: "${policy.tokens.alice!.sha256}", expires: "${past}" } ] }`),
  );
  await both(401, '/v1/nodes/app');
});

t.test('a derived token ends before its own time if its parent does', async (t) => {
  const { id, sha256 } = policy.tokens.alice!;
  const soon = Date.now() + 600_000;
  await policy.write(
    `identities:\n  alice: { tokens: [ { id: ${id}, sha256: "${sha256}", expires: "${new Date(soon).toISOString()}" } ] }\n  ops: {}\n  bob: {}\n${rules}`,
  );
  await applied();
  t.equal((await derive(alice, [readApp])).expires, soon);
});

t.test('a derived token makes no others, and has its limits', async (t) => {
  const { headers } = await derive(alice, [{ admin: true, ...readApp }]);
  const { status, body } = await send(headers, 'POST', '/v1/access/tokens', { allow: [readApp] });
  t.match({ status, ...body }, { status: 403, detail: /makes no others/ });
  for (const refused of [
    { ttl: '25h', allow: [readApp] },
    { ttl: '1ms', allow: [readApp] },
    { allow: [] },
    {},
    { allow: [{ nodes: { app: ['read'] } }] },
    { allow: [{ topics: { x: ['fly'] } }] },
    { allow: [{ who: 'bob' }] },
    { allow: Array.from({ length: 101 }, () => readApp) },
    { allow: [{ topics: Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`topic-${i}`, ['read']])) }] },
  ]) {
    t.equal(
      (await send(alice, 'POST', '/v1/access/tokens', refused)).body.code,
      'BAD_REQUEST',
      JSON.stringify(refused).slice(0, 60),
    );
  }
  t.equal((await http(`${one.url}/v1/access/tokens`, 'POST', { allow: [readApp] })).status, 401);
});

t.test('a repeat with an Idempotency-Key gets the same token, and another identity does not', async (t) => {
  const key = { 'idempotency-key': 'a key that cannot be guessed' };
  const body = { allow: [readApp] };
  const first = await send(alice, 'POST', '/v1/access/tokens', body, key);
  const again = await send(alice, 'POST', '/v1/access/tokens', body, key);
  t.same(again.body, first.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
  t.not((await send(bob, 'POST', '/v1/access/tokens', body, key)).body.id, first.body.id);
});

t.test(
  'a token is revoked by its identity or an admin, on every broker within a second, also on open sockets',
  async (t) => {
    const mine = await derive(alice, [readApp]);
    const other = await derive(alice, [readApp]);
    const watches = await Promise.all([one, two].map(({ url }) => openSocket(t, `${url}/v1/watch`, mine.headers)));
    const pipelines = await Promise.all([one, two].map(({ url }) => openPipeline(t, url, { headers: mine.headers })));
    const kept = await openPipeline(t, one.url, { headers: other.headers });
    for (const each of [...pipelines, kept]) t.ok((await each.ask({ op: 'get', path: '/app' })).ok);
    for (const [who, id] of [
      [bob, mine.id],
      [alice, 'd-0123456789abcdef'],
      [alice, 'x'],
    ] as const) {
      const { status, body } = await send(who, 'DELETE', `/v1/access/tokens/${id}`);
      t.match({ status, ...body }, { status: 404, code: 'NOT_FOUND' }, 'alike whether it exists or not');
    }
    const list = async (who: Headers, query = '') =>
      (await send(who, 'GET', `/v1/access/tokens${query}`)).body.tokens?.map(({ id }: { id: string }) => id);
    t.ok((await list(alice)).includes(mine.id));
    t.ok((await list(ops, '?of=alice')).includes(mine.id));
    t.same(await list(policy.as('carol')), []);
    t.equal((await send(alice, 'DELETE', `/v1/access/tokens/${mine.id}`)).status, 204);
    for (const { closed, frames } of watches) {
      t.equal(await closed, 4401);
      t.match(frames.at(-1), { code: 'AUTH_REQUIRED', detail: /revoked/ });
    }
    for (const { closed } of pipelines) t.equal((await closed).code, 4401);
    // The sockets knew it from the store, and so do requests.
    for (const { url } of [one, two])
      t.equal((await http(`${url}/v1/nodes/app`, 'GET', undefined, mine.headers)).status, 401);
    t.ok((await kept.ask({ op: 'get', path: '/app' })).ok, 'others go on');
    t.notOk((await list(alice)).includes(mine.id));
    t.equal((await send(ops, 'DELETE', `/v1/access/tokens/${other.id}`)).status, 204, 'an admin may');
    t.equal((await kept.closed).code, 4401);
  },
);

t.test('a derived token subscribes with a pattern only if it may read all that its parent may', async (t) => {
  const narrow = await derive(alice, [{ topics: { orders: ['read'] }, groups: { '*': ['use'] } }]);
  const join = (headers: Headers, body: object) => send(headers, 'POST', '/v1/groups/g/members', body);
  t.match((await join(narrow.headers, { pattern: '.*' })).body, { code: 'FORBIDDEN', detail: /Name the topics/ });
  const socket = await openSocket(t, `${one.url}/v1/groups/g/stream?pattern=.*`, narrow.headers);
  t.equal(await socket.closed, 4403);
  t.equal((await join(narrow.headers, { topics: ['orders'] })).status, 201);
  const wide = await derive(alice, [{ topics: { '*': ['read'] }, groups: { '*': ['use'] } }]);
  t.equal((await join(wide.headers, { pattern: '.*' })).status, 201);
});

t.test('a derived token has no say over what others of its identity have made', async (t) => {
  const weak = await derive(alice, [{ topics: { orders: ['read'] } }]);
  const sibling = await derive(alice, [readApp]);
  t.match((await send(weak.headers, 'DELETE', `/v1/access/tokens/${sibling.id}`)).body, {
    code: 'FORBIDDEN',
    detail: /only itself/,
  });
  const { tokens } = (await send(weak.headers, 'GET', '/v1/access/tokens')).body;
  t.same(
    tokens.map(({ id }: { id: string }) => id),
    [weak.id],
  );
  const session = (await send(alice, 'POST', '/v1/sessions', {})).body;
  const end = await send(weak.headers, 'DELETE', `/v1/sessions/${session.id}?force=true`);
  t.match(end.body, { code: 'FORBIDDEN', detail: /whose handle it knows/ });
  t.equal((await send(alice, 'DELETE', `/v1/sessions/${session.id}?force=true`)).status, 204, 'its parent may');
  const mighty = await derive(ops, [{ admin: true }]);
  t.equal((await send(mighty.headers, 'DELETE', `/v1/access/tokens/${sibling.id}`)).status, 204, 'one of an admin may');
});

t.test('a token revokes itself, and one that has expired is told so', async (t) => {
  const { id, headers } = await derive(alice, [readApp]);
  t.equal((await send(headers, 'DELETE', `/v1/access/tokens/${id}`)).status, 204);
  const short = await derive(alice, [readApp], '1s');
  const socket = await openSocket(t, `${one.url}/v1/watch`, short.headers);
  t.equal(await socket.closed, 4401);
  t.match(socket.frames.at(-1), { code: 'AUTH_REQUIRED', detail: /expired/ });
  t.equal((await http(`${one.url}/v1/nodes/app`, 'GET', undefined, short.headers)).status, 401);
});

t.test('a guessed secret, or an id of no token, is refused alike', async (t) => {
  const { token } = await derive(alice, [readApp]);
  const details = [];
  for (const guess of [`${token.slice(0, -4)}AAAA`, `weir_d-0123456789abcdef_${'A'.repeat(43)}`]) {
    const { status, body } = await send(bearer(guess), 'GET', '/v1/nodes/app');
    t.equal(status, 401);
    t.notOk(JSON.stringify(body).includes(guess.slice(-30)));
    details.push(body.detail.replace(/d-[0-9a-f]{16}/, '…'));
  }
  t.equal(details[0], details[1]);
});

t.test('an identity has a thousand tokens at most', async (t) => {
  const carol = policy.as('carol');
  const tokens = one.broker.store.accessTokens;
  const parent = { identity: 'carol', token: 't-carol', basis: 'x', expiresAt: undefined };
  const fill = Array.from({ length: 1000 }, (_, i) =>
    tokens.create({ id: `d-${i}`, sha256: '', token: '', allow: '[]', ttlMs: 60_000 }, parent),
  );
  await Promise.all(fill);
  const { status, body } = await send(carol, 'POST', '/v1/access/tokens', { allow: [readApp] });
  t.match({ status, ...body }, { status: 429, code: 'TOO_MANY_REQUESTS', detail: /1000 derived tokens of carol/ });
  t.equal((await send(carol, 'GET', '/v1/access/tokens')).body.tokens.length, 1000);
  t.equal((await send(alice, 'POST', '/v1/access/tokens', { allow: [readApp] })).status, 201, 'others have their own');
  await send(carol, 'DELETE', '/v1/access/tokens/d-0');
});

t.test('nothing of a token but its hash is stored', async (t) => {
  const { token, id } = await derive(alice, [readApp]);
  const stored = await one.broker.store.accessTokens.get(id);
  t.match(stored.found, { identity: 'alice', parent: policy.tokens.alice!.id });
  t.notOk(JSON.stringify(stored).includes(token.slice(-20)));
});

t.test('without a policy there is nothing to derive', async (t) => {
  const open = await startTestServer(t);
  for (const [path, body] of [
    ['/v1/access/tokens', { allow: [readApp] }],
    ['/v1/access/tickets', { path: '/v1/watch/app' }],
  ] as const) {
    const answer = await http(`${open.url}${path}`, 'POST', body);
    t.match({ status: answer.status, ...answer.body }, { status: 400, detail: /no policy/ });
  }
  t.same((await http(`${open.url}/v1/access/tokens`)).body, { tokens: [] });
});
