// What the console makes of brokers: who leads what, and replicas as a user types them.
import t from 'tap';
import { leadersMatrix, parseReplicas, roleOf } from '../../console/src/brokers/leaders.ts';

t.test('the matrix of leaders has each broker that lives or leads', async (t) => {
  const matrix = leadersMatrix(
    [
      {
        name: 'a',
        partitions: 4,
        leaders: [
          { brokerId: -1, partitions: 1 },
          { brokerId: 2, partitions: 1 },
          { brokerId: 9, partitions: 2 },
        ],
        notPreferred: 3,
      },
      { name: 'b', partitions: 1, leaders: [{ brokerId: 2, partitions: 1 }], notPreferred: 0 },
    ],
    [3, 2],
  );
  t.same(matrix.brokerIds, [2, 3, 9]);
  t.match(matrix, { offline: 1, notPreferred: 3 });
  t.same(
    matrix.rows.map(({ led }) => [...led]),
    [
      [
        [2, 1],
        [9, 2],
      ],
      [[2, 1]],
    ],
  );
});

t.test('a broker leads a partition, is in sync, is away, or has nothing to do with it', async (t) => {
  const state = { leader: 1, isr: [1, 2], replicas: [1, 2, 3] };
  t.same(
    [1, 2, 3, 4].map((id) => roleOf(state, id)),
    ['leader', 'in sync', 'away', undefined],
  );
});

t.test('replicas are read as a user types them', async (t) => {
  t.same(parseReplicas('2, 1', [1, 2]), { replicas: [2, 1] });
  for (const [text, about] of [
    ['', /at least one/],
    ['1 x', /"x"/],
    ['1,1', /once/],
    ['3', /Broker 3 is not alive; these are: 1, 2/],
  ] as const)
    t.match(parseReplicas(text, [1, 2]), { error: about });
});
