import t, { type Test } from 'tap';
import type { TopicPartitions } from '../../../src/core/groups/assignors/assignor.ts';
import {
  assignmentOf,
  checkCommitEpoch,
  checkMemberEpoch,
  groupStateName,
  type HeldPartitions,
  type MemberState,
  newMember,
  reconcileMember,
} from '../../../src/core/groups/member-reconciliation.ts';
import { freePartitions } from '../../helpers/free-partitions.ts';

type Parts = Record<string, number[]>;

const list = (parts: Parts): TopicPartitions[] =>
  Object.entries(parts).map(([topic, partitions]) => ({ topic, partitions }));

const held = (parts: Parts, epoch: number): HeldPartitions[] =>
  list(parts).map(({ topic, partitions }) => ({ topic, partitions, epochs: partitions.map(() => epoch) }));

/** A member that got all its partitions at epoch 10. */
const member = (
  state: MemberState['state'],
  memberEpoch: number,
  assigned: Parts,
  pending: Parts = {},
  previousMemberEpoch = 10,
): MemberState => ({
  memberId: 'm',
  memberEpoch,
  previousMemberEpoch,
  state,
  assigned: held(assigned, 10),
  pendingRevocation: held(pending, 10),
});

/** What a step leads to, epochs of partitions aside. */
function step(
  t: Test,
  from: MemberState,
  targetEpoch: number,
  target: Parts,
  { owned, free }: { owned?: Parts; free: boolean | ((topic: string, partition: number) => boolean) },
) {
  const result = reconcileMember(from, {
    targetEpoch,
    target: list(target),
    owned: owned && list(owned),
    isFree: typeof free === 'boolean' ? () => free : free,
  });
  const { state, memberEpoch, previousMemberEpoch, assigned, pendingRevocation } = result.member;
  const plain = (partitions: HeldPartitions[]) =>
    Object.fromEntries(partitions.map((entry) => [entry.topic, entry.partitions]));
  t.equal(result.changed, result.member !== from, 'changed says whether it is another member');
  t.equal(result.startedRevocation, result.changed && state === 'unrevoked', 'a revocation starts with its state');
  return { state, memberEpoch, previousMemberEpoch, assigned: plain(assigned), pending: plain(pendingRevocation) };
}

const is = (
  state: MemberState['state'],
  memberEpoch: number,
  assigned: Parts,
  pending: Parts = {},
  previousMemberEpoch = 10,
) => ({ state, memberEpoch, previousMemberEpoch, assigned, pending });

t.test('the member state machine reproduces the short test vectors', async (t) => {
  const one = (...partitions: number[]) => ({ t: partitions });
  t.same(
    step(t, member('stable', 10, one(1, 2, 3)), 11, one(2, 3, 4), { free: true }),
    is('unrevoked', 10, one(2, 3), one(1)),
  );
  t.same(
    step(t, member('stable', 10, one(1, 2, 3)), 11, one(1, 2, 3, 4), { free: true }),
    is('stable', 11, one(1, 2, 3, 4)),
  );
  const unrevoked = member('unrevoked', 10, one(2, 3), one(1));
  t.same(step(t, unrevoked, 11, one(2, 3), { owned: one(2, 3), free: true }), is('stable', 11, one(2, 3)));
  for (const owned of [undefined, one(1), one(1, 2, 3)]) {
    const result = reconcileMember(unrevoked, {
      targetEpoch: 11,
      target: list(one(2, 3)),
      owned: owned && list(owned),
      isFree: () => true,
    });
    t.same(result, { member: unrevoked, changed: false, startedRevocation: false }, JSON.stringify(owned));
  }
});

t.test('a stable member at the target epoch stays as it is', async (t) => {
  const from = member('stable', 11, { t1: [1] });
  for (const owned of [undefined, {}, { t1: [1] }]) {
    t.same(
      step(t, from, 11, { t1: [1, 2] }, { ...(owned ? { owned } : {}), free: true }),
      is('stable', 11, { t1: [1] }),
    );
  }
});

