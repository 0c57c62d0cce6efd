// Repeats of requests with an Idempotency-Key, on every route that writes: each gets its first response again and changes nothing, also
// where the first attempt was cut off between the change and the response, and where others have changed it since.
import t from 'tap';
import { storedResponseId } from '../../../src/store/sealed-response.ts';
import { memberHeader } from '../../../testbed/member-secrets.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t, { brokerId: 1 });
const { url } = server;
const at = `${url}/v1`;

interface Case {
  what: string;
  method: string;
  path: string;
  body?: unknown;
  /** Creates the state that the request needs. */
  before?: () => Promise<unknown>;
  /** A change by other clients between the first attempt and the repeat: executed again, the request would undo it, or fail. */
  between?: () => Promise<unknown>;
  /** Reads the state that the repeat must not change. */
  state: () => Promise<unknown>;
  /** Another request with the same key. */
  other?: { path?: string; body?: unknown };
  /** Whether one script makes the change and stores the response, so that no attempt can stop between them. */
  isOneScript?: boolean;
}

const create = (path: string, data = 'x') => http(`${at}/nodes/${path}`, 'PUT', data);
const stat = (path: string) => async () => (await http(`${at}/nodes/${path}?view=stat`)).body;
const topic = (name: string) => http(`${at}/topics`, 'POST', { name });
const described = (name: string) => async () => (await http(`${at}/topics/${name}`)).body;
const offsets = (group: string) => async () => (await http(`${at}/groups/${group}/offsets`)).body;
const members = (group: string) => async () =>
  (await http(`${at}/groups/${group}`)).body.members?.map(({ memberId }: { memberId: string }) => memberId);
const join = (group: string, memberId: string) =>
  http(`${at}/groups/${group}/members`, 'POST', { memberId, topics: ['base'] });
const commit = (group: string, offset: number) =>
  http(`${at}/groups/${group}/offsets`, 'POST', { offsets: [{ topic: 'base', partition: 0, offset }] });

await topic('base');
for (let i = 0; i < 10; i++) await http(`${at}/topics/base/records`, 'POST', 'x');
const session = async () => (await http(`${at}/sessions`, 'POST', { ttl: '60s' })).body.session as string;
const endless = await session();

const cases: Case[] = [
  {
    what: 'PUT of a node',
    method: 'PUT',
    path: '/nodes/put',
    body: 'one',
    between: () => create('put', 'two'),
    state: stat('put'),
    other: { body: 'three' },
    isOneScript: true,
  },
  { what: 'POST of a node', method: 'POST', path: '/nodes/seq-', body: 'x', state: stat(''), isOneScript: true },
  {
    what: 'DELETE of a node',
    method: 'DELETE',
    path: '/nodes/deleted',
    before: () => create('deleted'),
    between: () => create('deleted', 'made anew'),
    state: stat('deleted'),
    other: { path: '/nodes/put' },
    isOneScript: true,
  },
  {
    what: 'recursive DELETE of nodes',
    method: 'DELETE',
    path: '/nodes/all?recursive=true',
    before: () => http(`${at}/nodes/all/below?parents=true`, 'PUT', ''),
    between: () => create('all', 'made anew'),
    state: stat('all'),
    isOneScript: true,
  },
  {
    what: 'multi',
    method: 'POST',
    path: '/multi',
    body: { ops: [{ op: 'create', path: '/multi', sequential: true }] },
    state: stat(''),
    isOneScript: true,
  },
  {
    what: 'creation of a session',
    method: 'POST',
    path: '/sessions',
    body: { ttl: '30s' },
    state: () => server.broker.store.sessions.count(),
    other: { body: { ttl: '31s' } },
    isOneScript: true,
  },
  {
    what: 'end of a session',
    method: 'DELETE',
    path: `/sessions/${await session()}`,
    state: () => server.broker.store.sessions.count(),
    other: { path: `/sessions/${endless}` },
    isOneScript: true,
  },
  {
    what: 'registration of a producer',
    method: 'POST',
    path: '/producers',
    body: { name: 'p' },
    between: () => http(`${at}/producers`, 'POST', { name: 'q' }),
    state: async () => 'its epoch is in the response',
    other: { body: { name: 'other' } },
    isOneScript: true,
  },
  {
    what: 'creation of a topic',
    method: 'POST',
    path: '/topics',
    body: { name: 'created' },
    between: () => http(`${at}/topics/created`, 'PATCH', { config: { 'retention.ms': 5000 } }),
    state: described('created'),
    other: { body: { name: 'other' } },
  },
  {
    what: 'change of a topic',
    method: 'PATCH',
    path: '/topics/altered',
    body: { config: { 'retention.ms': 1_000_000 } },
    before: () => topic('altered'),
    between: () => http(`${at}/topics/altered`, 'PATCH', { config: { 'retention.ms': 2_000_000 } }),
    state: described('altered'),
    other: { body: { config: {} } },
  },
  {
    what: 'deletion of a topic',
    method: 'DELETE',
    path: '/topics/going',
    before: () => topic('going'),
    between: () => topic('going'),
    state: described('going'),
    other: { path: '/topics/base' },
  },
  {
    what: 'reassignment of a partition',
    method: 'PATCH',
    path: '/topics/base/partitions/0',
    body: { replicas: [1] },
    state: described('base'),
  },
  { what: 'election', method: 'POST', path: '/elections', body: { topic: 'base' }, state: described('base') },
  {
    what: 'produce',
    method: 'POST',
    path: '/topics/produced/records',
    body: { records: [{ value: 1 }] },
    before: () => topic('produced'),
    between: () => http(`${at}/topics/produced/records`, 'POST', 'x'),
    state: described('produced'),
    other: { body: { records: [{ value: 2 }] } },
    isOneScript: true,
  },
  {
    what: 'deletion of records',
    method: 'DELETE',
    path: '/topics/cut/partitions/0/records?before=latest',
    before: async () => {
      await topic('cut');
      await http(`${at}/topics/cut/records`, 'POST', 'x');
    },
    between: () => http(`${at}/topics/cut/records`, 'POST', 'y'),
    state: described('cut'),
    other: { path: '/topics/cut/partitions/0/records?before=1' },
    isOneScript: true,
  },
  {
    what: 'leaving a group',
    method: 'DELETE',
    path: '/groups/left/members/m',
    before: () => join('left', 'm'),
    between: () => join('left', 'm'),
    state: members('left'),
    other: { path: '/groups/left/members/n' },
  },
  {
    what: 'deletion of a group',
    method: 'DELETE',
    path: '/groups/ended',
    before: () => commit('ended', 3),
    between: () => commit('ended', 4),
    state: offsets('ended'),
    other: { path: '/groups/left' },
  },
  {
    what: 'commit of offsets',
    method: 'POST',
    path: '/groups/committed/offsets',
    body: { offsets: [{ topic: 'base', partition: 0, offset: 3 }] },
    between: () => commit('committed', 7),
    state: offsets('committed'),
    other: { body: { offsets: [{ topic: 'base', partition: 0, offset: 4 }] } },
  },
  {
    what: 'taking commits back',
    method: 'DELETE',
    path: '/groups/back/offsets',
    before: () => commit('back', 3),
    between: () => commit('back', 5),
    state: offsets('back'),
    other: { path: '/groups/committed/offsets' },
  },
  {
    what: 'reset of offsets',
    method: 'POST',
    path: '/groups/shifted/offsets/reset',
    body: { to: { shiftBy: -2 } },
    before: () => commit('shifted', 8),
    state: offsets('shifted'),
    other: { body: { to: { shiftBy: -3 } } },
  },
];

