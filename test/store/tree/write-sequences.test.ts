// Writes with a sequence (guarantee S5): at most once, in order, from the connection that was attached last.

import { Redis } from 'ioredis';
import { pino } from 'pino';
import t from 'tap';
import { unrestricted } from '../../../src/core/actor.ts';
import { ServiceError } from '../../../src/core/service-error.ts';
import { coordinationKeys } from '../../../src/store/keys.ts';
import { Store } from '../../../src/store/store.ts';
import type { Step } from '../../../src/store/tree/namespace.ts';
import { parseHandle, type SessionCredential } from '../../../src/store/tree/sessions.ts';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, testConfig } from '../../helpers/server.ts';

const { socketPath } = await startTestRedis(t);
const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
await store.open();
t.teardown(() => store.close());
const redis = new Redis(socketPath);
t.teardown(() => redis.quit());
const { namespace, sessions } = store;
const keys = coordinationKeys(testConfig.prefix);

/** A connection that is attached to a session. */
async function attach(credential: SessionCredential) {
  const origin = { isDead: false };
  const attachment = await sessions.attach(credential);
  const { epoch } = attachment;
  const place = (seq: number) => ({ origin, sequence: { sessionId: credential.id, epoch, seq } });
  return {
    ...attachment,
    origin,
    write: (seq: number, ...steps: Step[]) => namespace.write(steps, place(seq)),
    set: (seq: number, path: string, data = String(seq)) => namespace.write([{ op: 'set', path, data }], place(seq)),
    refuse: (seq: number, error: ServiceError) => namespace.refuse(error, origin, place(seq).sequence),
  };
}

async function newSession(): Promise<SessionCredential> {
  return parseHandle((await sessions.create(60_000, unrestricted)).handle, unrestricted);
}

let made = 0;
async function newNode(): Promise<string> {
  made += 1;
  const path = `/node${made}`;
  await namespace.write([{ op: 'create', path, data: 'new' }]);
  return path;
}

const dataOf = async (path: string) => (await namespace.get(path)).data.toString();
const resultsOf = (id: string) => redis.llen(keys.results(id));

t.test('attaching renews the session, raises its epoch, and says where its writes are', async (t) => {
  const session = await newSession();
  const first = await attach(session);
  t.match(first, { id: session.id, ttlMs: 60_000, lastSeq: 0 });
  t.equal(first.zxid, (await namespace.stat('/')).zxid);
  const path = await newNode();
  const { zxid } = await first.set(1, path);
  const second = await attach(session);
  t.match(second, { lastSeq: 1, zxid });
  t.ok(second.epoch > first.epoch);
  t.equal(second.expiresAt, Number(await redis.zscore(keys.sessions, session.id)));
});

t.test('a session is attached with its handle only', async (t) => {
  const session = await newSession();
  await t.rejects(sessions.attach({ ...session, secretHash: 'wrong' }), { code: 'SESSION_EXPIRED' });
  await t.rejects(sessions.attach({ ...session, id: '0'.repeat(16) }), { code: 'SESSION_EXPIRED' });
  await sessions.end(session);
  await t.rejects(sessions.attach(session), { code: 'SESSION_EXPIRED' });
});

t.test('writes that are sent without waiting are carried out in their order', async (t) => {
  const path = await newNode();
  const { set } = await attach(await newSession());
  const results = await Promise.all(Array.from({ length: 200 }, (_, i) => set(i + 1, path)));
  t.same(
    results.map(({ results: [result] }) => result!.stat!.version),
    results.map((_, i) => i + 1),
  );
  t.equal(await dataOf(path), '200');
});

