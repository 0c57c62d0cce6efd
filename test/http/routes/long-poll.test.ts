import t from 'tap';
import { eventually, http, startTestServer, type TestServer } from '../../helpers/server.ts';

const put = async (server: TestServer, path: string, data = '') =>
  (await http(`${server.url}/v1/nodes${path}`, 'PUT', data)).body.stat.mzxid as number;
const poll = (server: TestServer, path: string, tag: string, signal?: AbortSignal) =>
  fetch(`${server.url}/v1/nodes${path}`, { headers: { 'if-none-match': tag }, ...(signal && { signal }) });
const waiting = async (server: TestServer, count: number) =>
  eventually(
    async () => (await http(`${server.url}/metrics`)).body.includes(`weir_long_polls_waiting ${count}\n`),
    `${count} long polls wait`,
  );

t.test('a long poll returns at once if the node differs from the tag', async (t) => {
  const server = await startTestServer(t);
  const first = await put(server, '/p', '1');
  const second = await put(server, '/p', '2');
  const response = await poll(server, '/p?wait=5m', `"${first}"`);
  t.equal(response.status, 200);
  t.equal(response.headers.get('etag'), `"${second}"`);
  t.equal(await response.text(), '2');
  t.equal((await fetch(`${server.url}/v1/nodes/p?wait=5m`)).status, 200, 'and without any tag');
});

t.test('it returns when what is seen changes next, written through any broker, in every view', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  await put(one, '/p', '1');
  await put(one, '/p/kid', '1');
  const views = ['', '&view=node', '&view=stat', '&view=children', '&view=children&stats=true'];
  const changes: [what: string, change: () => Promise<unknown>, returns: boolean[]][] = [
    ['another child', () => put(one, '/p/child'), [false, true, true, true, true]],
    ['its data', () => put(one, '/p', '2'), [true, true, true, false, true]],
    ['the data of a child', () => put(one, '/p/kid', '2'), [false, false, false, false, true]],
    ['a grandchild', () => put(one, '/p/kid/grand'), [false, false, false, false, true]],
    ['a child less', () => http(`${one.url}/v1/nodes/p/child`, 'DELETE'), [false, true, true, true, true]],
    ['its deletion', () => http(`${one.url}/v1/nodes/p?recursive=true`, 'DELETE'), [true, true, true, true, true]],
  ];
  for (const [what, change, returns] of changes) {
    const tags = await Promise.all(
      views.map(async (view) => (await http(`${two.url}/v1/nodes/p?${view.slice(1)}`)).headers.get('etag')!),
    );
    const abort = new AbortController();
    const polls = views.map((view, i) =>
      poll(two, `/p?wait=60s${view}`, tags[i]!, abort.signal).catch(() => undefined),
    );
    await waiting(two, views.length);
    await change();
    for (const [i, view] of views.entries()) {
      if (!returns[i]) continue;
      const response = await polls[i];
      t.equal(response?.status, what === 'its deletion' ? 404 : 200, `${what}: ${view}`);
      t.not(response?.headers.get('etag'), tags[i]);
      await response?.body?.cancel();
    }
    await waiting(two, returns.filter((is) => !is).length);
    abort.abort();
    await waiting(two, 0);
  }
});

t.test('a wait on a page of children with their stats that others change far below goes on', async (t) => {
  const server = await startTestServer(t);
  await put(server, '/p');
  await put(server, '/p/kid');
  await put(server, '/p/kid/grand');
  const page = '/p?view=children&stats=true';
  const tag = (await http(`${server.url}/v1/nodes${page}`)).headers.get('etag')!;
  const waited = poll(server, `${page}&wait=60s`, tag);
  await waiting(server, 1);
  await put(server, '/p/kid/grand', 'far below');
  await put(server, '/p/kid', 'near');
  t.match(await (await waited).json(), { children: [{ name: 'kid', stat: { dataLength: 4 } }] });
  const late = await poll(
    server,
    `${page}&wait=20ms`,
    (await http(`${server.url}/v1/nodes${page}`)).headers.get('etag')!,
  );
  t.equal(late.status, 304);
});