for (const { what, method, path, body, before, between, state, other, isOneScript } of cases) {
  t.test(`${what}: a repeat gets the first response, and changes nothing`, async (t) => {
    await before?.();
    const key = `of-this-request: ${what}`;
    // A repeat sends the secret of the first attempt, also if the member has joined again meanwhile.
    const headers = { 'idempotency-key': key, ...memberHeader(`${at}${path}`, body) };
    const send = (to = path, as = body) => http(`${at}${to}`, method, as, headers);
    const first = await send();
    t.ok(first.status >= 200 && first.status < 300, `${first.status} ${JSON.stringify(first.body)}`);
    t.equal(first.headers.get('idempotency-replayed'), null);
    await between?.();
    const then = await state();
    const same = async (says: string) => {
      const again = await send();
      t.equal(again.status, first.status, says);
      t.same(again.body, first.body, says);
      t.equal(again.headers.get('idempotency-replayed'), 'true', says);
      t.equal(again.headers.get('location'), first.headers.get('location'), says);
      t.same(await state(), then, `${says}: nothing is changed`);
    };
    await same('repeated');
    await same('repeated twice');
    if (other) {
      const reused = await send(other.path, other.body ?? body);
      t.match(reused, { status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED', detail: /use a new key/ } });
    }
    if (isOneScript) return;
    // As if the broker had died after the change: the stored record has no response.
    await loseResponse(key);
    const resumed = await send();
    t.equal(resumed.status, first.status, 'cut off between the change and the response');
    t.same(await state(), then, 'nothing is changed once more');
  });
}

/** Removes the response from a stored record, which leaves what the script of the change has written. */
async function loseResponse(key: string): Promise<void> {
  const record = `{weir}:response:${storedResponseId(key)}`;
  const script = `
    local kept = redis.call('GET', KEYS[1])
    if not kept then return end
    local record = cmsgpack.unpack(kept)
    record.response = nil
    if record.reply then redis.call('SET', KEYS[1], cmsgpack.pack(record), 'KEEPTTL') else redis.call('DEL', KEYS[1]) end`;
  await server.broker.store.connection.command(true, (client) => client.eval(script, 1, record), record);
}

t.test('a failure is not stored: the same request may be sent again with its key', async (t) => {
  const send = () => http(`${at}/topics/later`, 'DELETE', undefined, { 'idempotency-key': 'failed' });
  t.equal((await send()).status, 404);
  await topic('later');
  t.equal((await send()).status, 204);
});

t.test('a record with other headers is refused as another request under the same key', async (t) => {
  await topic('headed');
  const send = (headers: Record<string, string>) =>
    http(`${at}/topics/headed/records`, 'POST', 'x', {
      'content-type': 'text/plain',
      'idempotency-key': 'headed',
      ...headers,
    });
  const first = await send({ 'weir-record-a': '1', 'weir-record-b': '2' });
  const again = await send({ 'weir-record-b': '2', 'weir-record-a': '1' });
  t.same(again.body, first.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true', 'in any order');
  for (const other of [{}, { 'weir-record-a': '1' }, { 'weir-record-a': '2', 'weir-record-b': '2' }]) {
    t.match(await send(other), { status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } }, JSON.stringify(other));
  }
});

t.test('a key that was sent with one fence is refused with another fence', async (t) => {
  await topic('fenced');
  const send = (fence: string | undefined) =>
    http(
      `${at}/topics/fenced/records`,
      'POST',
      { records: [{ value: 1 }] },
      {
        'idempotency-key': 'fenced',
        ...(fence !== undefined && { 'weir-fence': fence }),
      },
    );
  const first = await send('leader=5');
  t.equal(first.status, 200);
  const again = await send('leader=5');
  t.same(again.body, first.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
  for (const other of ['leader=6', 'leader=4', 'other=5', undefined]) {
    t.match(await send(other), { status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } }, String(other));
  }
});
