/**
 * Random lives of a group: clients join, leave, crash and are slow; requests and responses are lost; topics grow and
 * subscriptions change. The server is what a coordinator does with the functions under test: judge the epoch, step the
 * member, response. The clients use the last assignment that they received, and release the rest some time later.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  type Assignment,
  assignorNamed,
  assignorNames,
  fromTopicPartitions,
  type TopicPartitions,
  toTopicPartitions,
} from '../../../src/core/groups/assignors/assignor.ts';
import {
  assignmentOf,
  checkCommitEpoch,
  checkMemberEpoch,
  type GroupState,
  groupStateName,
  type MemberState,
  newMember,
  reconcileMember,
} from '../../../src/core/groups/member-reconciliation.ts';
import { freePartitions } from '../../helpers/free-partitions.ts';

interface SubscribedMember extends MemberState {
  topics: string[];
}

interface Client {
  readonly id: string;
  epoch: number;
  topics: string[];
  /** The last assignment that it received. */
  assignment: TopicPartitions[];
  /** What it really uses: all of the assignment, and what it has not come to letting go of. */
  holds: Assignment;
}

interface MemberResult {
  epoch: number;
  assignment: TopicPartitions[];
}

class Server {
  group: GroupState<SubscribedMember> = { groupEpoch: 1, targetEpoch: 1, members: {}, target: {} };
  readonly topicCounts = new Map<string, number>();
  readonly assignor: string;

  constructor(assignor: string) {
    this.assignor = assignor;
  }

  /** Everything that changes who may have what comes here; the target may be computed now, or on some heartbeat. */
  changed(): void {
    this.group.groupEpoch++;
  }

  computeTarget(): void {
    const { group } = this;
    if (group.targetEpoch === group.groupEpoch) return;
    const result = assignorNamed(this.assignor)({
      members: Object.values(group.members).map(({ memberId, topics }) => ({
        memberId,
        topics,
        owned: fromTopicPartitions(group.target[memberId] ?? []),
      })),
      topics: this.topicCounts,
    });
    group.target = Object.fromEntries([...result].map(([id, assignment]) => [id, toTopicPartitions(assignment)]));
    group.targetEpoch = group.groupEpoch;
  }

  join(id: string, topics: string[]): MemberResult {
    const { members } = this.group;
    const known = members[id];
    if (!known || known.topics.join() !== topics.join()) this.changed();
    members[id] = { ...(known ?? newMember(id)), topics };
    return this.heartbeat(id, 0, []);
  }

  heartbeat(id: string, epoch: number, owned: TopicPartitions[]): MemberResult {
    const member = this.group.members[id]!;
    const judged = checkMemberEpoch(member, epoch, owned);
    if (judged !== 'previous') this.step(member, owned);
    const { memberEpoch } = this.group.members[id]!;
    return { epoch: memberEpoch, assignment: assignmentOf(this.group.members[id]!) };
  }

  private step(member: SubscribedMember, owned: TopicPartitions[]): void {
    this.computeTarget();
    const { group } = this;
    const result = reconcileMember(member, {
      targetEpoch: group.targetEpoch,
      target: group.target[member.memberId] ?? [],
      owned,
      isFree: freePartitions(group.members),
    });
    group.members[member.memberId] = result.member;
    // What is stored is JSON, so a round of it must change nothing.
    const stored: typeof group = JSON.parse(JSON.stringify(group));
    this.group = stored;
  }

  remove(id: string): void {
    delete this.group.members[id];
    delete this.group.target[id];
    this.changed();
  }
}

const names = ['m0', 'm1', 'm2', 'm3', 'm4'];
const topicNames = ['a', 'b', 'c'];
const who = fc.constantFrom(...names);
const subscription = fc.subarray(topicNames, { minLength: 1 });

const action = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('join' as const), who, topics: subscription, lost: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('subscribe' as const), who, topics: subscription }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('grow' as const), topic: fc.constantFrom(...topicNames) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('target' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('letGo' as const), who }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('heartbeat' as const),
      who,
      lost: fc.constantFrom('nothing' as const, 'nothing' as const, 'request' as const, 'response' as const),
    }),
  },
);

type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

class Simulation {
  readonly server: Server;
  readonly clients = new Map<string, Client>();

  constructor(assignor: string, counts: number[]) {
    this.server = new Server(assignor);
    for (const [i, topic] of topicNames.entries()) this.server.topicCounts.set(topic, counts[i] ?? 1);
  }

