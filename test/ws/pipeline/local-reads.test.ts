// Reads with "read":"local" on a pipelined socket: they come from the memory of the broker, and never go back behind what the socket
// has shown already (guarantees N9, S1, S2, S3).
import t, { type Test } from 'tap';
import type { Limits } from '../../../src/app.ts';
import { defaultAdmissionLimits } from '../../../src/http/limits.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { writePolicy } from '../../helpers/access.ts';
import { startFaultyNetwork } from '../../helpers/faulty-network.ts';
import { openPipeline, type TestPipeline } from '../../helpers/pipeline.ts';
import { chooseSeed, randomOf } from '../../helpers/random.ts';
import { eventually, http, metric, startTestServer } from '../../helpers/server.ts';
import { put } from '../../helpers/tree-writes.ts';

const one = await startTestServer(t);
const two = await startTestServer(t, {}, one.target);

const local = (op: string, path: string) => ({ op, path, read: 'local' });

/** Asks until the response comes from memory. */
const fromMemory = (socket: TestPipeline, request: Record<string, unknown>) =>
  eventually(async () => {
    const response = await socket.ask({ ...request, read: 'local' });
    return response.read === 'local' ? response : undefined;
  }, 'the response comes from memory');

/** A broker some of whose connections to Redis can be stalled. */
async function startBehindNetwork(t: Test, limits: Partial<Limits> = {}) {
  const redis = await startRedisNode(t, []);
  const network = await startFaultyNetwork(t, `http://127.0.0.1:${redis.port}`);
  const server = await startTestServer(
    t,
    { storeTimeoutMs: 2000 },
    { url: `redis://127.0.0.1:${network.port}` },
    limits,
  );
  return { server, network };
}

t.test('a local read has the result of any other, and says where it comes from and what it reflects', async (t) => {
  const socket = await openPipeline(t, two.url);
  await put(one, '/same', 'données');
  const zxid = await put(one, '/same/child');
  for (const op of ['get', 'exists', 'children']) {
    for (const path of ['/same', '/none']) {
      const plain = await socket.ask({ op, path });
      t.equal(plain.read, undefined);
      const { id: _, zxid: seen, read, ...result } = await fromMemory(socket, { op, path });
      t.equal(read, 'local');
      t.ok(seen >= zxid);
      t.match(result, { ...(plain.ok ? { ok: plain.ok } : { error: plain.error }) }, `${op} ${path}`);
    }
  }
  t.match(await fromMemory(socket, { op: 'children', path: '/', limit: 1 }), { ok: { next: String } });
  const others = await socket.askAll([
    { ...local('children', '/same'), stats: true },
    local('get', 'a//b'),
    { op: 'get', path: '/same', read: 'store' },
    { op: 'set', path: '/same', data: '', read: 'local' },
    local('get', '/same'),
  ]);
  t.same(
    others.map(({ error, ok }) => error?.code ?? ok.data),
    ['BAD_REQUEST', 'INVALID_PATH', 'BAD_REQUEST', 'BAD_REQUEST', 'données'],
    'one that is refused stops nothing behind it',
  );
});

t.test('a local read sees the writes before it, pipelined or not, and none behind it', async (t) => {
  const socket = await openPipeline(t, one.url);
  await socket.askAll([{ op: 'session' }, { op: 'create', path: '/own', seq: 1 }]);
  const count = 60;
  for (const isNumbered of [true, false]) {
    const responses = await socket.askAll(
      Array.from({ length: count }, (_, n) => [
        { op: 'set', path: '/own', data: `${n}`, ...(isNumbered && { seq: n + 2 }) },
        local('get', '/own'),
        local('exists', '/own'),
      ]).flat(),
    );
    for (let n = 0; n < count; n += 1) {
      const [written, data, stat] = responses.slice(3 * n);
      if (data.ok?.data !== `${n}` || data.zxid < written.zxid || stat.ok?.stat.version !== written.ok.stat.version)
        t.fail(`set ${n}: ${JSON.stringify([written, data, stat])}`);
    }
  }
  t.equal(await metric(one, 'weir_admission_weight{kind="requests"}'), 0, 'all permits are given back');
});

t.test('a local read sees what its socket wrote, also if the event stream does not bring it', async (t) => {
  const { server, network } = await startBehindNetwork(t);
  const socket = await openPipeline(t, server.url);
  await socket.ask({ op: 'create', path: '/n', data: 'old' });
  await fromMemory(socket, { op: 'get', path: '/n' });
  network.stall('xread');
  const [written, read] = await socket.askAll([{ op: 'set', path: '/n', data: 'new' }, local('get', '/n')]);
  t.match(read, { ok: { data: 'new' }, read: 'store' });
  t.ok(read.zxid >= written.zxid);
  network.resume();
  t.match(await fromMemory(socket, { op: 'get', path: '/n' }), { ok: { data: 'new' } });
});

t.test('what is in memory needs no permit, and is read while the store does not reply', async (t) => {
  const admission = { ...defaultAdmissionLimits, requestsMax: 1 };
  const { server, network } = await startBehindNetwork(t, { admission });
  const [busy, socket] = [await openPipeline(t, server.url), await openPipeline(t, server.url)];
  await busy.ask({ op: 'create', path: '/n', data: 'x' });
  await fromMemory(socket, { op: 'get', path: '/n' });
  // The connection of the event stream runs no scripts, and goes on.
  network.stall('evalsha');
  busy.send({ id: 'waits', op: 'get', path: '/n' });
  for (let round = 0; round < 5; round += 1) {
    const responses = await socket.askAll(Array.from({ length: 100 }, () => local('get', '/n')));
    t.equal(responses.filter(({ ok, read }) => ok.data === 'x' && read === 'local').length, 100);
  }
  t.notOk(
    busy.received.some(({ id }) => id === 'waits'),
    'the only permit is taken',
  );
});

