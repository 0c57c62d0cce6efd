// Simulates a group in virtual time: brokers that update its document by compare-and-set, a network that delays, repeats and
// loses messages, and clients that retry through other brokers, hang, crash and return.
import type { TopicPartitions } from '../../src/core/groups/assignors/assignor.ts';
import {
  emptyGroup,
  type GroupDocument,
  type GroupMember,
  getOwn,
  heldBy,
  memberOf,
  memberSuperseded,
  type TopicPartition,
} from '../../src/core/groups/group-document.ts';
import { changesBetween } from '../../src/core/groups/group-nodes.ts';
import { applyChanges, expire, fence, type MemberChange, updateTopics } from '../../src/core/groups/group-state.ts';
import type { TopicsView } from '../../src/core/groups/group-topics.ts';
import { assignmentOf, checkCommitEpoch } from '../../src/core/groups/member-reconciliation.ts';
import { ServiceError } from '../../src/core/service-error.ts';
import { request, topicsViewOf } from './group-documents.ts';
import type { Random } from './random.ts';

export const sessionTimeoutMs = 3000;
export const rebalanceTimeoutMs = 4000;
export const heartbeatMs = 1000;

export interface MemberResult {
  memberEpoch: number;
  assignment: TopicPartitions[];
  member: GroupMember;
  topics: GroupDocument['topics'];
  /** The newest call epoch of the member; only members on sockets use it. */
  call: number;
}

/** A process that uses the partitions of its members. */
export interface LivingClient {
  memberId: string;
  readonly instanceId: string | undefined;
  readonly isDead: boolean;
  /** The partitions that it uses, by key. */
  readonly uses: ReadonlyMap<string, TopicPartition>;
  die(): void;
  stall(forMs: number): void;
  leave(isTemporary: boolean): void;
  subscribe(topics: string[]): void;
  /** No client can use a partition of a deleted topic, whatever its assignment. */
  lose(isGone: (at: TopicPartition) => boolean): void;
  /** The offset that it tries to commit; the group may refuse it. */
  commitAll(): void;
  /** The error if it uses `at` while another process has it; undefined if it was fenced and could not commit for it. */
  fenceProblem(at: TopicPartition): string | undefined;
}

export const keyOf = ({ topic, partition }: TopicPartition): string => `${topic} ${partition}`;

/** Events in virtual time, in order. */
export class Clock {
  now = 0;
  #queue: { at: number; seq: number; run: () => void }[] = [];
  #seq = 0;

  after(delayMs: number, run: () => void): void {
    this.#queue.push({ at: this.now + delayMs, seq: this.#seq++, run });
  }

  /** Runs the events until `end`, and `check` after each. */
  runUntil(end: number, check: () => void): void {
    for (;;) {
      let first = -1;
      for (const [i, { at, seq }] of this.#queue.entries()) {
        const best = this.#queue[first];
        if (!best || at < best.at || (at === best.at && seq < best.seq)) first = i;
      }
      const next = this.#queue[first];
      if (!next || next.at > end) break;
      this.#queue.splice(first, 1);
      this.now = next.at;
      next.run();
      check();
    }
    this.now = end;
  }
}

