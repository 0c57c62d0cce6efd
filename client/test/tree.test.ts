// Nodes, watches and caches of the client, over the socket and over HTTP alike.
import t, { type Test } from 'tap';
import { eventually, http, startTestServer } from '../../test/helpers/server.ts';
import { isWeirError, type WeirOptions } from '../src/index.ts';
import { startClient, take } from './client.ts';

const server = await startTestServer(t);

let tests = 0;

/** The same test over both links. */
function overBoth(name: string, test: (t: Test, root: string, options: Partial<WeirOptions>) => Promise<void>): void {
  tests += 1;
  const root = `/test-${tests}`;
  t.test(`${name}, over the socket`, (t) => test(t, `${root}-socket`, {}));
  t.test(`${name}, over HTTP`, (t) => test(t, `${root}-http`, { webSocket: null }));
}

overBoth('nodes are created, read, changed and deleted', async (t, root, options) => {
  const { tree } = startClient(t, server.url, options);
  t.equal(await tree.get(root), undefined);
  t.equal(await tree.exists(root), false);
  const created = await tree.create(root, { a: 1 });
  t.same(await tree.getJson(root), { a: 1 });
  t.equal((await tree.get(root))?.contentType, 'application/json');
  await tree.set(root, new Uint8Array([0, 255]), { mzxid: created.mzxid });
  t.same((await tree.get(root))?.bytes, new Uint8Array([0, 255]));
  await t.rejects(tree.set(root, 'x', { mzxid: created.mzxid }), { code: 'BAD_VERSION', status: 412 });
  await t.rejects(tree.create(root), { code: 'NODE_EXISTS' });
  await t.rejects(tree.create(`${root}/a/b`), { code: 'NO_PARENT' });
  await tree.set(`${root}/a/b`, 'deep', { create: true });
  await tree.set(`${root}/a/b`, 'deeper', { create: true });
  t.equal((await tree.get(`${root}/a/b`, { read: 'local' }))?.text, 'deeper');
  const { name } = await tree.createSequential(`${root}/n-`);
  t.equal(name, 'n-0000000001');
  t.same((await tree.children(root)).names, ['a', name]);
  t.same(await take(tree.walk(root), 4), [root, `${root}/a`, `${root}/a/b`, `${root}/${name}`]);
  await t.rejects(tree.remove(root), { code: 'NOT_EMPTY' });
  await tree.remove(root, { recursive: true });
  t.equal(await tree.exists(root), false);
});

overBoth('a multi takes effect as a whole or not at all', async (t, root, options) => {
  const { tree } = startClient(t, server.url, options);
  await tree.create(root, '1');
  const { results } = await tree.multi().check(root, { version: 0 }).set(root, '2').create(`${root}/a`).commit();
  t.same(
    results.map(({ op }) => op),
    ['check', 'set', 'create'],
  );
  const failed = tree.multi().remove(`${root}/a`).check(root, { version: 0 }).commit();
  await t.rejects(failed, { code: 'BAD_VERSION', fields: { failed: 1 } });
  t.ok(await tree.exists(`${root}/a`));
});

overBoth('a watch tells every transaction once, in order', async (t, root, options) => {
  const weir = startClient(t, server.url, options);
  await weir.tree.create(root);
  const watch = weir.watch(root, { mode: 'recursive', data: true });
  await watch.started;
  await Promise.all([1, 2, 3].map((n) => weir.tree.create(`${root}/${n}`, `data ${n}`)));
  const seen = await take(watch, 3);
  t.same(
    seen.flatMap(({ events }) => events.map(({ type, path, data }) => [type, path, data])),
    [1, 2, 3].map((n) => ['created', `${root}/${n}`, `data ${n}`]),
  );
  const since = seen[0]!.zxid;
  t.same(
    (await take(weir.watch(root, { mode: 'recursive', since }), 2)).map(({ zxid }) => zxid),
    seen.slice(1).map(({ zxid }) => zxid),
    'from any transaction on',
  );
});

overBoth('a cache has the subtree, and follows it', async (t, root, options) => {
  const weir = startClient(t, server.url, options);
  await weir.tree.set(`${root}/a/b`, 'old', { create: true });
  const cache = weir.cache(root);
  await cache.ready;
  t.equal(cache.get(`${root}/a/b`)?.text, 'old');
  const large = 'x'.repeat(20_000);
  const changes: string[] = [];
  const seen = new Promise<void>((resolve) => {
    cache.on('change', (all) => {
      changes.push(...all.map(({ type, path }) => `${type} ${path.slice(root.length)}`));
      if (changes.at(-1) === 'deleted /a/b') resolve();
    });
  });
  await weir.tree.multi().set(`${root}/a/b`, 'new').create(`${root}/c`, large).commit();
  await weir.tree.remove(`${root}/a/b`);
  await seen;
  t.same(changes, ['changed /a/b', 'created /c', 'deleted /a/b']);
  t.equal(cache.get(`${root}/c`)?.text, large, 'data that no event holds are read');
  t.notOk(cache.has(`${root}/a/b`));
  t.equal(cache.size, 3);
  await cache.close();
});

