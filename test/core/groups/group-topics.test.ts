// Which partitions of a group came while it subscribed to their topics, whatever else happens to the group.
import t from 'tap';
import {
  decodeGroup,
  emptyGroup,
  encodeGroup,
  type GroupDocument,
  type Subscription,
} from '../../../src/core/groups/group-document.ts';
import { applyChanges, expire, join, remove, updateTopics } from '../../../src/core/groups/group-state.ts';
import { forgetFormer, isNewerThanSubscription } from '../../../src/core/groups/group-topics.ts';
import { request, topicsViewOf } from '../../helpers/group-documents.ts';

/** The partitions of the group's topics that came later, such as `a-1`. */
const later = (group: GroupDocument): string[] =>
  Object.entries(group.topics).flatMap(([topic, { partitionCount }]) =>
    Array.from({ length: partitionCount }, (_, partition) => partition)
      .filter((partition) => isNewerThanSubscription(group, topic, partition))
      .map((partition) => `${topic}-${partition}`),
  );
const a: Subscription = { topics: ['a'] };
const pattern: Subscription = { pattern: 'a' };

t.test('partitions that exist when a subscription begins are old, and later ones are new', async (t) => {
  let group = join(emptyGroup(), request('m', pattern), topicsViewOf({ a: 1 }));
  t.same(later(group), []);
  group = updateTopics(group, topicsViewOf({ a: 3, ab: 1 }));
  t.same(later(group), ['a-1', 'a-2', 'ab-0']);
  group = updateTopics(group, topicsViewOf({ a: 4, ab: 1 }));
  t.same(later(group), ['a-1', 'a-2', 'a-3', 'ab-0'], 'it stays so');
  group = updateTopics(group, topicsViewOf({ a: 2 }, { a: 'another' }));
  t.same(later(group), ['a-0', 'a-1'], 'a topic of the same name is another one');
});

t.test('topics created under the subscription of another member are new for a joining member', async (t) => {
  const alone = join(emptyGroup(), request('m', pattern), topicsViewOf({}));
  const view = topicsViewOf({ a: 2, b: 1 });
  t.same(later(join(alone, request('n', a), view)), ['a-0', 'a-1']);
  t.same(later(join(alone, request('n', { topics: ['b'] }), view)), ['a-0', 'a-1'], 'nobody waited for b');
  const both = [request('n', a), request('o', a)].map((asked) => ({ kind: 'join' as const, request: asked }));
  t.same(later(applyChanges(emptyGroup(), both, view).group), [], 'nor for what those want who join together');
});

t.test('former subscriptions are stored while no member subscribes', async (t) => {
  const began = updateTopics(join(emptyGroup(), request('m', pattern), topicsViewOf({ a: 1 })), topicsViewOf({ a: 2 }));
  const view = topicsViewOf({ a: 3, ab: 1, b: 1 });
  for (const emptied of [remove(began, ['m']), expire(began, new Set())]) {
    t.same(emptied.topics, {});
    t.same(later(join(emptied, request('n', pattern), view)), ['a-1', 'a-2', 'ab-0']);
    t.same(later(join(emptied, request('n', { topics: ['a', 'b'] }), view)), ['a-1', 'a-2']);
    t.same(later(join(emptied, request('n', a), topicsViewOf({ a: 1 }, { a: 'another' }))), ['a-0']);
    const forgotten = forgetFormer(emptied, { name: 'a', info: { topicId: 'a', partitionCount: 3 } });
    t.same(later(join(forgotten, request('n', pattern), view)), ['ab-0']);
    t.same(later(join(forgetFormer(emptied), request('n', pattern), view)), []);
  }
  const other = join(began, request('n', { topics: ['b'] }), view);
  const left = remove(other, ['m']);
  t.same(later(join(left, request('m', pattern), view)), ['a-1', 'a-2', 'ab-0'], 'also while others do');
});

