import { pino } from 'pino';
import t, { type Test } from 'tap';
import { unrestricted } from '../../../src/core/actor.ts';
import { encodeTopic, topicPath } from '../../../src/core/cluster/cluster-nodes.ts';
import { emptyGroup, type GroupDocument, memberOf } from '../../../src/core/groups/group-document.ts';
import { changesBetween } from '../../../src/core/groups/group-nodes.ts';
import { consume, expire, join, remove } from '../../../src/core/groups/group-state.ts';
import type { CommitOutcome, GroupCommit, Groups } from '../../../src/store/groups/groups.ts';
import { Store } from '../../../src/store/store.ts';
import { brokerCredential } from '../../../src/store/tree/sessions.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { testConfig } from '../../helpers/server.ts';

async function openStore(t: Test): Promise<Store> {
  const { socketPath } = await startTestRedis(t);
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  await store.namespace.write([{ op: 'create', path: topicPath('t1'), data: topicNode('id') }], { privileged: true });
  return store;
}

const topicNode = (topicId: string) => encodeTopic({ topicId, replicas: [[1], [1]], homePartitions: 2 });

/** Deletes the topic and creates another one of the same name. */
async function replaceTopic({ namespace }: Store): Promise<void> {
  await namespace.write([{ op: 'set', path: topicPath('t1'), data: topicNode('other') }], { privileged: true });
}

const topic = { topicId: 'id', partitionCount: 2 };
const view = { get: () => topic, matching: () => [] };

let sessions = 0;

function withMember(group: GroupDocument, memberId: string): GroupDocument {
  const request = { sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 1000, reset: 'latest' as const, actor: unrestricted };
  const sessionId = (++sessions).toString(16).padStart(16, '0');
  return join(group, { ...request, memberId, sessionId, subscription: { topics: ['t1'] } }, view);
}

/** A group with the state that this test has of it, as a broker would. */
class Believer {
  version = 0;
  document: GroupDocument = emptyGroup();
  readonly groups: Groups;

  constructor(groups: Groups) {
    this.groups = groups;
  }

  async commit(next: GroupDocument | undefined, more: Partial<GroupCommit> = {}, expired: string[] = []) {
    const changes = next && changesBetween('g', this.document, next, new Set(expired), 0);
    const living = Object.keys(this.document.members).length - expired.length;
    const outcome = await this.groups.commit('g', this.version, {
      document: next && JSON.stringify(next),
      liveMemberCount: living,
      ...(changes && { changes }),
      ...more,
    });
    if (outcome.outcome === 'applied') {
      this.version = outcome.version;
      this.document = next ?? this.document;
    }
    return outcome;
  }
}

function appliedOf(outcome: CommitOutcome) {
  if (outcome.outcome !== 'applied') throw new Error(outcome.outcome);
  return outcome;
}

const at = { topic: 't1', topicId: 'id', partition: 0 };

t.test('a document is committed with its nodes and sessions, and only at the version that was read', async (t) => {
  const store = await openStore(t);
  const one = new Believer(store.groups);
  const two = new Believer(store.groups);
  const { version, zxid } = appliedOf(await one.commit(withMember(one.document, 'a')));
  t.equal(zxid, await store.events.newestZxid());
  t.match(await store.groups.get('g'), { version, document: one.document, living: new Set(['a']) });
  t.equal((await store.namespace.get('/consumers/g/owners/t1/1')).data.toString(), 'a');
  const { sessionId } = memberOf(one.document, 'a');
  t.equal((await store.namespace.stat('/consumers/g/ids/a')).stat.ephemeralOwner, sessionId);

  const late = await two.commit(withMember(two.document, 'b'));
  t.match(late, { outcome: 'conflict', version, document: one.document });
  t.equal(await store.events.newestZxid(), zxid, 'and changes nothing');
  t.match(await store.groups.get('g'), { version });

  const unchanged = appliedOf(await one.commit(undefined, { sessionsToRenew: { sessionId, ttlMs: 10_000 } }));
  t.same([unchanged.version, unchanged.zxid], [version, zxid], 'a heartbeat writes neither document nor tree');
  t.same((await store.groups.list(undefined, 10)).groups, [{ group: 'g', document: one.document }]);
});

t.test(
  'a member whose session has ended is detected, and its partitions are released before others get them',
  async (t) => {
    const store = await openStore(t);
    const one = new Believer(store.groups);
    await one.commit(withMember(one.document, 'a'));
    await one.commit(consume(withMember(one.document, 'b'), 'a'));
    await store.sessions.end(brokerCredential(memberOf(one.document, 'a').sessionId));
    const gone = await one.commit(undefined);
    t.match(gone, { outcome: 'sessions_ended', version: one.version, living: new Set(['b']) });
    await t.rejects(store.namespace.get('/consumers/g/owners/t1/0'), { code: 'NO_NODE' });
    appliedOf(await one.commit(expire(one.document, new Set(['b'])), {}, ['a']));
    t.equal((await store.namespace.get('/consumers/g/owners/t1/0')).data.toString(), 'b');
  },
);

