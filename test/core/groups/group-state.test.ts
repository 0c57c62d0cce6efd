import t from 'tap';
import {
  checkName,
  eachPartition,
  emptyGroup,
  type GroupDocument,
  memberOf,
} from '../../../src/core/groups/group-document.ts';
import { changesBetween, parseTimerName } from '../../../src/core/groups/group-nodes.ts';
import {
  applyChanges,
  consume,
  expire,
  fence,
  heartbeat,
  join,
  remove,
  updateTopics,
} from '../../../src/core/groups/group-state.ts';
import { assignmentOf, groupStateName } from '../../../src/core/groups/member-reconciliation.ts';
import { request, topicsViewOf } from '../../helpers/group-documents.ts';

const t1 = { topics: ['t1'] };

function assigned(group: GroupDocument, memberId: string): string {
  return eachPartition(assignmentOf(memberOf(group, memberId)))
    .map(({ topic, partition }) => `${topic}-${partition}`)
    .join(' ');
}

const leave = (memberId: string) => ({ kind: 'leave' as const, memberId, isTemporary: false });

function only({ group, errors }: ReturnType<typeof applyChanges>): GroupDocument {
  for (const error of errors) if (error) throw error;
  return group;
}

/** Heartbeats of a member that owns its assignment, until it has nothing more to release. */
function obey(group: GroupDocument, memberId: string): GroupDocument {
  let next = group;
  for (let i = 0; i < 2; i += 1) {
    const member = memberOf(next, memberId);
    next = heartbeat(next, memberId, member.memberEpoch, assignmentOf(member));
  }
  return next;
}

t.test('the first member gets all partitions, the second those that the first releases', async (t) => {
  const view = topicsViewOf({ t1: 4 });
  const alone = join(emptyGroup(), request('a', t1), view);
  t.equal(assigned(alone, 'a'), 't1-0 t1-1 t1-2 t1-3');
  t.same([alone.groupEpoch, alone.targetEpoch, memberOf(alone, 'a').memberEpoch], [1, 1, 1]);
  t.equal(groupStateName(alone), 'stable');

  const both = join(alone, request('b', t1), view);
  t.equal(groupStateName(both), 'reconciling');
  t.equal(assigned(both, 'a'), 't1-0 t1-1', 'a is asked at once');
  t.equal(memberOf(both, 'a').state, 'unrevoked');
  t.equal(assigned(both, 'b'), '');
  t.equal(memberOf(both, 'b').state, 'unreleased');

  const reported = heartbeat(both, 'a', 1, [{ topic: 't1', partitions: [0, 1, 2, 3] }]);
  t.equal(assigned(reported, 'b'), '', 'a still has them');
  const done = heartbeat(reported, 'a', 1, [{ topic: 't1', partitions: [0, 1] }]);
  t.equal(assigned(done, 'b'), 't1-2 t1-3', 'no heartbeat of b is needed for it');
  t.equal(memberOf(done, 'a').memberEpoch, 2);
  t.equal(groupStateName(done), 'stable');
});

t.test('a group that all members have left is empty and has reached its target, however they left', async (t) => {
  const both = join(
    join(emptyGroup(), request('a', t1), topicsViewOf({ t1: 4 })),
    request('b', t1),
    topicsViewOf({ t1: 4 }),
  );
  const emptied = {
    left: only(applyChanges(only(applyChanges(both, [leave('a')])), [leave('b')])),
    'left together': only(applyChanges(both, [leave('b'), leave('a')])),
    expired: expire(both, new Set()),
    fenced: fence(
      both,
      ['a', 'b'].map((memberId) => ({ memberId, memberEpoch: undefined })),
    ),
  };
  for (const [how, group] of Object.entries(emptied)) {
    t.equal(groupStateName(group), 'empty', how);
    t.ok(group.groupEpoch > both.groupEpoch, `${how}: the epoch goes on`);
    t.equal(group.targetEpoch, group.groupEpoch, how);
    t.same([group.members, group.target, group.topics], [{}, {}, {}], how);
    const next = join(group, request('c', t1), topicsViewOf({ t1: 4 }));
    t.equal(assigned(next, 'c'), 't1-0 t1-1 t1-2 t1-3', how);
    t.equal(memberOf(next, 'c').memberEpoch, group.groupEpoch + 1, how);
  }
});

