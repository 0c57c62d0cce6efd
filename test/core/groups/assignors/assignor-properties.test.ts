import fc from 'fast-check';
import t from 'tap';
import {
  type Assignment,
  type AssignorInput,
  type AssignorMember,
  assignorNamed,
  assignorNames,
} from '../../../../src/core/groups/assignors/assignor.ts';

type Result = Map<string, Assignment>;
const uniform = assignorNamed('uniform');
const letters = ['a', 'b', 'c', 'd', 'e', 'f'];

const topicCounts = fc
  .array(fc.nat({ max: 9 }), { minLength: 1, maxLength: letters.length })
  .map((counts) => new Map(counts.map((count, i): [string, number] => [letters[i]!, count])));

const memberNames = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-z0-9]{1,3}$/), fc.boolean()), {
  minLength: 1,
  maxLength: 8,
  selector: ([name]) => name,
});

/** Members of a group: all with all topics, or each with some; each owns what a random deal gave it. */
const group = (equal: boolean) =>
  fc.tuple(topicCounts, memberNames).chain(([topics, names]) =>
    fc
      .record({
        subscriptions: fc.array(fc.subarray([...topics.keys()]), { minLength: names.length, maxLength: names.length }),
        deal: fc.array(fc.integer({ min: -1, max: names.length - 1 }), { minLength: 1, maxLength: 30 }),
      })
      .map(({ subscriptions, deal }): AssignorInput => {
        const owned = names.map((): Assignment => new Map());
        let n = 0;
        for (const [topic, count] of topics) {
          for (let partition = 0; partition < count; partition++) {
            const assignment = owned[deal[n++ % deal.length]!];
            if (!assignment) continue;
            assignment.set(topic, [...(assignment.get(topic) ?? []), partition]);
          }
        }
        const members = names.map(
          ([name, isStatic], i): AssignorMember => ({
            memberId: name,
            ...(isStatic ? { instanceId: `i-${name}` } : {}),
            topics: equal ? [...topics.keys()] : subscriptions[i]!,
            owned: owned[i]!,
          }),
        );
        return { members, topics };
      }),
  );

const anyGroup = fc.boolean().chain((equal) => group(equal));

function ownersOf(result: Result): Map<string, string> {
  const owners = new Map<string, string>();
  for (const [memberId, assignment] of result) {
    for (const [topic, partitions] of assignment) {
      for (const partition of partitions) {
        const key = `${topic}-${partition}`;
        if (owners.has(key)) throw new Error(`${key} is given to ${owners.get(key)} and to ${memberId}`);
        owners.set(key, memberId);
      }
    }
  }
  return owners;
}

const sizeOf = (assignment: Assignment) => [...assignment.values()].flat().length;
const ownedBy = (input: AssignorInput): Result =>
  new Map(input.members.map((member) => [member.memberId, member.owned ?? new Map()]));
const withOwned = (input: AssignorInput, result: Result, members = input.members): AssignorInput => ({
  topics: input.topics,
  members: members.map((member) => ({ ...member, owned: result.get(member.memberId) ?? new Map() })),
});

function givesEachPartitionOnceToASubscriber(input: AssignorInput, result: Result): boolean {
  const subscriptions = new Map(input.members.map((member) => [member.memberId, new Set(member.topics)]));
  const owners = ownersOf(result);
  let expected = 0;
  for (const [topic, count] of input.topics) {
    if (![...subscriptions.values()].some((topics) => topics.has(topic))) continue;
    expected += count;
    for (let partition = 0; partition < count; partition++) {
      const owner = owners.get(`${topic}-${partition}`);
      if (owner === undefined || !subscriptions.get(owner)!.has(topic)) return false;
    }
  }
  return owners.size === expected && result.size === input.members.length;
}

for (const name of assignorNames) {
  t.test(`${name} assigns every partition of a subscribed topic to exactly one subscriber`, async (t) => {
    fc.assert(
      fc.property(anyGroup, (input) => givesEachPartitionOnceToASubscriber(input, assignorNamed(name)(input))),
      { numRuns: 500 },
    );
    t.ok(true);
  });

  t.test(`${name} returns the same result for any order of its input`, async (t) => {
    fc.assert(
      fc.property(anyGroup, fc.integer(), (input, turn) => {
        const assignor = assignorNamed(name);
        const at = Math.abs(turn) % input.members.length;
        const turned = {
          members: [...input.members.slice(at), ...input.members.slice(0, at)].reverse(),
          topics: new Map([...input.topics].reverse()),
        };
        const [a, b] = [ownersOf(assignor(input)), ownersOf(assignor(turned))];
        return a.size === b.size && [...a].every(([key, owner]) => b.get(key) === owner);
      }),
    );
    t.ok(true);
  });
}

t.test('range assigns consecutive partitions, and their numbers differ by at most one', async (t) => {
  fc.assert(
    fc.property(anyGroup, (input) => {
      const result = assignorNamed('range')(input);
      for (const [topic] of input.topics) {
        const lists = input.members
          .filter((member) => member.topics.includes(topic))
          .map((member) => result.get(member.memberId)!.get(topic) ?? []);
        const sizes = lists.map((list) => list.length);
        if (Math.max(0, ...sizes) - Math.min(...sizes, Number.POSITIVE_INFINITY) > 1) return false;
        if (lists.some((list) => list.some((partition, i) => partition !== list[0]! + i))) return false;
      }
      return true;
    }),
  );
  t.ok(true);
});

