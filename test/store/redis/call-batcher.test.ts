import { pino } from 'pino';
import t from 'tap';
import { unrestricted } from '../../../src/core/actor.ts';
import { CallBatcher } from '../../../src/store/redis/call-batcher.ts';
import { Store } from '../../../src/store/store.ts';
import { brokerCredential } from '../../../src/store/tree/sessions.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { testConfig } from '../../helpers/server.ts';

t.test('requests of one turn of the event loop are sent as one call, and get their results in order', async (t) => {
  const calls: number[][] = [];
  const turn = new CallBatcher<number, number>(10, async (questions) => {
    calls.push(questions);
    return questions.map((question) => question * 2);
  });
  t.same(await Promise.all([1, 2, 3].map((n) => turn.submit(n, 1))), [2, 4, 6]);
  t.same(calls, [[1, 2, 3]]);
  await turn.submit(4, 1);
  t.same(calls, [[1, 2, 3], [4]]);
});

t.test('a call has at most the weight limit, but a single request is always sent', async (t) => {
  const calls: number[][] = [];
  const turn = new CallBatcher<number, number>(10, async (questions) => {
    calls.push(questions);
    return questions;
  });
  await Promise.all([6, 3, 2, 50, 1].map((weight) => turn.submit(weight, weight)));
  t.same(calls, [[6, 3], [2], [50], [1]]);
});

t.test('a call that fails rejects all of its requests, and no others', async (t) => {
  let fail = true;
  const turn = new CallBatcher<number, number>(10, async (questions) => {
    if (fail) throw new Error('lost');
    return questions;
  });
  const outcomes = await Promise.allSettled([turn.submit(1, 1), turn.submit(2, 1)]);
  t.same(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  fail = false;
  t.equal(await turn.submit(3, 1), 3);
});

t.test('writes that share a call are separate transactions, and each is validated by itself', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const { namespace } = store;
  await namespace.writeOne({ op: 'create', path: '/turn' });
  const outcomes = await Promise.allSettled([
    namespace.write([{ op: 'create', path: '/turn/a' }]),
    namespace.write([{ op: 'create', path: '/turn/a' }]),
    namespace.write([
      { op: 'create', path: '/turn/b' },
      { op: 'delete', path: '/turn/absent' },
    ]),
    namespace.write([{ op: 'create', path: '/turn/n-', sequential: true }]),
    namespace.write([{ op: 'create', path: '/turn/n-', sequential: true }]),
  ]);
  t.match(outcomes, [
    { status: 'fulfilled' },
    { status: 'rejected', reason: { code: 'NODE_EXISTS', fields: { failed: 0 } } },
    { status: 'rejected', reason: { code: 'NO_NODE', fields: { failed: 1 } } },
    { status: 'fulfilled', value: { results: [{ path: '/turn/n-0000000001' }] } },
    { status: 'fulfilled', value: { results: [{ path: '/turn/n-0000000002' }] } },
  ]);
  const zxids = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value.zxid] : []));
  t.same(zxids, [zxids[0]!, zxids[0]! + 1, zxids[0]! + 2], 'one zxid each, and none for those that failed');
  t.same(await namespace.allChildren('/turn'), ['a', 'n-0000000001', 'n-0000000002']);
  const reads = await Promise.allSettled(['/turn/a', '/turn/b', '/turn'].map((path) => namespace.stat(path)));
  t.match(reads, [
    { status: 'fulfilled', value: { stat: { czxid: zxids[0] } } },
    { status: 'rejected', reason: { code: 'NO_NODE', fields: { path: '/turn/b' } } },
    { status: 'fulfilled', value: { stat: { numChildren: 3 } } },
  ]);
});

