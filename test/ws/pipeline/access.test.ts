// Access control of the pipelined socket: every request for callers without rights and with all of them.
import t from 'tap';
import { requestSchemas } from '../../../schemas/socket.ts';
import { writePolicy } from '../../helpers/access.ts';
import { openPipeline } from '../../helpers/pipeline.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';
import { openSocket } from '../../helpers/socket.ts';

const rules = `
allow:
  - who: admin
    admin: true
  - who: billing
    nodes: { "/app/billing/**": [read, write, delete], "/app": [read] }
    topics: { "billing.*": [read, write] }
    groups: { "billing.*": [use, manage] }
  - who: twin
    topics: { "billing.*": [read, write] }
`;

async function start(t: Parameters<typeof startTestServer>[0]) {
  const policy = await writePolicy(t, ['admin', 'billing', 'twin', 'nobody'], rules);
  const server = await startTestServer(t, { accessFile: policy.file });
  const open = (identity: string) => openPipeline(t, server.url, { headers: policy.as(identity) });
  const admin = await open('admin');
  for (const path of ['/app', '/app/billing', '/app/secret']) await admin.ask({ op: 'create', path });
  for (const name of ['billing.a', 'secret']) {
    await http(`${server.url}/v1/topics`, 'POST', { name }, policy.as('admin'));
  }
  return { server, policy, open, admin };
}

/** A request of each kind about things for which an identity without rights needs some. */
const requests: Record<string, Record<string, unknown>> = {
  create: { path: '/app/x' },
  set: { path: '/app/secret', data: 'x' },
  delete: { path: '/app/secret/none' },
  get: { path: '/app/secret' },
  exists: { path: '/app/secret' },
  children: { path: '/app/secret' },
  multi: { ops: [{ op: 'check', path: '/app/secret' }] },
  watch: { path: '/app/secret', mode: 'node' },
  produce: { topic: 'secret', records: [{ value: 1 }] },
  fetch: { topic: 'secret', partition: 0, offset: 0 },
  offsets: { topic: 'secret', at: 'latest' },
  commit: { group: 'g', offsets: [{ topic: 'secret', partition: 0, offset: 0 }] },
};
/** Requests about the socket itself. */
const own = new Set(['session', 'ping', 'unwatch']);

t.test('every request refuses who has no rights, and lets an admin in', async (t) => {
  const { open, admin } = await start(t);
  const nobody = await open('nobody');
  t.same(
    Object.keys(requestSchemas).filter((op) => !own.has(op)),
    Object.keys(requests),
    'a new kind of request has a row here',
  );
  for (const [op, fields] of Object.entries(requests)) {
    t.match(await nobody.ask({ op, ...fields }), { error: { code: 'FORBIDDEN', detail: /nobody needs/ } }, op);
    t.not((await admin.ask({ op, ...fields })).error?.code, 'FORBIDDEN', op);
  }
  t.match(await nobody.ask({ op: 'ping' }), { ok: {} }, 'the socket goes on');
  t.match(await nobody.ask({ op: 'session', ttl: '10s' }), { ok: {} }, 'sessions are for any identity');
});

t.test('a socket without a token is closed with the reason', async (t) => {
  const { server } = await start(t);
  const socket = await openPipeline(t, server.url);
  t.equal((await socket.closed).code, 4401);
});

t.test('lists and recursive watches leave out what the client may not read', async (t) => {
  const { open, admin } = await start(t);
  const billing = await open('billing');
  t.same((await billing.ask({ op: 'children', path: '/app' })).ok.children, ['billing']);
  await billing.ask({ op: 'watch', path: '/app', mode: 'recursive' });
  await admin.ask({ op: 'set', path: '/app/secret', data: 'y' });
  await admin.ask({ op: 'set', path: '/app/billing', data: 'y' });
  const { events } = await billing.event('events');
  t.same(
    events.map(({ path }: { path: string }) => path),
    ['/app/billing'],
  );
});

t.test('a refused request stops nothing behind it', async (t) => {
  const { open } = await start(t);
  const billing = await open('billing');
  const { ok } = await billing.ask({ op: 'session', ttl: '10s' });
  t.ok(ok);
  const responses = await billing.askAll([
    { op: 'create', path: '/app/billing/a', seq: 1 },
    { op: 'create', path: '/app/no', seq: 2 },
    { op: 'create', path: '/app/billing/b', seq: 3 },
  ]);
  t.match(responses, [{ ok: {} }, { error: { code: 'FORBIDDEN' } }, { ok: {} }]);
});

t.test('the same idempotencyKey of another identity is another key', async (t) => {
  const { open } = await start(t);
  const produce = async (identity: string, key = 'the-same-key') => {
    const socket = await open(identity);
    const request = { op: 'produce', topic: 'billing.a', records: [{ value: 1 }], idempotencyKey: key };
    return (await socket.ask(request)).ok.results[0].baseOffset;
  };
  t.same([await produce('billing'), await produce('twin'), await produce('billing')], [0, 1, 0]);
  t.equal(await produce('twin', 'billing\nthe-same-key'), 2, 'and cannot be written');
});

t.test('a changed policy applies to the next request of an open socket', async (t) => {
  const { open, policy } = await start(t);
  const billing = await open('billing');
  t.ok((await billing.ask({ op: 'get', path: '/app' })).ok);
  await policy.change(rules.replace(', "/app": [read]', ''));
  await eventually(
    async () => (await billing.ask({ op: 'get', path: '/app' })).error?.code === 'FORBIDDEN',
    'the new policy applies',
  );
  t.ok((await billing.ask({ op: 'get', path: '/app/billing' })).ok);
  await policy.change(rules, ['billing']);
  t.equal((await billing.closed).code, 4401);
});