overBoth('waitFor returns the node that it waited for', async (t, root, options) => {
  const weir = startClient(t, server.url, options);
  const created = weir.tree.waitFor(root);
  await weir.tree.create(root, '1');
  t.equal((await created)?.text, '1');
  const set = weir.tree.waitFor(root, { until: (node) => node?.text === '3' });
  await weir.tree.set(root, '2');
  await weir.tree.set(root, '3');
  t.equal((await set)?.text, '3');
  const gone = weir.tree.waitFor(root, { until: 'gone' });
  await weir.tree.remove(root);
  t.equal(await gone, undefined);
  const controller = new AbortController();
  const never = weir.tree.waitFor(root, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await t.rejects(never, { message: 'enough' });
  await t.rejects(weir.tree.waitFor(root, { signal: controller.signal }), { message: 'enough' }, 'aborted before');
});

overBoth('the nodes of a session are deleted when it ends', async (t, root, options) => {
  const weir = startClient(t, server.url, options);
  {
    await using session = await weir.session({ ttl: '20s' });
    await session.tree.create(root, '', { mode: 'ephemeral' });
    t.equal((await weir.tree.stat(root))?.ephemeralOwner, session.id);
    t.equal(session.state, 'connected');
    t.ok(session.deadline > performance.now() && !session.signal.aborted);
  }
  t.notOk(await weir.tree.exists(root));
});

overBoth('a session tells of its renewals, and others act for it with its handle', async (t, root, options) => {
  const weir = startClient(t, server.url, options);
  await using session = await weir.session({ ttl: '1s' });
  const first = session.deadline;
  const deadlines: number[] = [];
  const unlisten = session.onRenewal((deadline) => deadlines.push(deadline));
  await eventually(() => deadlines.length >= 2, 'it is renewed');
  unlisten();
  t.same(
    deadlines,
    deadlines.toSorted((a, b) => a - b),
  );
  t.ok((deadlines[0] ?? 0) > first && session.deadline >= (deadlines.at(-1) ?? 0));
  const created = await http(`${server.url}/v1/nodes${root}?mode=ephemeral`, 'PUT', '', {
    'weir-session': session.handle,
  });
  t.equal(created.body.stat.ephemeralOwner, session.id);
});

overBoth('data larger than a frame are written and read', async (t, root, options) => {
  const { tree } = startClient(t, server.url, options);
  const data = 'ä'.repeat(450_000);
  await tree.create(root, data);
  t.equal((await tree.get(root))?.text, data);
});

t.test('calls of one turn take effect in their order, and share frames', async (t) => {
  const { tree } = startClient(t, server.url);
  await tree.create('/order');
  const names = await Promise.all(Array.from({ length: 1000 }, () => tree.createSequential('/order/n-')));
  t.same(
    names.map(({ name }) => Number(name.slice(2))),
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

t.test('what is called without waiting for results has a limit', async (t) => {
  const { tree } = startClient(t, 'http://127.0.0.1:9', { retry: { for: '1h' } });
  const results = Array.from({ length: 10_001 }, () => tree.exists('/'));
  const last = results.pop()!;
  for (const result of results) result.catch(() => {});
  await t.rejects(last, { code: 'BUFFER_FULL', retryable: true });
});

t.test('a watch whose reader is slow keeps a bounded buffer, and misses nothing', async (t) => {
  const weir = startClient(t, server.url);
  await weir.tree.create('/slow');
  const watch = weir.watch('/slow', { mode: 'recursive' });
  await watch.started;
  const count = 10_000;
  for (let i = 0; i < count; i += 1000) {
    const ops = weir.tree.multi();
    for (let n = i; n < i + 1000; n += 1) ops.create(`/slow/${n}`);
    await ops.commit();
  }
  const seen: string[] = [];
  for await (const { events } of watch) {
    seen.push(...events.map(({ path }) => path));
    if (seen.length >= count) break;
  }
  t.same(
    seen,
    Array.from({ length: count }, (_, n) => `/slow/${n}`),
  );
});

t.test('a watch of history that is gone throws, or begins anew and says so', async (t) => {
  const small = await startTestServer(t, { eventRetention: 10 });
  const weir = startClient(t, small.url);
  const { czxid } = await weir.tree.create('/gone');
  await Promise.all(Array.from({ length: 2000 }, (_, n) => weir.tree.set('/gone', String(n))));
  await t.rejects(weir.watch('/gone', { since: czxid }).next(), { code: 'COMPACTED' });
  const watch = weir.watch('/gone', { since: czxid, onCompacted: 'resync' });
  t.match(await watch.next(), { value: { resync: true, events: [] } });
  await weir.tree.set('/gone', 'new');
  t.match(await watch.next(), { value: { events: [{ type: 'changed' }] } });
  await watch.return();
});

t.test('errors say what was wrong', async (t) => {
  const { tree } = startClient(t, server.url);
  const error = await tree.get('no/slash').catch((error: unknown) => error);
  t.ok(isWeirError(error, 'INVALID_PATH', 'NO_NODE'));
  t.notOk(isWeirError(error, 'NO_NODE'));
  t.match(error, { status: 400, retryable: false, maybeDone: false, message: /^INVALID_PATH: / });
});

t.test('a closed client refuses everything', async (t) => {
  const weir = startClient(t, server.url);
  const { tree } = weir;
  const watch = weir.watch('/');
  await watch.started;
  await weir.close();
  await t.rejects(tree.exists('/'), { code: 'CLOSED' });
  await t.rejects(watch.next(), { code: 'CLOSED' });
  t.throws(() => weir.tree, { code: 'CLOSED' });
});