t.test('it returns 304 with the tag when the wait is over', async (t) => {
  const server = await startTestServer(t);
  const zxid = await put(server, '/p', '1');
  for (const path of ['/p?wait=50ms', '/p?wait=0', '/p']) {
    const response = await poll(server, path, `"${zxid}"`);
    t.equal(response.status, 304);
    t.equal(response.headers.get('etag'), `"${zxid}"`);
    t.equal(await response.text(), '');
  }
  const absent = await poll(server, '/absent?wait=50ms', '"0"');
  t.equal(absent.status, 304);
  t.equal(absent.headers.get('etag'), '"0"');
});

t.test('"0" waits for a node to be created; a node deleted meanwhile is NO_NODE with that tag', async (t) => {
  const server = await startTestServer(t);
  const creation = poll(server, '/p?wait=60s', '"0"');
  await waiting(server, 1);
  const created = await put(server, '/p', 'new');
  const response = await creation;
  t.equal(response.status, 200);
  t.equal(response.headers.get('etag'), `"${created}"`);
  const deletion = poll(server, '/p?wait=60s', `"${created}"`);
  const any = poll(server, '/p?wait=60s', '*');
  await waiting(server, 2);
  await http(`${server.url}/v1/nodes/p`, 'DELETE');
  for (const gone of await Promise.all([deletion, any])) {
    t.equal(gone.status, 404);
    t.equal(gone.headers.get('etag'), '"0"');
    t.match(await gone.json(), { code: 'NO_NODE' });
  }
  const absent = await poll(server, '/p?wait=60s', `"${created}"`);
  t.equal(absent.status, 404, 'and at once if it is gone already');
  t.equal(absent.headers.get('etag'), '"0"');
});

t.test('the list of children has a tag of its own', async (t) => {
  const server = await startTestServer(t);
  await put(server, '/p');
  const list = await http(`${server.url}/v1/nodes/p?view=children`);
  const listed = poll(server, '/p?view=children&wait=60s', list.headers.get('etag')!);
  await waiting(server, 1);
  await put(server, '/p', 'new data is no change of the list');
  const child = await put(server, '/p/c');
  const response = await listed;
  t.equal(response.headers.get('etag'), `"c${child}"`);
  t.match(await response.json(), { children: ['c'] });
  const gone = poll(server, '/p?view=children&wait=60s', `W/"c${child}-gzip"`);
  await waiting(server, 1);
  await http(`${server.url}/v1/nodes/p/c`, 'DELETE');
  t.match(await (await gone).json(), { children: [] });
});

t.test('a client that goes away frees its long poll, and a server that stops ends it with 304', async (t) => {
  const server = await startTestServer(t);
  const zxid = await put(server, '/p');
  const abort = new AbortController();
  const aborted = poll(server, '/p?wait=5m', `"${zxid}"`, abort.signal).catch((error: Error) => error.name);
  await waiting(server, 1);
  abort.abort();
  t.equal(await aborted, 'AbortError');
  await waiting(server, 0);
  const last = poll(server, '/p?wait=5m', `"${zxid}"`);
  await waiting(server, 1);
  await server.close();
  t.equal((await last).status, 304);
});

t.test('a chain of long polls goes forward and sees the last state, under writers through two brokers', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  let tag = `"${await put(one, '/p')}"`;
  const writers = [one, two].map(async (server) => {
    for (let i = 0; i < 50; i++) await put(server, '/p', `${i}`);
  });
  const finished = Promise.all(writers).then(() => put(one, '/p', 'the last'));
  const seen: number[] = [];
  for (let data = ''; data !== 'the last'; ) {
    const response = await poll(two, '/p?wait=60s', tag);
    t.equal(response.status, 200);
    tag = response.headers.get('etag')!;
    data = await response.text();
    seen.push(Number(tag.slice(1, -1)));
  }
  t.equal(seen.at(-1), await finished);
  t.same(
    seen,
    [...new Set(seen)].sort((a, b) => a - b),
    'always forward',
  );
});

t.test('a wait that makes no sense is refused', async (t) => {
  const server = await startTestServer(t);
  await put(server, '/p');
  t.match(await http(`${server.url}/v1/nodes/p?wait=6m`), { status: 400, body: { detail: /wait.*5m/ } });
  t.match(await http(`${server.url}/v1/nodes/p?wait=soon`), { status: 400, body: { detail: /wait/ } });
  t.match(await http(`${server.url}/v1/nodes/p?wait=1s&view=tree`), { status: 400, body: { detail: /tree/ } });
});
