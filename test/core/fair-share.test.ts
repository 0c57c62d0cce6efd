import fc from 'fast-check';
import t from 'tap';
import { fairShares } from '../../src/core/fair-share.ts';

t.test('shares are equal, or as large as a client needs', async (t) => {
  t.same(fairShares([], 10), []);
  t.same(fairShares([100, 100], 10), [5, 5]);
  t.same(fairShares([100, 1], 10), [9, 1]);
  t.same(fairShares([0, 3, 100, 100], 10), [0, 3, 4, 3]);
  t.same(fairShares([5, 5, 5], 2), [1, 1, 0]);
  t.same(fairShares([1, 500, 1], 1), [1, 0, 0]);
  t.same(fairShares([2, 3], 10), [2, 3]);
});

t.test('nothing is left while a client needs more, and no client has more than one that needs more', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { maxLength: 50 }), fc.nat(5000), (wants, total) => {
      const shares = fairShares(wants, total);
      const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
      const isAllGiven = sum(shares) === Math.min(total, sum(wants));
      const isWanted = shares.every((share, i) => share >= 0 && share <= wants[i]!);
      const least = Math.min(...shares.filter((share, i) => share < wants[i]!));
      return isAllGiven && isWanted && shares.every((share) => share <= least + 1);
    }),
  );
});
