import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { JoinDebouncer } from '../../../src/broker/groups/join-debouncer.ts';

const isDone = async (promise: Promise<void>) =>
  (await Promise.race([promise.then(() => 'yes'), nextTurn('no')])) === 'yes';

t.test('joins of a large group wait for each other, those of a small one and of others do not', async (t) => {
  const gathering = new JoinDebouncer();
  const first = gathering.wait('large', 1000);
  t.notOk(await isDone(first));
  t.ok(await isDone(gathering.wait('small', 3)));
  t.ok(await isDone(gathering.wait('new', 0)));
  t.equal(gathering.wait('large', 1000), first, 'who comes meanwhile goes on together with the first');
  t.not(gathering.wait('other', 1000), first);
  await first;
  const later = gathering.wait('large', 1000);
  t.not(later, first, 'who comes afterwards waits for others again');
  await later;
});

t.test('no join waits for ever, however many follow each other', async () => {
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