t.test('a partition that has an owner cannot get another one', async (t) => {
  const store = await openStore(t);
  const one = new Believer(store.groups);
  await one.commit(withMember(one.document, 'a'));
  const before = await store.groups.get('g');
  const changes = changesBetween('g', one.document, withMember(one.document, 'b'), new Set(), 0);
  const { sessionId } = memberOf(withMember(emptyGroup(), 'b'), 'b');
  changes.sessionsCreated = [{ id: sessionId, ttlMs: 1000, identity: undefined }];
  changes.nodes = [];
  changes.ownersAdded = [{ memberId: 'b', sessionId, topic: 't1', partitions: [0] }];
  const document = JSON.stringify(one.document);
  const wrong = store.groups.commit('g', one.version, { document, changes, liveMemberCount: 1 });
  await t.rejects(wrong, { code: 'NODE_EXISTS' });
  t.same(await store.groups.get('g'), before);
  await t.rejects(store.sessions.get(brokerCredential(sessionId)), { code: 'SESSION_EXPIRED' });
});

t.test('a version is never used twice, not even by a new group of the same name', async (t) => {
  const store = await openStore(t);
  const one = new Believer(store.groups);
  const versions = new Set<number>();
  for (let round = 0; round < 3; round += 1) {
    versions.add(appliedOf(await one.commit(withMember(one.document, 'a'))).version);
    versions.add(appliedOf(await one.commit(remove(one.document, ['a']))).version);
    const outcome = await store.groups.commit('g', one.version, { document: 'delete', liveMemberCount: 0 });
    t.match(outcome, { outcome: 'applied', version: 0 });
    t.match(await store.groups.get('g'), { version: 0, document: undefined });
    await t.rejects(store.namespace.stat('/consumers/g'), { code: 'NO_NODE' });
    one.version = 0;
    one.document = emptyGroup();
  }
  t.equal(versions.size, 6);
});

t.test('positions are stored for the newest consume call only, and are committed forwards only', async (t) => {
  const store = await openStore(t);
  const one = new Believer(store.groups);
  await one.commit(withMember(one.document, 'a'));
  const call = async (more: Partial<NonNullable<GroupCommit['consume']>>, positionsToRead = [at]) =>
    one.commit(undefined, { positionsToRead, consume: { memberId: 'a', callEpoch: 'new', ...more } });
  const first = appliedOf(await call({}));
  t.same(first.positions, [{ topic: 't1', partition: 0, position: undefined, committed: undefined }]);
  t.match(appliedOf(await call({ callEpoch: first.callEpoch, set: [{ ...at, offset: 7 }] })).positions, [
    { position: 7 },
  ]);
  const second = appliedOf(await call({ commit: [at] }));
  t.match(second.positions, [{ position: 7, committed: 7 }]);
  const late = await call({ callEpoch: first.callEpoch, set: [{ ...at, offset: 99 }] });
  t.match(late, { outcome: 'refused', superseded: [{ memberId: 'a', callEpoch: first.callEpoch }] });
  await call({ callEpoch: second.callEpoch, set: [{ ...at, offset: 3 }] });
  t.match(
    appliedOf(await call({ commit: [at] })).positions,
    [{ position: 3, committed: 7 }],
    'a commit does not move an offset back',
  );
  const forgotten = await one.commit(undefined, {
    positionsToClear: [at],
    positionsToRead: [at],
    consume: { memberId: 'a', callEpoch: 'new' },
  });
  t.match(appliedOf(forgotten).positions, [{ position: undefined, committed: 7 }]);
  const anew = [{ ...at, topicId: 'other' }];
  t.match(
    appliedOf(await call({}, anew)).positions,
    [{ committed: undefined }],
    'the committed offset belonged to another topic',
  );
});