/** All brokers together: they apply each request to the newest document, alone or with others. */
export class Service {
  group = emptyGroup();
  view: TopicsView = topicsViewOf({ t1: 3, t2: 2 });
  /** `topic partition` → owner, by the changes so far. */
  readonly owners = new Map<string, string>();
  /** `topic partition` → the last commit and its process. */
  readonly commits = new Map<string, { offset: number; topicId: string }>();
  readonly #deadlines = new Map<string, number>();
  readonly #clock: Clock;
  readonly #random: Random;
  /** By member, the number of its newest join: only that may act for the member. */
  readonly calls = new Map<string, number>();
  #lastCall = 0;
  readonly #watchers: (() => void)[] = [];
  #waiting: { change: () => MemberChange; reply: (response: MemberResult | ServiceError) => void; renews: boolean }[] =
    [];

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    const reap = () => {
      this.#expire();
      clock.after(200, reap);
    };
    reap();
  }

  /** Requests that arrive at about the same time may be applied together. @param change called when it is applied */
  ask(change: () => MemberChange, reply: (response: MemberResult | ServiceError) => void, renews = true): void {
    this.#waiting.push({ change, reply, renews });
    if (this.#waiting.length === 1) this.#clock.after(this.#random.chance(0.5) ? 0 : 30, () => this.#decide());
  }

  /** Calls `wake` some time after each change. */
  watch(wake: () => void): void {
    this.#watchers.push(wake);
  }

  /** @throws ServiceError as GroupOffsets.commit */
  commit(memberId: string, memberEpoch: number, at: TopicPartition, offset: number): void {
    this.#expire();
    checkCommitEpoch(memberOf(this.group, memberId), memberEpoch, [at]);
    this.commits.set(keyOf(at), { offset, topicId: getOwn(this.group.topics, at.topic)!.topicId });
  }

  setTopics(view: TopicsView): void {
    this.view = view;
    this.#accept(updateTopics(this.group, view), new Set());
  }

  #decide(): void {
    this.#expire();
    // As the store refuses requests of an older call epoch, the others are applied without them.
    const asked = this.#waiting.flatMap((waiting) => {
      const change = waiting.change();
      const isOld =
        'callEpoch' in change && change.callEpoch !== undefined && change.callEpoch !== this.calls.get(change.memberId);
      if (isOld) waiting.reply(memberSuperseded(change.memberId));
      return isOld ? [] : [{ ...waiting, change }];
    });
    this.#waiting = [];
    const changes = asked.map(({ change }) => change);
    const before = this.group;
    const { group, errors } = applyChanges(before, changes, this.view);
    this.#accept(group, new Set());
    for (const [index, { change }] of asked.entries()) {
      if (change.kind === 'join' && !errors[index]) this.calls.set(change.request.memberId, ++this.#lastCall);
    }
    for (const [index, { change, reply, renews }] of asked.entries()) {
      const memberId = change.kind === 'join' ? change.request.memberId : change.memberId;
      const member = getOwn(this.group.members, memberId);
      const error = errors[index] ?? (member ? undefined : new ServiceError('UNKNOWN_MEMBER', 'It is no more.'));
      if (!error && renews) this.#deadlines.set(member!.sessionId, this.#clock.now + member!.sessionTimeoutMs);
      const call = this.calls.get(memberId) ?? 0;
      const { topics } = this.group;
      reply(
        error ?? { memberEpoch: member!.memberEpoch, assignment: assignmentOf(member!), member: member!, topics, call },
      );
    }
  }

  #expire(): void {
    const living = Object.values(this.group.members).filter(
      ({ sessionId }) => (this.#deadlines.get(sessionId) ?? 0) > this.#clock.now,
    );
    if (living.length === Object.keys(this.group.members).length) return;
    const ids = new Set(living.map(({ memberId }) => memberId));
    const expired = Object.values(this.group.members).filter(({ memberId }) => !ids.has(memberId));
    // The store deletes their nodes with their sessions.
    for (const member of expired) for (const at of heldBy(member)) this.owners.delete(keyOf(at));
    this.#accept(expire(this.group, ids), new Set(expired.map(({ memberId }) => memberId)));
  }

  #accept(next: GroupDocument, expired: ReadonlySet<string>): void {
    const before = this.group;
    if (next === before) return;
    const changes = changesBetween('g', before, next, expired, 0);
    for (const { topic, partitions } of changes.ownersRemoved) {
      for (const partition of partitions) {
        if (!this.owners.delete(keyOf({ topic, partition }))) throw new Error(`${topic} ${partition} had no owner`);
      }
    }
    for (const { memberId, topic, partitions } of changes.ownersAdded) {
      for (const partition of partitions) {
        const key = keyOf({ topic, partition });
        if (this.owners.has(key)) throw new Error(`${key} goes from ${this.owners.get(key)} to ${memberId}`);
        this.owners.set(key, memberId);
      }
    }
    for (const { id, ttlMs } of changes.sessionsCreated) this.#deadlines.set(id, this.#clock.now + ttlMs);
    for (const id of changes.sessionsEnded) this.#deadlines.delete(id);
    this.group = next;
    for (const memberId of changes.membersRemoved) this.calls.delete(memberId);
    for (const wake of this.#watchers) this.#clock.after(this.#random.below(100), wake);
    for (const { name, delayMs } of changes.timersSet) {
      const [, memberId, epoch] = name.split('\0');
      this.#clock.after(delayMs, () => {
        this.#accept(fence(this.group, [{ memberId: memberId!, memberEpoch: Number(epoch) }]), new Set());
      });
    }
  }
}

/** The behaviour of a client; each function is called for every request. */
export interface Faults {
  /** The probability that a message is lost or arrives twice. */
  lost: number;
  twice: number;
  /** The longest time for which a message is in flight. */
  delayMs: number;
}

/** One process of an application: it uses its assignment, and releases other partitions some time later. */
export class Client implements LivingClient {
  memberId: string;
  readonly instanceId: string | undefined;
  isDead = false;
  epoch = 0;
  topics: string[];
  /** The partitions that it uses, by key. */
  readonly uses = new Map<string, TopicPartition>();
  #assignment: TopicPartition[] = [];
  #attempt = 0;
  #stalledUntil = 0;
  #offset = 0;
  readonly #clock: Clock;
  readonly #service: Service;
  readonly #random: Random;
  readonly #faults: Faults;