t.test(
  'roundrobin gives members with equal subscriptions numbers of partitions that differ by at most one',
  async (t) => {
    fc.assert(
      fc.property(group(true), (input) => {
        const sizes = [...assignorNamed('roundrobin')(input).values()].map(sizeOf);
        return Math.max(...sizes) - Math.min(...sizes) <= 1;
      }),
    );
    t.ok(true);
  },
);

t.test(
  'uniform with equal subscriptions balances, and keeps as many partitions in place as balance allows',
  async (t) => {
    fc.assert(
      fc.property(group(true), (input) => {
        const result = uniform(input);
        const sizes = [...result.values()].map(sizeOf);
        if (Math.max(...sizes) - Math.min(...sizes) > 1) return false;

        const before = ownersOf(ownedBy(input));
        const after = ownersOf(result);
        const kept = [...before].filter(([key, owner]) => after.get(key) === owner).length;
        const total = after.size;
        const share = Math.floor(total / input.members.length);
        const counts = input.members.map((member) => sizeOf(member.owned!));
        const most =
          counts.reduce((sum, count) => sum + Math.min(count, share), 0) +
          Math.min(total % input.members.length, counts.filter((count) => count > share).length);
        return kept === most;
      }),
      { numRuns: 1000 },
    );
    t.ok(true);
  },
);

t.test('after uniform no owner has two partitions more than another subscriber of its topic', async (t) => {
  fc.assert(
    fc.property(group(false), (input) => {
      const result = uniform(input);
      const load = new Map([...result].map(([memberId, assignment]) => [memberId, sizeOf(assignment)]));
      for (const [topic] of input.topics) {
        const subscribers = input.members.filter((member) => member.topics.includes(topic));
        const least = Math.min(...subscribers.map((member) => load.get(member.memberId)!));
        for (const { memberId } of subscribers) {
          const owns = (result.get(memberId)!.get(topic) ?? []).length > 0;
          if (owns && load.get(memberId)! - least > 1) return false;
        }
      }
      return true;
    }),
    { numRuns: 1000 },
  );
  t.ok(true);
});

t.test('uniform changes nothing when nothing has changed', async (t) => {
  fc.assert(
    fc.property(anyGroup, (input) => {
      const first = uniform(input);
      const [a, b] = [ownersOf(first), ownersOf(uniform(withOwned(input, first)))];
      return [...a].every(([key, owner]) => b.get(key) === owner);
    }),
    { numRuns: 500 },
  );
  t.ok(true);
});

t.test('when a member leaves or joins, uniform moves only its partitions', async (t) => {
  fc.assert(
    fc.property(group(true), fc.nat(), (input, choice) => {
      const chosen = input.members[choice % input.members.length]!;
      const others = input.members.filter((member) => member !== chosen);
      if (others.length === 0) return true;

      const full = uniform(input);
      const without = uniform(withOwned(input, full, others));
      const [a, b] = [ownersOf(full), ownersOf(without)];
      for (const [key, owner] of a) if (owner !== chosen.memberId && b.get(key) !== owner) return false;

      const c = ownersOf(uniform(withOwned(input, without)));
      for (const [key, owner] of b) if (c.get(key) !== owner && c.get(key) !== chosen.memberId) return false;
      const share = Math.floor(b.size / input.members.length);
      return sizeOf(uniform(withOwned(input, without)).get(chosen.memberId)!) <= share + 1;
    }),
    { numRuns: 500 },
  );
  t.ok(true);
});

t.test('when partitions are added, uniform moves none of the old ones', async (t) => {
  fc.assert(
    fc.property(group(true), fc.nat({ max: 5 }), (input, more) => {
      const first = uniform(input);
      const grown = new Map([...input.topics].map(([topic, count]): [string, number] => [topic, count + more]));
      const after = ownersOf(uniform({ ...withOwned(input, first), topics: grown }));
      return [...ownersOf(first)].every(([key, owner]) => after.get(key) === owner);
    }),
  );
  t.ok(true);
});

t.test('a thousand members share ten thousand partitions evenly, also if one subscribes to fewer topics', async (t) => {
  const topics = new Map(Array.from({ length: 1000 }, (_, i): [string, number] => [`topic-${i}`, 10]));
  const all = [...topics.keys()].sort();
  const members = Array.from({ length: 1000 }, (_, i): AssignorMember => ({ memberId: `member-${i}`, topics: all }));
  for (const name of assignorNames) {
    const result = assignorNamed(name)({ members, topics });
    t.ok(givesEachPartitionOnceToASubscriber({ members, topics }, result), name);
  }
  const mixed = [...members.slice(1), { memberId: 'member-0', topics: all.slice(0, 1) }];
  const first = uniform({ members: mixed, topics });
  t.same(new Set([...first.values()].map(sizeOf)), new Set([10]));
  const left = uniform(withOwned({ members: mixed, topics }, first, mixed.slice(500)));
  t.same(new Set([...left.values()].map(sizeOf)), new Set([10, 20, 21]), 'half of them leave');
  t.equal(sizeOf(left.get('member-0')!), 10, 'who subscribes to ten partitions has these');
});