t.test('a repeat gets the first result, and changes nothing', async (t) => {
  const path = await newNode();
  const { set, write } = await attach(await newSession());
  const first = await set(1, path, 'first');
  const created = await write(2, { op: 'create', path: `${path}/n-`, sequential: true });
  const multi = await write(3, { op: 'set', path, data: 'x' }, { op: 'delete', path: created.results[0]!.path });
  t.equal(first.replayed, false);
  t.same(await set(1, path, 'first'), { ...first, replayed: true });
  t.same(await write(2, { op: 'create', path: `${path}/n-`, sequential: true }), { ...created, replayed: true });
  t.same(await write(3, { op: 'set', path, data: 'x' }, { op: 'delete', path: created.results[0]!.path }), {
    ...multi,
    replayed: true,
  });
  t.match(await namespace.stat(path), { stat: { version: 2 } });
});

t.test('a repeat in the same call as the first gets its result, too', async (t) => {
  const path = await newNode();
  const { set } = await attach(await newSession());
  const [first, again, next] = await Promise.all([set(1, path), set(1, path), set(2, path)]);
  t.same(again, { ...first, replayed: true });
  t.match(next, { replayed: false });
  t.match(await namespace.stat(path), { stat: { version: 2 } });
});

t.test('a write that fails uses up its sequence, and its error is replayed', async (t) => {
  const path = await newNode();
  const { write, set } = await attach(await newSession());
  const late: Step = { op: 'set', path, data: 'x', version: 7 };
  const [failed, next] = await Promise.allSettled([write(1, late), set(2, path)]);
  t.match(failed, { reason: { code: 'BAD_VERSION', fields: { path, version: 0, failed: 0 } } });
  t.notOk((failed as PromiseRejectedResult).reason.fields.replayed);
  t.match(next, { value: { replayed: false } });
  await t.rejects(write(1, late), { code: 'BAD_VERSION', fields: { path, version: 0, failed: 0, replayed: true } });
});

t.test('a write that is refused before it is sent uses up its sequence, too', async (t) => {
  const path = await newNode();
  const { write, set, refuse } = await attach(await newSession());
  const bad: Step = { op: 'create', path: '/a/../b' };
  const forbidden = new ServiceError('FORBIDDEN', 'Not for you.', { path, list: [1, { a: null }], yes: true });
  const outcomes = await Promise.allSettled([write(1, bad), refuse(2, forbidden), set(3, path)]);
  t.match(outcomes, [
    { reason: { code: 'INVALID_PATH', fields: { failed: 0 } } },
    { reason: forbidden },
    { value: { replayed: false } },
  ]);
  await t.rejects(write(1, bad), { code: 'INVALID_PATH', fields: { failed: 0, replayed: true } });
  const again = await refuse(2, new ServiceError('BAD_REQUEST', 'Another reason.')).catch((error: unknown) => error);
  t.match(again, { code: 'FORBIDDEN', message: 'Not for you.' });
  t.same((again as ServiceError).fields, { ...forbidden.fields, replayed: true });
});

t.test('nothing behind a write that is missing takes effect', async (t) => {
  const path = await newNode();
  const { set, refuse } = await attach(await newSession());
  await set(1, path);
  const gap = {
    code: 'OUT_OF_ORDER_SEQUENCE',
    message: /the last write is 1, so 2 comes next/,
    fields: { lastSeq: 1 },
  };
  const refused = refuse(5, new ServiceError('BAD_REQUEST', 'No.'));
  await Promise.all([3, 4].map((seq) => t.rejects(set(seq, path), gap)).concat(t.rejects(refused, gap)));
  t.equal(await dataOf(path), '1');
  const { zxid } = await set(2, path);
  await t.rejects(set(4, path), { ...gap, message: /so 3 comes next/, fields: { seq: 4, lastSeq: 2, zxid } });
});

t.test('what an earlier connection sends is refused once another is attached', async (t) => {
  const path = await newNode();
  const session = await newSession();
  const old = await attach(session);
  await old.set(1, path);
  const current = await attach(session);
  const moved = { code: 'SESSION_MOVED', fields: { session: session.id } };
  await t.rejects(old.set(2, path), moved);
  await t.rejects(old.set(1, path), moved, 'also a repeat');
  await t.rejects(old.refuse(2, new ServiceError('BAD_REQUEST', 'No.')), moved);
  t.match(await current.set(1, path), { replayed: true });
  t.match(await current.set(2, path), { replayed: false });
  t.equal(await dataOf(path), '2');
});