  run(next: Action): void {
    const client = 'who' in next ? this.clients.get(next.who) : undefined;
    if (next.kind === 'join') {
      if (!client) this.clients.set(next.who, begin(next.who, next.topics));
      if (!client) this.join(next.who, next.lost);
    } else if (next.kind === 'grow') {
      this.server.topicCounts.set(next.topic, this.server.topicCounts.get(next.topic)! + 1);
      this.server.changed();
    } else if (next.kind === 'target') this.server.computeTarget();
    else if (client) this.act(client, next);
  }

  private act(client: Client, next: Action): void {
    const member = this.server.group.members[client.id];
    if (next.kind === 'letGo') client.holds = fromTopicPartitions(client.assignment);
    else if (next.kind === 'heartbeat') this.heartbeat(client.id, next.lost);
    else if (next.kind === 'leave') {
      this.clients.delete(client.id);
      if (member) this.server.remove(client.id);
    } else if (next.kind === 'restart') {
      this.clients.set(client.id, begin(client.id, client.topics));
    } else if (next.kind === 'expire') {
      // Its session ended, or it did not release in time. What it still holds it may not commit any more.
      if (member) this.server.remove(client.id);
    } else if (next.kind === 'subscribe' && member) {
      client.topics = next.topics;
      member.topics = next.topics;
      this.server.changed();
    }
  }

  private join(id: string, lost: boolean): void {
    const client = this.clients.get(id)!;
    const response = this.server.join(id, client.topics);
    if (!lost) take(client, response);
  }

  heartbeat(id: string, lost: 'nothing' | 'request' | 'response'): void {
    const client = this.clients.get(id)!;
    if (client.epoch === 0) {
      this.join(id, lost !== 'nothing');
      return;
    }
    if (!this.server.group.members[id]) {
      this.clients.set(id, begin(id, client.topics)); // UNKNOWN_MEMBER: it drops everything and joins next time
      return;
    }
    if (lost === 'request') return;
    const response = this.server.heartbeat(id, client.epoch, toTopicPartitions(client.holds));
    if (lost === 'nothing') take(client, response);
  }

  /** What must hold after every step; gives what is broken. */
  broken(): string | undefined {
    const { group } = this.server;
    const taken = new Map<string, string>();
    for (const member of Object.values(group.members)) {
      const { memberId, state, assigned, pendingRevocation } = member;
      if ((state === 'unrevoked') !== pendingRevocation.length > 0) return `${memberId} is ${state}`;
      if (member.memberEpoch > group.targetEpoch) return `${memberId} is ahead of the target`;
      for (const { topic, partitions, epochs } of [...assigned, ...pendingRevocation]) {
        if (partitions.length === 0 || partitions.length !== epochs.length) return `${memberId} has ${topic} wrongly`;
        if (epochs.some((epoch) => epoch > member.memberEpoch || epoch < 2)) return `${memberId} has a wrong epoch`;
        for (const partition of partitions) {
          const other = taken.get(`${topic}-${partition}`);
          if (other) return `${topic}-${partition} is with ${other} and with ${memberId}`;
          taken.set(`${topic}-${partition}`, memberId);
        }
      }
    }
    for (const client of this.clients.values()) {
      const member = group.members[client.id];
      if (!member) continue;
      for (const [topic, partitions] of client.holds) {
        for (const partition of partitions) {
          if (taken.get(`${topic}-${partition}`) !== client.id)
            return `${client.id} uses ${topic}-${partition} unknown`;
          checkCommitEpoch(member, client.epoch, [{ topic, partition }]);
        }
      }
    }
    return undefined;
  }

  settled(): boolean {
    const { group } = this.server;
    const name = groupStateName(group);
    if (name === 'empty') return true;
    return (
      name === 'stable' &&
      Object.values(group.members).every(
        (member) => JSON.stringify(assignmentOf(member)) === JSON.stringify(group.target[member.memberId]),
      )
    );
  }
}

function begin(id: string, topics: string[]): Client {
  return { id, epoch: 0, topics, assignment: [], holds: new Map() };
}

function take(client: Client, { epoch, assignment }: MemberResult): void {
  client.epoch = epoch;
  client.assignment = assignment;
  const both = fromTopicPartitions([...toTopicPartitions(client.holds), ...assignment]);
  client.holds = new Map([...both].map(([topic, partitions]) => [topic, [...new Set(partitions)]]));
}

