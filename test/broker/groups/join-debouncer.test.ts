import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { JoinDebouncer } from '../../../src/broker/groups/join-debouncer.ts';

const isDone = async (promise: Promise<void>) =>
  (await Promise.race([promise.then(() => 'yes'), nextTurn('no')])) === 'yes';

t.test('joins of a large group are debounced, those of small and of other groups are not', async (t) => {
  const gathering = new JoinDebouncer();
  const first = gathering.wait('large', 1000);
  t.notOk(await isDone(first));
  t.ok(await isDone(gathering.wait('small', 3)));
  t.ok(await isDone(gathering.wait('new', 0)));
  t.equal(gathering.wait('large', 1000), first, 'a join during the wait continues together with the first');
  t.not(gathering.wait('other', 1000), first);
  await first;
  const later = gathering.wait('large', 1000);
  t.not(later, first, 'a join after that begins a new wait');
  await later;
});

t.test('no join waits without end, however many follow', async () => {
  const gathering = new JoinDebouncer();
  const first = gathering.wait('large', 2000);
  let isOver = false;
  void first.then(() => {
    isOver = true;
  });
  while (!isOver) {
    void gathering.wait('large', 2000);
    await nextTurn();
  }
});
