// A limit that clients share: what one may hold, alone and beside others.
import t from 'tap';
import { SharedLimit } from '../../src/core/shared-limit.ts';

/** Takes as much as a client gets. */
function takeAll(limit: SharedLimit, client: string): number {
  let taken = 0;
  while (limit.acquire(client) === undefined) taken += 1;
  return taken;
}

t.test('a single client gets its share of the whole', async (t) => {
  for (const [share, expected] of [
    [0.5, 500],
    [0.25, 250],
    [0.9, 900],
    [1, 1000],
  ] as const) {
    t.equal(takeAll(new SharedLimit(1000, share), 'a'), expected, `${share} of 1000`);
  }
});

t.test('with the smallest limits a client gets one', async (t) => {
  for (const share of [0.01, 0.5, 1]) t.ok(takeAll(new SharedLimit(1, share), 'a') === 1, `with a share of ${share}`);
});

t.test('later clients get something, whatever earlier ones hold', async (t) => {
  const limit = new SharedLimit(1000, 0.5);
  const taken = Array.from({ length: 8 }, (_, n) => takeAll(limit, `greedy ${n}`));
  t.same(taken.slice(0, 3), [500, 250, 125]);
  t.ok(taken.every((some) => some > 0));
  t.equal(limit.acquire('modest'), undefined);
  t.equal(limit.acquire('greedy 0'), 'address');
});

t.test('what is released is free for others, and clients that hold nothing are forgotten', async (t) => {
  const limit = new SharedLimit(4, 1);
  t.equal(takeAll(limit, 'a'), 4);
  t.equal(limit.acquire('b'), 'total');
  t.same(limit.largest(), { key: 'a', held: 4 });
  for (let n = 0; n < 4; n += 1) limit.release('a');
  t.same([limit.used, limit.free, limit.largest()], [0, 4, undefined]);
  t.equal(limit.acquire('b'), undefined);
});
