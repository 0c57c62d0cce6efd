// Ordered requests: what shares a call, and that nothing is sent again behind later ones.

import { Redis } from 'ioredis';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { unrestricted } from '../../../src/core/actor.ts';
import { ServiceError } from '../../../src/core/service-error.ts';
import { ConcurrencyLimiter } from '../../../src/store/redis/concurrency-limiter.ts';
import { OrderedCalls } from '../../../src/store/redis/ordered-calls.ts';
import { Store } from '../../../src/store/store.ts';
import { parseHandle } from '../../../src/store/tree/sessions.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, testConfig } from '../../helpers/server.ts';

const weightMax = 4;

/** Calls that are noted as `<kind> <name> <name>…`, and replied to with the names. */
function noteCalls() {
  const sent: string[] = [];
  const calls = new OrderedCalls<string>(weightMax, async (kind, requests) => {
    sent.push([kind, ...requests.flat()].join(' '));
    if (kind === 'broken') throw new ServiceError('STORE_UNAVAILABLE', 'It is away.');
    return requests.map(([name]) => [Buffer.from(String(name))]);
  });
  const submit = (origin: { isDead: boolean }, kind: string, name: string, weight = 1) =>
    calls.submit(origin, { kind, args: [name], weight });
  return { calls, sent, submit };
}

const newOrigin = () => ({ isDead: false });

t.test('requests of several origins share calls, and each origin keeps its order', async (t) => {
  const { sent, submit } = noteCalls();
  const [a, b] = [newOrigin(), newOrigin()];
  const replies = await Promise.all([
    submit(a, 'write', 'a1'),
    submit(a, 'read', 'a2'),
    submit(a, 'write', 'a3'),
    submit(b, 'write', 'b1'),
    submit(b, 'read', 'b2'),
    submit(b, 'read', 'b3'),
    submit(b, 'write', 'b4'),
    submit(b, 'read', 'b5'),
  ]);
  t.same(sent, ['write a1 b1', 'read a2 b2 b3', 'write a3 b4', 'read b5']);
  t.same(replies.map(String), ['a1', 'a2', 'a3', 'b1', 'b2', 'b3', 'b4', 'b5']);
});

t.test('a call is limited by weight, and sent as soon as it is full', async (t) => {
  const { sent, submit } = noteCalls();
  const a = newOrigin();
  const replies = ['1', '2', '3', '4'].map((name) => submit(a, 'write', name));
  t.same(sent, ['write 1 2 3 4']);
  replies.push(submit(a, 'write', '5'), submit(a, 'write', '6', 9), submit(a, 'write', '7'));
  t.same(sent.slice(1), ['write 5', 'write 6']);
  await Promise.all(replies);
  t.same(sent.slice(3), ['write 7']);
});

t.test('a failed call fails its requests only', async (t) => {
  const { sent, submit } = noteCalls();
  const a = newOrigin();
  const outcomes = await Promise.allSettled([
    submit(a, 'broken', '1'),
    submit(a, 'broken', '2'),
    submit(a, 'write', '3'),
  ]);
  t.match(outcomes, [{ status: 'rejected' }, { status: 'rejected' }, { status: 'fulfilled' }]);
  t.same(sent, ['broken 1 2', 'write 3']);
});

t.test('requests of a dead origin are dropped', async (t) => {
  const { sent, submit } = noteCalls();
  const [a, b] = [newOrigin(), newOrigin()];
  const outcomes = Promise.allSettled([submit(a, 'write', 'a1'), submit(b, 'write', 'b1'), submit(a, 'read', 'a2')]);
  a.isDead = true;
  const dropped = { reason: { code: 'STORE_UNAVAILABLE', message: /was not sent to the store; nothing was done/ } };
  t.match(await outcomes, [dropped, { status: 'fulfilled' }, dropped]);
  t.same(sent, ['write b1']);
});

t.test('what is behind a request that waits for room waits, too, and goes on if that is refused', async (t) => {
  const { calls, sent, submit } = noteCalls();
  const limiter = new ConcurrencyLimiter('large requests', 1, 50);
  let leave = () => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const held = limiter.run(() => left);
  const [a, b] = [newOrigin(), newOrigin()];
  const large = (origin: { isDead: boolean }, name: string) =>
    calls.submit(origin, { kind: 'write', args: [name], weight: 9 }, (task) => limiter.run(task));
  const refused = large(a, 'a1');
  const behind = submit(a, 'write', 'a2');
  await submit(b, 'write', 'b1');
  t.same(sent, ['write b1']);
  await t.rejects(refused, { code: 'TOO_MANY_REQUESTS' });
  await behind;
  t.same(sent, ['write b1', 'write a2']);
  const admitted = [large(a, 'a3'), submit(a, 'read', 'a4')];
  leave();
  await Promise.all([held, ...admitted]);
  t.same(sent.slice(2), ['write a3', 'read a4']);
  await submit(a, 'write', 'a5');
  t.same(sent.slice(4), ['write a5']);
});

