// Token buckets: how much passes, and how long a debt is waited for.
import t from 'tap';
import { TokenBucket } from '../../src/core/token-bucket.ts';

t.test('a full bucket has what flows in within a second, at least one', async (t) => {
  t.equal(new TokenBucket(500, 0).left(0), 500);
  t.equal(new TokenBucket(0.25, 0).left(0), 1, 'so a worker with a part of one request a second lets some through');
});

t.test('what passes in the long run is the rate', async (t) => {
  const bucket = new TokenBucket(10, 0);
  let passed = 0;
  for (let now = 0; now <= 60_000; now += 7) {
    if (bucket.waitMs(now) > 0) continue;
    bucket.use(1, now);
    passed += 1;
  }
  t.ok(passed >= 600 && passed <= 611, `${passed} of 10 a second in a minute, and the burst`);
});

t.test('a debt is paid before anything more passes', async (t) => {
  const bucket = new TokenBucket(1000, 0);
  bucket.use(16_000, 0);
  t.equal(bucket.left(0), -15_000);
  t.equal(bucket.waitMs(0), 15_000);
  t.equal(bucket.waitMs(14_999), 1);
  t.equal(bucket.waitMs(15_001), 0);
});

t.test('nothing more than the burst is saved up', async (t) => {
  const bucket = new TokenBucket(10, 0);
  t.equal(bucket.left(3_600_000), 10);
});

t.test('an exhausted bucket waits at least a millisecond', async (t) => {
  const bucket = new TokenBucket(1e9, 0);
  bucket.use(1e9, 0);
  t.equal(bucket.waitMs(0), 1);
});

t.test('a whole one is taken or none, up to the burst that was given', async (t) => {
  const bucket = new TokenBucket(10, 0, 3);
  t.same(
    [0, 0, 0, 0].map((now) => bucket.take(now)),
    [true, true, true, false],
  );
  t.equal(bucket.take(99), false);
  t.equal(bucket.take(100), true);
  t.equal(bucket.left(100_000), 3);
});
