import t, { type Test } from 'tap';
import {
  type AssignorInput,
  type AssignorMember,
  assignorNamed,
  fromTopicPartitions,
  toTopicPartitions,
} from '../../../../src/core/groups/assignors/assignor.ts';

/** 't1:0,2 t2:1' as topics with partitions. */
const parse = (text: string) =>
  new Map(
    text
      .split(' ')
      .filter((part) => part !== '')
      .map((part): [string, number[]] => {
        const [topic, partitions = ''] = part.split(':');
        return [topic!, partitions.split(',').filter(Boolean).map(Number)];
      }),
  );

const show = (assignment: Map<string, number[]>): string =>
  toTopicPartitions(assignment)
    .map(({ topic, partitions }) => `${topic}:${partitions.join(',')}`)
    .join(' ');

/** 'c1', or 'c1/i1' for a static member, with what it subscribes to and perhaps owns. */
function member(name: string, topics: string, owned?: string): AssignorMember {
  const [memberId, instanceId] = name.split('/');
  return {
    memberId: memberId!,
    topics: topics.split(' ').filter(Boolean).sort(),
    ...(instanceId !== undefined ? { instanceId } : {}),
    ...(owned !== undefined ? { owned: parse(owned) } : {}),
  };
}

function assigned(t: Test, assignor: string, counts: string, ...members: AssignorMember[]): Record<string, string> {
  const topics = new Map([...parse(counts)].map(([topic, [count]]): [string, number] => [topic, count!]));
  const input: AssignorInput = { members, topics };
  const result = assignorNamed(assignor)(input);
  const reversed: AssignorInput = { members: [...members].reverse(), topics: new Map([...topics].reverse()) };
  const again = assignorNamed(assignor)(reversed);
  const text = Object.fromEntries([...result].map(([id, assignment]) => [id, show(assignment)]));
  t.same(
    Object.fromEntries([...again].map(([id, assignment]) => [id, show(assignment)])),
    text,
    'the order of members and topics does not matter',
  );
  return text;
}

t.test('range assigns consecutive partitions, topic by topic, as Kafka does', async (t) => {
  t.same(assigned(t, 'range', 't1:3 t2:3', member('c1', 't1 t2'), member('c2', 't1 t2')), {
    c1: 't1:0,1 t2:0,1',
    c2: 't1:2 t2:2',
  });
  t.same(
    assigned(
      t,
      'range',
      't1:5 t2:4',
      member('c4', 't1 t2'),
      member('c2/i2', 't1 t2'),
      member('c3/i3', 't1 t2'),
      member('c1/i1', 't1 t2'),
    ),
    { c1: 't1:0,1 t2:0', c2: 't1:2 t2:1', c3: 't1:3 t2:2', c4: 't1:4 t2:3' },
  );
  t.same(assigned(t, 'range', 't1:2', member('c1', 't1'), member('c2', 't1'), member('c3', 't1')), {
    c1: 't1:0',
    c2: 't1:1',
    c3: '',
  });
  t.same(assigned(t, 'range', 't1:3 t2:3', member('c1', 't1'), member('c2', 't1 t2'), member('c3', 't1')), {
    c1: 't1:0',
    c2: 't1:1 t2:0,1,2',
    c3: 't1:2',
  });
});

t.test('roundrobin assigns partitions in turn over all topics, as Kafka does', async (t) => {
  t.same(assigned(t, 'roundrobin', 't1:3 t2:3', member('c1', 't1 t2'), member('c2', 't1 t2')), {
    c1: 't1:0,2 t2:1',
    c2: 't1:1 t2:0,2',
  });
  t.same(assigned(t, 'roundrobin', 't1:3 t2:2', member('c1', 't1'), member('c2', 't1 t2'), member('c3', 't1')), {
    c1: 't1:0',
    c2: 't1:1 t2:0,1',
    c3: 't1:2',
  });
  t.same(
    assigned(t, 'roundrobin', 't0:1 t1:2 t2:3', member('C0', 't0'), member('C1', 't0 t1'), member('C2', 't0 t1 t2')),
    { C0: 't0:0', C1: 't1:0', C2: 't1:1 t2:0,1,2' },
  );
});

t.test(
  'uniform with equal subscriptions keeps partitions up to the quota and reassigns the rest, as Kafka does',
  async (t) => {
    t.same(
      assigned(t, 'uniform', 't1:3 t2:3', member('A', 't1 t2', 't1:0,1 t2:0,1'), member('B', 't1 t2', 't1:2 t2:2')),
      {
        A: 't1:0,1 t2:0',
        B: 't1:2 t2:1,2',
      },
    );
    // In Kafka's vector t2 comes before t1, by its ids: here it is named so that it does.
    t.same(
      assigned(t, 'uniform', 'x2:5 y1:6', member('A', 'x2 y1', 'y1:0,2 x2:0'), member('B', 'x2 y1', 'y1:1 x2:1,2')),
      {
        A: 'x2:0,3,4 y1:0,2,3',
        B: 'x2:1,2 y1:1,4,5',
      },
    );
  },
);

