import t from 'tap';
import { withTimeout } from '../../../src/store/redis/with-timeout.ts';

t.test('withTimeout settles like its promise, or rejects when the time is over', async (t) => {
  const late = () => new Error('late');
  t.equal(await withTimeout(Promise.resolve(1), 60_000, late), 1);
  await t.rejects(withTimeout(Promise.reject(new Error('failed')), 60_000, late), /failed/);
  await t.rejects(withTimeout(new Promise(() => {}), 1, late), /late/);
});

t.test('a result that arrives while this process is busy is not a time-out', async (t) => {
  const replied = new Promise((resolve) => setTimeout(() => setImmediate(() => resolve('there')), 1));
  const response = withTimeout(replied, 2, () => new Error('late'));
  const until = performance.now() + 20;
  while (performance.now() < until);
  t.equal(await response, 'there');
});
