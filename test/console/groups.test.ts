// What the console makes of groups: who has what, and what happened.
import type { Group } from '@weirkeeper/client';
import t from 'tap';
import {
  assignmentMatrices,
  oldestAge,
  type PartitionLag,
  rangesOf,
  sumOfLag,
} from '../../console/src/groups/assignment-matrix.ts';
import { groupSteps, type TreeEvent, withSteps, withTimes } from '../../console/src/groups/rebalances.ts';

const member = (memberId: string, assigned: number[], revoking: number[] = []): Group['members'][number] => ({
  memberId,
  memberEpoch: 1,
  state: 'stable',
  topics: ['orders'],
  assignment: [{ topic: 'orders', partitions: assigned }],
  revoking: revoking.length === 0 ? [] : [{ topic: 'orders', partitions: revoking }],
  sessionTimeoutMs: 45_000,
  rebalanceTimeoutMs: 300_000,
  reset: 'latest',
});
const lagOf = (topic: string, partition: number, owner: string | null, lag: number | null = 0): PartitionLag => ({
  topic,
  partition,
  owner,
  committed: 0,
  endOffset: lag,
  lag,
  lagFrom: 'committed',
});

t.test('the matrix shows who owns, gives up, and will get each partition', async (t) => {
  const members = [member('a', [0], [1]), member('b', [2, 3])];
  const partitions = [
    lagOf('orders', 0, 'a', 5),
    lagOf('orders', 1, 'a', 1),
    lagOf('orders', 2, 'b'),
    lagOf('orders', 3, null),
    lagOf('bills', 0, null, null),
  ];
  const [orders, bills] = assignmentMatrices({ members, partitions });
  t.same(
    orders?.cells.map((cells) => [...cells]),
    [
      [
        [0, 'owned'],
        [1, 'revoking'],
      ],
      [
        [2, 'owned'],
        [3, 'coming'],
      ],
    ],
  );
  t.match(orders, { topic: 'orders', lag: 6, withoutOwner: 1 });
  t.match(bills, { topic: 'bills', lag: null, withoutOwner: 1 });
});

t.test('a lag of which a part is unknown is unknown', async (t) => {
  t.equal(sumOfLag([]), 0);
  t.equal(sumOfLag([lagOf('a', 0, null, 1), lagOf('a', 1, null, null)]), null);
  t.equal(
    oldestAge([
      { ...lagOf('a', 0, null), lagMs: 5 },
      { ...lagOf('a', 1, null), lagMs: 9 },
    ]),
    9,
  );
  t.equal(oldestAge([{ ...lagOf('a', 0, null), lagMs: 5 }, lagOf('a', 1, null)]), null);
});

t.test('many partitions are written as ranges', async (t) => {
  t.equal(rangesOf([7, 0, 1, 2, 3]), '0–3, 7');
  t.equal(rangesOf([0, 1]), '0, 1');
  t.equal(rangesOf([]), '');
});

const owner = (type: string, partition: number, data?: string): TreeEvent => ({
  type,
  path: `/consumers/g/owners/orders/${partition}`,
  stat: type === 'deleted' ? undefined : { mtime: 70 },
  data,
});

t.test('changes of nodes are told as what happened in the group', async (t) => {
  const steps = groupSteps('g', [
    {
      zxid: 9,
      events: [
        { type: 'created', path: '/consumers/g/ids/m2', stat: { mtime: 90 } },
        { type: 'children', path: '/consumers/g/ids' },
        owner('deleted', 1),
        owner('deleted', 0),
        { type: 'created', path: '/consumers/other/ids/m3', stat: { mtime: 91 } },
      ],
    },
    { zxid: 8, events: [{ type: 'changed', path: '/consumers/g/offsets/orders/0', stat: { mtime: 80 } }] },
    { zxid: 7, events: [owner('created', 2, 'm1'), owner('changed', 1, 'm2'), owner('created', 0, 'm1')] },
    { zxid: 6, events: [{ type: 'deleted', path: '/consumers/g/ids/m0' }] },
    { zxid: 5, events: [{ type: 'changed', path: '/consumers/g/ids/m1', stat: { mtime: 50 } }] },
  ]);
  t.same(steps, [
    {
      zxid: 9,
      at: 90,
      changes: [
        { kind: 'joined', member: 'm2', topic: undefined, partitions: [] },
        { kind: 'released', member: undefined, topic: 'orders', partitions: [0, 1] },
      ],
    },
    {
      zxid: 7,
      at: 70,
      changes: [
        { kind: 'assigned', member: 'm1', topic: 'orders', partitions: [0, 2] },
        { kind: 'assigned', member: 'm2', topic: 'orders', partitions: [1] },
      ],
    },
    { zxid: 6, at: undefined, changes: [{ kind: 'left', member: 'm0', topic: undefined, partitions: [] }] },
  ]);
  t.same(
    withTimes([...steps, { zxid: 1, at: 10, changes: [] }]).map(({ at }) => at),
    [90, 70, 10, 10],
    'a step without a time has that of the step before it',
  );
});

t.test('a timeline has each step once, the newest first, and an end', async (t) => {
  const step = (zxid: number) => ({ zxid, at: zxid, changes: [] });
  const numbers = withSteps([step(3), step(2)], [step(5), step(3), step(4)], 3).map(({ zxid }) => zxid);
  t.same(numbers, [5, 4, 3]);
});