t.test('offsets are committed and deleted with their metadata, at the version that was read', async (t) => {
  const store = await openStore(t);
  const { groups, committedOffsets } = store;
  const made = await committedOffsets.commit('g', 0, [{ ...at, offset: 5, metadata: 'm' }], { makes: emptyGroup() });
  t.equal(made.outcome, 'applied');
  const { version } = await groups.get('g');
  t.match((await committedOffsets.list('g')).offsets, [
    { topic: 't1', topicId: 'id', partition: 0, offset: 5, metadata: 'm' },
  ]);
  t.match(await committedOffsets.commit('g', 0, [{ ...at, offset: 6 }], {}), { outcome: 'conflict', version });
  await committedOffsets.commit(
    'g',
    version,
    [
      { ...at, offset: 4 },
      { ...at, partition: 10, offset: 1 },
    ],
    {},
  );
  t.same(
    (await committedOffsets.list('g')).offsets.map(({ partition, offset, metadata }) => [partition, offset, metadata]),
    [
      [0, 4, undefined],
      [10, 1, undefined],
    ],
  );
  const anew = { ...at, topicId: 'other', partition: 1, offset: 2 };
  const early = committedOffsets.commit('g', version, [anew], {});
  await t.rejects(early, { code: 'UNKNOWN_TOPIC', fields: { topic: 't1' } });
  await replaceTopic(store);
  await committedOffsets.commit('g', version, [anew], {});
  const late = committedOffsets.commit('g', version, [{ ...at, offset: 9 }], {});
  await t.rejects(late, { code: 'UNKNOWN_TOPIC' }, 'a commit for the old topic does not change the new one');
  await committedOffsets.commit('g', version, [{ ...at, partition: 1, offset: undefined }], {});
  t.match(
    (await committedOffsets.list('g')).offsets,
    [{ topicId: 'other', partition: 1, offset: 2 }],
    'the offsets of the old topic are deleted',
  );
  await committedOffsets.commit(
    'g',
    version,
    [
      { ...anew, offset: undefined },
      { ...anew, partition: 7, offset: undefined },
    ],
    {},
  );
  t.same((await committedOffsets.list('g')).offsets, []);
  const dead = await committedOffsets.commit('g', version, [anew], { sessionId: '0123456789abcdef' });
  t.equal(dead.outcome, 'sessions_ended');
});

t.test('commits for a deleted topic are deleted from all groups, and empty groups with them', async (t) => {
  const store = await openStore(t);
  const { groups, committedOffsets, namespace, events } = store;
  await namespace.write([{ op: 'create', path: topicPath('t2'), data: topicNode('two') }], { privileged: true });
  const offset = (topic: string, topicId: string, partition: number) => ({ topic, topicId, partition, offset: 5 });
  const both = [offset('t1', 'id', 0), offset('t1', 'id', 1), offset('t2', 'two', 0)];
  // More groups than one script call reads, so that the next call continues after the last of them.
  const many = Array.from({ length: 1001 }, (_, i) => `many-${String(i).padStart(4, '0')}`);
  for (const name of many) await committedOffsets.commit(name, 0, both.slice(0, 1), { makes: emptyGroup() });
  await committedOffsets.commit('both', 0, both, { makes: emptyGroup() });
  await committedOffsets.commit('other', 0, both.slice(2), { makes: emptyGroup() });
  const one = new Believer(groups);
  await one.commit(withMember(one.document, 'a'));
  await committedOffsets.commit('g', one.version, [{ ...both[0]!, metadata: 'm' }], {});
  await namespace.write([{ op: 'delete', path: topicPath('t1') }], { privileged: true });
  const before = await events.newestZxid();
  t.equal(await committedOffsets.forgetTopic('t1', 'earlier'), 0, 'offsets of another topic of that name stay');
  t.equal(await committedOffsets.forgetTopic('t1', 'id'), 1001 + 2 + 1);
  t.equal((await events.newestZxid()) - before, 1001 + 2, 'each group in a transaction of its own');
  t.equal(await committedOffsets.forgetTopic('t1', 'id'), 0, 'once');
  t.same(
    (await groups.list(undefined, 100)).groups.map(({ group }) => group),
    ['both', 'g', 'other'],
  );
  t.match((await committedOffsets.list('both')).offsets, [{ topic: 't2', offset: 5 }]);
  t.same((await committedOffsets.list('g')).offsets, [], 'a group with members stays');
  await t.rejects(namespace.stat('/consumers/g/offsets/t1'), { code: 'NO_NODE' });
  await t.rejects(namespace.stat('/consumers/many-0000'), { code: 'NO_NODE' });
  t.match(await groups.get('many-0000'), { version: 0 });
  await t.rejects(committedOffsets.commit('g', one.version, [both[0]!], {}), { code: 'UNKNOWN_TOPIC' });
  // A consume call that read the topic does not commit its records any more, and still succeeds.
  const call = { memberId: 'a', callEpoch: 'new' as const, set: [{ ...at, offset: 7 }] };
  appliedOf(await one.commit(undefined, { consume: call }));
  appliedOf(await one.commit(undefined, { consume: { ...call, set: [], commit: [at] } }));
  t.same((await committedOffsets.list('g')).offsets, []);
});

