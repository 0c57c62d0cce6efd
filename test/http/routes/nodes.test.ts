import t from 'tap';
import { http, startTestServer } from '../../helpers/server.ts';

const { url } = await startTestServer(t);
const nodes = `${url}/v1/nodes`;
const put = (path: string, body = '', headers = {}) => http(`${nodes}${path}`, 'PUT', body, headers);
const stat = async (path: string) =>
  (await http(`${nodes}${path}${path.includes('?') ? '&' : '?'}view=stat`)).body.stat;

t.test("a node is created, read, changed and deleted, and its stat is ZooKeeper's", async (t) => {
  const created = await put('/life', 'one');
  t.equal(created.status, 201);
  t.equal(created.headers.get('location'), '/v1/nodes/life');
  t.match(created.body.stat, {
    version: 0,
    cversion: 0,
    aversion: 0,
    ephemeralOwner: null,
    dataLength: 3,
    numChildren: 0,
    mode: 'persistent',
  });
  t.equal(created.body.stat.czxid, created.body.stat.mzxid);
  t.equal(created.body.stat.czxid, created.body.stat.pzxid);
  t.equal(Number(created.headers.get('weir-zxid')), created.body.stat.czxid);

  const changed = await put('/life', 'second');
  t.equal(changed.status, 200);
  t.match(changed.body.stat, {
    version: 1,
    dataLength: 6,
    czxid: created.body.stat.czxid,
    pzxid: created.body.stat.pzxid,
  });
  t.ok(changed.body.stat.mzxid > created.body.stat.mzxid);

  const read = await http(`${nodes}/life`);
  t.equal(read.body, 'second');
  t.equal(read.headers.get('etag'), `"${changed.body.stat.mzxid}"`);
  t.same(JSON.parse(read.headers.get('weir-stat')!), changed.body.stat);
  t.equal(read.headers.get('x-content-type-options'), 'nosniff');
  t.match(read.headers.get('content-security-policy'), /sandbox/);

  t.equal((await http(`${nodes}/life`, 'DELETE')).status, 204);
  t.match(await http(`${nodes}/life`), { status: 404, body: { code: 'NO_NODE', path: '/life' } });
});

t.test(
  'children count in the parent: cversion counts creations and deletions, pzxid follows them, mzxid does not',
  async (t) => {
    await put('/parent', 'x');
    const before = await stat('/parent');
    await put('/parent/a');
    await put('/parent/b');
    const { body } = await put('/parent/a', 'changed');
    const two = await stat('/parent');
    t.match(two, { numChildren: 2, cversion: 2, mzxid: before.mzxid, version: 0 });
    t.ok(two.pzxid < body.stat.mzxid, 'setting a child is no change of the list');
    const gone = await http(`${nodes}/parent/a`, 'DELETE');
    t.match(await stat('/parent'), { numChildren: 1, cversion: 3, pzxid: Number(gone.headers.get('weir-zxid')) });
  },
);

t.test('sequence numbers count every child created, are never given twice, and are ten digits', async (t) => {
  await put('/queue');
  const first = await http(`${nodes}/queue/job-`, 'POST', 'a');
  t.match(first, { status: 201, body: { name: 'job-0000000000', path: '/queue/job-0000000000' } });
  t.equal(first.headers.get('location'), '/v1/nodes/queue/job-0000000000');
  await http(`${nodes}/queue/job-0000000000`, 'DELETE');
  await put('/queue/other');
  t.equal((await http(`${nodes}/queue/`, 'POST', 'b')).body.name, '0000000002', 'a prefix may be empty');
  const failed = await http(`${url}/v1/multi`, 'POST', {
    ops: [
      { op: 'create', path: '/queue/job-', sequential: true },
      { op: 'check', path: '/absent' },
    ],
  });
  t.equal(failed.body.code, 'NO_NODE');
  t.equal(
    (await http(`${nodes}/queue/job-`, 'POST')).body.name,
    'job-0000000003',
    'a failed multi gives out no number',
  );
});

