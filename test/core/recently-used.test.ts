import t from 'tap';
import { recentlyUsed } from '../../src/core/recently-used.ts';

t.test('a cache keeps as many entries as it may, those used last', async (t) => {
  const cache = recentlyUsed<number>(3);
  for (const [at, name] of ['a', 'b', 'c'].entries()) cache.set(name, at);
  t.equal(cache.get('a'), 0);
  cache.set('d', 3);
  t.same([...cache.keys()].sort(), ['a', 'c', 'd']);
  cache.set('d', 4);
  t.equal(cache.size, 3, 'an entry that is set again is one entry');
});

t.test('an entry ends with its time to live', async (t) => {
  let now = 1000;
  const cache = recentlyUsed<number>(3, { ttl: 50, ttlResolution: 0, perf: { now: () => now } });
  cache.set('a', 1);
  now += 50;
  t.equal(cache.get('a'), 1);
  now += 1;
  t.equal(cache.get('a'), undefined);
});