t.test('writes that share a call see each other, also if one undoes another', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const { namespace } = store;
  const owner = brokerCredential((await store.sessions.create(60_000, unrestricted)).id);
  await namespace.write([
    { op: 'create', path: '/shared' },
    { op: 'create', path: '/shared/owned', mode: 'ephemeral', session: owner },
    { op: 'create', path: '/shared/tree' },
    { op: 'create', path: '/shared/tree/leaf' },
  ]);
  const after = await store.events.newestZxid();
  const outcomes = await Promise.allSettled([
    namespace.write([{ op: 'set', path: '/shared', data: 'one' }]),
    namespace.write([{ op: 'set', path: '/shared', data: 'two', version: 1 }]),
    namespace.write([{ op: 'set', path: '/shared', data: 'three', version: 1 }]),
    namespace.write([{ op: 'create', path: '/shared/new', data: 'a' }]),
    namespace.write([
      { op: 'delete', path: '/shared/new' },
      { op: 'check', path: '/shared/new', exists: false },
    ]),
    namespace.write([{ op: 'create', path: '/shared/new', data: 'b' }]),
    // This multi fails at its second operation. Its first one is undone, earlier transactions are not.
    namespace.write([
      { op: 'set', path: '/shared/new', data: 'c' },
      { op: 'create', path: '/shared/new' },
    ]),
    namespace.write([{ op: 'put', path: '/shared/late', data: 'd', contentType: 'text/x', ttlMs: 60_000 }]),
    namespace.write([
      { op: 'delete', path: '/shared/owned' },
      { op: 'create', path: '/shared/owned' },
    ]),
  ]);
  t.same(
    outcomes.map((outcome) => (outcome.status === 'fulfilled' ? 'OK' : outcome.reason.code)),
    ['OK', 'OK', 'BAD_VERSION', 'OK', 'OK', 'OK', 'NODE_EXISTS', 'OK', 'OK'],
  );
  t.match(await namespace.get('/shared'), {
    data: Buffer.from('two'),
    stat: { version: 2, numChildren: 4, cversion: 8 },
  });
  t.match(await namespace.get('/shared/new'), { data: Buffer.from('b'), stat: { version: 0, czxid: after + 5 } });
  t.match(await namespace.get('/shared/late'), {
    data: Buffer.from('d'),
    contentType: 'text/x',
    stat: { czxid: after + 6 },
  });
  t.match(await namespace.stat('/shared/owned'), { stat: { ephemeralOwner: null, czxid: after + 7 } });
  t.same((await store.sessions.get(owner)).ephemerals, [], 'the session no longer owns the node');
  t.same(await namespace.allChildren('/shared'), ['late', 'new', 'owned', 'tree']);
  const { transactions } = await store.events.range('main', after, after + 100, 100);
  t.same(
    transactions.map(({ zxid, events }) => [
      zxid - after,
      events.map(({ kind, path }) => `${kind} ${path}`).join(', '),
    ]),
    [
      [1, 'changed /shared'],
      [2, 'changed /shared'],
      [3, 'created /shared/new'],
      [4, 'deleted /shared/new'],
      [5, 'created /shared/new'],
      [6, 'created /shared/late'],
      [7, 'deleted /shared/owned, created /shared/owned'],
    ],
    'each is an entry of its own in the history',
  );
  t.same(
    transactions.map(({ events }) => events[0]!.data?.toString()),
    ['one', 'two', 'a', undefined, 'b', 'd', undefined],
    'with the data that each has written',
  );
  // A recursive delete reads the stored child lists, which must include nodes that were created in the same call.
  await Promise.all([
    namespace.write([{ op: 'create', path: '/shared/tree/more' }], { idempotency: { key: 'k', fingerprint: 'f' } }),
    namespace.write([{ op: 'create', path: '/shared/tree/more/below' }]),
  ]);
  await namespace.write([{ op: 'delete-recursive', path: '/shared/tree' }]);
  const again = await namespace.write([{ op: 'create', path: '/shared/tree/more' }], {
    idempotency: { key: 'k', fingerprint: 'f' },
  });
  t.match(
    again,
    { replayed: true, results: [{ op: 'create', path: '/shared/tree/more' }] },
    'a stored response is decoded',
  );
  await t.rejects(namespace.stat('/shared/tree'), { code: 'NO_NODE' });
});