const lives = fc.record({
  assignor: fc.constantFrom(...assignorNames),
  counts: fc.array(fc.nat({ max: 5 }), { minLength: 3, maxLength: 3 }),
  actions: fc.array(action, { maxLength: 80, size: 'max' }),
});

t.test('no two members ever have the same partition, and no correct member is fenced', async (t) => {
  fc.assert(
    fc.property(lives, ({ assignor, counts, actions }) => {
      const simulation = new Simulation(assignor, counts);
      for (const next of actions) {
        simulation.run(next); // an epoch that is refused throws
        const broken = simulation.broken();
        if (broken) throw new Error(`after ${JSON.stringify(next)}: ${broken}`);
      }
    }),
    { numRuns: 600 },
  );
  t.ok(true);
});

t.test('if members continue to send heartbeats, all reach the target', async (t) => {
  let mostRounds = 0;
  fc.assert(
    fc.property(lives, ({ assignor, counts, actions }) => {
      const simulation = new Simulation(assignor, counts);
      for (const next of actions) simulation.run(next);
      // Members whose clients are gone, or have begun anew elsewhere, end with their sessions.
      for (const id of Object.keys(simulation.server.group.members)) {
        if (!simulation.clients.has(id)) simulation.server.remove(id);
      }
      let rounds = 0;
      do {
        if (++rounds > 8) throw new Error('it does not settle');
        for (const [id] of simulation.clients) {
          simulation.heartbeat(id, 'nothing');
          const client = simulation.clients.get(id)!;
          client.holds = fromTopicPartitions(client.assignment);
          const broken = simulation.broken();
          if (broken) throw new Error(broken);
        }
      } while (!simulation.settled());
      mostRounds = Math.max(mostRounds, rounds);

      // The target itself is whole: each partition of a topic that somebody wants is in use by exactly one client.
      const wanted = new Set(Object.values(simulation.server.group.members).flatMap((member) => member.topics));
      const used = [...simulation.clients.values()].flatMap((client) => toTopicPartitions(client.holds));
      for (const [topic, count] of simulation.server.topicCounts) {
        const partitions = used.filter((entry) => entry.topic === topic).flatMap((entry) => entry.partitions);
        const expected = wanted.has(topic) ? Array.from({ length: count }, (_, i) => i) : [];
        if (JSON.stringify(partitions.sort((a, b) => a - b)) !== JSON.stringify(expected)) {
          throw new Error(`${topic} is used as ${partitions}`);
        }
      }
    }),
    { numRuns: 600 },
  );
  t.ok(mostRounds > 2, `it took ${mostRounds} rounds at most`);
});

t.test('a delayed heartbeat releases nothing', async (t) => {
  const server = new Server('uniform');
  server.topicCounts.set('a', 2);
  server.join('m0', ['a']);
  const m0 = server.heartbeat('m0', 2, [{ topic: 'a', partitions: [0, 1] }]);
  t.same(m0, { epoch: 2, assignment: [{ topic: 'a', partitions: [0, 1] }] });
  server.topicCounts.set('a', 3);
  server.changed();
  t.same(server.heartbeat('m0', 2, [{ topic: 'a', partitions: [0, 1] }]).assignment, [
    { topic: 'a', partitions: [0, 1, 2] },
  ]);
  t.same(server.join('m1', ['a']), { epoch: 4, assignment: [] });

  // This one was sent before m0 got partition 2, which it uses now: the words that it has 0 and 1 only are no release.
  t.same(server.heartbeat('m0', 2, [{ topic: 'a', partitions: [0, 1] }]).epoch, 3);
  t.same(server.heartbeat('m1', 4, []).assignment, [], 'partition 2 is still with m0');

  t.same(server.heartbeat('m0', 3, [{ topic: 'a', partitions: [0, 1, 2] }]).assignment, [
    { topic: 'a', partitions: [0, 1] },
  ]);
  t.same(server.heartbeat('m1', 4, []).assignment, [], 'asked back is not let go');
  t.same(server.heartbeat('m0', 3, [{ topic: 'a', partitions: [0, 1] }]).epoch, 4);
  t.same(server.heartbeat('m1', 4, []).assignment, [{ topic: 'a', partitions: [2] }]);
});
