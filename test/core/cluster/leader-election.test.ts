import fc from 'fast-check';
import t from 'tap';
import {
  electAfterBounce,
  electAfterBrokerChange,
  electPreferred,
  imbalancedPartitions,
  noLeader,
  type PartitionState,
  raiseLeaderEpoch,
  reassign,
} from '../../../src/core/cluster/leader-election.ts';

const live = (...ids: number[]) => new Set(ids);
const state = (replicas: number[], isr: number[], leader: number, leaderEpoch = 5): PartitionState => ({
  replicas,
  isr,
  leader,
  leaderEpoch,
});

t.test('when the leader dies, the first live replica of the ISR becomes leader at the next epoch', async (t) => {
  t.same(electAfterBrokerChange(state([1, 2, 3], [1, 2, 3], 1), live(2, 3)), state([1, 2, 3], [2, 3], 2, 6));
  t.same(
    electAfterBrokerChange(state([1, 2, 3], [1, 3], 1), live(2, 3)),
    state([1, 2, 3], [2, 3], 3, 6),
    'a member of the ISR goes before one that has just returned',
  );
});

t.test(
  'when no member of the ISR is alive, any live replica becomes leader, as the store holds the data',
  async (t) => {
    t.same(electAfterBrokerChange(state([1, 2, 3], [1], 1), live(3)), state([1, 2, 3], [3], 3, 6));
  },
);

t.test('when all replicas die there is no leader, and the last member of the ISR stays in it', async (t) => {
  const offline = electAfterBrokerChange(state([1, 2], [1, 2], 2), live(9));
  t.same(offline, state([1, 2], [2], noLeader, 6));
  t.equal(electAfterBrokerChange(offline!, live()), undefined, 'nothing changes while none is back');
  t.same(electAfterBrokerChange(offline!, live(1)), state([1, 2], [1], 1, 7), 'the first to return leads');
  t.same(
    electAfterBrokerChange(offline!, live(1, 2)),
    state([1, 2], [1, 2], 2, 7),
    'the member of the ISR, if it is back too',
  );
  const neverAlive = state([1, 2], [], noLeader, 0);
  t.equal(electAfterBrokerChange(neverAlive, live(7)), undefined);
  t.same(electAfterBrokerChange(neverAlive, live(2)), state([1, 2], [2], 2, 1));
});

t.test('a replica that returns joins the ISR without an election', async (t) => {
  t.same(electAfterBrokerChange(state([1, 2, 3], [2], 2), live(1, 2)), state([1, 2, 3], [1, 2], 2, 5));
});

t.test('a follower that dies leaves the ISR, and the epoch rises', async (t) => {
  t.same(electAfterBrokerChange(state([1, 2, 3], [1, 2, 3], 1), live(1, 3)), state([1, 2, 3], [1, 3], 1, 6));
});

t.test('brokers that hold no replica change nothing', async (t) => {
  t.equal(electAfterBrokerChange(state([1, 2], [1, 2], 1), live(1, 2, 3)), undefined);
  t.equal(electAfterBrokerChange(state([1, 2], [1, 2], 1), live(1, 2)), undefined);
});

t.test(
  'a broker that bounced has failed and started: another leads, it is in sync again, and the epoch rises',
  async (t) => {
    const bounce = (before: PartitionState, ...bounced: number[]) =>
      electAfterBounce(before, live(1, 2, 3), live(...bounced));
    t.same(bounce(state([1, 2, 3], [1, 2, 3], 1), 1), state([1, 2, 3], [1, 2, 3], 2, 6), 'the leader');
    t.same(bounce(state([1, 2, 3], [1, 2, 3], 1), 3), state([1, 2, 3], [1, 2, 3], 1, 6), 'a follower');
    t.same(bounce(state([1], [1], 1), 1), state([1], [1], 1, 7), 'the only replica: gone, and elected again');
    t.same(bounce(state([1, 2], [1, 2], 1), 1, 2), state([1, 2], [1, 2], 1, 7), 'all of them');
    t.same(bounce(state([1, 2], [2], 2), 9), state([1, 2], [1, 2], 2, 5), 'another broker: only what is due anyway');
    t.equal(bounce(state([1, 2], [1, 2], 1)), undefined);
  },
);

t.test(
  'leaders are brought back where more than a tenth of those that a broker is to lead are elsewhere',
  async (t) => {
    const led = (count: number, leader: number, isr = [1, 2]) =>
      Array.from({ length: count }, () => state([1, 2], isr, leader));
    t.equal(
      imbalancedPartitions([...led(9, 1), ...led(1, 2)], live(1, 2)).length,
      0,
      'a tenth is not more than a tenth',
    );
    t.equal(imbalancedPartitions([...led(8, 1), ...led(1, 2)], live(1, 2)).length, 1);
    t.equal(imbalancedPartitions([...led(8, 1), ...led(1, 2), ...led(1, noLeader)], live(1, 2)).length, 2);
    t.equal(imbalancedPartitions(led(3, 2), live(2)).length, 0, 'the preferred leader is dead');
    t.equal(
      imbalancedPartitions([...led(2, 2), ...led(1, 2, [2])], live(1, 2)).length,
      2,
      'who is not in sync cannot lead',
    );
    const other = Array.from({ length: 20 }, () => state([2, 1], [1, 2], 2));
    t.equal(
      imbalancedPartitions([...other, ...led(1, 2)], live(1, 2)).length,
      1,
      'each broker is judged by its own partitions',
    );
    t.same(imbalancedPartitions([state([], [], noLeader)], live(1)), []);
  },
);