  constructor(
    as: { memberId: string; instanceId?: string; topics: string[] },
    parts: { clock: Clock; service: Service; random: Random; faults: Faults },
  ) {
    this.memberId = as.memberId;
    this.instanceId = as.instanceId;
    this.topics = as.topics;
    this.#clock = parts.clock;
    this.#service = parts.service;
    this.#random = parts.random;
    this.#faults = parts.faults;
    this.#turn();
  }

  /** Ends the process; it uses no partition any more. */
  die(): void {
    this.isDead = true;
    this.uses.clear();
  }

  /** Makes the process hang: it neither sends nor releases anything, and then continues. */
  stall(forMs: number): void {
    this.#stalledUntil = this.#clock.now + forMs;
  }

  /** Leaves without waiting for the response. */
  leave(isTemporary: boolean): void {
    this.uses.clear();
    this.#send({ kind: 'leave', memberId: this.memberId, isTemporary }, () => undefined);
    this.die();
  }

  subscribe(topics: string[]): void {
    this.topics = topics;
    this.#begin();
  }

  lose(isGone: (at: TopicPartition) => boolean): void {
    for (const [key, at] of this.uses) if (isGone(at)) this.uses.delete(key);
    this.#assignment = this.#assignment.filter((at) => !isGone(at));
    this.#attempt += 1;
  }

  commitAll(): void {
    for (const at of this.uses.values()) {
      this.#offset += 1;
      try {
        this.#service.commit(this.memberId, this.epoch, at, this.#offset);
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
      }
    }
  }

  fenceProblem(at: TopicPartition): string | undefined {
    const { group } = this.#service;
    try {
      checkCommitEpoch(memberOf(group, this.memberId), this.epoch, [at]);
      return 'it might commit for it';
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
    }
    // A process that was not fenced must have the partitions that it uses.
    const member = getOwn(group.members, this.memberId);
    const isFenced = !member || member.isAway || this.epoch < member.previousMemberEpoch;
    return isFenced ? undefined : 'it was not fenced';
  }

  #turn(): void {
    if (this.isDead) return;
    if (this.#clock.now < this.#stalledUntil) {
      this.#clock.after(this.#stalledUntil - this.#clock.now, () => this.#turn());
      return;
    }
    this.#letGo();
    const attempt = ++this.#attempt;
    this.#send(this.#next(), (response) => {
      // Responses to abandoned attempts and second responses to the same request are ignored.
      if (this.isDead || attempt !== this.#attempt) return;
      this.#attempt += 1;
      this.#hear(response);
    });
    // No response, or the next heartbeat is due. It may go through any broker: all have the same document.
    this.#clock.after(heartbeatMs * this.#random.between(0.5, 1), () => this.#turn());
  }

  #next(): MemberChange {
    const { memberId, epoch: memberEpoch, instanceId } = this;
    if (memberEpoch > 0) return { kind: 'heartbeat', memberId, memberEpoch, owned: listOf(this.uses.values()) };
    const timeouts = { sessionTimeoutMs, rebalanceTimeoutMs };
    return { kind: 'join', request: request(memberId, { topics: this.topics }, { ...timeouts, instanceId }) };
  }

  #hear(response: MemberResult | ServiceError): void {
    if (response instanceof ServiceError) {
      if (response.code === 'FENCED_INSTANCE_ID' || response.code === 'UNRELEASED_INSTANCE_ID') this.die();
      else this.#begin();
      return;
    }
    this.epoch = response.memberEpoch;
    this.#assignment = response.assignment.flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    for (const at of this.#assignment) this.uses.set(keyOf(at), at);
  }

  /** Releases all partitions, and joins next. */
  #begin(): void {
    this.uses.clear();
    this.#assignment = [];
    this.epoch = 0;
    this.#attempt += 1;
  }

  /** Releases the partitions that are no longer in its assignment. */
  #letGo(): void {
    const received = new Set(this.#assignment.map(keyOf));
    for (const key of this.uses.keys()) if (!received.has(key) && this.#random.chance(0.6)) this.uses.delete(key);
  }

  #send(change: MemberChange, hear: (response: MemberResult | ServiceError) => void): void {
    const { lost, twice, delayMs } = this.#faults;
    const copies = this.#random.chance(twice) ? 2 : 1;
    for (let i = 0; i < copies; i += 1) {
      if (this.#random.chance(lost)) continue;
      this.#clock.after(this.#random.below(delayMs), () =>
        this.#service.ask(
          () => change,
          (response) => {
            if (!this.#random.chance(lost)) this.#clock.after(this.#random.below(delayMs), () => hear(response));
          },
        ),
      );
    }
  }
}

function listOf(held: Iterable<TopicPartition>): TopicPartitions[] {
  return [...held].map(({ topic, partition }) => ({ topic, partitions: [partition] }));
}
