// Access control over HTTP: every route for callers without a token, without rights, and with all rights; then what each verb opens.
import t from 'tap';
import { defaultAdmissionLimits } from '../../src/http/limits.ts';
import { decidingBodies, forAnyIdentity, openOperations, writePolicy } from '../helpers/access.ts';
import { openEventStream } from '../helpers/event-stream.ts';
import { eventually, http, metric, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const rules = `
allow:
  - who: admin
    admin: true
  - who: billing
    nodes: { "/app/billing/**": [read, write, delete], "/app/shared": [read], "/": [read], "/app": [read] }
    topics: { "billing.*": [read, write, manage], "orders": [read] }
    groups: { "billing.*": [use] }
    producers: { "billing": [use] }
  - who: prometheus
    read: [metrics]
`;

async function start(t: Parameters<typeof startTestServer>[0], text = rules) {
  const policy = await writePolicy(t, ['admin', 'billing', 'nobody', 'prometheus'], text);
  const server = await startTestServer(t, { accessFile: policy.file });
  const as =
    (identity?: string) =>
    (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      http(`${server.url}${path}`, method, body, { ...(identity !== undefined && policy.as(identity)), ...headers });
  return { server, policy, anonymous: as(), admin: as('admin'), billing: as('billing'), nobody: as('nobody'), as };
}

t.test('every route refuses callers without a token and without rights, and lets an admin in', async (t) => {
  const { anonymous, admin, nobody } = await start(t);
  const { body: document } = await admin('GET', '/openapi.json');
  const paths: Record<string, Record<string, { operationId: string }>> = document.paths;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId }]) => ({
      operationId,
      method: method.toUpperCase(),
      path: path.replaceAll(/\{[^}]*\}|\*/g, '0'),
    })),
  );
  t.ok(operations.length > 40, `${operations.length} operations`);
  for (const { operationId, method, path } of operations) {
    const body = decidingBodies[operationId];
    const type: Record<string, string> = typeof body === 'string' ? { 'content-type': 'application/x-ndjson' } : {};
    const bare = await anonymous(method, path, body, type);
    if (openOperations.has(operationId)) {
      t.not(bare.status, 401, operationId);
      continue;
    }
    t.equal(bare.status, 401, `${operationId} without a token`);
    t.equal(bare.body.code, 'AUTH_REQUIRED', operationId);
    t.match(bare.headers.get('www-authenticate'), /^Bearer/, operationId);
    const powerless = await nobody(method, path, body, type);
    if (forAnyIdentity.has(operationId))
      t.notOk([401, 403].includes(powerless.status), `${operationId} ${powerless.status}`);
    else t.equal(powerless.status, 403, `${operationId} without rights`);
    // Event streams of things that exist would not end.
    if (operationId.endsWith('.stream') || operationId === 'elections.create') continue;
    const mighty = await admin(method, path, body, type);
    t.notOk([401, 403].includes(mighty.status), `${operationId} as admin ${mighty.status}`);
  }
});

t.test('an export leaves out what may not be read; an import and a copy need rights on each node', async (t) => {
  const { admin, billing } = await start(t);
  const ndjson = { 'content-type': 'application/x-ndjson' };
  for (const path of ['', '/billing', '/billing/a', '/other', '/other/b', '/shared', '/shared/c', '/zoo']) {
    await admin('PUT', `/v1/nodes/app${path}`, 'v');
  }
  const { body } = await billing('GET', '/v1/nodes/app?view=export');
  const lines = body
    .trimEnd()
    .split('\n')
    .map((line: string) => JSON.parse(line));
  t.same(
    lines.slice(0, -1).map(({ path }: { path: string }) => path),
    ['/app', '/app/billing', '/app/billing/a', '/app/shared'],
  );
  t.match(lines.at(-1), { end: true, nodes: 4, unreadable: 3 });
  t.equal((await billing('GET', '/v1/nodes/app/other?view=export')).status, 403);

  const lineOf = (path: string) => `{"path":"${path}","data":"v"}\n`;
  const twoLines = lineOf('/app/billing/new') + lineOf('/app/shared/new');
  t.match(await billing('POST', '/v1/import', twoLines, ndjson), {
    status: 403,
    body: { code: 'FORBIDDEN', line: 2, detail: /write on node \/app\/shared\/new/ },
  });
  t.equal((await billing('GET', '/v1/nodes/app/billing/new')).status, 404);
  t.match(await billing('POST', '/v1/import', lineOf('/app/billing/new'), ndjson), {
    status: 200,
    body: { created: 1 },
  });

  const copy = (from: string, to: string, move = false) => billing('POST', '/v1/copy', { from, to, move });
  t.equal((await copy('/app/billing/a', '/app/billing/b')).status, 201);
  t.equal((await copy('/app/billing/b', '/app/billing/d', true)).status, 201);
  t.match(await copy('/app/shared', '/app/billing/e'), { status: 403 }, 'only the node itself may be read');
  t.match(await copy('/app/billing/a', '/app/shared/e'), { status: 403 });
});

