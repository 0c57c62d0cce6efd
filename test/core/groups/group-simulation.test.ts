import fc from 'fast-check';
import t from 'tap';
import type { TopicPartitions } from '../../../src/core/groups/assignors/assignor.ts';
import {
  eachPartition,
  emptyGroup,
  type GroupDocument,
  heldBy,
  memberOf,
} from '../../../src/core/groups/group-document.ts';
import { changesBetween, type GroupChanges } from '../../../src/core/groups/group-nodes.ts';
import { applyChanges, expire, fence, type MemberChange, updateTopics } from '../../../src/core/groups/group-state.ts';
import { assignmentOf } from '../../../src/core/groups/member-reconciliation.ts';
import { request, topicsViewOf } from '../../helpers/group-documents.ts';

/** WEIR_MODEL_RUNS=100000 searches for longer. */
const runs = Number(process.env.WEIR_MODEL_RUNS ?? 2000);

/** The state of a client: it uses its assignment, and releases what a later one does not contain. */
interface Client {
  epoch: number;
  uses: Set<string>;
}

/** What one client asks for. */
type Ask =
  | { kind: 'join'; who: number; topics: string[]; instance: boolean }
  | { kind: 'beat'; who: number; isLost: boolean; letsGo: boolean }
  | { kind: 'consume' | 'leave'; who: number };

type Step =
  /** What is decided together. */
  | { kind: 'asked'; asks: Ask[] }
  | { kind: 'expire' | 'fence'; who: number }
  | { kind: 'topics'; counts: Record<string, number>; made: number };

const names = ['t1', 't2', 't3'];
const who = fc.nat(4);
const ask: fc.Arbitrary<Ask> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('join' as const),
      who,
      topics: fc.subarray(names, { minLength: 1 }),
      instance: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('beat' as const), who, isLost: fc.boolean(), letsGo: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('consume' as const, 'leave' as const), who }) },
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('asked' as const),
        asks: fc.oneof(fc.array(ask, { minLength: 1, maxLength: 1 }), fc.array(ask, { minLength: 2, maxLength: 6 })),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('expire' as const, 'fence' as const), who }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('topics' as const),
        counts: fc.record({ t1: fc.nat(4), t2: fc.nat(3) }),
        made: fc.nat(3),
      }),
    },
  ),
  { maxLength: 60 },
);

/** What may befall those who ask together: others were faster in the same step. */
const refusals = ['UNKNOWN_MEMBER', 'FENCED_INSTANCE_ID', 'UNRELEASED_INSTANCE_ID', 'FENCED_MEMBER_EPOCH'];

class World {
  group = emptyGroup();
  view = topicsViewOf({ t1: 3, t2: 2, t3: 1 });
  readonly clients = new Map<string, Client>();
  /** The tree below the group as the changes make it: path → data. */
  readonly nodes = new Map<string, string>();
  readonly sessions = new Set<string>();
  readonly timers = new Set<string>();

  run(step: Step): void {
    if (step.kind === 'topics') {
      const counts = Object.fromEntries(Object.entries(step.counts).filter(([, count]) => count > 0));
      this.view = topicsViewOf({ ...counts, t3: 1 }, { t1: `t1-${step.made}` });
      this.commit(updateTopics(this.group, this.view));
      return;
    }
    if (step.kind === 'asked') {
      this.decide(step.asks);
      return;
    }
    const memberId = `m${step.who}`;
    if (!this.clients.has(memberId) || !Object.hasOwn(this.group.members, memberId)) return;
    switch (step.kind) {
      case 'expire': {
        const { sessionId } = memberOf(this.group, memberId);
        for (const at of heldBy(memberOf(this.group, memberId))) this.nodes.delete(owner(at.topic, at.partition));
        this.nodes.delete(`/consumers/g/ids/${memberId}`);
        this.sessions.delete(sessionId);
        const living = new Set(Object.keys(this.group.members).filter((id) => id !== memberId));
        this.commit(expire(this.group, living), new Set([memberId]));
        return;
      }
      case 'fence':
        this.commit(fence(this.group, [{ memberId, memberEpoch: memberOf(this.group, memberId).memberEpoch }]));
    }
  }