t.test('a heartbeat that changes nothing returns the same document', async (t) => {
  let group = join(emptyGroup(), request('a', t1), topicsViewOf({ t1: 4 }));
  group = heartbeat(group, 'a', 1, assignmentOf(memberOf(group, 'a')));
  t.equal(heartbeat(group, 'a', 1, assignmentOf(memberOf(group, 'a'))), group);
  t.equal(heartbeat(group, 'a', 1, undefined), group);
  t.equal(consume(group, 'a'), group);
  t.equal(updateTopics(group, topicsViewOf({ t1: 4 })), group);
  t.equal(remove(group, ['nobody']), group);
  t.equal(expire(group, new Set(['a'])), group);
});

t.test('a consume call releases all revoked partitions', async (t) => {
  const view = topicsViewOf({ t1: 2 });
  const both = join(join(emptyGroup(), request('a', t1), view), request('b', t1), view);
  const after = consume(both, 'a');
  t.equal(assigned(after, 'a'), 't1-0');
  t.equal(assigned(after, 'b'), 't1-1');
});

t.test('joining again begins a new incarnation with the same partitions', async (t) => {
  const view = topicsViewOf({ t1: 2 });
  const group = join(emptyGroup(), request('a', t1), view);
  const again = join(group, request('a', t1), view);
  t.same(again, group, 'the response may have been lost');
  const both = join(group, request('b', t1), view);
  const anew = join(both, request('a', t1), view);
  t.equal(assigned(anew, 'b'), '', 'the join may be an old one that was late: it releases nothing');
  const reported = heartbeat(anew, 'a', memberOf(anew, 'a').memberEpoch, assignmentOf(memberOf(anew, 'a')));
  t.equal(assigned(reported, 'b'), 't1-1', 'its next heartbeat says that it has let go');
  const other = join(reported, request('a', { topics: ['t2'] }), topicsViewOf({ t1: 2, t2: 1 }));
  const released = heartbeat(other, 'a', memberOf(other, 'a').memberEpoch, []);
  t.equal(assigned(released, 'a'), 't2-0');
  t.equal(assigned(released, 'b'), 't1-0 t1-1');
  const session = join(group, request('a', t1, { sessionTimeoutMs: 1000 }), view);
  t.ok(memberOf(session, 'a').sessionId !== memberOf(group, 'a').sessionId, 'another time-out is another session');
});

t.test(
  'a member may be several epochs behind what others brought about, but claim nothing that it has not',
  async (t) => {
    const view = topicsViewOf({ t1: 6 });
    let group = join(emptyGroup(), request('a', t1), view);
    group = heartbeat(group, 'a', 1, assignmentOf(memberOf(group, 'a')));
    for (const memberId of ['b', 'c', 'd']) group = remove(join(group, request(memberId, t1), view), [memberId]);
    group = consume(group, 'a');
    t.ok(memberOf(group, 'a').memberEpoch > 2);
    t.equal(heartbeat(group, 'a', 1, [{ topic: 't1', partitions: [0, 1] }]), group);
    t.equal(heartbeat(group, 'a', 1, undefined), group);
    t.throws(() => heartbeat(group, 'a', memberOf(group, 'a').memberEpoch + 1, []), { code: 'FENCED_MEMBER_EPOCH' });
    const current = memberOf(group, 'a').memberEpoch;
    t.equal(
      heartbeat(group, 'a', current, assignmentOf(memberOf(group, 'a'))),
      group,
      'it has arrived: nothing is noted',
    );
    t.equal(heartbeat(group, 'a', 1, []), group, 'so an older one gets the newest again');
    group = join(group, request('a', t1), view);
    t.throws(
      () => heartbeat(group, 'a', 1, []),
      { code: 'FENCED_MEMBER_EPOCH' },
      'but none from before it joined anew',
    );
    t.throws(() => heartbeat(group, 'nobody', 1, []), { code: 'UNKNOWN_MEMBER' });
  },
);