t.test('an import creates missing parents only where the caller may write', async (t) => {
  const { admin, billing } = await start(t);
  const lines = '{"path":"/app/billing/a"}\n{"path":"/app/billing/b/c"}\n';
  const bring = (query = '') =>
    billing('POST', `/v1/import?parents=true${query}`, lines, { 'content-type': 'application/x-ndjson' });
  const refused = {
    status: 403,
    body: { code: 'FORBIDDEN', line: 1, detail: /write on node \/app\b/, applied: { lines: 0 } },
  };
  t.match(await bring(), refused);
  t.match(await bring('&dryRun=true'), refused);
  await admin('PUT', '/v1/nodes/app', '');
  t.match(await bring(), { status: 200, body: { created: 2 } });
  t.equal((await billing('GET', '/v1/nodes/app/billing/b')).status, 200);
});

t.test('a token that is not valid is refused, and never repeated', async (t) => {
  const { server, policy } = await start(t);
  const { token } = policy.tokens.billing!;
  const basic = (user: string, secret: string) => `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
  const at = `${server.url}/v1/nodes/app/billing`;
  for (const authorization of [
    `Bearer ${token.slice(0, -2)}zz`,
    'Bearer weir_x',
    'Bearer ',
    'Digest x',
    'Bearer a.b.c',
    basic('admin', token),
    basic('billing', 'x'),
    basic('', token),
  ]) {
    const { status, body } = await http(at, 'GET', undefined, { authorization });
    t.equal(status, 401, authorization);
    t.notOk(JSON.stringify(body).includes(token.slice(-20)));
  }
  for (const authorization of [`Bearer ${token}`, `bearer ${token}`, basic('billing', token)]) {
    t.equal((await http(at, 'GET', undefined, { authorization })).status, 404, 'no node, and allowed to know that');
  }
});

t.test('nodes: prefixes inherit, and what is missing is named', async (t) => {
  const { admin, billing } = await start(t);
  t.equal((await billing('PUT', '/v1/nodes/app/billing', 'x')).status, 404, 'the parent does not exist yet');
  await admin('PUT', '/v1/nodes/app', 'x');
  await admin('PUT', '/v1/nodes/app/secret', 'x');
  await admin('PUT', '/v1/nodes/app/shared', 'x');
  t.equal((await billing('PUT', '/v1/nodes/app/billing', 'x')).status, 201);
  t.equal((await billing('PUT', '/v1/nodes/app/billing/a/b?parents=true', 'x')).status, 201);
  t.equal((await billing('POST', '/v1/nodes/app/billing/n-', 'x')).status, 201);
  t.equal((await billing('GET', '/v1/nodes/app/shared')).status, 200);
  for (const [method, path, verb] of [
    ['GET', '/app/secret', 'read'],
    ['GET', '/app/none', 'read'],
    ['PUT', '/app/shared', 'write'],
    ['POST', '/app/n-', 'write'],
    ['DELETE', '/app/shared', 'delete'],
  ] as const) {
    const { status, body } = await billing(method, `/v1/nodes${path}`, method === 'GET' ? undefined : 'x');
    t.equal(status, 403, `${method} ${path}`);
    t.match(body.detail, new RegExp(`^billing needs ${verb} on node ${path}`));
  }
  t.equal((await billing('DELETE', '/v1/nodes/app/billing/a?recursive=true')).status, 204);
  t.match(
    (await billing('DELETE', '/v1/nodes/app/shared?recursive=true')).body.detail,
    /needs delete on node \/app\/shared/,
  );
});

t.test('parents are made only where the caller may write', async (t) => {
  const { admin, billing } = await start(t);
  const refused = await billing('PUT', '/v1/nodes/app/billing/x?parents=true', 'x');
  t.equal(refused.status, 403);
  t.match(refused.body.detail, /billing needs write on node \/app\./);
  t.equal((await admin('GET', '/v1/nodes/app')).status, 404, 'nothing was made');
  await admin('PUT', '/v1/nodes/app', 'x');
  t.equal((await billing('PUT', '/v1/nodes/app/billing/x?parents=true', 'x')).status, 201);
  const again = await billing('PUT', '/v1/nodes/app/billing/x?parents=true', 'x', { 'if-none-match': '*' });
  t.equal(again.body.code, 'NODE_EXISTS');
  t.notOk('failed' in again.body);
});

t.test('lists and trees leave out what the caller may not read', async (t) => {
  const { admin, billing } = await start(t);
  for (const path of [
    '/app',
    '/app/billing',
    '/app/billing/x',
    '/app/secret',
    '/app/secret/y',
    '/app/shared',
    '/other',
  ]) {
    await admin('PUT', `/v1/nodes${path}`, 'x');
  }
  const children = async (path: string) => (await billing('GET', `/v1/nodes${path}?view=children`)).body.children;
  t.same(
    await children('/'),
    ['app', 'brokers', 'cluster', 'config', 'consumers', 'controller', 'controller_epoch', 'admin'].sort(),
  );
  t.same(await children('/app'), ['billing', 'shared']);
  const local = (path: string) => billing('GET', `/v1/nodes${path}?view=children&read=local`);
  t.same((await local('/app')).body.children, ['billing', 'shared'], 'also from memory');
  t.same((await local('/app')).body.children, ['billing', 'shared']);
  await admin('GET', '/v1/nodes/app/secret?read=local');
  t.equal((await billing('GET', '/v1/nodes/app/secret?read=local')).status, 403, 'what another read has put there');
  const { tree } = (await billing('GET', '/v1/nodes/app?view=tree')).body;
  t.same(
    tree.children.map(({ name }: { name: string }) => name),
    ['billing', 'shared'],
  );
  for (const name of ['billing.a', 'orders', 'secret']) await admin('POST', '/v1/topics', { name });
  const { topics } = (await billing('GET', '/v1/topics')).body;
  t.same(
    topics.map(({ name }: { name: string }) => name),
    ['billing.a', 'orders'],
  );
  for (const group of ['billing.g', 'other'])
    await admin('POST', `/v1/groups/${group}/members`, { topics: ['orders'] });
  const { groups } = (await billing('GET', '/v1/groups')).body;
  t.same(
    groups.map(({ groupId }: { groupId: string }) => groupId),
    ['billing.g'],
  );
});

t.test('a transaction needs the verb of each of its operations', async (t) => {
  const { admin, billing } = await start(t);
  await admin('PUT', '/v1/nodes/app', 'x');
  await admin('PUT', '/v1/nodes/app/billing', 'x');
  const good = { op: 'create', path: '/app/billing/a' };
  for (const bad of [
    { op: 'create', path: '/app/x' },
    { op: 'create', path: '/app/n-', sequential: true },
    { op: 'set', path: '/app', data: 'y' },
    { op: 'delete', path: '/app' },
    { op: 'check', path: '/secret', exists: false },
  ]) {
    const { status, body } = await billing('POST', '/v1/multi', { ops: [good, bad] });
    t.equal(status, 403, JSON.stringify(bad));
    t.equal(body.failed, 1);
  }
  t.equal((await admin('GET', '/v1/nodes/app/billing/a')).status, 404, 'nothing was written');
  t.equal((await billing('POST', '/v1/multi', { ops: [good, { op: 'check', path: '/app' }] })).status, 200);
});

t.test('reserved nodes are read by who may use what they describe', async (t) => {
  const { admin, billing, nobody } = await start(t);
  for (const name of ['billing.a', 'secret']) await admin('POST', '/v1/topics', { name });
  t.equal((await nobody('GET', '/v1/nodes/brokers/ids?view=children')).status, 200);
  t.same((await billing('GET', '/v1/nodes/brokers/topics?view=children')).body.children, ['billing.a']);
  t.equal((await billing('GET', '/v1/nodes/brokers/topics/billing.a')).status, 200);
  t.equal((await billing('GET', '/v1/nodes/brokers/topics/secret')).status, 403);
  t.equal((await nobody('PUT', '/v1/nodes/brokers/ids/9', 'x')).body.code, 'RESERVED_PATH');
  for (const path of ['brokers/topics/secret', 'brokers/topics/none', 'consumers/none', 'admin/none']) {
    for (const method of ['PUT', 'DELETE']) {
      const { body } = await billing(method, `/v1/nodes/${path}?version=7`, method === 'PUT' ? 'x' : undefined);
      t.equal(body.code, 'FORBIDDEN', `${method} ${path} tells nothing`);
    }
  }
  const json = { 'content-type': 'application/vnd.kafka.v2+json' };
  await admin('POST', '/consumers/g', '{"name":"i"}', json);
  const { children } = (await admin('GET', '/v1/nodes/admin/consumer_instances?view=children')).body;
  t.equal(children.length, 1, 'state of others that the service keeps in the tree');
  for (const path of ['admin/consumer_instances?view=children', `admin/consumer_instances/${children[0]}`]) {
    t.equal((await billing('GET', `/v1/nodes/${path}`)).status, 403, path);
  }
  t.notMatch(JSON.stringify((await billing('GET', '/v1/events?data=true')).body), /consumer_instances/);
});

t.test('topics and groups: each verb opens what it should', async (t) => {
  const { admin, billing } = await start(t);
  t.equal((await billing('POST', '/v1/topics', { name: 'billing.a' })).status, 201);
  t.match((await billing('POST', '/v1/topics', { name: 'x' })).body.detail, /billing needs manage on topic x/);
  await admin('POST', '/v1/topics', { name: 'orders' });
  await admin('POST', '/v1/topics', { name: 'secret' });
  const record = { records: [{ value: 1 }] };
  t.equal((await billing('POST', '/v1/topics/billing.a/records', record)).status, 200);
  t.equal((await billing('POST', '/v1/topics/orders/records', record)).status, 403);
  t.equal((await billing('GET', '/v1/topics/orders/partitions/0/records?offset=0')).status, 200);
  t.equal((await billing('GET', '/v1/topics/secret/partitions/0/records?offset=0')).status, 403);
  t.equal((await billing('POST', '/v1/groups/other/members', { topics: ['orders'] })).status, 403);
  t.match(
    (await billing('POST', '/v1/groups/billing.g/members', { topics: ['orders', 'secret'] })).body.detail,
    /read on topic secret/,
  );
  t.equal(
    (await billing('POST', '/v1/groups/billing.g/offsets/reset', { to: 'earliest' })).status,
    403,
    'resets need manage',
  );
  t.equal((await billing('POST', '/v1/producers', { name: 'billing' })).status, 201);
  t.equal((await billing('POST', '/v1/producers', { name: 'other' })).status, 403);
  t.equal((await billing('POST', '/v1/elections', { topic: 'orders' })).status, 403);
});

t.test('a pattern brings a member only topics that its identity may read, also when the policy changes', async (t) => {
  const { admin, billing, policy } = await start(t);
  for (const name of ['billing.a', 'secret']) {
    await admin('POST', '/v1/topics', { name });
    await admin('POST', `/v1/topics/${name}/records`, { records: [{ value: name }] });
  }
  const { body } = await billing('POST', '/v1/groups/billing.g/members', { pattern: '.*', reset: 'earliest' });
  const at = `/v1/groups/billing.g/members/${body.memberId}/records`;
  const secret = { 'weir-member': body.memberSecret };
  const values: unknown[] = [];
  let after = 0;
  await eventually(async () => {
    const { body: some } = await billing('POST', `${at}?wait=0&after=${after}`, undefined, secret);
    after = some.next;
    values.push(...some.records.map(({ value }: { value: unknown }) => value));
    return values.length > 0;
  }, 'a record');
  const last = await billing('POST', `${at}?wait=0&after=${after}`, undefined, secret);
  t.same([...values, ...last.body.records], ['billing.a']);
  const topicsOf = async () => {
    const { members } = (await billing('GET', '/v1/groups/billing.g')).body;
    return members.map(({ topics }: { topics: string[] }) => topics);
  };
  t.same(await topicsOf(), [['billing.a']], 'it is assigned no other, and its group names no other');
  await admin('POST', '/v1/groups/billing.g/members', { pattern: '.*', memberId: 'of-admin' });
  t.same(
    await topicsOf(),
    [['billing.a'], ['billing.a', 'secret']].sort(),
    'members of one pattern may have different topics',
  );
  await admin('DELETE', '/v1/groups/billing.g/members/of-admin');
  await policy.change(rules.replace('"orders": [read]', '"orders": [read], "secret": [read]'));
  await eventually(async () => (await topicsOf())[0]?.length === 2, 'the new policy gives it one more');
  await policy.change(rules);
  await eventually(async () => (await topicsOf())[0]?.length === 1, 'and takes it away');
});

t.test('an event stream leaves out what its client may not read', async (t) => {
  const { server, policy, admin } = await start(t);
  for (const path of ['/app', '/app/billing']) await admin('PUT', `/v1/nodes${path}`, 'x');
  const stream = await openEventStream(t, `${server.url}/v1/watch/app?mode=recursive`, policy.as('billing'));
  await stream.message(({ data }) => data.type === 'watching', 'the watch is set');
  await admin('PUT', '/v1/nodes/app/secret', 'x');
  await admin('POST', '/v1/multi', {
    ops: [
      { op: 'create', path: '/app/secret/y' },
      { op: 'create', path: '/app/billing/y' },
    ],
  });
  const { data } = await stream.message(({ data }) => data.type === 'events', 'an event');
  t.same(
    data.events.map(({ path }: { path: string }) => path),
    ['/app/billing/y'],
  );
});

t.test('metrics and docs are for those who may read them', async (t) => {
  const { anonymous, as, nobody } = await start(t, `public: [docs]\n${rules.trimStart()}`);
  t.equal((await anonymous('GET', '/docs')).status, 200);
  t.equal((await anonymous('GET', '/docs/errors')).status, 200);
  t.equal((await anonymous('GET', '/openapi.json')).status, 200);
  t.equal((await anonymous('GET', '/metrics')).status, 401);
  t.equal((await nobody('GET', '/metrics')).status, 403);
  t.equal((await as('prometheus')('GET', '/metrics')).status, 200);
});

t.test('a changed policy applies to the next request, and a broken one changes nothing', async (t) => {
  const { server, policy, billing, nobody } = await start(t, `public: [metrics]\n${rules.trimStart()}`);
  t.equal((await nobody('GET', '/v1/nodes/x')).status, 403);
  await policy.change(`public: [metrics]\nallow:\n  - who: nobody\n    nodes: { "/**": [read] }\n`, ['billing']);
  await eventually(async () => (await nobody('GET', '/v1/nodes/x')).status === 404, 'the new rules');
  t.equal((await billing('GET', '/v1/topics')).status, 401, 'its token is revoked');
  await policy.change('alow: []\n');
  await eventually(
    async () => (await metric(server, 'weir_access_policy_errors_total')) === 1,
    'the failure is counted',
  );
  t.equal((await nobody('GET', '/v1/nodes/x')).status, 404);
});

t.test('refusals are counted by identity and verb', async (t) => {
  const { server, anonymous, nobody } = await start(t, `public: [metrics]\n${rules.trimStart()}`);
  await nobody('GET', '/v1/nodes/x');
  await anonymous('PUT', '/v1/nodes/x', 'x');
  t.equal(await metric(server, 'weir_access_denied_total{identity="nobody",verb="read"}'), 1);
  t.equal(await metric(server, 'weir_access_denied_total{identity="anonymous",verb="write"}'), 1);
});

t.test('a policy that is not valid keeps the server from starting', async (t) => {
  const policy = await writePolicy(t, ['a'], 'alow: []\n');
  await t.rejects(startTestServer(t, { accessFile: policy.file }), { message: /unknown field 'alow'/ });
  await t.rejects(startTestServer(t, { accessFile: `${policy.file}.none` }), { message: /cannot be read/ });
});

t.test('a caller can ask who it is and what it may do', async (t) => {
  const { admin, billing, anonymous, policy } = await start(
    t,
    `${rules}  - who: "*"\n    nodes: { "/people/$identity/**": [read] }\n`,
  );
  t.match((await billing('GET', '/v1/access/me')).body, {
    identity: 'billing',
    token: policy.tokens.billing?.id,
    admin: false,
    allow: [
      { nodes: { '/app/shared': ['read'] }, groups: { 'billing.*': ['use'] } },
      { nodes: { '/people/billing/**': ['read'] } },
    ],
  });
  const check = async (call: typeof admin, query: string) => (await call('GET', `/v1/access/check?${query}`)).body;
  t.same(await check(billing, 'verb=read&path=/app/shared'), {
    identity: 'billing',
    allowed: true,
    because: 'who: billing, nodes: { "/app/shared": [read] }',
  });
  t.match(await check(billing, 'verb=read&path=/brokers/ids'), { allowed: true, because: 'every identity may' });
  t.match(await check(admin, 'verb=manage&topic=x'), { allowed: true, because: 'who: admin, admin: true' });
  t.same(await check(billing, 'verb=write&path=/app/shared'), {
    identity: 'billing',
    allowed: false,
    missing: 'billing needs write on node /app/shared',
  });
  t.same(await check(admin, 'as=billing&verb=use&group=billing.x'), {
    identity: 'billing',
    allowed: true,
    because: 'who: billing, groups: { "billing.*": [use] }',
  });
  t.equal((await check(billing, 'as=admin&verb=read&topic=x')).code, 'FORBIDDEN');
  t.equal((await check(anonymous, 'verb=read&topic=x')).code, 'AUTH_REQUIRED');
  for (const query of [
    'verb=read',
    'verb=read&topic=x&group=y',
    'verb=use&topic=x',
    'verb=fly&topic=x',
    'as=a/b&verb=read&topic=x',
  ]) {
    t.equal((await check(admin, query)).code, 'BAD_REQUEST', query);
  }
  t.match(await check(admin, 'verb=read'), { detail: /^None was sent\. Send one of path, topic, group and producer/ });
  t.match(await check(admin, 'verb=read&topic=x&group=y'), { detail: /^topic and group were sent\. Send only one/ });
});

t.test('without a policy a caller has no identity, and may do everything', async (t) => {
  const server = await startTestServer(t);
  t.same((await http(`${server.url}/v1/access/me`)).body, { identity: null, admin: true, allow: [], limits: {} });
  t.same((await http(`${server.url}/v1/access/check?verb=read&topic=x`)).body, {
    identity: null,
    allowed: true,
    because: 'there is no policy',
  });
});

t.test('the same Idempotency-Key of another identity is another key', async (t) => {
  const { admin, billing } = await start(t);
  const key = { 'idempotency-key': 'the-same-key-for-both' };
  const [mine, theirs] = [await billing('POST', '/v1/sessions', {}, key), await admin('POST', '/v1/sessions', {}, key)];
  t.not(mine.body.id, theirs.body.id);
  t.equal((await billing('POST', '/v1/sessions', {}, key)).body.session, mine.body.session, 'a repeat gets the same');
  const listed = async (as: typeof admin) => {
    const { sessions } = (await as('GET', '/v1/sessions')).body;
    return sessions.map(({ id, identity }: { id: string; identity?: string }) => [id, identity]);
  };
  t.same(await listed(billing), [[mine.body.id, 'billing']], 'who is no admin sees its own sessions only');
  const all = await listed(admin);
  t.equal(all.length, 3, 'an admin sees all, with those of brokers');
  t.ok(all.some(([id, identity]: string[]) => id === theirs.body.id && identity === 'admin'));
});

t.test('identities behind one address have limits of their own', async (t) => {
  const { server, policy } = await start(t);
  const small = await startTestServer(t, { accessFile: policy.file, addressShare: 0.5 }, server.target, {
    admission: { ...defaultAdmissionLimits, watchesMax: 4 },
  });
  const watches = async (identity: string) => {
    const socket = await openSocket(t, `${small.url}/v1/watch`, policy.as(identity));
    for (let i = 0; i < 3; i += 1) socket.send({ type: 'watch', id: `${i}`, path: '/app', mode: 'node' });
    await eventually(() => socket.frames.length === 3, 'three responses');
    return socket.frames.map(({ type }) => type).sort();
  };
  t.same(await watches('admin'), ['error', 'watching', 'watching'], 'its share is two of four');
  t.ok((await watches('billing')).includes('watching'), 'which takes nothing from another');
});

t.test('browsers are told not to guess types, not to frame pages, and not to run what is stored', async (t) => {
  const { admin, anonymous } = await start(t, `public: [docs]\n${rules.trimStart()}`);
  for (const path of ['/docs/errors', '/v1/topics', '/none', '/health/live']) {
    t.equal((await anonymous('GET', path)).headers.get('x-content-type-options'), 'nosniff', path);
  }
  const policyOf = async (path: string) => (await admin('GET', path)).headers.get('content-security-policy') ?? '';
  t.match(await policyOf('/docs/errors'), /default-src 'none'; script-src 'self';.* frame-ancestors 'none'/);
  await admin('PUT', '/v1/nodes/page', '<script>evil()</script>', { 'content-type': 'text/html' });
  t.match(await policyOf('/v1/nodes/page'), /sandbox/, 'HTML that somebody has written runs no script');
});

t.test('the cluster shows the policy of each broker, also after a change', async (t) => {
  const { server, policy, admin } = await start(t);
  const other = await startTestServer(t, { accessFile: policy.file }, server.target);
  const hashes = async () =>
    (await admin('GET', '/v1/cluster')).body.brokers.map(({ policyHash }: { policyHash: string }) => policyHash);
  const [first, second] = await hashes();
  t.match(first, /^[0-9a-f]{16}$/);
  t.equal(first, second);
  await policy.change(`${rules}  - who: nobody\n    read: [docs]\n`);
  const changed = await eventually(async () => {
    const now = await hashes();
    return now.length === 2 && now[0] === now[1] && now[0] !== first && now[0];
  }, 'both brokers show the new policy');
  t.equal(changed, other.broker.access.policy?.hash);
});

t.test('pages of children name nothing that the caller may not read, nor where it would be', async (t) => {
  const { admin, billing } = await start(t);
  const names = ['aaa-hidden', 'billing', 'ccc-hidden', 'shared', 'zzz-hidden'];
  for (const path of ['/app', ...names.map((name) => `/app/${name}`)]) await admin('PUT', `/v1/nodes${path}`, 'x');
  for (const read of ['', '&read=local']) {
    for (const limit of [1, 2, 3]) {
      const seen: string[] = [];
      let after = '';
      for (let page = 0; page < 5; page += 1) {
        const { status, body } = await billing(
          'GET',
          `/v1/nodes/app?view=children&limit=${limit}&after=${after}${read}`,
        );
        t.equal(status, 200);
        t.notMatch(JSON.stringify(body), /hidden/);
        seen.push(...body.children);
        if (body.next === undefined) break;
        after = body.next;
      }
      t.same(seen, ['billing', 'shared'], `limit ${limit}${read}`);
    }
  }
  const page = (await admin('GET', '/v1/nodes/app?view=children&limit=1')).body;
  t.match(page, { children: ['aaa-hidden'], next: 'aaa-hidden' });
});