t.test('responses never go back in time, whatever is pipelined while others write', { timeout: 120_000 }, async (t) => {
  const seed = chooseSeed();
  const random = randomOf(seed);
  const others = random.fork('others');
  const socket = await openPipeline(t, one.url);
  const paths = Array.from({ length: 6 }, (_, n) => `/back/n${n}`);
  await socket.askAll([{ op: 'session' }, { op: 'create', path: '/back', seq: 1 }]);
  for (const path of paths) await put(two, path, '0');
  let isOver = false;
  const writer = (async () => {
    while (!isOver) {
      const path = others.pick(paths);
      if (others.chance(0.3)) await http(`${two.url}/v1/nodes${path}`, 'DELETE');
      await put(two, path, `${others.next()}`);
    }
  })();
  let seq = 1;
  const request = () => {
    const path = random.pick(paths);
    const at = random.next();
    if (at < 0.5) return local(random.pick(['get', 'exists', 'children']), random.pick([path, '/back']));
    if (at < 0.7) return { op: random.pick(['get', 'exists']), path };
    if (at < 0.75) return { op: 'ping' };
    if (at < 0.85) return { op: 'set', path, data: 'own' };
    seq += 1;
    return { op: 'set', path, data: 'own', seq };
  };
  const sent: number[] = [];
  for (let round = 0; round < 40; round += 1) {
    const frames = Array.from({ length: 1 + random.below(4) }, () =>
      Array.from({ length: 1 + random.below(12) }, () => ({ ...request(), id: sent.push(sent.length) })),
    );
    for (const frame of frames) socket.send(frame);
    await socket.response(sent.length);
  }
  isOver = true;
  await writer;
  const responses = socket.received.slice(2);
  t.same(
    responses.map(({ id }) => id),
    responses.map((_, index) => index + 1),
    `the order of the responses (WEIR_TEST_SEED=${seed})`,
  );
  const zxids = responses.map(({ zxid }) => zxid ?? 0).filter((zxid) => zxid > 0);
  t.same(
    zxids,
    zxids.toSorted((a, b) => a - b),
    `no zxid is lower than one before it (WEIR_TEST_SEED=${seed})`,
  );
  const sources = new Set(responses.map(({ read }) => read));
  t.ok(sources.has('local') && sources.has('store'), 'both sources were used');
});

t.test('without memory for nodes, local reads are served by the store', async (t) => {
  const none = await startTestServer(t, { nodeCacheBytes: 0 }, one.target);
  const socket = await openPipeline(t, none.url);
  await put(one, '/off', 'data');
  for (let n = 0; n < 2; n += 1) {
    const [data, stat, list, absent, other] = await socket.askAll([
      local('get', '/off'),
      local('exists', '/off'),
      local('children', '/off'),
      local('get', '/off/none'),
      local('exists', '/off/none'),
    ]);
    t.match(data, { ok: { data: 'data' }, read: 'store', zxid: Number });
    t.match(stat, { ok: { exists: true }, read: 'store', zxid: Number });
    t.match(list, { ok: { children: [] }, read: 'store', zxid: Number });
    t.match(absent, { error: { code: 'NO_NODE' }, read: 'store', zxid: Number });
    t.match(other, { ok: { exists: false }, read: 'store', zxid: Number });
  }
});

t.test('on a socket with a watch a local read comes after the events that it reflects', async (t) => {
  const socket = await openPipeline(t, one.url);
  await put(two, '/events');
  await socket.ask({ op: 'watch', path: '/events', mode: 'recursive' });
  let isOver = false;
  const writer = (async () => {
    for (let n = 0; !isOver; n += 1) await put(two, `/events/n${n % 5}`, `${n}`);
  })();
  for (let round = 0; round < 100; round += 1) {
    await socket.askAll([local('get', '/events/n0'), local('children', '/events'), local('exists', '/events/n1')]);
  }
  isOver = true;
  await writer;
  const late: unknown[] = [];
  let newest = 0;
  for (const each of socket.received) {
    if (each.type === 'events' && each.zxid <= newest) late.push(each);
    if (each.type === undefined && each.zxid > newest) newest = each.zxid;
  }
  t.same(late, [], 'no event comes after a response that reflects it');
  t.ok(socket.received.some(({ type }) => type === 'events'));
  t.ok(socket.received.some(({ read }) => read === 'local'));
});

t.test('a local read is allowed what any other read is', async (t) => {
  const policy = await writePolicy(
    t,
    ['admin', 'ann'],
    `allow:
  - who: admin
    admin: true
  - who: ann
    nodes: { "/shown": [read] }
`,
  );
  const server = await startTestServer(t, { accessFile: policy.file }, one.target);
  const admin = await openPipeline(t, server.url, { headers: policy.as('admin') });
  await admin.askAll(['/shown', '/hidden'].map((path) => ({ op: 'create', path })));
  for (const op of ['get', 'exists']) await fromMemory(admin, { op, path: '/hidden' });
  const ann = await openPipeline(t, server.url, { headers: policy.as('ann') });
  await fromMemory(ann, { op: 'get', path: '/shown' });
  for (const op of ['get', 'exists', 'children'])
    t.match(await ann.ask(local(op, '/hidden')), { error: { code: 'FORBIDDEN' } }, op);
});
