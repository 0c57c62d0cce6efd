import t from 'tap';
import { http, startTestServer } from '../../helpers/server.ts';

const { url } = await startTestServer(t);
const nodes = `${url}/v1/nodes`;
const put = (path: string, body = '', headers = {}) => http(`${nodes}${path}`, 'PUT', body, headers);

t.test('conditions: create only, compare and set by ETag and by version, must exist', async (t) => {
  t.match(await put('/cas', '', { 'if-match': '*' }), { status: 404, body: { code: 'NO_NODE' } });
  const created = await put('/cas', '1', { 'if-none-match': '*' });
  t.equal(created.status, 201);
  const refused = await put('/cas', '2', { 'if-none-match': '*' });
  t.match(refused, { status: 409, body: { code: 'NODE_EXISTS', zxid: created.body.stat.czxid } });
  t.equal(refused.headers.get('weir-zxid'), created.headers.get('weir-zxid'), 'also a refusal says what it reflects');
  t.match(await put('/cas', '2', { 'if-match': '"0"' }), { status: 409, body: { code: 'NODE_EXISTS' } });
  const etag = created.headers.get('etag')!;
  const set = await put('/cas', '2', { 'if-match': etag });
  t.equal(set.status, 200);
  t.match(await put('/cas', '3', { 'if-match': etag }), {
    status: 412,
    body: { code: 'BAD_VERSION', mzxid: set.body.stat.mzxid },
  });
  t.match(await put('/cas?version=0', '3'), { status: 412, body: { code: 'BAD_VERSION', version: 1 } });
  t.equal((await put('/cas?version=1', '3')).status, 200);
  t.equal((await put('/cas?version=-1', '4')).status, 200);
  t.match(await http(`${nodes}/cas`, 'DELETE', undefined, { 'if-match': etag }), { status: 412 });
  t.match(await http(`${nodes}/cas?version=7`, 'DELETE'), { status: 412 });
  t.equal((await http(`${nodes}/cas?version=3`, 'DELETE')).status, 204);
  t.match(await put('/cas', '', { 'if-none-match': '"5"' }), { status: 400, body: { code: 'BAD_REQUEST' } });
  t.match(await put('/cas?version=1', '', { 'if-none-match': '*' }), { status: 400 });
});

