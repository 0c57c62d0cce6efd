import fc from 'fast-check';
import t from 'tap';
import { fairShares, largeShares } from '../../src/core/fair-share.ts';

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

t.test('where equal shares are too small, fewer clients get larger ones', async (t) => {
  t.same(largeShares([100, 100, 100], 30, 10), [10, 10, 10], 'they are large enough');
  t.same(largeShares([100, 100, 100], 20, 10), [10, 10, 0]);
  t.same(largeShares([100, 100, 100], 29, 10), [15, 14, 0]);
  t.same(largeShares([100, 3, 100], 12, 10), [9, 3, 0], 'who wants little has all of it');
  t.same(largeShares([100, 100], 4, 10), [4, 0]);
  t.same(largeShares([8, 100, 100], 19, 10), [8, 11, 0]);
  t.same(largeShares([2, 3], 10, 10), [2, 3]);
});

t.test('all is given, and who wants no more than an equal share has it, however large shares are to be', async () => {
  const many = fc.array(fc.nat(1000), { maxLength: 50 });
  fc.assert(
    fc.property(many, fc.nat(5000), fc.integer({ min: 1, max: 600 }), (wants, total, least) => {
      const shares = largeShares(wants, total, least);
      const equal = fairShares(wants, total);
      const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
      const isAllGiven = sum(shares) === Math.min(total, sum(wants));
      const isWanted = shares.every((share, i) => share >= 0 && share <= wants[i]!);
      return isAllGiven && isWanted && wants.every((want, i) => want > equal[i]! || shares[i] === want);
    }),
  );
});