t.test('uniform with different subscriptions balances topic by topic, as Kafka does', async (t) => {
  t.same(assigned(t, 'uniform', 't1:3 t3:6', member('A', 't1 t3'), member('B', 't3')), {
    A: 't1:0,1,2 t3:4',
    B: 't3:0,1,2,3,5',
  });
  t.same(
    assigned(t, 'uniform', 't1:3 t2:5', member('A', 't1', 't1:0,2 t2:1,3'), member('B', 't1 t2', 't1:1 t2:0,2,4')),
    {
      A: 't1:0,1,2',
      B: 't2:0,1,2,3,4',
    },
  );
});

t.test(
  'uniform balances the inputs of Kafka’s sticky vectors and moves no more partitions than necessary',
  async (t) => {
    t.same(
      assigned(t, 'uniform', 't1:2 t2:3', member('c1', 't1 t2', 't1:0 t2:1'), member('c2', 't1 t2', 't1:1 t2:2')),
      {
        c1: 't1:0 t2:0,1',
        c2: 't1:1 t2:2',
      },
    );
    t.same(assigned(t, 'uniform', 't:3', member('c1', 't', 't:0,1,2'), member('c2', 't', '')), {
      c1: 't:0,1',
      c2: 't:2',
    });
    const sizes = Object.values(
      assigned(
        t,
        'uniform',
        't1:2 t2:1 t3:2 t4:1 t5:2',
        member('c1', 't1 t2 t3 t4 t5'),
        member('c2', 't1 t3 t5'),
        member('c3', 't1 t3 t5'),
        member('c4', 't1 t2 t3 t4 t5'),
      ),
    ).map((text) => [...parse(text).values()].flat().length);
    t.same(sizes, [2, 2, 2, 2]);
  },
);

t.test('the larger quota stays with the member that has it', async (t) => {
  t.same(assigned(t, 'uniform', 't:5', member('a', 't', 't:0,1'), member('b', 't', 't:2,3,4')), {
    a: 't:0,1',
    b: 't:2,3,4',
  });
  t.same(
    assigned(t, 'uniform', 't:4', member('a', 't'), member('b', 't', 't:0,1'), member('c', 't', 't:2,3')),
    { a: 't:3', b: 't:0,1', c: 't:2' },
    'a member that joins gets no more than its share',
  );
});

t.test('invalid partitions in a target are ignored', async (t) => {
  t.same(
    assigned(t, 'uniform', 't1:2 t2:2', member('a', 't1 t2', 't1:0,7 gone:0'), member('b', 't1 t2', 't1:0,1 t2:-1')),
    { a: 't1:0 t2:0', b: 't1:1 t2:1' },
    'partitions and topics that do not exist, and what an earlier member owns',
  );
});

t.test('a static member that returns with another id gets its former assignment', async (t) => {
  for (const name of ['range', 'roundrobin', 'uniform']) {
    const before = assigned(t, name, 't:5', member('x/i1', 't'), member('b', 't'), member('y/i2', 't'));
    const after = assigned(t, name, 't:5', member('zz/i1', 't'), member('b', 't'), member('y/i2', 't'));
    t.equal(after.zz, before.x, name);
    t.equal(after.b, before.b, name);
  }
});

t.test('every assignor accepts groups without members, topics or partitions', async (t) => {
  for (const name of ['range', 'roundrobin', 'uniform']) {
    t.same(assigned(t, name, 't:3'), {}, name);
    t.same(assigned(t, name, '', member('a', 't')), { a: '' }, name);
    t.same(assigned(t, name, 't:0', member('a', 't'), member('b', '')), { a: '', b: '' }, name);
    t.same(assigned(t, name, 't:1', member('a', 't t'), member('b', '')), { a: 't:0', b: '' }, name);
  }
});

t.test('an unknown assignor is refused, with the names of the known ones', async (t) => {
  t.throws(() => assignorNamed('sticky'), {
    code: 'UNSUPPORTED_ASSIGNOR',
    message: "There is no assignor 'sticky'; the assignors are uniform, range, roundrobin.",
    fields: { supported: ['uniform', 'range', 'roundrobin'] },
  });
  t.throws(() => assignorNamed('__proto__'), { code: 'UNSUPPORTED_ASSIGNOR' });
  t.throws(() => assignorNamed(''), { code: 'UNSUPPORTED_ASSIGNOR' });
});

t.test('the list form of an assignment is sorted, omits empty topics, and can be converted back', async (t) => {
  const assignment = new Map([
    ['b', [10, 9, 0]],
    ['a', [1]],
    ['none', []],
  ]);
  const wire = [
    { topic: 'a', partitions: [1] },
    { topic: 'b', partitions: [0, 9, 10] },
  ];
  t.same(toTopicPartitions(assignment), wire);
  t.same(assignment.get('b'), [10, 9, 0], 'the assignment itself is left alone');
  t.same(toTopicPartitions(fromTopicPartitions(wire)), wire);
  t.same(
    toTopicPartitions(
      fromTopicPartitions([
        { topic: 'a', partitions: [2] },
        { topic: 'a', partitions: [1] },
      ]),
    ),
    [{ topic: 'a', partitions: [1, 2] }],
  );
});
