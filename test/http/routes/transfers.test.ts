// Export, import and copy of nodes over HTTP.
import { connect } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { defaultHttpTimeouts } from '../../../src/http/limits.ts';
import { exportsMax } from '../../../src/http/node-export.ts';
import { chunkNodesMax } from '../../../src/http/node-import.ts';
import { importsMax } from '../../../src/http/routes/transfers.ts';
import { eventually, http, metric, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const { url, broker } = server;
const ndjson = { 'content-type': 'application/x-ndjson' };

const put = (path: string, data: string | Uint8Array = '', query = '', headers: Record<string, string> = {}) =>
  http(`${url}/v1/nodes${path}${query}`, 'PUT', data, headers);
const read = async (path: string) => (await http(`${url}/v1/nodes${path}?view=node`)).body;
const copy = (from: string, to: string, move = false, headers = {}) =>
  http(`${url}/v1/copy`, 'POST', { from, to, move }, headers);

const linesOf = (text: string): any[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** Exports a subtree. @returns its lines, parsed, the last one by itself, and as they came */
async function exported(path: string) {
  const { status, headers, body } = await http(`${url}/v1/nodes${path}?view=export`);
  if (status !== 200) throw new Error(`${status} ${body.detail}`);
  const nodes = linesOf(body);
  const end = nodes.pop();
  return { nodes, end, text: body as string, headers };
}

const imported = (lines: object[] | string, query = '', headers = {}) =>
  http(
    `${url}/v1/import${query}`,
    'POST',
    typeof lines === 'string' ? lines : lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
    { ...ndjson, ...headers },
  );

/** Creates a subtree with nodes of all kinds. */
async function sample(top: string) {
  await put(top, 'top');
  await put(`${top}/b`, 'text "quoted"\n', '', { 'content-type': 'text/x-own' });
  await put(`${top}/b/z`, Uint8Array.of(0xff, 0, 1));
  await put(`${top}/b/a`, JSON.stringify({ a: 1 }), '', { 'content-type': 'application/json' });
  await put(`${top}/a`, 'kept', '?mode=container');
  await put(`${top}/c`, 'short', '?mode=ttl&ttl=1h');
  const { session } = (await http(`${url}/v1/sessions`, 'POST', { ttl: '60s' })).body;
  await put(`${top}/b/live`, 'x', `?session=${session}`);
  return session as string;
}

t.test('an export has each node with its data and kind, parents first, and counts what it left out', async (t) => {
  await sample('/e');
  const { nodes, end, headers } = await exported('/e');
  t.same(nodes, [
    { path: '/e', data: 'top', encoding: 'utf8', contentType: 'text/plain;charset=UTF-8', mode: 'persistent' },
    { path: '/e/a', data: 'kept', encoding: 'utf8', contentType: 'text/plain;charset=UTF-8', mode: 'container' },
    { path: '/e/b', data: 'text "quoted"\n', encoding: 'utf8', contentType: 'text/x-own', mode: 'persistent' },
    { path: '/e/b/a', data: '{"a":1}', encoding: 'utf8', contentType: 'application/json', mode: 'persistent' },
    {
      path: '/e/b/z',
      data: '/wAB',
      encoding: 'base64',
      contentType: 'application/octet-stream',
      mode: 'persistent',
    },
    {
      path: '/e/c',
      data: 'short',
      encoding: 'utf8',
      contentType: 'text/plain;charset=UTF-8',
      mode: 'ttl',
      ttlMs: 3_600_000,
    },
  ]);
  const zxid = await broker.store.events.newestZxid();
  t.same(end, { end: true, nodes: 6, ephemerals: 1, unreadable: 0, reserved: 0, zxid, lastZxid: zxid });
  t.equal(headers.get('content-type'), 'application/x-ndjson');
  t.equal(headers.get('weir-zxid'), `${zxid}`);
  t.equal((await http(`${url}/v1/nodes/e?view=export`, 'HEAD')).status, 200);
});

t.test('an export of the root leaves out the nodes of the service, which an export of one of them has', async (t) => {
  const { nodes, end } = await exported('/');
  t.equal(nodes[0].path, '/');
  t.notOk(nodes.some(({ path }) => /^\/(admin|brokers|config|consumers|cluster|controller)/.test(path)));
  t.ok(end.reserved >= 5, `${end.reserved} were left out`);
  t.ok((await exported('/brokers')).nodes.some(({ path }) => path === '/brokers/topics'));
});

t.test('an export refuses parameters of other views, and a node that does not exist', async (t) => {
  for (const query of ['limit=1', 'after=x', 'depth=1', 'stats', 'wait=1s', 'read=local']) {
    t.equal((await http(`${url}/v1/nodes/e?view=export&${query}`)).body.code, 'BAD_REQUEST', query);
  }
  t.match(await http(`${url}/v1/nodes/none?view=export`), { status: 404, body: { code: 'NO_NODE' } });
});

t.test('what is imported is what was exported, also elsewhere, and again without a change', async (t) => {
  await sample('/r');
  const { text, nodes } = await exported('/r');
  const counts = {
    lines: 6,
    created: 6,
    overwritten: 0,
    skipped: 0,
    same: 0,
    ephemerals: 0,
    complete: true,
    dryRun: false,
  };
  const first = await imported(text, '?path=/r2');
  t.match(first, { status: 200, body: counts });
  const moved = (await exported('/r2')).nodes;
  t.same(
    moved,
    nodes.map((node) => ({ ...node, path: node.path.replace('/r', '/r2') })),
  );
  const zxid = await broker.store.events.newestZxid();
  t.same((await imported(text, '?path=/r2')).body, { ...counts, created: 0, same: 6 });
  t.equal(await broker.store.events.newestZxid(), zxid, 'nothing was changed');

  await http(`${url}/v1/nodes/r?recursive=true`, 'DELETE');
  t.same((await imported(text)).body, counts);
  t.same((await exported('/r')).nodes, nodes);
});

t.test('a whole tree goes below another node', async (t) => {
  await put('/into');
  const { status, body } = await imported(
    [
      { path: '/', data: 'root' },
      { path: '/x', data: '1' },
      { path: '/x/y/', data: '2' },
    ],
    '?path=/into/all',
  );
  t.match({ status, body }, { status: 200, body: { created: 3 } });
  t.equal((await read('/into/all')).data, 'root');
  t.equal((await read('/into/all/x/y')).data, '2');
  t.match((await imported([{ path: '/a/b' }, { path: '/c' }], '?path=/into/two')).body, {
    code: 'BAD_REQUEST',
    line: 2,
    detail: /not below \/a\/b/,
  });
});

t.test('a node with other content ends the import, is left, or gets the data', async (t) => {
  await put('/k');
  await put('/k/old', 'old');
  await put('/k/same', 'same', '', { 'content-type': 'text/plain' });
  const lines = [
    { path: '/k/new', data: 'new' },
    { path: '/k/old', data: 'changed' },
    { path: '/k/same', data: 'same', contentType: 'text/plain' },
    { path: '/k/last', data: '' },
  ];
  const failed = await imported(lines);
  t.match(failed, {
    status: 409,
    body: { code: 'NODE_EXISTS', line: 2, path: '/k/old', applied: { lines: 0, created: 0 }, detail: /^line 2: / },
  });
  t.equal((await http(`${url}/v1/nodes/k/new`)).status, 404, 'nothing was written');

  t.match((await imported(lines, '?onConflict=skip')).body, { created: 2, skipped: 1, same: 1, overwritten: 0 });
  t.match(await read('/k/old'), { data: 'old', stat: { version: 0 } });

  await http(`${url}/v1/nodes/k/new`, 'DELETE');
  t.match((await imported(lines, '?onConflict=overwrite')).body, { created: 1, overwritten: 1, same: 2, skipped: 0 });
  t.match(await read('/k/old'), { data: 'changed', stat: { version: 1 } });
  t.match(await read('/k/same'), { stat: { version: 0 } });

  t.match((await imported([{ path: '/k/old', mode: 'container' }], '?onConflict=overwrite')).body, {
    code: 'NODE_EXISTS',
    line: 1,
    detail: /exists as persistent, not as container/,
  });
  t.match((await imported([{ path: '/k/live', mode: 'ephemeral' }, { path: '/k/last' }])).body, {
    ephemerals: 1,
    lines: 2,
  });
  t.equal((await http(`${url}/v1/nodes/k/live`)).status, 404);
});

t.test('an import creates missing parents if it is asked to', async (t) => {
  const lines = ['/flat/a/b/1', '/flat/a/b/2', '/flat/c'].map((path) => ({ path, data: path }));
  t.match(await imported(lines), { status: 404, body: { code: 'NO_PARENT', line: 1, applied: { lines: 0 } } });
  t.match(await imported(lines, '?parents=true&dryRun=true'), { status: 200, body: { created: 3, dryRun: true } });
  t.equal((await http(`${url}/v1/nodes/flat`)).status, 404);
  const key = { 'idempotency-key': 'with-parents' };
  const first = await imported(lines, '?parents=true', key);
  t.match(first, { status: 200, body: { created: 3, same: 0 } }, 'only the lines are counted');
  const repeated = await imported(lines, '?parents=true', key);
  t.same([repeated.headers.get('idempotency-replayed'), repeated.body], ['true', first.body]);
  t.match(await imported(lines, '?parents=true'), { status: 200, body: { created: 0, same: 3 } });
  t.match(await read('/flat/a/b'), {
    data: '',
    stat: { mode: 'persistent', numChildren: 2, czxid: Number(first.headers.get('weir-zxid')) },
  });
  t.match(await imported([...lines, { path: '/flat/c', data: 'other' }], '?parents=true'), {
    body: { code: 'NODE_EXISTS', line: 4 },
  });
  const elsewhere = await imported(
    [
      { path: '/x', data: 'x' },
      { path: '/x/y/z', data: 'z' },
    ],
    '?parents=true&path=/flat/new/x',
  );
  t.match(elsewhere, { status: 200, body: { created: 2 } });
  t.match(await read('/flat/new/x/y/z'), { data: 'z' });
});

t.test('the parents of a chunk count as its nodes, so that no transaction grows beyond its limits', async (t) => {
  const deep = (n: number) => `/deep/${n}${'/d'.repeat(100)}`;
  const lines = Array.from({ length: 20 }, (_, n) => ({ path: deep(n) }));
  t.match(await imported(lines, '?parents=true'), { status: 200, body: { created: 20 } });
  const { transactions } = (await http(`${url}/v1/events?path=/deep`)).body;
  t.equal(transactions.length, 5, 'each line creates 101 nodes, so four lines are a chunk');
  t.equal((await http(`${url}/v1/nodes${deep(19)}`)).status, 200);
});

t.test('a dry run says what an import would do, over many chunks, and writes nothing', async (t) => {
  await put('/d', 'top', '', { 'content-type': 'text/plain; charset=utf-8' });
  await put('/d/there', 'x');
  const lines: object[] = [
    { path: '/d', data: 'top' },
    { path: '/d/there', data: 'y' },
  ];
  for (let i = 0; i < 3; i++) {
    lines.push({ path: `/d/p${i}` }, { path: `/d/p${i}/q` });
    for (let k = 0; k < chunkNodesMax; k++) lines.push({ path: `/d/p${i}/q/${k}`, data: `${k}` });
  }
  lines.push({ path: '/d/p0', data: 'twice' });
  const zxid = await broker.store.events.newestZxid();
  const created = 3 * (chunkNodesMax + 2);
  const dry = { created, skipped: 2, same: 1, dryRun: true, lines: lines.length };
  t.match((await imported(lines, '?dryRun&onConflict=skip')).body, dry);
  t.match((await imported(lines, '?dryRun=true&onConflict=overwrite')).body, { created, overwritten: 2, same: 1 });
  t.match((await imported(lines, '?dryRun')).body, { code: 'NODE_EXISTS', line: 2 });
  t.match((await imported([...lines.slice(2)], '?dryRun')).body, { code: 'NODE_EXISTS', line: lines.length - 2 });
  t.match((await imported([{ path: '/d/no/child' }], '?dryRun')).body, { code: 'NO_PARENT', line: 1 });
  t.equal(await broker.store.events.newestZxid(), zxid);
  t.match((await imported(lines, '?onConflict=skip')).body, { ...dry, dryRun: false });
});

t.test('an import that fails has written the chunks before, and says so; a repeat goes on there', async (t) => {
  await put('/p');
  const lines = Array.from({ length: 2 * chunkNodesMax }, (_, i) => ({ path: `/p/${i}`, data: `${i}` }));
  const faulty = [...lines];
  faulty.splice(chunkNodesMax + 100, 0, { path: '/p/none/x', data: '' });
  const response = await imported(faulty, '', { 'idempotency-key': 'import-1' });
  t.match(response, {
    status: 404,
    body: {
      code: 'NO_PARENT',
      line: chunkNodesMax + 101,
      applied: { lines: chunkNodesMax, created: chunkNodesMax },
      detail: /The 500 nodes before were imported/,
    },
  });
  const { stat } = (await http(`${url}/v1/nodes/p?view=stat`)).body;
  t.equal(stat.numChildren, chunkNodesMax);
  const again = await imported(lines, '', { 'idempotency-key': 'import-1' });
  t.match(again.body, { created: 2 * chunkNodesMax }, 'the first chunk counts as it did');
  t.equal(again.headers.get('idempotency-replayed'), null);
  const third = await imported(lines, '', { 'idempotency-key': 'import-1' });
  t.match(third.body, { created: 2 * chunkNodesMax, same: 0 });
  t.equal(third.headers.get('idempotency-replayed'), 'true');
  t.match(await imported(lines.slice(1), '', { 'idempotency-key': 'import-1' }), {
    status: 422,
    body: { code: 'IDEMPOTENCY_KEY_REUSED' },
  });
  t.equal((await http(`${url}/v1/nodes/p?view=stat`)).body.stat.numChildren, 2 * chunkNodesMax);
});

t.test('a fault in a line names the line', async (t) => {
  const ok = '{"path":"/fault"}\n\n';
  const cases: [line: string, code: string, detail: RegExp][] = [
    ['{"path":"/x"', 'BAD_REQUEST', /^Line 3/],
    ['{"path":"/x","path":"/y"}', 'BAD_REQUEST', /^Line 3/],
    ['[]', 'BAD_REQUEST', /^line 3/],
    ['{"data":""}', 'BAD_REQUEST', /^line 3\.path/],
    ['{"path":"/fault/x","dta":""}', 'BAD_REQUEST', /'dta'/],
    ['{"path":"/fault/x","mode":"ttl"}', 'BAD_REQUEST', /ttlMs/],
    ['{"path":"/fault/x","ttlMs":5}', 'BAD_REQUEST', /ttlMs/],
    ['{"path":"/fault/x","encoding":"base64","data":"a"}', 'BAD_REQUEST', /base64/],
    ['{"path":"fault/x"}', 'INVALID_PATH', /does not start/],
    ['{"path":"/fault/./x"}', 'INVALID_PATH', /'\.'/],
    [`{"path":"/fault/${'y'.repeat(3000)}"}`, 'INVALID_PATH', /percent-encoded/],
    ['{"path":"/config/x"}', 'RESERVED_PATH', /^line 3: /],
    ['{"path":"/none/x"}', 'NO_PARENT', /^line 3: /],
    [JSON.stringify({ path: '/fault/x', data: 'x'.repeat(1024 * 1024 + 1) }), 'TOO_LARGE', /^line 3: /],
    [JSON.stringify({ path: '/fault/x', data: 'x'.repeat(3 * 1024 * 1024) }), 'TOO_LARGE', /^Line 3 has more/],
    ['{"end":true,"nodes":7}', 'BAD_REQUEST', /7 nodes, and 1 came/],
  ];
  for (const [line, code, detail] of cases) {
    const { body } = await imported(`${ok}${line}\n`);
    t.match(body, { code, line: 3, detail, applied: { lines: 0 } }, line.slice(0, 60));
  }
  t.equal((await http(`${url}/v1/nodes/fault`)).status, 404, 'nothing was written');
  t.match(await imported(''), { status: 400, body: { code: 'BAD_REQUEST' } });
  t.match(await imported('\n \n'), { status: 400, body: { detail: /no nodes/ } });
  t.match(await http(`${url}/v1/import`, 'POST', '{"path":"/x"}', { 'content-type': 'application/json' }), {
    status: 415,
    body: { code: 'UNSUPPORTED_MEDIA_TYPE', detail: /application\/x-ndjson/ },
  });
  t.match(await imported(ok, '?path=x'), { status: 400, body: { code: 'INVALID_PATH' } });
});

t.test('an import takes lines however they are cut, and the last one without a line feed', async (t) => {
  await put('/cut');
  const body = `\ufeff{"path":"/cut/a","data":"é"}\r\n{"path":"/cut/b","data":"${'x'.repeat(200_000)}"}\n{"path":"/cut/c"}`;
  const bytes = Buffer.from(body);
  const pieces = async function* () {
    for (let at = 0; at < bytes.length; at += at < 100 ? 7 : 50_001) {
      yield bytes.subarray(at, at + (at < 100 ? 7 : 50_001));
      await setImmediate();
    }
  };
  const response = await fetch(`${url}/v1/import`, {
    method: 'POST',
    body: pieces(),
    headers: ndjson,
    duplex: 'half',
  } as unknown as RequestInit);
  t.match(await response.json(), { created: 3, complete: false });
  t.equal((await read('/cut/a')).data, 'é');
  t.equal((await read('/cut/b')).data.length, 200_000);
});

t.test('names with a sequence number move the counter of their parent on, so that none is given again', async (t) => {
  await put('/seq');
  await imported([{ path: '/seq/job-0000000041' }, { path: '/seq/job-0000000007' }, { path: '/seq/other' }]);
  t.match((await http(`${url}/v1/nodes/seq/job-`, 'POST', '')).body, { name: /^job-00000000(4[2-9])$/ });
  await copy('/seq', '/seq2');
  t.match((await http(`${url}/v1/nodes/seq2/job-`, 'POST', '')).body, { name: /^job-00000000(4[3-9])$/ });
});

t.test('a copy is one transaction: all nodes with their kinds and new stats, but no ephemeral ones', async (t) => {
  await sample('/o');
  const before = await exported('/o');
  const { status, body, headers } = await copy('/o', '/o2');
  t.equal(status, 201);
  t.match(body, {
    from: '/o',
    to: '/o2',
    nodes: 6,
    ephemerals: 1,
    stat: { version: 0, numChildren: 3, czxid: body.zxid },
  });
  t.equal(headers.get('weir-zxid'), `${body.zxid}`);
  t.equal(headers.get('location'), '/v1/nodes/o2');
  const after = await exported('/o2');
  t.same(
    after.nodes,
    before.nodes.map((node) => ({ ...node, path: node.path.replace('/o', '/o2') })),
  );
  t.match((await read('/o2/b/a')).stat, { czxid: body.zxid, mzxid: body.zxid, version: 0 });
  const { transactions } = await broker.store.events.range('main', body.zxid - 1, body.zxid, 10);
  t.same(
    transactions.map(({ events }) => events.map(({ kind, path }) => [kind, path])),
    [['/o2', '/o2/a', '/o2/b', '/o2/c', '/o2/b/a', '/o2/b/z'].map((path) => ['created', path])],
  );
});

t.test('a move deletes the nodes in the same transaction, and refuses to take ephemeral nodes along', async (t) => {
  const session = await sample('/v');
  const { nodes } = await exported('/v');
  t.match(await copy('/v', '/v2', true), {
    status: 409,
    body: { code: 'NO_CHILDREN_FOR_EPHEMERALS', path: '/v/b/live', detail: /Nothing was done/ },
  });
  t.match(await copy('/v/b/live', '/v/other'), { status: 409, body: { code: 'NO_CHILDREN_FOR_EPHEMERALS' } });
  await http(`${url}/v1/sessions/${session}`, 'DELETE');
  const key = { 'idempotency-key': 'move-1' };
  const moved = await copy('/v', '/v2', true, key);
  t.match(moved, { status: 201, body: { nodes: 6, ephemerals: 0 } });
  t.equal((await http(`${url}/v1/nodes/v`)).status, 404);
  t.same(
    (await exported('/v2')).nodes,
    nodes.map((node) => ({ ...node, path: node.path.replace('/v', '/v2') })),
  );
  const { zxid } = moved.body;
  const { transactions } = await broker.store.events.range('main', zxid - 1, zxid, 10);
  t.same(
    transactions[0]?.events.map(({ kind, path }) => `${kind} ${path}`).slice(-6),
    ['/v/b/z', '/v/b/a', '/v/c', '/v/b', '/v/a', '/v'].map((path) => `deleted ${path}`),
  );
  const again = await copy('/v', '/v2', true, key);
  t.same(again.body, moved.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
});

t.test('a copy is refused as a creation is, and never goes into itself', async (t) => {
  await put('/x');
  await put('/x/y');
  const cases: [from: string, to: string, status: number, code: string][] = [
    ['/x', '/x', 400, 'BAD_REQUEST'],
    ['/x', '/x/y/z', 400, 'BAD_REQUEST'],
    ['/', '/x/z', 400, 'BAD_REQUEST'],
    ['x', '/z', 400, 'INVALID_PATH'],
    ['/x', '/z//z', 400, 'INVALID_PATH'],
    ['/none', '/z', 404, 'NO_NODE'],
    ['/x', '/none/z', 404, 'NO_PARENT'],
    ['/x', '/config/z', 403, 'RESERVED_PATH'],
    ['/config', '/z', 403, 'RESERVED_PATH'],
    ['/x/y', '/x', 409, 'NODE_EXISTS'],
  ];
  for (const [from, to, status, code] of cases) {
    t.match(await copy(from, to), { status, body: { code } }, `${from} to ${to}`);
  }
  t.equal((await http(`${url}/v1/copy`, 'POST', { from: '/x', too: '/y' })).status, 400);
  t.equal((await copy('/x/', '/x3/')).status, 201, 'a trailing slash is dropped');
});

t.test('a copy has limits of nodes, of bytes and of the length of its paths', async (t) => {
  await put('/big');
  for (let at = 0; at < 4000; at += 1000) {
    await imported(Array.from({ length: 1000 }, (_, i) => ({ path: `/big/${at + i}` })));
  }
  const { zxid } = (await exported('/big')).end;
  t.match(await copy('/big', '/big2'), { status: 413, body: { code: 'TOO_LARGE', maxNodes: 4000, path: '/big' } });
  await http(`${url}/v1/nodes/big/0`, 'DELETE');
  t.match((await copy('/big', '/big2')).body, { nodes: 4000 });
  await put('/fat');
  for (let i = 0; i < 4; i++) await put(`/fat/${i}`, 'x'.repeat(1024 * 1024));
  t.match(await copy('/fat', '/fat2', true), { status: 413, body: { code: 'TOO_LARGE', maxBytes: 4 * 1024 * 1024 } });
  await put('/long');
  await put(`/long/${'l'.repeat(2000)}`);
  await put(`/${'m'.repeat(2000)}`);
  await put(`/${'m'.repeat(2000)}/${'n'.repeat(1000)}`);
  t.match(await copy('/long', `/${'m'.repeat(2000)}/${'n'.repeat(1000)}/o`), {
    status: 400,
    body: { code: 'INVALID_PATH', detail: /levels and 50\d\d bytes/ },
  });
  t.ok(zxid);
});

t.test('an export goes on in parts, while nodes come and go', async (t) => {
  await put('/many');
  const lines: object[] = [];
  for (let i = 0; i < 1300; i++) lines.push({ path: `/many/${String(i).padStart(4, '0')}`, data: `${i}` });
  for (let i = 0; i < 300; i++) lines.push({ path: `/many/0500/${i}`, data: 'x'.repeat(5000) });
  await imported(lines);
  const { subtrees } = broker.store;
  const seen: string[] = [];
  let part = await subtrees.read('/many', undefined);
  let parts = 1;
  for (;;) {
    seen.push(...part.nodes.map(({ path }) => path));
    if (!part.hasMore) break;
    const after = seen.at(-1)!;
    if (after !== '/many') await http(`${url}/v1/nodes${after}?recursive=true`, 'DELETE');
    part = await subtrees.read('/many', { after, passesOver: false });
    parts += 1;
  }
  t.ok(parts > 3, `${parts} parts`);
  t.equal(new Set(seen).size, seen.length, 'none twice');
  t.ok(seen.length > 1300, `${seen.length} of 1601`);
  t.same(seen.slice(0, 2), ['/many', '/many/0000']);
  t.equal(seen.at(-1), '/many/1299');
  const { nodes, end } = await exported('/many');
  t.equal(end.nodes, nodes.length);
});

t.test('text of control characters is exported in a form that fits into a line of an import', async (t) => {
  await put('/ctrl', '\u0001'.repeat(1024 * 1024));
  const { text, nodes } = await exported('/ctrl');
  t.equal(nodes[0].encoding, 'base64');
  t.match((await imported(text, '?path=/ctrl2')).body, { created: 1 });
});

t.test(
  'an export whose client reads nothing is cut; exports and imports are refused beyond their number',
  async (t) => {
    const timeouts = { ...defaultHttpTimeouts, responseIdleMs: 1000, checkIntervalMs: 100 };
    const other = await startTestServer(t, { addressShare: 1 }, server.target, { timeouts });
    const { port, hostname } = new URL(other.url);
    await put('/slow');
    for (let i = 0; i < 24; i++) await put(`/slow/${i}`, 'x'.repeat(1024 * 1024));
    const sockets = Array.from({ length: exportsMax }, () => {
      const socket = connect(Number(port), hostname).on('error', () => undefined);
      socket.write(`GET /v1/nodes/slow?view=export HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
      return socket;
    });
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
    });
    await eventually(
      async () => (await metric(other, 'weir_node_exports_in_flight')) === exportsMax,
      'all exports are in flight',
    );
    t.match(await http(`${other.url}/v1/nodes/slow?view=export`), {
      status: 429,
      body: { detail: /exports of nodes/ },
    });
    await eventually(async () => (await metric(other, 'weir_node_exports_in_flight')) === 0, 'they are cut');

    const uploads = Array.from({ length: importsMax }, () => {
      const socket = connect(Number(port), hostname).on('error', () => undefined);
      socket.write(
        `POST /v1/import HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100\r\n\r\n{`,
      );
      return socket;
    });
    t.teardown(() => {
      for (const socket of uploads) socket.destroy();
    });
    await eventually(
      async () => (await metric(other, 'weir_node_imports_in_flight')) === importsMax,
      'all imports are in flight',
    );
    const refused = await http(`${other.url}/v1/import`, 'POST', '{"path":"/slow/x"}', ndjson);
    t.match(refused, { status: 429, body: { detail: /imports of nodes/ } });
  },
);
