import { pino } from 'pino';
import t from 'tap';
import { Store } from '../../src/store/store.ts';
import { Turn } from '../../src/store/turn.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

t.test('what is asked in one turn of the event loop goes in one call, and is answered in order', async (t) => {
  const calls: number[][] = [];
  const turn = new Turn<number, number>(10, async (questions) => {
    calls.push(questions);
    return questions.map((question) => question * 2);
  });
  t.same(await Promise.all([1, 2, 3].map((n) => turn.ask(n, 1))), [2, 4, 6]);
  t.same(calls, [[1, 2, 3]]);
  await turn.ask(4, 1);
  t.same(calls, [[1, 2, 3], [4]]);
});

t.test('a call carries no more than its weight, but one question always goes', async (t) => {
  const calls: number[][] = [];
  const turn = new Turn<number, number>(10, async (questions) => {
    calls.push(questions);
    return questions;
  });
  await Promise.all([6, 3, 2, 50, 1].map((weight) => turn.ask(weight, weight)));
  t.same(calls, [[6, 3], [2], [50], [1]]);
});

t.test('a call that fails fails for all that it carried, and for nobody else', async (t) => {
  let fail = true;
  const turn = new Turn<number, number>(10, async (questions) => {
    if (fail) throw new Error('lost');
    return questions;
  });
  const outcomes = await Promise.allSettled([turn.ask(1, 1), turn.ask(2, 1)]);
  t.same(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  fail = false;
  t.equal(await turn.ask(3, 1), 3);
});

t.test('writes that share a call are transactions of their own: each is judged by itself', async (t) => {
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