t.test('a stable member moves to the target epoch at once if it has nothing to release', async (t) => {
  const from = member('stable', 10, { t1: [1, 2, 3], t2: [4, 5, 6] });
  t.same(
    step(t, from, 11, { t1: [1, 2, 3], t2: [4, 5, 6] }, { free: false }),
    is('stable', 11, { t1: [1, 2, 3], t2: [4, 5, 6] }),
  );
  t.same(
    step(t, from, 11, { t1: [1, 2, 3, 4], t2: [4, 5, 6, 7] }, { free: true }),
    is('stable', 11, { t1: [1, 2, 3, 4], t2: [4, 5, 6, 7] }),
  );
  t.same(
    step(t, from, 11, { t1: [1, 2, 3, 4], t2: [4, 5, 6, 7] }, { free: false }),
    is('unreleased', 11, { t1: [1, 2, 3], t2: [4, 5, 6] }),
  );
  t.same(
    step(t, from, 11, { t1: [1, 2, 3, 4], t2: [4, 5, 6, 7] }, { free: (topic) => topic === 't1' }),
    is('unreleased', 11, { t1: [1, 2, 3, 4], t2: [4, 5, 6] }),
    'free partitions are assigned while the member waits for the rest',
  );
});

t.test('a stable member first releases partitions, and until then gets none and keeps its epoch', async (t) => {
  const from = member('stable', 10, { t1: [1, 2, 3], t2: [4, 5, 6] });
  t.same(
    step(t, from, 11, { t1: [2, 3, 4], t2: [5, 6, 7] }, { free: true }),
    is('unrevoked', 10, { t1: [2, 3], t2: [5, 6] }, { t1: [1], t2: [4] }),
  );
  t.same(
    step(t, from, 11, {}, { owned: { t1: [1, 2, 3], t2: [4, 5, 6] }, free: true }),
    is('unrevoked', 10, {}, { t1: [1, 2, 3], t2: [4, 5, 6] }),
  );
});

t.test('a partition that a member does not report as owned need not be revoked', async (t) => {
  const from = member('stable', 10, { t1: [1, 2, 3], t2: [4, 5, 6] });
  t.same(
    step(t, from, 11, { t1: [1, 2, 3], t2: [4, 5, 7] }, { owned: {}, free: (topic) => topic !== 't2' }),
    is('unreleased', 11, { t1: [1, 2, 3], t2: [4, 5] }),
  );
  t.same(step(t, from, 11, { t1: [1] }, { owned: { t1: [1] }, free: true }), is('stable', 11, { t1: [1] }));
});

t.test('an unrevoked member stays so until it has released everything, whatever the target is then', async (t) => {
  const from = member('unrevoked', 10, { t1: [2, 3], t2: [5, 6] }, { t1: [1], t2: [4] });
  for (const owned of [undefined, { t1: [1, 2, 3], t2: [5, 6] }, { t1: [2, 3], t2: [4, 5, 6] }]) {
    t.same(
      step(t, from, 12, { t1: [3], t2: [6] }, { ...(owned ? { owned } : {}), free: true }),
      is('unrevoked', 10, { t1: [2, 3], t2: [5, 6] }, { t1: [1], t2: [4] }),
    );
  }
});

t.test('an unrevoked member that has released continues to its next state', async (t) => {
  const owned = { t1: [2, 3], t2: [5, 6] };
  const from = member('unrevoked', 10, owned, { t1: [1], t2: [4] });
  t.same(step(t, from, 11, owned, { owned, free: true }), is('stable', 11, owned), 'nothing');
  t.same(
    step(t, from, 12, { t1: [3], t2: [6] }, { owned, free: true }),
    is('unrevoked', 10, { t1: [3], t2: [6] }, { t1: [2], t2: [5] }),
    'another revocation, still at its epoch',
  );
  t.same(
    step(t, from, 11, { t1: [2, 3, 4], t2: [5, 6, 7] }, { owned, free: false }),
    is('unreleased', 11, owned),
    'waiting for others',
  );
  t.same(
    step(t, from, 11, { t1: [2, 3, 4], t2: [5, 6, 7] }, { owned, free: true }),
    is('stable', 11, { t1: [2, 3, 4], t2: [5, 6, 7] }),
    'new partitions',
  );
});

t.test('a partition that returns to the member that has just released it gets a new epoch', async (t) => {
  const from = member('unrevoked', 10, { t1: [2, 3], t2: [5, 6] }, { t1: [4] });
  const free = (topic: string, partition: number) => topic === 't2' && partition === 7;
  const target = { t1: [2, 3, 4], t2: [5, 6, 7] };
  t.same(
    step(t, from, 12, target, { owned: { t1: [2, 3], t2: [5, 6] }, free }),
    is('stable', 12, target),
    'it counts as taken by the member itself, and by no other',
  );
  t.same(
    step(t, from, 12, target, { owned: { t1: [2, 3, 4], t2: [5, 6] }, free }),
    is('unrevoked', 10, { t1: [2, 3], t2: [5, 6] }, { t1: [4] }),
    'it must be released all the same',
  );
});