t.test('the preferred election elects the first replica if it is live and in the ISR', async (t) => {
  t.same(electPreferred(state([1, 2], [1, 2], 2), live(1, 2)), state([1, 2], [1, 2], 1, 6));
  t.equal(electPreferred(state([1, 2], [1, 2], 1), live(1, 2)), undefined, 'it leads already');
  t.equal(electPreferred(state([1, 2], [1, 2], 2), live(2)), undefined, 'it is dead');
  t.equal(electPreferred(state([1, 2], [2], 2), live(1, 2)), undefined, 'it is not in the ISR');
  t.equal(electPreferred(state([], [], noLeader), live(1)), undefined, 'there is none');
});

t.test('after a lost election the leader stays and gets an epoch above that of the log', async (t) => {
  t.same(raiseLeaderEpoch(state([1, 2], [1, 2], 2), 2, 9, live(1, 2)), state([1, 2], [1, 2], 2, 10));
  t.same(
    raiseLeaderEpoch(state([1, 2], [1, 2], 2), 2, 5, live(1, 2)),
    state([1, 2], [1, 2], 2, 6),
    'the epoch was given twice',
  );
  t.equal(raiseLeaderEpoch(state([1, 2], [1, 2], 2), 2, 4, live(1, 2)), undefined, 'the state is newer than that');
  t.equal(raiseLeaderEpoch(state([1, 2], [1, 2], 2), 1, 9, live(1, 2)), undefined, 'who was refused leads no more');
  t.equal(
    raiseLeaderEpoch(state([1, 2], [1, 2], 2), 2, 9, live(1)),
    undefined,
    'its leader is dead: an election is to come',
  );
  t.equal(raiseLeaderEpoch(state([1, 2], [1, 2], noLeader), 2, 9, live(1, 2)), undefined);
});

t.test('a reassignment keeps a leader that is in the new list, and otherwise elects one from it', async (t) => {
  const before = state([1, 2, 3], [1, 2, 3], 2);
  const all = live(1, 2, 3, 4, 5, 6);
  t.same(reassign(before, [4, 2], all), state([4, 2], [4, 2], 2, 6));
  t.same(reassign(before, [4, 5, 6], all), state([4, 5, 6], [4, 5, 6], 4, 6));
  t.same(reassign(before, [4, 1], all), state([4, 1], [4, 1], 1, 6), 'a member of the ISR goes first');
  t.same(reassign(before, [4, 5], live(1, 2, 3, 5)), state([4, 5], [5], 5, 6));
  t.same(
    reassign(before, [3, 2, 1], all),
    state([3, 2, 1], [3, 2, 1], 2, 6),
    'another order is another preferred leader',
  );
  t.equal(reassign(before, [1, 2, 3], all), undefined, 'the list is the present one');
  t.equal(reassign(before, [7, 8], all), undefined, 'none of the list is alive');
});

const anyIds = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });

t.test('in any history the leader is live and in the ISR, or no replica is alive; epochs only rise', async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('brokers' as const), ids: fc.subarray([1, 2, 3, 4, 5, 6]) }),
    fc.record({ kind: fc.constant('bounce' as const), ids: fc.subarray([1, 2, 3, 4, 5, 6]) }),
    fc.record({ kind: fc.constant('preferred' as const), ids: fc.constant([]) }),
    fc.record({ kind: fc.constant('reassign' as const), ids: anyIds }),
  );
  fc.assert(
    fc.property(
      anyIds,
      fc.subarray([1, 2, 3, 4, 5, 6]),
      fc.array(step, { maxLength: 20 }),
      (replicas, first, steps) => {
        let alive = live(...first);
        const isr = replicas.filter((id) => alive.has(id));
        let current = state(replicas, isr, isr[0] ?? noLeader, 0);
        for (const { kind, ids } of steps) {
          let changed: PartitionState | undefined;
          if (kind === 'brokers') {
            alive = live(...ids);
            changed = electAfterBrokerChange(current, alive);
          } else if (kind === 'bounce') changed = electAfterBounce(current, alive, live(...ids));
          else if (kind === 'preferred') changed = electPreferred(current, alive);
          else changed = reassign(current, ids, alive);
          if (changed) {
            if (changed.leaderEpoch < current.leaderEpoch) return false;
            const rise = changed.leaderEpoch - current.leaderEpoch;
            if (changed.leader !== current.leader && rise !== 1 && !(kind === 'bounce' && rise === 2)) return false;
            if (current.isr.length > 0 && changed.isr.length === 0) return false;
            current = changed;
          }
          const anyAlive = current.replicas.some((id) => alive.has(id));
          if (anyAlive !== (current.leader !== noLeader)) return false;
          if (anyAlive && !(alive.has(current.leader) && current.isr.includes(current.leader))) return false;
          if (!current.isr.every((id) => current.replicas.includes(id))) return false;
        }
        return electAfterBrokerChange(electAfterBrokerChange(current, alive) ?? current, alive) === undefined;
      },
    ),
    { numRuns: 1000 },
  );
  t.ok(true);
});