/** A store with a node and an attached session, whose writes set the node. */
async function openStore(t: Test) {
  const { socketPath } = await startTestRedis(t);
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const redis = new Redis(socketPath);
  t.teardown(() => redis.disconnect());
  const { namespace, sessions } = store;
  await namespace.write([
    { op: 'create', path: '/n', data: '0' },
    { op: 'create', path: '/doomed' },
  ]);
  const session = parseHandle((await sessions.create(60_000, unrestricted)).handle, unrestricted);
  const { epoch } = await sessions.attach(session);
  const origin = newOrigin();
  const place = (seq: number) => ({ origin, sequence: { sessionId: session.id, epoch, seq } });
  return {
    store,
    redis,
    origin,
    session,
    set: (seq: number) => namespace.write([{ op: 'set', path: '/n', data: String(seq) }], place(seq)),
    drop: (seq: number) => namespace.write([{ op: 'delete', path: '/doomed' }], place(seq)),
    get: async (options: object) => (await namespace.get('/n', options)).data.toString(),
  };
}

t.test('reads, pages and writes of one origin see each other in their order', async (t) => {
  const { store, origin, set, get } = await openStore(t);
  const page = async () => (await store.namespace.children('/', { limit: 10 }, { origin })).stat.mzxid;
  const seen = await Promise.all([get({ origin }), set(1), get({ origin }), page(), set(2), set(3), get({ origin })]);
  t.same([seen[0], seen[2], seen[6]], ['0', '1', '3']);
  const large = Array.from({ length: 70 }, (_, i) => ({ op: 'set' as const, path: '/n', data: `large ${i}` }));
  const around = await Promise.all([
    get({ origin }),
    store.namespace.write(large, { origin }),
    get({ origin }),
    set(4),
  ]);
  t.same([around[0], around[2]], ['3', 'large 69'], 'also around a large one');
  t.equal(await get({}), '4');
});

t.test('a node is read in its place, however large those before it are', async (t) => {
  const { store, origin, set, get } = await openStore(t);
  const data = 'x'.repeat(1024 * 1024);
  await store.namespace.write([{ op: 'create', path: '/large', data }]);
  const large = Array.from({ length: 10 }, () => store.namespace.get('/large', { origin }));
  const [before, , after] = await Promise.all([get({ origin }), set(1), get({ origin }), ...large]);
  t.same([before, after], ['0', '1']);
  for (const node of await Promise.all(large)) t.equal(node.data.length, data.length);
});

t.test('a script that Redis has lost is not sent again behind later ones', async (t) => {
  const { redis, set, drop, get } = await openStore(t);
  await set(1);
  await drop(2);
  await redis.script('FLUSH');
  const lost = { code: 'STORE_UNAVAILABLE', message: /refused the command \(NOSCRIPT\); nothing was done/ };
  const outcomes = await Promise.allSettled([set(3), set(4)]);
  t.match(outcomes, [{ reason: lost }, { reason: lost }]);
  t.equal(await get({}), '1');
  const [third, fourth] = await Promise.all([set(3), set(4)]);
  t.match([third, fourth], [{ replayed: false }, { replayed: false }], 'it is loaded by the next call');
  await redis.script('FLUSH');
  // The script of writes is loaded again, that of deletions is not.
  t.match(await Promise.allSettled([set(5)]), [{ reason: lost }]);
  await set(5);
  const mixed = await Promise.allSettled([drop(6), set(7)]);
  t.match(mixed, [{ reason: lost }, { reason: { code: 'OUT_OF_ORDER_SEQUENCE' } }]);
  t.equal(await get({}), '5');
});

t.test('a call that Redis refuses is not repeated', async (t) => {
  const { store, redis, session, set, get } = await openStore(t);
  await set(1);
  await redis.replicaof('127.0.0.1', '1');
  const outcomes = await Promise.allSettled([set(2), set(3)]);
  t.match(outcomes, [
    { reason: { code: 'STORE_UNAVAILABLE', message: /refused the command \(READONLY\); nothing was done/ } },
    { reason: { code: 'STORE_UNAVAILABLE' } },
  ]);
  await t.rejects(set(2), { code: 'STORE_UNAVAILABLE' }, 'nor does one wait for a connection');
  await redis.replicaof('NO', 'ONE');
  await eventually(() => store.isOpen, 'the store is open again');
  t.match(await store.sessions.attach(session), { lastSeq: 1 });
  t.equal(await get({}), '1');
});

t.test('the calls behind one whose connection broke take no effect', async (t) => {
  const { store, session, set, get } = await openStore(t);
  await set(1);
  const { client } = await store.connection.connectionOf('{weir}:root');
  const pending = Promise.allSettled(Array.from({ length: 100 }, (_, i) => set(i + 2)));
  await new Promise((resolve) => setImmediate(resolve));
  client.stream.destroy();
  const outcomes = await pending;
  const firstLost = outcomes.findIndex(({ status }) => status === 'rejected');
  t.ok(firstLost >= 0);
  t.ok(outcomes.slice(firstLost).every(({ status }) => status === 'rejected'));
  let lastSeq = 0;
  await eventually(async () => {
    ({ lastSeq } = await store.sessions.attach(session).catch(() => ({ lastSeq: 0 })));
    return lastSeq > 0;
  }, 'the session is attached again');
  t.ok(lastSeq >= firstLost + 1, 'what had a response was carried out');
  t.equal(await get({}), String(lastSeq), 'a first part of them was carried out, and no other');
});