t.test('two sessions in one call have sequences of their own', async (t) => {
  const path = await newNode();
  const [one, two] = [await attach(await newSession()), await attach(await newSession())];
  await Promise.all([1, 2, 3].flatMap((seq) => [one.set(seq, path), two.set(seq, path)]));
  t.match(await namespace.stat(path), { stat: { version: 6 } });
});

t.test('ephemeral nodes can be created and their session ended; then nothing of it is left', async (t) => {
  const path = await newNode();
  const session = await newSession();
  const { write, set } = await attach(session);
  const ephemeral: Step = { op: 'create', path: `${path}/e`, mode: 'ephemeral', session };
  await write(1, ephemeral);
  await sessions.end(session);
  t.same(await redis.keys(`*${session.id}*`), []);
  await t.rejects(namespace.stat(`${path}/e`), { code: 'NO_NODE' });
  await t.rejects(set(2, path), { code: 'SESSION_EXPIRED' });
  await t.rejects(write(1, ephemeral), { code: 'SESSION_EXPIRED' }, 'also a repeat');
});

t.test('the results of the last 256 writes are kept, and few more', async (t) => {
  const path = await newNode();
  const session = await newSession();
  const { set } = await attach(session);
  const count = 700;
  for (let seq = 1; seq <= count; seq += 50)
    await Promise.all(Array.from({ length: 50 }, (_, i) => set(seq + i, path)));
  for (const seq of [count - 255, count - 100, count]) t.match(await set(seq, path), { replayed: true });
  const tooOld = { code: 'OUT_OF_ORDER_SEQUENCE', message: /this one was before it; results are kept from \d+ on/ };
  for (const seq of [1, 400, count - 256 - 16]) await t.rejects(set(seq, path), tooOld);
  t.ok((await resultsOf(session.id)) < 256 + 16);
  t.match(await namespace.stat(path), { stat: { version: count } });
});

t.test('repeats in one call with new writes get results from the store and from the call', async (t) => {
  const path = await newNode();
  const { set } = await attach(await newSession());
  const first = await Promise.all([1, 2, 3].map((seq) => set(seq, path)));
  const all = await Promise.all([4, 2, 5, 4, 1, 5, 3].map((seq) => set(seq, path)));
  const versions = all.map(({ replayed, results: [result] }) => [replayed, result!.stat!.version]);
  t.same(versions, [
    [false, 4],
    [true, 2],
    [false, 5],
    [true, 4],
    [true, 1],
    [true, 5],
    [true, 3],
  ]);
  t.same(all[1], { ...first[1], replayed: true });
});

t.test('large results are dropped with the small ones around them', async (t) => {
  const path = await newNode();
  const session = await newSession();
  const { set, write } = await attach(session);
  const far: Step = { op: 'set', path: `/${'x'.repeat(1000)}`, data: '' };
  const isLarge = (seq: number) => seq % 50 === 0;
  const each = (seq: number) => (isLarge(seq) ? write(seq, far) : set(seq, path));
  for (let seq = 1; seq <= 600; seq += 100)
    await Promise.allSettled(Array.from({ length: 100 }, (_, i) => each(seq + i)));
  const kept = (await redis.hkeys(keys.session(session.id))).filter((field) => field.startsWith('result:'));
  t.same(
    kept.sort(),
    [350, 400, 450, 500, 550, 600].map((seq) => `result:${seq}`),
  );
  await t.rejects(write(400, far), { code: 'NO_NODE', fields: { replayed: true } });
  t.match(await set(399, path), { replayed: true });
  t.match(await set(601, path), { replayed: false });
});

