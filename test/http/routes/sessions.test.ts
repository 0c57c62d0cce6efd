import t from 'tap';
import { defaultLimits } from '../../../src/app.ts';
import { unrestricted } from '../../../src/core/actor.ts';
import { defaultStoredLimits } from '../../../src/store/stored-limits.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t, { sessionMinTtlMs: 300, sessionMaxTtlMs: 60_000 });
const { url } = server;
const create = async (ttl: string | number) => (await http(`${url}/v1/sessions`, 'POST', { ttl })).body;
const putEphemeral = (path: string, session: string) =>
  http(`${url}/v1/nodes${path}?mode=ephemeral&session=${session}`, 'PUT', '');

t.test('a session is described by its public id to those who may list it', async (t) => {
  const { id, session } = await create('30s');
  await putEphemeral('/described', session);
  t.match((await http(`${url}/v1/sessions/${id}`)).body, { id, ttlMs: 30_000, ephemerals: ['/described'] });
  const { expiresAt } = (await http(`${url}/v1/sessions/${id}`)).body;
  t.equal((await http(`${url}/v1/sessions/${session}`)).body.expiresAt, expiresAt, 'that renews nothing');
  await http(`${url}/v1/sessions/${session}`, 'DELETE');
  t.match(await http(`${url}/v1/sessions/${id}`), { status: 410, body: { code: 'SESSION_EXPIRED' } });
});

t.test('the time to live is clamped to the bounds, as ZooKeeper negotiates it', async (t) => {
  t.equal((await create('1ms')).ttlMs, 300);
  t.equal((await create('24h')).ttlMs, 60_000);
  t.equal((await create(5000)).ttlMs, 5000);
  t.equal((await http(`${url}/v1/sessions`, 'POST')).body.ttlMs, 10_000);
  t.match(await http(`${url}/v1/sessions`, 'POST', { tll: '5s' }), { status: 400, body: { detail: /tll/ } });
  t.match(await http(`${url}/v1/sessions`, 'POST', { ttl: 'soon' }), {
    status: 400,
    body: { detail: /ttl.*duration/ },
  });
});

t.test('a session shows its ephemeral nodes, and they show its id, not its handle', async (t) => {
  const session = await create('30s');
  t.match(session.session, new RegExp(`^${session.id}\\.`));
  const { body } = await putEphemeral('/mine', session.session);
  t.equal(body.stat.ephemeralOwner, session.id);
  t.match((await http(`${url}/v1/sessions/${session.session}`)).body, { id: session.id, ephemerals: ['/mine'] });
  t.equal((await http(`${url}/v1/sessions/${session.session}`, 'DELETE')).status, 204);
  t.equal((await http(`${url}/v1/nodes/mine`)).status, 404);
  for (const method of ['GET', 'PUT', 'DELETE']) {
    t.match(await http(`${url}/v1/sessions/${session.session}`, method), {
      status: 410,
      body: { code: 'SESSION_EXPIRED' },
    });
  }
});

t.test('all ephemerals of a session go in one transaction when its time is over', async (t) => {
  const before = await server.broker.store.events.newestZxid();
  const { session } = await create('1s');
  // All at once: on a busy machine its time may be over between two requests.
  const ops = ['/gone-a', '/gone-b', '/gone-c'].map((path) => ({ op: 'create', path, mode: 'ephemeral', session }));
  t.equal((await http(`${url}/v1/multi`, 'POST', { ops })).status, 200);
  await eventually(async () => (await http(`${url}/v1/nodes/gone-a`)).status === 404, 'the session expires');
  const { transactions } = await server.broker.store.events.range('main', before, Number.MAX_SAFE_INTEGER, 100);
  const deletions = transactions.filter(({ events }) =>
    events.some(({ kind, path }) => kind === 'deleted' && path.startsWith('/gone-')),
  );
  t.equal(deletions.length, 1);
  t.same(
    deletions[0]!.events.map(({ kind, path }) => [kind, path]),
    [
      ['deleted', '/gone-a'],
      ['deleted', '/gone-b'],
      ['deleted', '/gone-c'],
    ],
  );
});

