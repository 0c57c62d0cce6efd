// What identities store: nodes and their bytes are counted exactly, whoever deletes them and however; partitions with their topic; logs by sums.
import t from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { openPipeline } from '../helpers/pipeline.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const everything =
  'nodes: { "/**": [read, write, delete] }, topics: { "*": [read, write, manage] }, groups: { "*": [use] }';

function rulesOf(limits: string): string {
  return `allow:\n  - { who: admin, admin: true }\n  - { who: a, ${everything}, limits: { ${limits} } }\n  - { who: b, ${everything} }\n`;
}

async function start(t: Parameters<typeof startTestServer>[0], limits: string) {
  const policy = await writePolicy(t, ['admin', 'a', 'b'], rulesOf(limits));
  const server = await startTestServer(t, { accessFile: policy.file });
  const as =
    (identity: string) =>
    (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      http(`${server.url}${path}`, method, body, { ...policy.as(identity), ...headers });
  const used = async () => {
    const { limits } = (await as('a')('GET', '/v1/access/me')).body;
    return Object.fromEntries(Object.entries<{ used?: number }>(limits).map(([name, { used }]) => [name, used]));
  };
  return { server, policy, used, admin: as('admin'), a: as('a'), b: as('b') };
}

t.test('nodes beyond the limit are refused, with the limit, its value and what is used', async (t) => {
  const { a, b, used } = await start(t, 'nodes: 3');
  for (const path of ['/x', '/x/y', '/x/z']) t.equal((await a('PUT', `/v1/nodes${path}`, 'v')).status, 201);
  const refused = await a('PUT', '/v1/nodes/x/more', 'v');
  t.equal(refused.status, 403);
  t.match(refused.body, {
    code: 'QUOTA_EXCEEDED',
    detail:
      'a has 3 nodes, and this would add 1; its limit is 3 (limits.nodes in the policy). Nothing was done. Delete some, or have the limit raised.',
    limit: 'nodes',
    used: 3,
    max: 3,
    retryable: false,
  });
  t.equal((await a('PUT', '/v1/nodes/x/y', 'w')).status, 200, 'what exists may be set');
  t.equal((await b('PUT', '/v1/nodes/x/more', 'v')).status, 201, 'others have no limit');
  t.equal((await a('DELETE', '/v1/nodes/x/more')).status, 204);
  t.same(await used(), { nodes: 3 }, 'a node of another does not count when it is deleted');
  t.equal((await a('DELETE', '/v1/nodes/x/y')).status, 204);
  t.equal((await a('PUT', '/v1/nodes/x/y', 'v')).status, 201, 'there is room again');
});

t.test('missing parents, sequential nodes and each operation of a transaction count', async (t) => {
  const { a, used } = await start(t, 'nodes: 5');
  t.equal((await a('PUT', '/v1/nodes/p/q/r?parents=true', 'v')).status, 201);
  t.same(await used(), { nodes: 3 });
  t.equal((await a('POST', '/v1/nodes/p/n-', 'v')).status, 201);
  const create = (path: string) => ({ op: 'create', path });
  const refused = await a('POST', '/v1/multi', { ops: [create('/p/1'), create('/p/2')] });
  t.match(refused.body, { code: 'QUOTA_EXCEEDED', failed: 1, used: 5 });
  t.same(await used(), { nodes: 4 }, 'nothing of it was done or counted');
  const swapped = await a('POST', '/v1/multi', {
    ops: [{ op: 'delete', path: '/p/q/r' }, create('/p/1'), create('/p/2')],
  });
  t.equal(swapped.status, 200, 'a deletion makes room for what is behind it');
  t.same(await used(), { nodes: 5 });
  t.equal((await a('PUT', '/v1/nodes/u/v?parents=true', 'v')).body.code, 'QUOTA_EXCEEDED');
});

t.test('imports and copies count as creations do, and a move frees what was its own', async (t) => {
  const { a, used } = await start(t, 'nodes: 6');
  const lines = (count: number) => Array.from({ length: count }, (_, i) => `{"path":"/i${i}"}\n`).join('');
  const load = (count: number) => a('POST', '/v1/import', lines(count), { 'content-type': 'application/x-ndjson' });
  t.match((await load(7)).body, { code: 'QUOTA_EXCEEDED', line: 7, applied: { lines: 0 } });
  t.same(await used(), { nodes: 0 });
  t.match((await load(2)).body, { created: 2 });
  t.equal((await a('PUT', '/v1/nodes/i0/x', '')).status, 201);
  const copy = (from: string, to: string, move = false) => a('POST', '/v1/copy', { from, to, move });
  t.match((await copy('/i0', '/c')).body, { nodes: 2 });
  t.same(await used(), { nodes: 5 });
  t.match(await copy('/c', '/d'), { status: 403, body: { code: 'QUOTA_EXCEEDED', limit: 'nodes', used: 5 } });
  t.equal((await copy('/c', '/d', true)).status, 201);
  t.same(await used(), { nodes: 5 });
});

t.test('bytes are those of paths and data, and count against the creator, whoever writes them', async (t) => {
  const { a, b, used } = await start(t, 'storedBytes: 1000');
  await a('PUT', '/v1/nodes/a', 'x'.repeat(98));
  t.same(await used(), { storedBytes: 100 });
  t.equal((await b('PUT', '/v1/nodes/a', 'y'.repeat(898))).status, 200);
  t.same(await used(), { storedBytes: 900 });
  const refused = await b('PUT', '/v1/nodes/a', 'y'.repeat(1000));
  t.match(refused.body, {
    code: 'QUOTA_EXCEEDED',
    detail: /^a has 900 stored bytes, and this would add 102; its limit is 1000/,
  });
  t.equal((await a('PUT', '/v1/nodes/b', 'x'.repeat(200))).body.code, 'QUOTA_EXCEEDED');
  t.equal((await b('PUT', '/v1/nodes/a', 'y')).status, 200, 'less is always allowed');
  t.same(await used(), { storedBytes: 3 });
});

t.test('nodes that end with a session, by time, or as a subtree are counted no more', async (t) => {
  const { a, admin, used } = await start(t, 'nodes: 100, storedBytes: 1MiB');
  const { session, id } = (await a('POST', '/v1/sessions', { ttl: 60_000 })).body;
  await a('PUT', '/v1/nodes/dir', 'v');
  const before = await used();
  for (let n = 0; n < 5; n += 1) await a('PUT', `/v1/nodes/dir/e${n}?mode=ephemeral&session=${session}`, 'v');
  t.equal((await used()).nodes, 6);
  await admin('DELETE', `/v1/sessions/${id}?force=true`);
  t.same(await used(), before);
  await a('PUT', '/v1/nodes/dir/t?mode=ttl&ttl=1s', 'v');
  await eventually(async () => (await used()).nodes === 1, 'the TTL node is deleted');
  t.same(await used(), before);
  await a('PUT', '/v1/nodes/dir/s/t/u?parents=true', 'v');
  await admin('DELETE', '/v1/nodes/dir?recursive=true');
  t.same(await used(), { nodes: 0, storedBytes: 0 });
});

t.test('requests of a pipelined socket count in order, and one refused uses up its sequence', async (t) => {
  const { server, policy, used } = await start(t, 'nodes: 2');
  const pipeline = await openPipeline(t, server.url, { headers: policy.as('a') });
  await pipeline.ask({ op: 'session', ttl: 60_000 });
  const made = await pipeline.askAll([1, 2, 3].map((n) => ({ op: 'create', path: `/n${n}`, seq: n })));
  t.match(made, [{ ok: {} }, { ok: {} }, { error: { code: 'QUOTA_EXCEEDED', used: 2 } }]);
  t.match(await pipeline.ask({ op: 'delete', path: '/n1', seq: 4 }), { ok: {} });
  t.match(await pipeline.ask({ op: 'create', path: '/n3', seq: 5 }), { ok: {} });
  t.same(await used(), { nodes: 2 });
});

t.test('a repeat with the same Idempotency-Key counts once', async (t) => {
  const { a, used } = await start(t, 'nodes: 10');
  const key = { 'idempotency-key': 'one-key-for-both' };
  await a('POST', '/v1/nodes/n-', 'v', key);
  const again = await a('POST', '/v1/nodes/n-', 'v', key);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
  t.same(await used(), { nodes: 1 });
});

t.test('concurrent creations never exceed the limit', async (t) => {
  const { a, used } = await start(t, 'nodes: 20');
  const all = await Promise.all(Array.from({ length: 60 }, (_, n) => a('PUT', `/v1/nodes/n${n}`, 'v')));
  t.equal(all.filter(({ status }) => status === 201).length, 20);
  t.same(await used(), { nodes: 20 });
});

t.test('partitions count against the creator of their topic, whoever adds or deletes them', async (t) => {
  const { a, b, used } = await start(t, 'partitions: 5');
  t.equal((await a('POST', '/v1/topics', { name: 'x', partitions: 3 })).status, 201);
  const refused = await a('POST', '/v1/topics', { name: 'y', partitions: 3 });
  t.equal(refused.status, 403);
  t.match(refused.body, {
    code: 'QUOTA_EXCEEDED',
    detail: /^a has 3 partitions, and this would add 3; its limit is 5 \(limits\.partitions in the policy\)/,
  });
  t.notOk('failed' in refused.body);
  t.equal((await b('PATCH', '/v1/topics/x', { partitions: 5 })).status, 200);
  t.same(await used(), { partitions: 5 });
  t.match((await b('PATCH', '/v1/topics/x', { partitions: 6 })).body, { code: 'QUOTA_EXCEEDED', used: 5 });
  t.equal((await b('POST', '/v1/topics', { name: 'z', partitions: 9 })).status, 201, 'its own do not count');
  t.equal((await b('DELETE', '/v1/topics/x')).status, 204);
  t.same(await used(), { partitions: 0 });
});

t.test('logs count in stored bytes by sums, and retention makes room again', async (t) => {
  const { server, a, b, used } = await start(t, 'storedBytes: 20000');
  await a('POST', '/v1/topics', { name: 'x', partitions: 2 });
  const record = { records: [{ value: 'x'.repeat(4000) }] };
  const produce = (path = '/v1/topics/x/records') => b('POST', path, record);
  const quotas = server.broker.storedQuotas;
  const refused = await eventually(async () => {
    const sent = await produce();
    quotas.trigger();
    return sent.status === 200 ? undefined : sent;
  }, 'a refusal');
  t.equal(refused.status, 403);
  t.match(refused.body, {
    code: 'QUOTA_EXCEEDED',
    detail:
      /^Topic x counts against a, which has \d+ stored bytes; its limit is 20000 \(limits\.storedBytes in the policy\)/,
  });
  t.ok((await used()).storedBytes! >= 20_000);
  t.equal((await a('PUT', '/v1/nodes/n', 'v')).body.code, 'QUOTA_EXCEEDED', 'nodes and logs share the limit');
  for (const partition of [0, 1]) await a('DELETE', `/v1/topics/x/partitions/${partition}/records?before=latest`);
  await eventually(async () => {
    quotas.trigger();
    return (await produce()).status === 200;
  }, 'there is room again');
});

t.test('what was created before a limit, or without one, never counts', async (t) => {
  const { a, policy, used } = await start(t, 'sockets: 9');
  await a('PUT', '/v1/nodes/old', 'v');
  await policy.change(rulesOf('nodes: 1'));
  await eventually(async () => (await used()).nodes === 0, 'the limit is in force');
  t.equal((await a('PUT', '/v1/nodes/new', 'v')).status, 201);
  t.equal((await a('PUT', '/v1/nodes/newer', 'v')).body.code, 'QUOTA_EXCEEDED');
  t.equal((await a('DELETE', '/v1/nodes/old')).status, 204);
  t.same(await used(), { nodes: 1 });
  await policy.change(rulesOf('nodes: 2'));
  await eventually(async () => (await a('PUT', '/v1/nodes/newer', 'v')).status === 201, 'the raised limit');
});