t.test('the stored former subscriptions of a group with many joins and leaves are limited', async (t) => {
  let group = join(emptyGroup(), request('m', pattern), topicsViewOf({ a: 1 }));
  group = remove(join(group, request('n', pattern), topicsViewOf({ a: 1 })), ['n']);
  t.equal(group.former, undefined, 'its subscription lives on');
  for (let i = 0; i < 1100; i += 1) {
    const topic = `t${i}`;
    group = remove(join(group, request('n', { topics: [topic] }), topicsViewOf({ a: 1, [topic]: 1 })), ['n']);
  }
  t.equal(group.former?.subscriptions.length, 20);
  t.equal(Object.keys(group.former?.topics ?? {}).length, 1000);
  t.same(group.former?.subscriptions.at(-1), { topics: ['t1099'] });
  const long = Array.from({ length: 2000 }, (_, i) => `${'x'.repeat(40)}${i}`);
  group = remove(join(group, request('n', { topics: long }), topicsViewOf({ a: 1 })), ['n']);
  t.same(group.former?.subscriptions, [], 'a subscription of more than 64 KiB is not remembered');
});

t.test('a stored group of an older version has no new partitions until some are created', async (t) => {
  const stored = JSON.stringify(join(emptyGroup(), request('m', a), topicsViewOf({ a: 2 })));
  t.notMatch(stored, /begunWith|former/);
  const group = JSON.parse(stored) as GroupDocument;
  t.same(later(group), []);
  t.same(later(updateTopics(group, topicsViewOf({ a: 3 }))), ['a-2']);
});

t.test(
  'a group has room for so many partitions: it keeps what it has, then come topics that grow, then new ones',
  async (t) => {
    const within = (counts: Record<string, number>) => ({ ...topicsViewOf(counts), partitionsMax: 10 });
    const counts = (group: GroupDocument) =>
      Object.fromEntries(Object.entries(group.topics).map(([topic, { partitionCount }]) => [topic, partitionCount]));
    let group = join(emptyGroup(), request('m', pattern), within({ a2: 4, a3: 2 }));
    group = updateTopics(group, within({ a1: 3, a2: 4, a3: 2 }));
    t.same([counts(group), group.leftOut], [{ a1: 3, a2: 4, a3: 2 }, undefined]);
    group = updateTopics(group, within({ a0: 2, a1: 3, a2: 9, a3: 3, a4: 1 }));
    t.same([counts(group), group.leftOut], [{ a1: 3, a2: 4, a3: 3 }, 8]);
    t.equal(updateTopics(group, within({ a0: 2, a1: 3, a2: 9, a3: 3, a4: 1 })), group, 'it stays so');
    group = updateTopics(group, within({ a0: 2, a2: 9, a3: 3, a4: 1 }));
    t.same([counts(group), group.leftOut], [{ a0: 2, a2: 4, a3: 3, a4: 1 }, 5]);
    t.same(later(group), ['a0-0', 'a0-1', 'a3-2', 'a4-0']);
    group = updateTopics(group, within({ a2: 4 }));
    t.same([counts(group), group.leftOut], [{ a2: 4 }, undefined]);
  },
);

t.test('the topics of a pattern are stored once, however many members have the pattern', async (t) => {
  const counts = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`a${i}`, 1]));
  const asks = Array.from({ length: 200 }, (_, i) => ({ kind: 'join' as const, request: request(`m${i}`, pattern) }));
  const joins = [...asks, { kind: 'join' as const, request: request('named', { topics: ['a1', 'b'] }) }];
  const { group } = applyChanges(emptyGroup(), joins, topicsViewOf({ ...counts, __proto__: 1 }));
  const stored = encodeGroup(group);
  t.ok(stored.length < 250_000, `it has ${stored.length} bytes`);
  t.equal(stored.split('"a499"').length < 10, true, 'each name stands in it a few times');
  t.same(decodeGroup(stored), JSON.parse(JSON.stringify(group)));
  t.equal(encodeGroup(decodeGroup(stored)), stored, 'and it is the same when it comes back');
  t.same(decodeGroup(JSON.stringify(group)), JSON.parse(JSON.stringify(group)), 'as is one that was stored before');
  const alone = join(emptyGroup(), request('m', a), topicsViewOf({ a: 1 }));
  t.equal(encodeGroup(alone), JSON.stringify(alone));
});
