// What belongs to an identity: sessions, members of groups and named producers. Another identity with the same rights that knows the
// handle, the member secret or the producer id is refused; an admin is not.
import t from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { openEventStream } from '../helpers/event-stream.ts';
import { openPipeline } from '../helpers/pipeline.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const rights = `
    nodes: { "/app/**": [read, write, delete] }
    topics: { "*": [read, write] }
    groups: { "*": [use] }
    producers: { "*": [use] }`;
const rules = `
allow:
  - who: ops
    admin: true
  - who: alice${rights}
  - who: bob${rights}
`;

// Things that are made before there is a policy, on the same store.
const open = await startTestServer(t);
const before = (await http(`${open.url}/v1/sessions`, 'POST', {})).body;
const beforeProducer = (await http(`${open.url}/v1/producers`, 'POST', { name: 'before' })).body;
await http(`${open.url}/v1/topics`, 'POST', { name: 'orders', partitions: 3 });
const beforeMember = (await http(`${open.url}/v1/groups/old/members`, 'POST', { topics: ['orders'] })).body;

const policy = await writePolicy(t, ['ops', 'alice', 'bob'], rules);
const servers = [
  await startTestServer(t, { accessFile: policy.file }, open.target),
  await startTestServer(t, { accessFile: policy.file }, open.target),
];
let calls = 0;

/** Sends a request through one broker after the other. */
const as =
  (identity: string) =>
  (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    http(`${servers[calls++ % 2]!.url}${path}`, method, body, { ...policy.as(identity), ...headers });
const [alice, bob, ops] = [as('alice'), as('bob'), as('ops')];
const url = servers[0]!.url;
await ops('PUT', '/v1/nodes/app', 'x');

const session = async (who = alice) => (await who('POST', '/v1/sessions', { ttl: '30s' })).body;
const forbidden = { status: 403, body: { code: 'FORBIDDEN' } };

t.test('the session of another identity is refused, with its handle, in every way over HTTP', async (t) => {
  const { id, session: handle } = await session();
  const header = { 'weir-session': handle };
  for (const [method, path, body, headers] of [
    ['PUT', `/v1/sessions/${handle}`],
    ['GET', `/v1/sessions/${handle}`],
    ['DELETE', `/v1/sessions/${handle}`],
    ['PUT', '/v1/sessions/self', undefined, header],
    ['GET', '/v1/sessions/self', undefined, header],
    ['DELETE', '/v1/sessions/self', undefined, header],
    ['DELETE', `/v1/sessions/${id}?force=true`],
    ['GET', '/v1/nodes/app', undefined, header],
    ['GET', '/v1/nodes/app?wait=1s', undefined, header],
    ['GET', '/v1/watch/app', undefined, header],
    ['PUT', `/v1/nodes/app/lock?session=${handle}`, 'x'],
    ['POST', `/v1/nodes/app/lock-?session=${handle}`, 'x'],
    ['PUT', '/v1/nodes/app/lock?mode=ephemeral', 'x', header],
    ['POST', '/v1/multi', { ops: [{ op: 'create', path: '/app/lock', mode: 'ephemeral', session: handle }] }],
  ] as const) {
    const { status, body: problem } = await bob(method, path, body, headers);
    t.match({ status, body: problem }, forbidden, `${method} ${path.replace(handle, '…')}`);
    t.match(problem.detail, /another identity than bob|not one of bob/);
    t.notOk(JSON.stringify(problem).includes(handle), 'the handle is not repeated');
    t.notOk(JSON.stringify(problem).includes('alice'), 'nor is the owner named');
  }
  t.equal((await alice('GET', `/v1/sessions/${handle}`)).status, 200, 'it is alive');
  t.equal((await alice('GET', '/v1/nodes/app/lock')).status, 404, 'nothing was made');
  t.equal((await alice('PUT', `/v1/nodes/app/lock?session=${handle}`, 'x')).status, 201);
  t.equal((await ops('PUT', `/v1/sessions/${handle}`)).status, 200, 'an admin may');
  t.equal((await alice('DELETE', `/v1/sessions/${handle}`)).status, 204);
});

t.test('requests of two identities with one handle share no renewal', async (t) => {
  const { session: handle } = await session();
  const header = { 'weir-session': handle };
  const all = await Promise.all(
    Array.from({ length: 40 }, (_, i) => (i % 2 ? alice : bob)('GET', '/v1/nodes/app', undefined, header)),
  );
  t.same(
    all.map(({ status }) => status),
    Array.from({ length: 40 }, (_, i) => (i % 2 ? 200 : 403)),
  );
});

t.test('a wrong handle is refused alike for all, and so is a public id that is not of an own session', async (t) => {
  const { id, session: handle } = await session();
  const wrong = `${id}.${'A'.repeat(22)}`;
  for (const who of [alice, bob]) t.equal((await who('GET', `/v1/sessions/${wrong}`)).body.code, 'SESSION_EXPIRED');
  const [theirs, none] = [
    await bob('DELETE', `/v1/sessions/${id}?force=true`),
    await bob('DELETE', '/v1/sessions/0123456789abcdef?force=true'),
  ];
  t.equal(theirs.body.detail.replace(id, '…'), none.body.detail.replace('0123456789abcdef', '…'));
  t.equal((await bob('DELETE', `/v1/sessions/${before.id}?force=true`)).status, 403, 'nor one of no identity');
  t.equal((await alice('DELETE', `/v1/sessions/${id}?force=true`)).status, 204, 'its identity ends it by its id');
  t.equal((await alice('GET', `/v1/sessions/${handle}`)).body.code, 'SESSION_EXPIRED');
});

t.test('a session of a time without a policy is that of whoever has its handle', async (t) => {
  t.equal((await alice('PUT', `/v1/sessions/${before.session}`)).status, 200);
  t.equal((await bob('PUT', `/v1/nodes/app/old?session=${before.session}`, 'x')).status, 201);
  t.equal((await http(`${open.url}/v1/sessions/${before.session}`)).status, 200);
  const { session: handle } = await session();
  t.equal((await http(`${open.url}/v1/sessions/${handle}`)).status, 200, 'without a policy there is no owner');
});

t.test('the session of another identity is refused on every socket', async (t) => {
  const { session: handle } = await session();
  const theirs = await openPipeline(t, url, { headers: policy.as('bob') });
  const refused = { error: { code: 'FORBIDDEN', detail: /another identity than bob/ } };
  t.match(await theirs.ask({ op: 'session', attach: handle }), refused);
  t.match(await theirs.ask({ op: 'create', path: '/app/s', mode: 'ephemeral', session: handle }), refused);
  const op = { op: 'create', path: '/app/s', mode: 'ephemeral', session: handle };
  t.match(await theirs.ask({ op: 'multi', ops: [op] }), refused);
  const { ok } = await theirs.ask({ op: 'session' });
  t.equal((await bob('GET', `/v1/sessions/${ok.session}`)).status, 200, 'its own belongs to it');
  t.equal((await alice('GET', `/v1/sessions/${ok.session}`)).status, 403);
  const watch = await openSocket(t, `${url}/v1/watch`, policy.as('bob'));
  watch.send({ type: 'session', session: handle });
  t.match(await watch.frame({ type: 'error' }), { code: 'FORBIDDEN' });
  const mine = await openPipeline(t, url, { headers: policy.as('alice') });
  t.match(await mine.ask({ op: 'session', attach: handle }), { ok: { lastSeq: 0 } });
  t.match(await mine.ask({ op: 'create', path: '/app/s', mode: 'ephemeral', seq: 1 }), { ok: {} });
  const mighty = await openPipeline(t, url, { headers: policy.as('ops') });
  t.match(await mighty.ask({ op: 'session', attach: handle }), { ok: { lastSeq: 1 } }, 'an admin may');
  t.match(await mine.ask({ op: 'set', path: '/app/s', data: 'y', seq: 2 }), { error: { code: 'SESSION_MOVED' } });
});

t.test('an event stream with the session of another identity does not begin', async (t) => {
  const { session: handle } = await session();
  const stream = await openEventStream(t, `${url}/v1/watch/app`, { ...policy.as('alice'), 'weir-session': handle });
  await stream.message(({ data }) => data.type === 'watching', 'the watch is set');
  const { status } = await bob('GET', '/v1/watch/app', undefined, { 'weir-session': handle });
  t.equal(status, 403);
});

t.test('a member belongs to the identity that has joined it', async (t) => {
  const group = '/v1/groups/g/members';
  const join = { topics: ['orders'], memberId: 'm', instanceId: 'i' };
  const { body: member } = await alice('POST', group, join);
  const secret = { 'weir-member': member.memberSecret };
  for (const [method, path, body, headers] of [
    ['POST', group, join],
    ['POST', group, join, secret],
    ['POST', group, { ...join, memberId: 'another' }],
    ['POST', `${group}/m/heartbeat`, { memberEpoch: member.memberEpoch }, secret],
    ['GET', `${group}/m/records?wait=0`, undefined, secret],
    ['POST', `${group}/m/records?wait=0`, undefined, secret],
    ['DELETE', `${group}/m`, undefined, secret],
    ['DELETE', `${group}/m?temporary=true`, undefined, secret],
    [
      'POST',
      '/v1/groups/g/offsets',
      { memberId: 'm', memberEpoch: 1, offsets: [{ topic: 'orders', partition: 0, offset: 0 }] },
      secret,
    ],
  ] as const) {
    const response = await bob(method, path, body, headers);
    t.match(response, forbidden, `${method} ${path} ${JSON.stringify(body)}`);
    t.match(response.body.detail, /another identity than bob/);
  }
  const socket = await openSocket(t, `${url}/v1/groups/g/stream?topics=orders&memberId=m`, policy.as('bob'));
  t.equal(await socket.closed, 4403);
  const pipeline = await openPipeline(t, url, { headers: policy.as('bob') });
  const commit = { op: 'commit', group: 'g', memberId: 'm', memberEpoch: 1, memberSecret: member.memberSecret };
  t.match(await pipeline.ask({ ...commit, offsets: [{ topic: 'orders', partition: 0, offset: 0 }] }), {
    error: { code: 'FORBIDDEN', detail: /another identity than bob/ },
  });
  const heartbeat = await alice('POST', `${group}/m/heartbeat`, { memberEpoch: member.memberEpoch }, secret);
  t.equal(heartbeat.status, 200, 'the member goes on');
  t.equal((await ops('POST', group, join)).status, 201, 'an admin may take its place');
  t.equal((await alice('POST', group, join)).status, 403, 'and then it is his');
  t.equal((await ops('DELETE', `${group}/m?force=true`, undefined, secret)).status, 400);
});

t.test('a member on a socket, which has no secret, belongs to its identity, too', async (t) => {
  const path = '/v1/groups/sockets/stream?topics=orders&memberId=m';
  const member = await openSocket(t, `${url}${path}`, policy.as('alice'));
  await member.frame({ type: 'joined' });
  t.equal((await bob('POST', '/v1/groups/sockets/members/m/heartbeat', { memberEpoch: 1 })).status, 403);
  t.equal((await bob('DELETE', '/v1/groups/sockets/members/m')).status, 403);
  const thief = await openSocket(t, `${url}${path}`, policy.as('bob'));
  t.equal(await thief.closed, 4403);
  const { members } = (await alice('GET', '/v1/groups/sockets')).body;
  t.equal(members.length, 1);
  const { sessionId } = members[0];
  if (sessionId) t.equal((await bob('DELETE', `/v1/sessions/${sessionId}?force=true`)).status, 403);
  const again = await openSocket(t, `${url}${path}`, policy.as('alice'));
  await again.frame({ type: 'joined' });
  t.equal(await member.closed, 4409, 'its own identity takes it over');
});

t.test('a member of a time without a policy belongs to whoever joins it again', async (t) => {
  const at = '/v1/groups/old/members';
  const secret = { 'weir-member': beforeMember.memberSecret };
  const heartbeat = { memberEpoch: beforeMember.memberEpoch };
  t.equal((await bob('POST', `${at}/${beforeMember.memberId}/heartbeat`, heartbeat, secret)).status, 200);
  const join = { topics: ['orders'], memberId: beforeMember.memberId };
  t.equal((await alice('POST', at, join)).status, 201);
  t.equal((await bob('POST', at, join)).status, 403);
});

t.test('a named producer belongs to the identity that has registered its name', async (t) => {
  const { body: producer } = await alice('POST', '/v1/producers', { name: 'p' });
  t.match(await bob('POST', '/v1/producers', { name: 'p' }), forbidden);
  const produce = (who: typeof alice, sequence: number, partition: number, id = producer.id) =>
    who('POST', `/v1/topics/orders/partitions/${partition}/records`, {
      records: [{ value: sequence }],
      producer: { id, epoch: 0, sequence },
    });
  for (const partition of [0, 1, 2])
    t.match(await produce(bob, 0, partition), forbidden, `no log knows it yet, ${partition}`);
  t.equal((await produce(alice, 0, 0)).status, 200);
  for (const partition of [0, 1, 2]) {
    t.match(await produce(bob, 1, partition), forbidden, `partition ${partition}`);
    t.match(await produce(bob, 0, partition), forbidden, 'nor does it get the result of a repeat');
  }
  const header = { 'weir-producer': `${producer.id}:0:1`, 'content-type': 'text/plain' };
  t.match(await bob('POST', '/v1/topics/orders/records', 'x', header), forbidden);
  const pipeline = await openPipeline(t, url, { headers: policy.as('bob') });
  const records = [{ value: 1 }];
  t.match(
    await pipeline.ask({
      op: 'produce',
      topic: 'orders',
      records,
      producer: { id: producer.id, epoch: 0, sequence: 1 },
    }),
    { error: { code: 'FORBIDDEN', detail: /another identity than bob/ } },
  );
  t.equal((await produce(alice, 1, 0)).status, 200, 'its sequence is where it was');
  t.equal((await produce(ops, 2, 1)).status, 200, 'an admin may');
  t.match((await ops('POST', '/v1/producers', { name: 'p' })).body, { id: producer.id, epoch: 1 });
  t.match((await alice('POST', '/v1/producers', { name: 'p' })).body, { id: producer.id, epoch: 2 }, 'still hers');
});

t.test('a producer name of a time without a policy belongs to the first identity that uses it', async (t) => {
  const stamp = { id: beforeProducer.id, epoch: 0 };
  const produce = (who: typeof alice, producer: object) =>
    who('POST', '/v1/topics/orders/records', { records: [{ value: 1 }], producer });
  t.equal((await produce(alice, { ...stamp, sequence: 0 })).status, 200);
  t.equal((await produce(bob, { ...stamp, sequence: 1 })).status, 200, 'who knows its id');
  t.match((await alice('POST', '/v1/producers', { name: 'before' })).body, { id: stamp.id, epoch: 1 });
  t.match(await bob('POST', '/v1/producers', { name: 'before' }), forbidden);
  t.match(await produce(bob, { ...stamp, epoch: 1, sequence: 0 }), forbidden);
  t.equal((await produce(alice, { ...stamp, epoch: 1, sequence: 0 })).status, 200);
});

t.test('an admin who is one no more keeps no session of others', async (t) => {
  const { session: handle, id } = await session();
  const watch = await openSocket(t, `${url}/v1/watch`, policy.as('ops'));
  watch.send({ type: 'session', session: handle });
  await watch.frame({ type: 'session', id });
  const pipeline = await openPipeline(t, url, { headers: policy.as('ops') });
  t.ok((await pipeline.ask({ op: 'session', attach: handle })).ok);
  await policy.change(rules.replace('admin: true', 'nodes: { "/app/**": [write] }'));
  t.teardown(() => policy.change(rules));
  const request = { op: 'create', path: '/app/taken', mode: 'ephemeral' };
  await eventually(
    async () => (await pipeline.ask(request)).error?.code === 'FORBIDDEN',
    'the policy is used, and the session is refused',
  );
});