t.test('an unreleased member gets free partitions on each heartbeat', async (t) => {
  const assigned = { t1: [2, 3], t2: [5, 6] };
  const from = member('unreleased', 11, assigned, {}, 10);
  const more = { t1: [2, 3, 4], t2: [5, 6, 7] };
  t.same(step(t, from, 12, assigned, { free: false }), is('stable', 12, assigned, {}, 11));
  t.same(step(t, from, 11, more, { free: true }), is('stable', 11, more));
  t.same(
    step(t, from, 11, more, { free: (topic) => topic === 't1' }),
    is('unreleased', 11, { t1: [2, 3, 4], t2: [5, 6] }),
  );
  const unchanged = reconcileMember(from, {
    targetEpoch: 11,
    target: list(more),
    owned: undefined,
    isFree: () => false,
  });
  t.equal(unchanged.member, from);
  t.same(
    step(t, from, 12, { t1: [3], t2: [6] }, { free: false }),
    is('unrevoked', 11, { t1: [3], t2: [6] }, { t1: [2], t2: [5] }),
  );
});

t.test('a partition keeps the epoch at which the member got it', async (t) => {
  const first = reconcileMember(newMember('m'), {
    targetEpoch: 2,
    target: list({ b: [1, 3] }),
    owned: [],
    isFree: () => true,
  });
  t.same(first.member, {
    memberId: 'm',
    memberEpoch: 2,
    previousMemberEpoch: 0,
    state: 'stable',
    assigned: [{ topic: 'b', partitions: [1, 3], epochs: [2, 2] }],
    pendingRevocation: [],
  });
  const second = reconcileMember(first.member, {
    targetEpoch: 5,
    target: list({ a: [0], b: [1, 2, 3] }),
    owned: undefined,
    isFree: () => true,
  });
  t.same(second.member.assigned, [
    { topic: 'a', partitions: [0], epochs: [5] },
    { topic: 'b', partitions: [1, 2, 3], epochs: [2, 5, 2] },
  ]);
  const third = reconcileMember(second.member, {
    targetEpoch: 6,
    target: list({ b: [3] }),
    owned: undefined,
    isFree: () => true,
  });
  t.same(third.member.assigned, [{ topic: 'b', partitions: [3], epochs: [2] }]);
  t.same(third.member.pendingRevocation, [
    { topic: 'a', partitions: [0], epochs: [5] },
    { topic: 'b', partitions: [1, 2], epochs: [2, 5] },
  ]);
  const back = reconcileMember(third.member, {
    targetEpoch: 7,
    target: list({ b: [1, 3] }),
    owned: list({ b: [3] }),
    isFree: () => false,
  });
  t.same(back.member.assigned, [{ topic: 'b', partitions: [1, 3], epochs: [7, 2] }], 'and a new one if it got it anew');
  t.same(assignmentOf(back.member), [{ topic: 'b', partitions: [1, 3] }]);
  t.same(JSON.parse(JSON.stringify(back.member)), back.member);
});

t.test('a step does not modify its input, and keeps unknown fields', async (t) => {
  const from = { ...member('stable', 10, { t: [1, 2] }), clientId: 'c', topics: ['t'] };
  const copy = structuredClone(from);
  const result = reconcileMember(from, {
    targetEpoch: 11,
    target: list({ t: [2, 3] }),
    owned: list({ t: [2] }),
    isFree: () => true,
  });
  t.same(from, copy);
  t.equal(result.member.clientId, 'c');
  t.same(result.member.topics, ['t']);
});