  /** Applies the requests of the clients in one update, and delivers the responses. */
  decide(asks: readonly Ask[]): void {
    const asked = asks.flatMap((one) => {
      const change = this.changeOf(one);
      return change ? [{ one, change }] : [];
    });
    const changes = asked.map(({ change }) => change);
    const { group, errors } = applyChanges(this.group, changes, this.view);
    this.commit(group);
    for (const [index, { one }] of asked.entries()) {
      const memberId = `m${one.who}`;
      const error = errors[index];
      if (error && !refusals.some((code) => error.code === code)) throw error;
      if (!Object.hasOwn(group.members, memberId) || (error && one.kind === 'join')) continue;
      // Who is refused releases everything and joins again.
      if (error) this.decide([{ kind: 'join', who: one.who, topics: ['t1'], instance: false }]);
      else if (one.kind === 'join') this.tell(memberId, true);
      else if (one.kind === 'consume') this.tell(memberId, false);
      else if (one.kind === 'beat' && !one.isLost) this.tell(memberId, one.letsGo);
    }
  }

  changeOf(one: Ask): MemberChange | undefined {
    const memberId = `m${one.who}`;
    if (one.kind === 'join') {
      const instanceId = one.instance ? { instanceId: `i${one.who % 2}` } : {};
      return { kind: 'join', request: request(memberId, { topics: one.topics }, instanceId) };
    }
    const client = this.clients.get(memberId);
    if (!client) return undefined;
    switch (one.kind) {
      case 'beat':
        return { kind: 'heartbeat', memberId, memberEpoch: client.epoch, owned: toList(client.uses) };
      case 'consume':
        // It releases all but what the same step says of it besides.
        client.uses = new Set();
        return { kind: 'consume', memberId, owned: [] };
      case 'leave':
        return { kind: 'leave', memberId, isTemporary: false };
    }
  }

  /** The client receives the newest response, and releases what is not in it, at once or some time later. */
  tell(memberId: string, letsGo: boolean): void {
    const member = memberOf(this.group, memberId);
    const received = new Set(
      eachPartition(assignmentOf(member)).map(({ topic, partition }) => `${topic} ${partition}`),
    );
    const before = this.clients.get(memberId)?.uses ?? new Set();
    this.clients.set(memberId, {
      epoch: member.memberEpoch,
      uses: letsGo ? received : new Set([...received, ...before]),
    });
  }

  commit(next: GroupDocument, expired: ReadonlySet<string> = new Set()): void {
    const before = this.group;
    this.apply(changesBetween('g', before, next, expired, 0));
    this.group = next;
    for (const memberId of this.clients.keys()) {
      if (!Object.hasOwn(next.members, memberId)) this.clients.delete(memberId);
    }
    // Nobody can use a partition that is gone, whatever he believes.
    for (const client of this.clients.values()) {
      for (const at of client.uses) {
        const [topic, partition] = at.split(' ');
        const [old, now] = [before.topics[topic!], next.topics[topic!]];
        if (!now || now.topicId !== old?.topicId || Number(partition) >= now.partitionCount) client.uses.delete(at);
      }
    }
  }

  apply(changes: GroupChanges): void {
    for (const { id } of changes.sessionsCreated) this.sessions.add(id);
    for (const { topic, partition } of eachPartition(changes.ownersRemoved)) {
      if (!this.nodes.delete(owner(topic, partition))) throw new Error(`${topic} ${partition} has no owner to remove`);
    }
    for (const change of changes.nodes) {
      const exists = this.nodes.has(change.path);
      if (exists === (change.op === 'create')) throw new Error(`${change.op} ${change.path}`);
      if (change.op === 'create' && !this.sessions.has(change.sessionId)) throw new Error(`${change.path}: no session`);
      if (change.op === 'delete') this.nodes.delete(change.path);
      else this.nodes.set(change.path, change.data);
    }
    for (const { memberId, sessionId, ...list } of changes.ownersAdded) {
      for (const { topic, partition } of eachPartition([list])) {
        const path = owner(topic, partition);
        if (this.nodes.has(path) || !this.sessions.has(sessionId)) throw new Error(`${path} cannot be ${memberId}'s`);
        this.nodes.set(path, memberId);
      }
    }
    for (const id of changes.sessionsEnded) {
      if (!this.sessions.delete(id)) throw new Error(`Session ${id} is ended and was not there`);
    }
    for (const name of changes.timersCancelled) this.timers.delete(name);
    for (const { name } of changes.timersSet) this.timers.add(name);
  }