t.test('a fence of a node that the caller may not read tells nothing about it', async (t) => {
  const { server, policy, open } = await start(t);
  const billing = await open('billing');
  const records = [{ value: 1 }];
  for (const path of ['/app/secret', '/app/none']) {
    const refusal = { code: 'FORBIDDEN', detail: `billing needs read on node ${path}.` };
    t.match((await billing.ask({ op: 'produce', topic: 'billing.a', fence: `${path}@1`, records })).error, refusal);
    const headers = { ...policy.as('billing'), 'weir-fence': `${path}@1` };
    t.match((await http(`${server.url}/v1/topics/billing.a/records`, 'POST', { records }, headers)).body, refusal);
  }
  const own = await billing.ask({ op: 'produce', topic: 'billing.a', fence: '/app/billing@1', records });
  t.match(own.error, { code: 'FENCED' });
});

t.test('a commit or reset of a topic that the caller may not read tells nothing about it', async (t) => {
  const { server, policy, open } = await start(t);
  const billing = await open('billing');
  const http1 = (path: string, body: unknown) =>
    http(`${server.url}/v1/groups/billing.g/offsets${path}`, 'POST', body, policy.as('billing'));
  const commitOf = (topic: string) => ({ offsets: [{ topic, partition: 0, offset: 0 }] });
  t.match(await billing.ask({ op: 'commit', group: 'billing.g', ...commitOf('billing.a') }), { ok: {} });
  t.match(await http1('', commitOf('billing.a')), { status: 200 });
  t.match(await http1('/reset', { to: 'latest', topics: ['billing.a'] }), { status: 200 });
  const url = `${server.url}/v1/groups/billing.s/stream?topics=billing.a`;
  const member = await openSocket(t, url, policy.as('billing'));
  await member.frame({ type: 'joined' });
  for (const topic of ['secret', 'none']) {
    const refusal = { code: 'FORBIDDEN', detail: `billing needs read on topic ${topic}.` };
    t.match((await billing.ask({ op: 'commit', group: 'billing.g', ...commitOf(topic) })).error, refusal);
    t.match((await http1('', commitOf(topic))).body, refusal);
    t.match((await http1('/reset', { to: 'latest', topics: [topic] })).body, refusal);
    member.send({ type: 'commit', id: topic, ...commitOf(topic) });
    t.match(await member.frame({ id: topic }), refusal);
  }
});

t.test('a fetch that waits is checked again when records come', async (t) => {
  const { server, open, policy, admin } = await start(t);
  const billing = await open('billing');
  const url = `${server.url}/v1/topics/billing.a/partitions/0/records?offset=latest&wait=1m`;
  const overHttp = http(url, 'GET', undefined, policy.as('billing'));
  billing.send({ id: 1, op: 'fetch', topic: 'billing.a', partition: 0, offset: 'latest', wait: '1m' });
  await billing.ask({ op: 'fetch', topic: 'billing.a', partition: 1 });
  await policy.change(rules.replace('topics: { "billing.*": [read, write] }\n    groups', 'groups'));
  await eventually(
    async () => (await billing.ask({ op: 'fetch', topic: 'billing.a', partition: 1 })).error?.code === 'FORBIDDEN',
    'the new policy applies',
  );
  await admin.ask({ op: 'produce', topic: 'billing.a', partition: 0, records: [{ value: 'secret' }] });
  const refusal = { code: 'FORBIDDEN', detail: 'billing needs read on topic billing.a.' };
  t.match((await billing.response(1)).error, refusal);
  t.match((await overHttp).body, refusal);
});

t.test('parents are made only where the client may write, as over HTTP; others must exist', async (t) => {
  const { open, admin } = await start(t);
  const billing = await open('billing');
  await billing.ask({ op: 'session', ttl: '10s' });
  const create = (path: string, more = {}) => billing.ask({ op: 'create', path, parents: true, ...more });
  t.match(await create('/app/billing/x/y/z'), { ok: { path: '/app/billing/x/y/z', stat: {} } });
  await admin.ask({ op: 'delete', path: '/app/billing', recursive: true });
  t.match(await create('/app/billing/x', { seq: 1 }), { ok: {} }, 'the ancestor above is there');
  t.match(await create('/app/billing/s-', { sequential: true }), { ok: { name: /^s-\d{10}$/ } });
  t.match(await create('/app/billing/x', { seq: 2 }), { error: { code: 'NODE_EXISTS' } });
  t.notOk('failed' in (await create('/app/billing/x')).error, 'it is one operation to the client');
  await admin.ask({ op: 'delete', path: '/app', recursive: true });
  const refused = { error: { code: 'FORBIDDEN', detail: /billing needs write on node \/app\./ }, zxid: Number };
  t.match(await create('/app/billing/x'), refused);
  t.match(await create('/app/billing/x', { seq: 3 }), refused);
  t.match(await admin.ask({ op: 'exists', path: '/app' }), { ok: { exists: false } }, 'nothing was made');
  t.match(await admin.ask({ op: 'create', path: '/app/billing/x', parents: true }), { ok: {} });
});

t.test(
  'the key of a session to create is that of its identity: another one with the same key has a session of its own',
  async (t) => {
    const { open } = await start(t);
    const create = { op: 'session', idempotencyKey: 'the-same-key-of-two' };
    const billing = await (await open('billing')).ask(create);
    const twin = await (await open('twin')).ask(create);
    const again = await (await open('billing')).ask(create);
    t.match(twin.ok.id, /./);
    t.not(twin.ok.id, billing.ok.id);
    t.match(again, { replayed: true, ok: { session: billing.ok.session } });
  },
);