t.test('a retried sequential creation with the same Idempotency-Key gives the same node', async (t) => {
  await put('/once');
  const headers = { 'idempotency-key': 'key-1' };
  const first = await http(`${nodes}/once/n-`, 'POST', 'body', headers);
  const again = await http(`${nodes}/once/n-`, 'POST', 'body', headers);
  t.equal(again.status, 201);
  t.same(again.body, first.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
  t.equal(first.headers.get('idempotency-replayed'), null);
  t.match(await http(`${nodes}/once/n-`, 'POST', 'other', headers), {
    status: 422,
    body: { code: 'IDEMPOTENCY_KEY_REUSED' },
  });
  t.equal((await stat('/once')).numChildren, 1);

  const put1 = await put('/once/put', 'v', { 'idempotency-key': 'key-2', 'if-none-match': '*' });
  const put2 = await put('/once/put', 'v', { 'idempotency-key': 'key-2', 'if-none-match': '*' });
  t.same([put1.status, put2.status], [201, 201], 'a PUT may carry one as well: its retry is no NODE_EXISTS');
  t.same(put2.body, put1.body);
  t.equal(put2.headers.get('idempotency-replayed'), 'true');
});

t.test('bytes come back as they were, with the content type they came with', async (t) => {
  const bytes = new Uint8Array([0, 255, 10, 13, 128, 34]);
  await http(`${nodes}/bytes`, 'PUT', bytes);
  const raw = await fetch(`${nodes}/bytes`);
  t.same(new Uint8Array(await raw.arrayBuffer()), bytes);
  t.equal(raw.headers.get('content-type'), 'application/octet-stream');
  t.match((await http(`${nodes}/bytes?view=node`)).body, {
    encoding: 'base64',
    data: Buffer.from(bytes).toString('base64'),
  });

  await put('/bytes', '{"a":1}', { 'content-type': 'application/json' });
  const json = await fetch(`${nodes}/bytes`);
  t.equal(json.headers.get('content-type'), 'application/json');
  await put('/bytes', 'ü', { 'content-type': 'application/x-www-form-urlencoded' });
  t.match((await http(`${nodes}/bytes?view=node`)).body, {
    encoding: 'utf8',
    data: 'ü',
    contentType: 'text/plain; charset=utf-8',
  });
});

t.test('children are listed in the order of their names, in pages, with stats', async (t) => {
  await put('/list');
  for (const name of ['b', 'a', 'ä', 'c', 'B']) await put(`/list/${encodeURIComponent(name)}`);
  const all = await http(`${nodes}/list?view=children`);
  t.same(all.body.children, ['B', 'a', 'b', 'c', 'ä']);
  t.equal(all.body.next, undefined);
  t.equal(all.headers.get('etag'), `"c${all.body.stat.pzxid}"`);
  const page = await http(`${nodes}/list?view=children&limit=2&stats=true`);
  t.match(page.body.children, [{ name: 'B', stat: { numChildren: 0 } }, { name: 'a' }]);
  t.equal(page.body.next, 'a');
  t.same((await http(`${nodes}/list?view=children&limit=3&after=a`)).body.children, ['b', 'c', 'ä']);
});

t.test('the tree view nests, and says where it was cut', async (t) => {
  await put('/forest/oak/twig?parents=true');
  await put('/forest/elm');
  const { body } = await http(`${nodes}/forest?view=tree`);
  t.match(body, {
    truncated: false,
    tree: { name: '/forest', children: [{ name: 'elm' }, { name: 'oak', children: [{ name: 'twig' }] }] },
  });
  t.match((await http(`${nodes}/forest?view=tree&depth=1`)).body, {
    truncated: true,
    tree: { children: [{ name: 'elm' }, { name: 'oak', truncated: true }] },
  });
  t.match((await http(`${nodes}/forest?view=tree&limit=2`)).body, { truncated: true, tree: { truncated: true } });
});

t.test('a recursive delete takes the whole subtree in one transaction, and nothing beside it', async (t) => {
  await put('/rm/a/b/c?parents=true');
  await put('/rm2');
  t.match(await http(`${nodes}/rm`, 'DELETE'), { status: 409, body: { code: 'NOT_EMPTY', numChildren: 1 } });
  const { headers, status } = await http(`${nodes}/rm?recursive=true`, 'DELETE');
  t.equal(status, 204);
  t.equal((await http(`${nodes}/rm/a/b`)).status, 404);
  t.equal((await http(`${nodes}/rm2`)).status, 200);
  t.equal((await stat('/')).pzxid, Number(headers.get('weir-zxid')));
  t.equal((await put('/rm/x')).body.code, 'NO_PARENT');
});

t.test("creation errors come in ZooKeeper's order", async (t) => {
  const dead = '0123456789abcdef.AAAAAAAAAAAAAAAAAAAAAA';
  const { body: session } = await http(`${url}/v1/sessions`, 'POST', { ttl: '60s' });
  await put(`/order?mode=ephemeral&session=${session.session}`);
  t.equal(
    (await put(`/no/parent?mode=ephemeral&session=${dead}`)).body.code,
    'SESSION_EXPIRED',
    'session before parent',
  );
  t.equal((await put('/brokers/no/parent')).body.code, 'NO_PARENT', 'parent before reserved');
  for (const path of ['/brokers/%07', '/%07', '/foo//bar', '/no/parent/%07']) {
    const refused = await put(`${path}?mode=ephemeral&session=${dead}`, '', { 'weir-session': dead });
    t.match(refused, { status: 400, body: { code: 'INVALID_PATH' } }, `${path}: path before all else`);
  }
  t.equal((await put('/order', '', { 'if-none-match': '*' })).body.code, 'NODE_EXISTS');
  const large = 'x'.repeat(1024 * 1024 + 1);
  t.equal((await put('/order/child', large)).body.code, 'NO_CHILDREN_FOR_EPHEMERALS', 'ephemeral parent before limit');
  t.match(await put('/large', large), { status: 413, body: { code: 'TOO_LARGE', maxBytes: 1024 * 1024 } });
  t.equal((await http(`${nodes}/large`)).status, 404, 'and nothing is written');
  await http(`${url}/v1/sessions/${session.session}`, 'DELETE');
});

t.test("set and delete errors come in ZooKeeper's order", async (t) => {
  await put('/order2/child?parents=true');
  const large = 'x'.repeat(1024 * 1024 + 1);
  t.equal((await put('/absent?version=5', large)).body.code, 'NO_NODE', 'node before limit');
  t.equal((await put('/brokers?version=5', large)).body.code, 'RESERVED_PATH', 'reserved before limit');
  t.equal((await put('/order2?version=5', large)).body.code, 'TOO_LARGE', 'limit before version');
  t.equal((await http(`${nodes}/order2?version=5`, 'DELETE')).body.code, 'BAD_VERSION', 'version before children');
  t.equal((await http(`${nodes}/order2`, 'DELETE')).body.code, 'NOT_EMPTY');
  t.equal((await http(`${nodes}/brokers/absent`, 'DELETE')).body.code, 'RESERVED_PATH', 'reserved before node');
  t.equal((await http(`${nodes}/`, 'DELETE')).body.code, 'BAD_REQUEST');
});

t.test('reserved paths can be read, not written', async (t) => {
  for (const path of ['/brokers/x', '/controller', '/config/topics/x', '/consumers/g', '/admin/x', '/cluster/id']) {
    t.match(await put(path), { status: 403, body: { code: 'RESERVED_PATH' } }, path);
  }
  t.equal((await http(`${nodes}/cluster/id`)).status, 200);
});

t.test('a typo in a query does not pass, and names itself', async (t) => {
  t.match(await http(`${nodes}/?vieww=stat`), { status: 400, body: { code: 'BAD_REQUEST', detail: /vieww/ } });
  t.match(await put('/x?mode=epehmeral'), { status: 400, body: { detail: /mode/ } });
  t.match(await put('/x?mode=ephemeral'), { status: 400, body: { detail: /session/ } });
  t.match(await put('/x?mode=container&ttl=5s'), { status: 400, body: { detail: /ttl/ } });
  t.match(await put('/x?mode=ttl'), { status: 400, body: { detail: /ttl/ } });
  t.equal((await http(`${nodes}/x`)).status, 404);
});

t.test('HEAD responds as GET, without a body', async (t) => {
  const { body } = await put('/head', 'body');
  const response = await fetch(`${nodes}/head`, { method: 'HEAD' });
  t.equal(response.status, 200);
  t.equal(response.headers.get('etag'), `"${body.stat.mzxid}"`);
  t.equal(response.headers.get('content-length'), '4');
  t.equal((await fetch(`${nodes}/nohead`, { method: 'HEAD' })).status, 404);
});

t.test('a change through one broker is read through another', async (t) => {
  const { target } = await startTestServer(t);
  const [one, two] = [await startTestServer(t, {}, target), await startTestServer(t, {}, target)];
  await http(`${one.url}/v1/nodes/shared`, 'PUT', 'seen');
  t.equal((await http(`${two.url}/v1/nodes/shared`)).body, 'seen');
});

t.test('a condition that would not be looked at is refused, and nothing is done', async (t) => {
  await put('/unconditional', '');
  for (const [method, path, name] of [
    ['GET', '/unconditional', 'if-match'],
    ['POST', '/unconditional/n-', 'if-match'],
    ['POST', '/unconditional/n-', 'if-none-match'],
    ['DELETE', '/unconditional', 'if-none-match'],
  ] as const) {
    const response = await http(`${nodes}${path}`, method, undefined, { [name]: '*' });
    t.match(
      response,
      { status: 400, body: { code: 'BAD_REQUEST', detail: new RegExp(name, 'i') } },
      `${method} ${name}`,
    );
  }
  t.match(await http(`${nodes}/unconditional?view=stat`), { status: 200, body: { stat: { numChildren: 0 } } });
});

t.test('a session makes a node ephemeral, and a PUT that contradicts the node that is there is refused', async (t) => {
  const [one, two] = await Promise.all(
    [1, 2].map(async () => (await http(`${url}/v1/sessions`, 'POST', { ttl: '60s' })).body),
  );
  await put('/kinds');
  const lock = await put(`/kinds/lock?session=${one.session}`, 'a');
  t.match(lock, { status: 201, body: { stat: { ephemeralOwner: one.id } } });
  t.match(await http(`${nodes}/kinds/n-?session=${one.session}`, 'POST'), {
    body: { stat: { ephemeralOwner: one.id } },
  });
  t.match(await put('/kinds/plain', '', { 'weir-session': one.session }), { body: { stat: { ephemeralOwner: null } } });
  for (const query of ['mode=persistent', 'mode=container', 'mode=ttl&ttl=10s', 'ttl=10s']) {
    const path = `/kinds/x?${query}&session=${one.session}`;
    for (const method of ['PUT', 'POST']) {
      const refused = await http(`${nodes}${path}`, method);
      t.match(
        refused,
        { status: 400, body: { code: 'BAD_REQUEST', detail: /ephemeral, and mode is / } },
        `${method} ${query}`,
      );
    }
  }
  await put('/kinds/ttl?ttl=60s');
  const contradictions: [path: string, asked: string, detail: RegExp][] = [
    [
      'lock',
      `mode=ephemeral&session=${two.session}`,
      new RegExp(`exists as ephemeral of session ${one.id}, not as ephemeral of session ${two.id}`),
    ],
    ['lock', `session=${two.session}`, new RegExp(`${one.id}, not as ephemeral of session ${two.id}`)],
    ['lock', 'mode=persistent', /exists as ephemeral of session \w+, not as persistent/],
    [
      'plain',
      `mode=ephemeral&session=${one.session}`,
      new RegExp(`exists as persistent, not as ephemeral of session ${one.id}`),
    ],
    ['plain', `session=${one.session}&version=0`, /exists as persistent/],
    ['plain', 'mode=container', /exists as persistent, not as container/],
    ['ttl', 'ttl=10s', /exists as ttl of 60000 ms, not as ttl of 10000 ms/],
    ['ttl', 'mode=persistent', /exists as ttl of 60000 ms, not as persistent/],
  ];
  for (const [name, query, detail] of contradictions) {
    const refused = await put(`/kinds/${name}?${query}`, 'changed');
    t.match(refused, { status: 409, body: { code: 'NODE_EXISTS', detail } }, `${name} as ${query}`);
  }
  for (const [name, query] of [
    ['lock', ''],
    ['lock', `?session=${one.session}`],
    ['plain', '?mode=persistent'],
    ['ttl', '?ttl=1m'],
    ['ttl', '?mode=ttl&ttl=60s'],
  ]) {
    t.equal((await put(`/kinds/${name}${query}`, 'set')).status, 200, `${name}${query} agrees`);
  }
  await Promise.all([one, two].map(({ session }) => http(`${url}/v1/sessions/${session}`, 'DELETE')));
});
