// GET /v1/nodes/{path}?read=local
import t from 'tap';
import { eventually, type HttpResponse, http, metric, startTestServer } from '../../helpers/server.ts';

const one = await startTestServer(t);
const two = await startTestServer(t, {}, one.target);
const put = async (path: string, data = '') => http(`${one.url}/v1/nodes${path}`, 'PUT', data);
const zxidOf = ({ headers }: HttpResponse) => Number(headers.get('weir-zxid'));
/** Reads through the other broker. */
const local = (path: string, query = '', headers: Record<string, string> = {}, method = 'GET') =>
  http(`${two.url}/v1/nodes${path}?read=local${query}`, method, undefined, headers);
/** Reads until the result comes from memory and reflects a transaction. */
const fromMemory = (path: string, query: string, zxid: number, headers: Record<string, string> = {}, method = 'GET') =>
  eventually(async () => {
    const response = await local(path, `${query}&minZxid=${zxid}`, headers, method);
    return response.headers.get('weir-read') === 'local' ? response : undefined;
  }, 'the response comes from memory');
const views = ['', '&view=node', '&view=stat', '&view=children'];

t.test('a local read has the same body and tag as any other, and says where it comes from', async (t) => {
  await put('/v');
  await put('/v/x');
  const zxid = zxidOf(await put('/v', 'données'));
  for (const view of views) {
    const first = await local('/v', `${view}&minZxid=${zxid}`);
    t.match(first.headers.get('weir-read'), /^(local|store)$/);
    const second = await fromMemory('/v', view, zxid);
    const plain = await http(`${one.url}/v1/nodes/v?${view.slice(1)}`);
    t.equal(plain.headers.get('weir-read'), null);
    for (const response of [first, second]) {
      t.same(response.body, plain.body, view);
      for (const name of ['etag', 'content-type', 'weir-stat', 'x-content-type-options', 'content-security-policy'])
        t.equal(response.headers.get(name), plain.headers.get(name), name);
      t.ok(zxidOf(response) >= zxid);
    }
    const known = { 'if-none-match': plain.headers.get('etag')! };
    t.match(await fromMemory('/v', view, zxid, known), { status: 304, body: '' });
    t.match(await fromMemory('/v', view, zxid, {}, 'HEAD'), { status: 200, body: '' });
  }
  t.ok((await metric(two, 'weir_local_reads_total{source="local"}')) > 0);
  t.ok((await metric(two, 'weir_local_reads_total{source="store"}')) > 0);
  t.ok((await metric(two, 'weir_node_cache_entries')) > 0);
  t.ok((await metric(two, 'weir_node_cache_bytes')) > 0);
});

t.test('a node that does not exist is NO_NODE with its zxid and tag, from memory as from the store', async (t) => {
  const zxid = zxidOf(await put('/before'));
  for (const view of views) {
    const response = await fromMemory('/none', view, zxid);
    t.match(response, { status: 404, body: { code: 'NO_NODE', path: '/none' } });
    t.equal(response.headers.get('etag'), '"0"');
    t.equal(response.body.zxid, zxidOf(response));
  }
});

t.test('a long poll with read=local waits and responds from memory', async (t) => {
  const tag = (await put('/w', '1')).headers.get('etag')!;
  await fromMemory('/w', '', 0);
  const waiting = local('/w', '&wait=60s', { 'if-none-match': tag });
  await eventually(async () => (await metric(two, 'weir_long_polls_waiting')) === 1, 'the poll waits');
  const zxid = zxidOf(await put('/w', '2'));
  const response = await waiting;
  t.match(response, { status: 200, body: '2' });
  t.equal(response.headers.get('weir-read'), 'local');
  t.ok(zxidOf(response) >= zxid);
  t.match(await local('/w', '&wait=1ms', { 'if-none-match': response.headers.get('etag')! }), { status: 304 });
});

t.test('a minZxid that no transaction has is no reason to wait for long, or to fail', async (t) => {
  await put('/m', 'data');
  const response = await local('/m', `&minZxid=${Number.MAX_SAFE_INTEGER}`);
  t.match(response, { status: 200, body: 'data' });
  t.equal(response.headers.get('weir-read'), 'store');
});

t.test('what is not read from memory is refused, and so is a minZxid that would mean nothing', async (t) => {
  for (const query of ['read=local&view=tree', 'read=local&view=children&stats=true', 'minZxid=1', 'read=remote']) {
    const { status, body } = await http(`${two.url}/v1/nodes/?${query}`);
    t.match({ status, code: body.code }, { status: 400, code: 'BAD_REQUEST' }, query);
  }
});

t.test('without memory for nodes, local reads are served by the store', async (t) => {
  const none = await startTestServer(t, { nodeCacheBytes: 0 }, one.target);
  await put('/off', 'data');
  for (let i = 0; i < 2; i++) {
    const response = await http(`${none.url}/v1/nodes/off?read=local`);
    t.match(response, { status: 200, body: 'data' });
    t.equal(response.headers.get('weir-read'), 'store');
  }
});