t.test('renewals by heartbeat and by any request that carries the session keep it alive', async (t) => {
  const session = await create('600ms');
  await putEphemeral('/kept', session.session);
  const end = session.expiresAt + 1500;
  let expiresAt = 0;
  let turn = 0;
  // Until well beyond the first deadline, by the store's clock, each way of renewing in turn.
  while (expiresAt < end) {
    turn += 1;
    if (turn % 2 === 0) {
      const renewed = await http(`${url}/v1/sessions/${session.session}`, 'PUT');
      t.equal(renewed.status, 200);
      expiresAt = renewed.body.expiresAt;
    } else {
      t.equal((await http(`${url}/v1/nodes/`, 'GET', undefined, { 'weir-session': session.session })).status, 200);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal((await http(`${url}/v1/nodes/kept`)).status, 200);
  await eventually(async () => (await http(`${url}/v1/nodes/kept`)).status === 404, 'then it expires');
  t.match(await http(`${url}/v1/nodes/`, 'GET', undefined, { 'weir-session': session.session }), {
    status: 410,
    body: { code: 'SESSION_EXPIRED' },
  });
});

t.test("a session is never ended early, and its lateness is bounded by the reaper's turn", async (t) => {
  const session = await create('500ms');
  await putEphemeral('/timed', session.session);
  const created = (await http(`${url}/v1/nodes/timed?view=stat`)).body.stat.ctime;
  const { sessions } = server.broker.store;
  await eventually(async () => (await http(`${url}/v1/nodes/timed`)).status === 404, 'it expires');
  const probe = await sessions.create(1000, unrestricted);
  t.ok(probe.expiresAt - 1000 >= session.expiresAt, "by the store's clock the deadline had passed");
  t.ok(session.expiresAt >= created);
});

t.test('a wrong secret gets the response of an ended session and changes nothing', async (t) => {
  const session = await create('30s');
  const forged = `${session.id}.${'A'.repeat(22)}`;
  for (const handle of [forged, session.id, 'x', `${session.session}x`]) {
    t.match(await http(`${url}/v1/sessions/${encodeURIComponent(handle)}`, 'PUT'), { status: 410 });
    t.match(await putEphemeral('/forged', encodeURIComponent(handle)), { status: 410 });
  }
  t.equal((await http(`${url}/v1/nodes/forged`)).status, 404);
  t.equal((await http(`${url}/v1/sessions/${session.session}`)).status, 200);
});

t.test('a repeated creation with one Idempotency-Key gives the same session', async (t) => {
  const headers = { 'idempotency-key': '0b0cbd2e-session-1' };
  const first = await http(`${url}/v1/sessions`, 'POST', { ttl: '5s' }, headers);
  const again = await http(`${url}/v1/sessions`, 'POST', { ttl: '5s' }, headers);
  t.same(again.body, first.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
  t.equal((await http(`${url}/v1/sessions/${again.body.session}`)).status, 200);
});

t.test('the own session is used by its header alone, and its end may be repeated', async (t) => {
  const { id, session } = await create('30s');
  await putEphemeral('/own', session);
  const own = { 'weir-session': session };
  const self = (method: string, headers: Record<string, string> = own) =>
    http(`${url}/v1/sessions/self`, method, undefined, headers);
  t.match(await self('GET'), { status: 200, body: { id, ephemerals: ['/own'] } });
  t.match(await self('PUT'), { status: 200, body: { id, ttlMs: 30_000 } });
  for (const method of ['GET', 'PUT', 'DELETE']) {
    t.match(await self(method, {}), {
      status: 400,
      body: { code: 'BAD_REQUEST', detail: /Weir-Session, which is missing/ },
    });
  }
  const keyed = { ...own, 'idempotency-key': 'end-of-own' };
  t.equal((await self('DELETE', keyed)).status, 204);
  const again = await self('DELETE', keyed);
  t.match([again.status, again.headers.get('idempotency-replayed')], [204, 'true']);
  t.equal((await http(`${url}/v1/nodes/own`)).status, 404);
  t.match(await self('DELETE'), { status: 410, body: { code: 'SESSION_EXPIRED' } });
});

t.test('a session is ended by its public id from this machine only, and not through a proxy', async (t) => {
  const { id, session } = await create('30s');
  const force = (headers: Record<string, string> = {}, query = '?force=true') =>
    http(`${url}/v1/sessions/${id}${query}`, 'DELETE', undefined, headers);
  for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
    t.match(
      await force({ [name]: '127.0.0.1' }),
      { status: 403, body: { code: 'FORBIDDEN', detail: /loopback/ } },
      name,
    );
  }
  t.equal((await force({}, '')).status, 410, 'without force it takes the handle');
  t.equal((await http(`${url}/v1/sessions/${session}`)).status, 200);
  t.equal((await force()).status, 204);
  t.equal((await http(`${url}/v1/sessions/${session}`)).status, 410);
  t.equal((await force()).status, 410);
});

t.test('what is no handle is refused with what is wrong about it', async (t) => {
  const { id, session } = await create('30s');
  const cases: [handle: string, status: number, detail: RegExp][] = [
    ['', 400, /handle is empty.*<id>\.<secret>/],
    [`${session}, ${session}`, 400, /several session handles/],
    [id, 410, new RegExp(`${id} is the public id of a session`)],
    [`${session}x`, 410, /has 40 characters, and a handle has 39/],
    [
      `${id}.${'A'.repeat(22)}`,
      410,
      new RegExp(`Session ${id} has ended, or this is not its handle; create a new session`),
    ],
  ];
  for (const [handle, status, detail] of cases) {
    const refused = await http(`${url}/v1/nodes/`, 'GET', undefined, { 'weir-session': handle });
    t.match(refused, { status, body: { detail } }, handle);
    t.notOk(refused.body.detail.includes(session.split('.')[1]!), 'the secret is not shown');
  }
});

t.test('a wrong secret is refused as an ended session is, so that nobody learns which sessions exist', async (t) => {
  const { id, session } = await create('30s');
  const wrong = `${id}.${'A'.repeat(22)}`;
  const uses = (handle: string) =>
    Promise.all([
      http(`${url}/v1/sessions/${handle}`),
      http(`${url}/v1/sessions/${handle}`, 'PUT'),
      http(`${url}/v1/sessions/${handle}`, 'DELETE'),
      http(`${url}/v1/nodes/wrong`, 'PUT', 'x', { 'weir-session': handle }),
      http(`${url}/v1/multi`, 'POST', { ops: [{ op: 'create', path: '/wrong', mode: 'ephemeral', session: handle }] }),
    ]);
  const shown = async (handle: string) => (await uses(handle)).map(({ status, body }) => ({ status, body }));
  const living = await shown(wrong);
  await http(`${url}/v1/sessions/${session}`, 'DELETE');
  t.same(await shown(wrong), living);
  t.same(await shown(session), living, 'the right handle, too');
  for (const { status, body } of living) {
    t.match({ status, body }, { status: 410, body: { code: 'SESSION_EXPIRED', detail: /or this is not its handle/ } });
  }
});

t.test('there are so many sessions and producers and no more; those that exist go on', async (t) => {
  const stored = { ...defaultStoredLimits, sessionsMax: 3, producersMax: 2 };
  const limited = await startTestServer(t, {}, undefined, { ...defaultLimits, stored });
  const at = `${limited.url}/v1`;
  // That of the broker is one of them.
  const made = [await http(`${at}/sessions`, 'POST'), await http(`${at}/sessions`, 'POST')];
  t.match(made, [{ status: 201 }, { status: 201 }]);
  const refused = await http(`${at}/sessions`, 'POST');
  t.match(refused, {
    status: 429,
    body: { code: 'TOO_MANY_REQUESTS', detail: /3 sessions, which is the most/, sessionsMax: 3 },
  });
  t.ok(refused.headers.get('retry-after'));
  const handle = made[0]!.body.session;
  t.equal((await http(`${at}/sessions/${handle}`, 'PUT')).status, 200);
  t.equal((await http(`${at}/sessions/${handle}`, 'DELETE')).status, 204);
  t.equal((await http(`${at}/sessions`, 'POST')).status, 201, 'there is room again');
  const register = (name: string) => http(`${at}/producers`, 'POST', { name });
  t.match([await register('a'), await register('b')], [{ status: 201 }, { status: 201 }]);
  t.match(await register('c'), {
    status: 429,
    body: { detail: /2 named producers.*c would be another/, producersMax: 2 },
  });
  t.match(await register('a'), { status: 201, body: { epoch: 1 } });
  await eventually(async () => {
    const text = (await http(`${limited.url}/metrics`)).body;
    return /^weir_sessions 3$/m.test(text) && /^weir_stored_responses 0$/m.test(text);
  }, 'the metrics say how many there are');
});

t.test('another broker ends the sessions of one that is gone', async (t) => {
  const first = await startTestServer(t);
  const second = await startTestServer(t, {}, first.target);
  const { body } = await http(`${first.url}/v1/sessions`, 'POST', { ttl: '1500ms' });
  const orphan = await http(`${first.url}/v1/nodes/orphan?mode=ephemeral&session=${body.session}`, 'PUT', '');
  t.equal(orphan.status, 201);
  await first.close();
  await eventually(async () => (await http(`${second.url}/v1/nodes/orphan`)).status === 404, 'the survivor reaps');
});

t.test(
  'sessions are listed with label and counts, those that expire first at first, and without their handles',
  async (t) => {
    const listing = await startTestServer(t);
    const make = async (body: object) => (await http(`${listing.url}/v1/sessions`, 'POST', body)).body;
    const late = await make({ ttl: '10m', label: 'payroll on host 7' });
    const early = await make({ ttl: '9m' });
    await http(`${listing.url}/v1/nodes/listed?mode=ephemeral&session=${late.session}`, 'PUT', '');
    const { status, body } = await http(`${listing.url}/v1/sessions`);
    t.equal(status, 200);
    t.equal(body.sessions.length, 3, 'the broker has one, too');
    const own = body.sessions.slice(1);
    const { id, ttlMs, expiresAt } = late;
    t.match(own, [
      { id: early.id, ephemerals: 0, label: undefined },
      { id, ttlMs, expiresAt, ephemerals: 1, label: 'payroll on host 7' },
    ]);
    t.ok(own[1].createdAt <= expiresAt - ttlMs);
    t.notOk(JSON.stringify(body).includes(late.session.split('.')[1]), 'the secret is not shown');
    t.match((await http(`${listing.url}/v1/sessions/${late.session}`)).body, {
      createdAt: own[1].createdAt,
      label: 'payroll on host 7',
      ephemerals: ['/listed'],
    });
    for (const label of ['', 'x'.repeat(256), 7]) {
      t.match(await http(`${listing.url}/v1/sessions`, 'POST', { label }), { status: 400, body: { detail: /label/ } });
    }
    t.match(await http(`${listing.url}/v1/sessions?limit=1001`), { status: 400 });
    t.match(await http(`${listing.url}/v1/sessions?after=1`), { status: 400, body: { field: 'after' } });
  },
);

t.test('pages of sessions that expire at the same time hold each once', async (t) => {
  const paged = await startTestServer(t);
  const { sessions, connection } = paged.broker.store;
  for (let i = 0; i < 25; i += 1) await sessions.create(60_000, unrestricted);
  const at = Date.now() + 3_600_000;
  await connection.command(true, async (client) => {
    const ids = await client.zrange('{weir}:sessions', '0', '-1');
    await client.zadd('{weir}:sessions', ...ids.flatMap((id) => [at, id]));
  });
  const seen: string[] = [];
  let after = '';
  do {
    const { body } = await http(`${paged.url}/v1/sessions?limit=7${after && `&after=${after}`}`);
    t.ok(body.sessions.length <= 7);
    seen.push(...body.sessions.map(({ id }: { id: string }) => id));
    after = body.next ?? '';
  } while (after !== '');
  t.equal(seen.length, 26, 'with that of the broker, which may be twice if it was renewed meanwhile');
  t.equal(new Set(seen).size, 26);
});
