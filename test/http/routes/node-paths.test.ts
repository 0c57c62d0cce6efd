import t from 'tap';
import { eventually, http, startTestServer } from '../../helpers/server.ts';
import { openSocket } from '../../helpers/socket.ts';

const { url } = await startTestServer(t);
const nodes = `${url}/v1/nodes`;
const put = (path: string, body = '', headers = {}) => http(`${nodes}${path}`, 'PUT', body, headers);
const stat = async (path: string) => (await http(`${nodes}${path}?view=stat`)).body.stat;

t.test(
  'a name that a URL cannot carry is refused in every way of creating, and each that is created is reached',
  async (t) => {
    const longest = ['é'.repeat(384), 'x'.repeat(2304), '語'.repeat(256), ' '.repeat(768), "!'()*".repeat(153)];
    await put('/pz');
    for (const name of longest) {
      const created = await http(`${url}/v1/multi`, 'POST', { ops: [{ op: 'create', path: `/pz/${name}` }] });
      t.equal(created.status, 200);
      // As the most cautious client encodes: all but the unreserved characters, and slashes, too.
      const encoded = [...Buffer.from(`/pz/${name}`)].map((byte) =>
        /[\w.~-]/.test(String.fromCharCode(byte))
          ? String.fromCharCode(byte)
          : `%${byte.toString(16).padStart(2, '0')}`,
      );
      t.equal((await http(`${nodes}/${encoded.join('')}?view=stat`)).status, 200);
      const after = new URLSearchParams({ view: 'children', limit: '1', after: name });
      const page = await http(`${nodes}/${encoded.join('')}?${after}`, 'GET', undefined, {
        'x-room': 'r'.repeat(6000),
      });
      t.equal(page.status, 200, 'with a query as long, and other headers');
      t.equal((await http(`${nodes}/pz?${after}`)).status, 200);
      t.equal((await http(`${nodes}/${encoded.join('')}`, 'DELETE')).status, 204);
    }
    const long = 'é'.repeat(2000);
    const body = (op: object) => ({ ops: [op] });
    const refusals = [
      await put(`/pz/${'é'.repeat(500)}`),
      await put(`/new/${'é'.repeat(500)}/x?parents=true`),
      await http(`${nodes}/pz/${'é'.repeat(500)}`, 'POST'),
      await http(`${nodes}/pz/${'x'.repeat(2300)}`, 'POST'),
      await http(`${url}/v1/multi`, 'POST', body({ op: 'create', path: `/pz/${long}` })),
      await http(`${url}/v1/multi`, 'POST', body({ op: 'create', path: `/pz/${long}`, sequential: true })),
      await http(`${url}/v1/multi`, 'POST', body({ op: 'create', path: `/${'a'.repeat(2304)}/${'b'.repeat(2304)}` })),
    ];
    for (const refused of refusals) {
      t.match(refused, {
        status: 400,
        body: { code: 'INVALID_PATH', detail: /bytes when percent-encoded; the limit is (2304|4608)/ },
      });
      t.ok(refused.body.detail.length < 500, 'without repeating all of it');
    }
    t.equal((await stat('/pz')).numChildren, 0);
  },
);