  /** What must hold after each step. */
  problems(): string[] {
    const problems: string[] = [];
    const members = Object.values(this.group.members);
    const held = new Map<string, string>();
    for (const member of members) {
      for (const { topic, partition } of heldBy(member)) {
        const at = `${topic} ${partition}`;
        if (held.has(at)) problems.push(`${at} is held by ${held.get(at)} and ${member.memberId}`);
        held.set(at, member.memberId);
        if (this.nodes.get(owner(topic, partition)) !== member.memberId) problems.push(`owner of ${at}`);
      }
      if (!this.sessions.has(member.sessionId)) problems.push(`${member.memberId} has no session`);
      if ((member.state === 'unrevoked') !== member.pendingRevocation.length > 0) problems.push('state and pending');
      const timer = `g\0${member.memberId}\0${member.memberEpoch}`;
      if (member.state === 'unrevoked' && !this.timers.has(timer)) problems.push(`${member.memberId} has no timer`);
    }
    const unrevoked = members.filter(({ state }) => state === 'unrevoked').length;
    if (this.timers.size !== unrevoked) problems.push(`${this.timers.size} timers for ${unrevoked} members`);
    const owners = [...this.nodes.keys()].filter((path) => path.includes('/owners/'));
    if (owners.length !== held.size) problems.push(`${owners.length} owner nodes for ${held.size} partitions`);
    if (this.sessions.size !== members.length) problems.push(`${this.sessions.size} sessions`);
    for (const [memberId, { uses }] of this.clients) {
      for (const at of uses) if (held.get(at) !== memberId) problems.push(`${memberId} uses ${at} of ${held.get(at)}`);
    }
    if (this.group.targetEpoch !== this.group.groupEpoch) problems.push('the target lags behind');
    return problems;
  }
}

function owner(topic: string, partition: number): string {
  return `/consumers/g/owners/${topic}/${partition}`;
}

function toList(uses: ReadonlySet<string>): TopicPartitions[] {
  return [...uses].map((at) => {
    const [topic, partition] = at.split(' ');
    return { topic: topic!, partitions: [Number(partition)] };
  });
}

function checkHistory(history: Step[]): void {
  const world = new World();
  for (const step of history) {
    world.run(step);
    const problems = world.problems();
    if (problems.length > 0) throw new Error(`${JSON.stringify(step)}: ${problems.join('; ')}`);
  }
  // When nothing more happens, everybody soon has what the target says.
  for (let round = 0; round < 4; round += 1) {
    for (const memberId of [...world.clients.keys()])
      world.decide([{ kind: 'beat', who: Number(memberId.slice(1)), isLost: false, letsGo: true }]);
  }
  const { members, target, targetEpoch, topics } = world.group;
  const given = new Set<string>();
  for (const member of Object.values(members)) {
    const isThere = member.state === 'stable' && member.memberEpoch === targetEpoch;
    if (!isThere || JSON.stringify(assignmentOf(member)) !== JSON.stringify(target[member.memberId])) {
      throw new Error(`${member.memberId} does not arrive: ${JSON.stringify(world.group)}`);
    }
    for (const { topic, partition } of heldBy(member)) {
      if (!member.topics.includes(topic)) throw new Error(`${member.memberId} has ${topic}, and did not ask for it`);
      given.add(`${topic} ${partition}`);
    }
  }
  for (const topic of new Set(Object.values(members).flatMap((member) => member.topics))) {
    for (let partition = 0; partition < (topics[topic]?.partitionCount ?? 0); partition += 1) {
      if (!given.has(`${topic} ${partition}`)) throw new Error(`Nobody has ${topic} ${partition}`);
    }
  }
}

t.test(
  'in any history no partition has two owners, the tree tells the truth, and all arrive where they shall',
  async (t) => {
    const result = fc.check(fc.property(steps, checkHistory), { numRuns: runs });
    t.equal(result.failed ? `${fc.defaultReportMessage(result)} ${result.errorInstance}` : '', '');
    t.equal(result.numRuns, runs);
  },
);