t.test('the results are limited by bytes, too', async (t) => {
  const session = await newSession();
  const { write } = await attach(session);
  // The error names the path twice.
  const far: Step = { op: 'set', path: `/${'x'.repeat(450_000)}`, data: '' };
  const count = 40;
  for (let seq = 1; seq <= count; seq += 1) await t.rejects(write(seq, far), { code: 'NO_NODE' });
  await t.rejects(write(count - 8, far), { code: 'NO_NODE', fields: { replayed: true } }, '4 MiB of frames are kept');
  await t.rejects(write(8, far), { code: 'OUT_OF_ORDER_SEQUENCE' });
  const large = (await redis.hkeys(keys.session(session.id))).filter((field) => field.startsWith('result:'));
  t.ok(large.length <= 13, `${large.length} results are kept`);
  t.equal(await resultsOf(session.id), large.length);
  t.same(large.includes(`result:${count}`), true);
});

t.test('at the memory limit a write uses up no sequence, and a deletion in its place is carried out', async (t) => {
  const path = await newNode();
  const { set, write, refuse } = await attach(await newSession());
  await set(1, path);
  const doomed = await newNode();
  await redis.config('SET', 'maxmemory', '1');
  t.teardown(() => redis.config('SET', 'maxmemory', '512mb'));
  await t.rejects(set(2, path), { code: 'STORE_FULL', message: /nothing was written/ });
  const behind = [set(2, path), write(3, { op: 'delete', path: doomed })];
  t.match(await Promise.allSettled(behind), [
    { reason: { code: 'STORE_FULL' } },
    { reason: { code: 'OUT_OF_ORDER_SEQUENCE' } },
  ]);
  t.match(await write(2, { op: 'delete', path: doomed }), { replayed: false });
  await t.rejects(refuse(3, new ServiceError('FORBIDDEN', 'No.')), { code: 'FORBIDDEN' });
  await redis.config('SET', 'maxmemory', '512mb');
  t.match(await write(2, { op: 'delete', path: doomed }), { replayed: true });
  t.match(await set(4, path), { replayed: false });
});

t.test('a sequence for another kind of write gives no result that could be mistaken', async (t) => {
  const path = await newNode();
  const { set, write } = await attach(await newSession());
  await set(1, path);
  await t.rejects(write(1, { op: 'delete', path }), { code: 'OUT_OF_ORDER_SEQUENCE', message: /another write/ });
  await t.rejects(write(1, { op: 'set', path }, { op: 'set', path }), { code: 'OUT_OF_ORDER_SEQUENCE' });
});

t.test(
  'when the store has lost writes, the gap and the next attachment say so, and what was lost stays refused',
  async (t) => {
    const lossy = await startLossyRedis(t);
    const other = new Store({ ...testConfig, target: { socketPath: lossy.socketPath } }, pino({ level: 'silent' }));
    await other.open();
    t.teardown(() => other.close());
    const origin = { isDead: false };
    await other.namespace.write([{ op: 'create', path: '/n' }]);
    const session = parseHandle((await other.sessions.create(60_000, unrestricted)).handle, unrestricted);
    const set = (epoch: number, seq: number) => {
      const sequence = { sessionId: session.id, epoch, seq };
      return other.namespace.write([{ op: 'set', path: '/n', data: String(seq) }], { origin, sequence });
    };
    const first = await other.sessions.attach(session);
    await set(first.epoch, 1);
    lossy.backUp();
    await set(first.epoch, 2);
    const lost = await other.sessions.attach(session);
    await set(lost.epoch, 3);
    await lossy.killAndRestore();
    await eventually(
      () =>
        other.isOpen &&
        other.namespace.stat('/n').then(
          () => true,
          () => false,
        ),
      'the store is open',
    );
    await t.rejects(set(lost.epoch, 4), { code: 'SESSION_MOVED' }, 'the lost attachment does not count');
    await t.rejects(set(first.epoch, 4), {
      code: 'OUT_OF_ORDER_SEQUENCE',
      message: /the last write is 1, so 2 comes next.+If 2 has one, the store has lost its last changes/,
      fields: { seq: 4, lastSeq: 1 },
    });
    const again = await other.sessions.attach(session);
    t.equal(again.lastSeq, 1);
    t.not(again.epoch, lost.epoch);
    t.match(await set(again.epoch, 2), { replayed: false });
  },
);