t.test('If-Match and If-None-Match take lists of tags, also as proxies that compress have changed them', async (t) => {
  const node = `${nodes}/tags`;
  const send = (method: string, headers: Record<string, string>, path = node) =>
    fetch(path, { method, headers, ...(method === 'PUT' && { body: 'x' }) });
  const tag = (await send('PUT', {})).headers.get('etag')!;
  const mzxid = tag.slice(1, -1);
  const statTag = (await send('GET', {}, `${node}?view=stat`)).headers.get('etag')!;
  // nginx and HAProxy make tags weak, Apache adds the encoding, others have ways of their own.
  const changed = (tag: string) => [
    `W/${tag}`,
    ...['-gzip', ';gzip', '-br', '--gzip', '-zstd', '-gzip-gzip'].map((end) => tag.replace(/"$/, `${end}"`)),
    `W/${tag.replace(/"$/, '-gzip"')}`,
  ];
  for (const known of [
    tag,
    ...changed(tag),
    `"1", W/${tag}`,
    `${tag},"abc"`,
    '*',
    `"" , ${tag}`,
    `,${tag},`,
    ` , ${tag} ,, "1"`,
  ]) {
    t.equal((await send('GET', { 'if-none-match': known })).status, 304, `a read with If-None-Match: ${known}`);
  }
  for (const view of ['stat', 'node']) {
    for (const known of [statTag, ...changed(statTag)]) {
      t.equal((await send('GET', { 'if-none-match': known }, `${node}?view=${view}`)).status, 304, `${view}: ${known}`);
    }
  }
  for (const known of [
    '"abc"',
    'W/"1"',
    '"1", "2"',
    '"0"',
    ',"1",',
    statTag,
    `"${mzxid}-x"`,
    `"c${mzxid}"`,
    `"${mzxid}-gzipped"`,
  ]) {
    t.equal((await send('GET', { 'if-none-match': known })).status, 200, `a read with If-None-Match: ${known}`);
  }
  for (const expected of ['"abc"', 'W/"1"', '"1", "2"', `"${mzxid}.5"`]) {
    for (const method of ['PUT', 'DELETE']) {
      const reply = await send(method, { 'if-match': expected });
      t.match(
        [reply.status, await reply.json()],
        [412, { code: 'BAD_VERSION' }],
        `${method} with If-Match: ${expected}`,
      );
    }
    const absent = await send('DELETE', { 'if-match': expected }, `${nodes}/absent`);
    t.equal(absent.status, 404, 'what is absent is that first');
  }
  const foreign = await send('PUT', { 'if-match': '"5f3-61c"' });
  t.match(await foreign.json(), { detail: /"5f3-61c" there is no tag that this service makes: a proxy/ });
  // Two tags may say the same; none is blamed on a proxy, and the one that stands for "none of them" is not shown.
  for (const older of ['"1", "2"', '"1", "1"', '"1", "1-2"']) {
    const { detail } = (await (await send('PUT', { 'if-match': older })).json()) as { detail: string };
    t.match(detail, new RegExp(`^Node /tags is at mzxid ${mzxid}, which is in no tag of If-Match`), older);
  }
  let now = tag;
  for (const expected of [
    (tag: string) => `"1", ${tag}`,
    ...changed(tag).map((_, i) => (tag: string) => changed(tag)[i]!),
  ]) {
    const written = await send('PUT', { 'if-match': expected(now) });
    t.equal(written.status, 200, `a PUT with If-Match: ${expected(now)}`);
    now = written.headers.get('etag')!;
  }
  for (const header of ['', ',', '42', '"42', 'W/42', '"1" "2"', '*, "1"', "'42'"]) {
    for (const [method, name] of [
      ['PUT', 'if-match'],
      ['GET', 'if-none-match'],
    ] as const) {
      const reply = await send(method, { [name]: header });
      const detail = header === '' ? /is empty; send \*/ : /double quotes/;
      t.match([reply.status, await reply.json()], [400, { code: 'BAD_REQUEST', detail }], `${name}: ${header}`);
    }
  }
  t.equal((await send('DELETE', { 'if-match': now.replace(/"$/, '-gzip"') })).status, 204);
});

t.test('a strong tag changes with its representation, and with nothing else', async (t) => {
  await put('/view/child?parents=true', '1');
  const views = [
    '',
    '?view=node',
    '?view=stat',
    '?view=children',
    '?view=children&stats=true',
    '?view=children&stats=true&limit=1',
  ];
  const tags = async () => {
    const seen = await Promise.all(views.map((view) => http(`${nodes}/view${view}`)));
    return seen.map(({ headers }) => headers.get('etag')!);
  };
  const changes: [what: string, change: () => Promise<unknown>, changed: boolean[]][] = [
    ['nothing', async () => undefined, [false, false, false, false, false, false]],
    ['its data', () => put('/view', 'new'), [true, true, true, false, true, true]],
    ['a child more', () => put('/view/second'), [false, true, true, true, true, true]],
    ['a child less', () => http(`${nodes}/view/second`, 'DELETE'), [false, true, true, true, true, true]],
    ['the data of a child', () => put('/view/child', '22'), [false, false, false, false, true, true]],
    ['a grandchild', () => put('/view/child/grand'), [false, false, false, false, true, true]],
    ['the data of a grandchild', () => put('/view/child/grand', '3'), [false, false, false, false, false, false]],
    ['what is beside it', () => put('/beside', ''), [false, false, false, false, false, false]],
  ];
  for (const [what, change, expected] of changes) {
    const before = await tags();
    await change();
    const after = await tags();
    t.same(
      after.map((tag, i) => tag !== before[i]),
      expected,
      what,
    );
    for (const [i, view] of views.entries()) {
      const again = await http(`${nodes}/view${view}`, 'GET', undefined, { 'if-none-match': before[i]! });
      t.equal(again.status, expected[i] ? 200 : 304, `${what}: ${view} with its last tag`);
    }
  }
  const [data, node, stat, children, page] = await tags();
  t.match([data, node, stat, children], [/^"\d+"$/, /^"\d+-\d+"$/, /^"\d+-\d+"$/, /^"c\d+"$/]);
  for (const tag of [children!, page!, `W/${children}`, children!.replace(/"$/, '-gzip"')]) {
    for (const method of ['PUT', 'DELETE']) {
      const refused = await http(`${nodes}/view/child/grand`, method, undefined, { 'if-match': tag });
      t.match(refused, { status: 400, body: { code: 'BAD_REQUEST', detail: /list of children/ } }, `${method} ${tag}`);
    }
  }
  const compared = await put('/view', 'by the tag of its stat', { 'if-match': stat! });
  t.equal(compared.status, 200);
  t.equal((await put('/view', 'late', { 'if-match': node! })).status, 412);
});