t.test(
  'the epoch of a heartbeat is current, the previous one after a lost response, 0 to rejoin, or fenced',
  async (t) => {
    const at11 = member('unrevoked', 11, { t: [2, 3] }, { t: [1] }, 10);
    t.equal(checkMemberEpoch(at11, 11, undefined), 'current');
    t.equal(checkMemberEpoch(at11, 11, list({ t: [9] })), 'current', 'what it owns is for the step to judge');
    t.equal(checkMemberEpoch(at11, 10, list({ t: [2] })), 'previous');
    t.equal(checkMemberEpoch(at11, 10, []), 'previous');
    t.equal(checkMemberEpoch(at11, 10, list({ t: [1, 2, 3] })), 'previous', 'what it must release it had from us');
    t.equal(checkMemberEpoch(at11, 0, undefined), 'rejoin');
    t.equal(checkMemberEpoch(at11, 0, list({ t: [] })), 'rejoin');
    t.equal(checkMemberEpoch(newMember('m'), 0, []), 'rejoin');

    const refused = (epoch: number, owned: TopicPartitions[] | undefined, message: RegExp) =>
      t.throws(() => checkMemberEpoch(at11, epoch, owned), {
        code: 'FENCED_MEMBER_EPOCH',
        message,
        fields: { memberEpoch: 11 },
      });
    refused(12, [], /sent epoch 12, but its epoch is 11/);
    refused(9, [], /sent epoch 9/);
    refused(-1, [], /sent epoch -1/);
    refused(10, undefined, /sent epoch 10/);
    refused(10, list({ t: [2, 4] }), /reports partitions that it no longer has/);
    refused(10, list({ u: [2] }), /reports partitions/);
    refused(0, list({ t: [2] }), /sent epoch 0, which means to join, but reports partitions/);
  },
);

t.test('a commit is accepted for partitions that the member got at the sent epoch or earlier', async (t) => {
  const at12: MemberState = {
    ...newMember('m'),
    memberEpoch: 12,
    previousMemberEpoch: 11,
    state: 'unrevoked',
    assigned: [
      { topic: 'a', partitions: [0, 1], epochs: [10, 12] },
      { topic: 'b', partitions: [0], epochs: [11] },
    ],
    pendingRevocation: [{ topic: 'a', partitions: [2], epochs: [10] }],
  };
  const commit = (epoch: number, ...names: string[]) =>
    checkCommitEpoch(
      at12,
      epoch,
      names.map((name) => {
        const [topic, partition] = name.split('-');
        return { topic: topic!, partition: Number(partition) };
      }),
    );
  commit(12, 'a-0', 'a-1', 'a-2', 'b-0');
  commit(11, 'a-0', 'a-2', 'b-0');
  commit(10, 'a-0', 'a-2');
  commit(12);
  t.ok(true, 'none of these is refused');

  const refused = (epoch: number, names: string[], code: string, message: RegExp, fields: object) =>
    t.throws(() => commit(epoch, ...names), { code, message, fields });
  refused(13, ['a-0'], 'FENCED_MEMBER_EPOCH', /sent epoch 13, but its epoch is 12/, { memberEpoch: 12 });
  refused(11, ['a-0', 'a-1'], 'STALE_MEMBER_EPOCH', /has partition 1 of topic 'a' since epoch 12/, {
    topic: 'a',
    partition: 1,
    memberEpoch: 12,
  });
  refused(9, ['a-0'], 'STALE_MEMBER_EPOCH', /since epoch 10, not as early as epoch 9/, { topic: 'a', partition: 0 });
  refused(12, ['a-3'], 'STALE_MEMBER_EPOCH', /does not have partition 3 of topic 'a'/, { topic: 'a', partition: 3 });
  refused(12, ['c-0'], 'STALE_MEMBER_EPOCH', /does not have partition 0 of topic 'c'/, { topic: 'c', partition: 0 });
});

t.test('a group is empty, assigning, reconciling or stable', async (t) => {
  const group = (groupEpoch: number, targetEpoch: number, ...members: MemberState[]) =>
    groupStateName({ groupEpoch, targetEpoch, members: Object.fromEntries(members.map((m, i) => [`m${i}`, m])) });
  t.equal(group(3, 3), 'empty');
  t.equal(group(4, 3), 'empty');
  t.equal(group(12, 11, member('stable', 11, {})), 'assigning');
  t.equal(group(11, 11, member('stable', 11, {}), member('stable', 10, {})), 'reconciling');
  t.equal(group(11, 11, member('unreleased', 11, {})), 'reconciling');
  t.equal(group(11, 11, member('unrevoked', 10, {})), 'reconciling');
  t.equal(group(11, 11, member('stable', 11, {}), member('stable', 11, {})), 'stable');
});

t.test('a partition is free if no member has it, neither to use nor to release', async (t) => {
  const isFree = freePartitions({
    a: member('stable', 10, { t: [0] }),
    b: member('unrevoked', 10, { t: [1], u: [0] }, { t: [2] }),
  });
  t.same(
    [0, 1, 2, 3].map((partition) => isFree('t', partition)),
    [false, false, false, true],
  );
  t.equal(isFree('u', 0), false);
  t.equal(isFree('u', 1), true);
  t.equal(isFree('__proto__', 0), true);
});