t.test('the assignor is the one that most members prefer', async (t) => {
  const view = topicsViewOf({ t1: 3, t2: 3 });
  const both = { topics: ['t1', 't2'] };
  let group = join(emptyGroup(), request('a', both, { assignor: 'range' }), view);
  t.equal(group.assignor, 'range');
  group = join(group, request('b', both), view);
  group = obey(obey(group, 'a'), 'b');
  t.equal(assigned(group, 'a'), 't1-0 t1-1 t2-0 t2-1', 'vector 1 of the assignors');
  t.equal(assigned(group, 'b'), 't1-2 t2-2');
  group = join(group, request('c', both, { assignor: 'roundrobin' }), view);
  group = join(group, request('d', both, { assignor: 'roundrobin' }), view);
  t.equal(group.assignor, 'roundrobin');
  t.throws(() => join(group, request('e', both, { assignor: 'best' }), view), { code: 'UNSUPPORTED_ASSIGNOR' });
});

t.test('the replacement of a static member moves no other partitions', async (t) => {
  const view = topicsViewOf({ t1: 4 });
  let group = join(emptyGroup(), request('a', t1, { instanceId: 'i' }), view);
  group = join(group, request('b', t1), view);
  group = obey(group, 'a');
  const after = join(group, request('a2', t1, { instanceId: 'i' }), view);
  t.equal(after.groupEpoch, group.groupEpoch);
  t.equal(assigned(after, 'a2'), assigned(group, 'a'));
  t.equal(assigned(after, 'b'), assigned(group, 'b'));
  t.throws(() => memberOf(after, 'a'), { code: 'FENCED_INSTANCE_ID' });
  t.throws(() => join(after, request('a', t1, { instanceId: 'i' }), view), { code: 'FENCED_INSTANCE_ID' });
  t.throws(() => join(after, request('b', t1, { instanceId: 'i' }), view), { code: 'UNRELEASED_INSTANCE_ID' });
});

t.test('a group follows topics that are created, enlarged, deleted and created again', async (t) => {
  let group = join(emptyGroup(), request('a', { pattern: 'app' }), topicsViewOf({ other: 1 }));
  t.equal(assigned(group, 'a'), '');
  group = updateTopics(group, topicsViewOf({ other: 1, app1: 1 }));
  t.equal(assigned(group, 'a'), 'app1-0');
  group = updateTopics(group, topicsViewOf({ app1: 2, app2: 1 }));
  t.equal(assigned(group, 'a'), 'app1-0 app1-1 app2-0');
  const anew = updateTopics(group, topicsViewOf({ app1: 2, app2: 1 }, { app1: 'new' }));
  t.equal(assigned(anew, 'a'), 'app1-0 app1-1 app2-0');
  const changes = changesBetween('g', group, anew, new Set(), 0);
  const partitions = [{ topic: 'app1', partitions: [0, 1] }];
  t.same(changes.ownersRemoved, partitions, 'they are other partitions, of the same names');
  t.match(changes.ownersAdded, [{ memberId: 'a', ...partitions[0] }]);
  t.same(changes.positionsCleared, partitions);
  group = updateTopics(anew, topicsViewOf({ app2: 1 }));
  t.equal(assigned(group, 'a'), 'app2-0');
  const { memberEpoch } = memberOf(group, 'a');
  t.equal(assigned(heartbeat(group, 'a', memberEpoch - 1, [{ topic: 'app1', partitions: [0] }]), 'a'), 'app2-0');
});