t.test('an encoded slash is the separator, and one slash more at either end is dropped', async (t) => {
  await put('/sw');
  const created = await put('/sw%2Fagger', 'v');
  t.match(created, { status: 201, body: { path: '/sw/agger' } });
  t.equal(created.headers.get('location'), '/v1/nodes/sw/agger');
  for (const path of [
    'sw/agger',
    'sw%2fagger',
    '%2Fsw%2Fagger',
    '/sw/agger',
    'sw/agger/',
    '%2Fsw%2Fagger%2F',
    '/sw%2Fagger/',
  ]) {
    t.match(await http(`${nodes}/${path}?view=node`), { status: 200, body: { path: '/sw/agger' } }, path);
    t.equal((await put(`/${path}`, path)).status, 200, path);
  }
  for (const root of ['', '/', '%2F', '%2f']) {
    t.match(await http(`${nodes}/${root}?view=stat`), { status: 200, body: { path: '/' } }, `the root as ${root}`);
  }
  for (const prefix of ['sw/q-', '%2Fsw%2Fq-', '/sw/q-']) {
    t.match(await http(`${nodes}/${prefix}`, 'POST'), { body: { path: /^\/sw\/q-\d{10}$/ } }, prefix);
  }
  for (const prefix of ['sw/', 'sw%2F', '%2Fsw%2F']) {
    const sequential = await http(`${nodes}/${prefix}`, 'POST');
    t.match(sequential, { body: { path: /^\/sw\/\d{10}$/ } }, `${prefix} is the empty prefix below the node`);
    t.equal(sequential.headers.get('location'), `/v1/nodes${sequential.body.path}`);
  }
  for (const path of ['//sw', 'sw//', 'sw%2F%2Fagger', '%2F%2Fsw', 'sw/agger%2F/']) {
    const refused = await http(`${nodes}/${path}`);
    t.match(refused, { status: 400, body: { code: 'INVALID_PATH', detail: /empty|ends with/ } }, path);
  }
  const watched = await fetch(`${url}/v1/watch/%2Fsw%2Fagger%2F?once`);
  await put('/sw/agger', 'seen');
  t.match(await watched.text(), /"path":"\/sw\/agger"/, 'a watch over HTTP takes the same forms');
});

t.test('in JSON a slash at the end of a path is dropped, too, but of a sequential create', async (t) => {
  await put('/js');
  const ops = [
    { op: 'check', path: '/js/', exists: true },
    { op: 'create', path: '/js/a/' },
    { op: 'set', path: '/js/a/', data: 'x' },
    { op: 'create', path: '/js/', sequential: true },
    { op: 'delete', path: '/js/a/' },
  ];
  const { status, body } = await http(`${url}/v1/multi`, 'POST', { ops });
  t.equal(status, 200);
  t.match(
    body.results.map(({ path }: any) => path),
    ['/js', '/js/a', '/js/a', /^\/js\/\d{10}$/, '/js/a'],
  );
  t.match(await http(`${url}/v1/access/check?verb=write&path=/js/`), { status: 200, body: { allowed: true } });

  await http(`${url}/v1/topics`, 'POST', { name: 'js' });
  const { czxid } = await stat('/js');
  const fenced = (fence: string) =>
    http(`${url}/v1/topics/js/records`, 'POST', 'x', { 'content-type': 'text/plain', 'weir-fence': fence });
  for (const path of ['/js', '/js/', '/js%2F']) t.equal((await fenced(`${path}@${czxid}`)).status, 200, path);
  t.match(await fenced(`/js//@${czxid}`), { status: 400, body: { code: 'INVALID_PATH' } });

  const frames = [
    { open: '/v1/watch', watch: { type: 'watch', id: 'w', path: '/js/' }, began: { type: 'watching' } },
    { open: '/v1/socket', watch: { id: 1, op: 'watch', path: '/js/' }, began: { id: 1 } },
  ];
  for (const { open, watch, began } of frames) {
    const socket = await openSocket(t, url + open);
    socket.send(watch);
    await socket.frame(began);
    await put('/js', open);
    await eventually(
      () => socket.frames.some(({ events }) => events?.[0]?.path === '/js'),
      `the watch on ${open} is that of the node`,
    );
  }
});

t.test('broken percent-encoding is named with its place', async (t) => {
  for (const path of ['a%ff', '%C3%28/x', 'x/%e9']) {
    t.match(await http(`${nodes}/${path}`), { status: 400, body: { detail: /UTF-8/ } }, path);
  }
});

t.test('paths with any characters that ZooKeeper takes work, braces included', async (t) => {
  const name = '{weir} & ü? #%';
  t.equal((await put(`/${encodeURIComponent(name)}`, 'v')).status, 201);
  t.equal((await http(`${nodes}/${encodeURIComponent(name)}`)).body, 'v');
  t.ok((await http(`${nodes}/?view=children`)).body.children.includes(name));
  t.match(await http(`${nodes}/a%ff`), { status: 400 });
  await eventually(async () => (await http(`${url}/health/live`)).status === 200, 'the server lives');
});