t.test('a timer that is due is claimed by one broker, and is due again if that broker does nothing', async (t) => {
  const store = await openStore(t);
  const one = new Believer(store.groups);
  await one.commit(withMember(one.document, 'a'));
  const changes = { ...changesBetween('g', one.document, one.document, new Set(), 0) };
  const set = (delayMs: number) =>
    store.groups.commit('g', one.version, {
      document: undefined,
      changes: { ...changes, timersSet: [{ name: 'g\0a\x001', delayMs }] },
      liveMemberCount: 1,
    });
  await set(60_000);
  t.same(await store.groups.claimDueTimers(60_000, 10), []);
  await set(0);
  t.equal((await store.sessions.reap(60_000)).timersDue, true, 'the search for expired sessions finds it, too');
  t.same(await store.groups.claimDueTimers(0, 10), ['g\0a\x001']);
  t.same(await store.groups.claimDueTimers(60_000, 10), ['g\0a\x001'], 'the first claim has expired');
  t.equal((await store.sessions.reap(60_000)).timersDue, false, 'a claimed timer is not due');
  t.same(await store.groups.claimDueTimers(60_000, 10), []);
  await set(0);
  await one.commit(undefined, { timersToCancel: ['g\0a\x001'] });
  t.same(await store.groups.claimDueTimers(0, 10), []);
});

t.test(
  'if some of several joins have a stored response, these are returned, and nothing is done for the others',
  async (t) => {
    const store = await openStore(t);
    const one = new Believer(store.groups);
    const first = [
      { idempotencyKey: { key: 'k1', fingerprint: 'f1' }, response: 'one' },
      { idempotencyKey: { key: 'k2', fingerprint: 'f2' }, response: 'two' },
    ];
    appliedOf(await one.commit(withMember(withMember(one.document, 'a'), 'b'), { responses: first }));
    const again = [
      { idempotencyKey: { key: 'k2', fingerprint: 'f2' }, response: 'another' },
      { idempotencyKey: { key: 'k3', fingerprint: 'f3' }, response: 'three' },
      { idempotencyKey: { key: 'k1', fingerprint: 'of another request' }, response: 'another' },
    ];
    const outcome = await one.commit(withMember(one.document, 'c'), { responses: again });
    if (outcome.outcome !== 'refused') throw new Error(outcome.outcome);
    t.same(outcome.superseded, []);
    t.same([...outcome.responses.keys()], ['k2', 'k1']);
    t.equal(outcome.responses.get('k2'), 'two');
    t.match(outcome.responses.get('k1'), { code: 'IDEMPOTENCY_KEY_REUSED' });
    t.equal((await store.groups.get('g')).living.size, 2);
    const late = await store.groups.commit('g', 0, { document: undefined, liveMemberCount: 0, responses: [first[0]!] });
    t.match(late, { outcome: 'refused' }, 'also after the group has changed');
    appliedOf(await one.commit(withMember(one.document, 'c'), { responses: [again[1]!] }));
    const third = await one.commit(undefined, { responses: [again[1]!] });
    t.equal(third.outcome === 'refused' && third.responses.get('k3'), 'three');
  },
);

t.test('if some of several calls are superseded, these are named, and nothing is done for the others', async (t) => {
  const store = await openStore(t);
  const one = new Believer(store.groups);
  const joined = appliedOf(
    await one.commit(withMember(withMember(one.document, 'a'), 'b'), {
      raiseCallEpochs: ['a', 'b'],
      positionsToRead: [at],
    }),
  );
  t.equal(new Set(joined.raisedCallEpochs).size, 2);
  t.same(joined.positions, [{ topic: 't1', partition: 0, position: undefined, committed: undefined }]);
  const [callOfA, callOfB] = joined.raisedCallEpochs as [number, number];
  const currentCalls = [
    { memberId: 'a', callEpoch: callOfA },
    { memberId: 'b', callEpoch: callOfB },
  ];
  appliedOf(await one.commit(undefined, { currentCalls }));
  appliedOf(await one.commit(undefined, { raiseCallEpochs: ['a'] }));
  const { sessionId } = memberOf(one.document, 'b');
  const refused = await one.commit(remove(one.document, ['b']), {
    currentCalls,
    sessionsToRenew: { sessionId, ttlMs: 60_000 },
  });
  t.match(refused, { outcome: 'refused', superseded: [currentCalls[0]] });
  t.same((await store.groups.get('g')).living, new Set(['a', 'b']));
  appliedOf(await one.commit(remove(one.document, ['b']), { currentCalls: [currentCalls[1]!] }));
});