t.test('the rebalance timer runs as long as a member must release partitions', async (t) => {
  const view = topicsViewOf({ t1: 2 });
  const alone = join(emptyGroup(), request('a', t1, { rebalanceTimeoutMs: 1000, sessionTimeoutMs: 600 }), view);
  const both = join(alone, request('b', t1), view);
  const { timersSet } = changesBetween('g', alone, both, new Set(), 0);
  t.same(timersSet, [{ name: 'g\0a\x001', delayMs: 1200 }], 'it learns of it within a heartbeat interval');
  const { memberId, memberEpoch } = parseTimerName(timersSet[0]!.name) as { memberId: string; memberEpoch: number };
  t.same(changesBetween('g', both, consume(both, 'a'), new Set(), 0).timersCancelled, ['g\0a\x001']);
  const released = consume(both, 'a');
  t.equal(fence(released, [{ memberId, memberEpoch }]), released, 'a late timer does nothing');
  t.equal(assigned(fence(both, [{ memberId, memberEpoch }]), 'b'), 't1-0 t1-1');
  t.equal(fence(both, [{ memberId, memberEpoch: memberEpoch + 1 }]), both);
});

t.test('an invalid name is refused with the reason', async (t) => {
  for (const name of ['a', 'a b', 'ünïcödé', '...', 'x'.repeat(249)]) checkName('group', name);
  for (const name of ['', 'a/b', '.', '..', 'a\nb', 'x'.repeat(250)]) {
    t.throws(() => checkName('memberId', name), { code: 'BAD_REQUEST', message: /^memberId is not a valid name: / });
  }
});

t.test('a change by an older connection after a join of its member in the same update is refused', async (t) => {
  const view = topicsViewOf({ t1: 2 });
  const group = join(emptyGroup(), request('a', t1), view);
  const rejoin = { kind: 'join' as const, request: request('a', t1) };
  const leave = { kind: 'leave' as const, memberId: 'a', isTemporary: false, callEpoch: 1 };
  const release = { kind: 'consume' as const, memberId: 'a', owned: [], callEpoch: 1 };
  const after = applyChanges(group, [rejoin, leave, release], view);
  t.match(after.errors, [undefined, { code: 'MEMBER_SUPERSEDED' }, { code: 'MEMBER_SUPERSEDED' }]);
  t.equal(assigned(after.group, 'a'), 't1-0 t1-1');
  const before = applyChanges(group, [release, leave, rejoin], view);
  t.same(before.errors, [undefined, undefined, undefined]);
  t.equal(assigned(before.group, 'a'), 't1-0 t1-1');
});

t.test(
  'two reports of a member in one update release nothing that either of them contains, in any order',
  async (t) => {
    const view = topicsViewOf({ t1: 4 });
    const both = join(join(emptyGroup(), request('a', t1), view), request('b', t1), view);
    const says = (owned: number[] | undefined) => ({
      kind: 'heartbeat' as const,
      memberId: 'a',
      memberEpoch: 1,
      owned: owned && [{ topic: 't1', partitions: owned }],
    });
    const [all, less, nothing] = [says([0, 1, 2, 3]), says([0, 1]), says(undefined)];
    for (const words of [
      [all, less],
      [less, all],
      [less, nothing],
      [nothing, less],
      [less, all, less],
    ]) {
      t.equal(assigned(only(applyChanges(both, words)), 'b'), '', JSON.stringify(words.map(({ owned }) => owned)));
    }
    t.equal(assigned(only(applyChanges(both, [less, less])), 'b'), 't1-2 t1-3');
  },
);

t.test('members on sockets that release in one update exchange partitions in it', async (t) => {
  const view = topicsViewOf({ t1: 4 });
  const two = join(join(emptyGroup(), request('a', t1), view), request('b', t1), view);
  const owned = (memberId: string, group: GroupDocument) => assignmentOf(memberOf(group, memberId));
  const shared = consume(two, 'a', owned('a', two));
  const asked = join(shared, request('c', t1), view);
  const released = ['a', 'b'].map((memberId) => ({
    kind: 'consume' as const,
    memberId,
    owned: owned(memberId, asked),
    callEpoch: 1,
  }));
  const { group } = applyChanges(asked, released);
  t.equal(groupStateName(group), 'stable');
  t.same(
    ['a', 'b', 'c'].map((memberId) => eachPartition(owned(memberId, group)).length),
    [2, 1, 1],
  );
});
