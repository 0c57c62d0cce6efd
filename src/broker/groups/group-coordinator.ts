// Consumer groups as one broker serves them: members join, are heard and leave; those whose session ends are taken out,
// those that do not let go in time are fenced, and changes of topics move partitions. Every broker does all of it for
// every group. Committed offsets are in group-offsets.ts, reading is in group-consumer.ts.

import { randomBytes, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { rebalanceTimeoutMsMin } from '../../../schemas/groups.ts';
import type { TopicPartitions } from '../../core/groups/assignors/assignor.ts';
import {
  checkEmpty,
  checkName,
  type GroupMember,
  getOwn,
  heartbeatIntervalMs,
  isEmpty,
  requireGroup,
} from '../../core/groups/group-document.ts';
import { groupsPath, parseTimerName } from '../../core/groups/group-nodes.ts';
import { hasReachedTarget } from '../../core/groups/group-reconciliation.ts';
import {
  fence,
  type JoinRequest,
  type MemberChange,
  type OverdueMember,
  updateTopics,
} from '../../core/groups/group-state.ts';
import { assignmentOf } from '../../core/groups/member-reconciliation.ts';
import type { MemberCredential } from '../../core/groups/member-secret.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Caller, Groups, PartitionPosition } from '../../store/groups/groups.ts';
import { hashMemberSecret, newMemberSecret } from '../../store/groups/member-secret.ts';
import type { IdempotencyKey } from '../../store/idempotency.ts';
import { openResponse, sealResponse } from '../../store/sealed-response.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';
import type { TopicCache } from '../metadata/topic-cache.ts';
import { PeriodicTask } from '../periodic-task.ts';
import type { EventTail } from '../watches/event-tail.ts';
import type { GroupMetrics } from './group-metrics.ts';
import { checkPattern } from './group-patterns.ts';
import type { GroupStateManager } from './group-state-manager.ts';
import { JoinDebouncer } from './join-debouncer.ts';
import { MembershipBatcher, type RequestedPartitions } from './membership-batcher.ts';
import { topicsViewOf } from './topics-view.ts';

/** What a client says when it joins: it need not choose an id, and gets its session here. */
export interface Join extends Omit<JoinRequest, 'memberId' | 'sessionId' | 'secretHash' | 'presentedSecretHash'> {
  memberId?: string | undefined;
}

/** What a member is told when it joins and at each heartbeat. */
export interface MemberResponse {
  memberId: string;
  memberEpoch: number;
  assignment: TopicPartitions[];
  heartbeatIntervalMs: number;
  sessionTimeoutMs: number;
}

/** The answer to a join over HTTP: with it alone goes the secret. */
export interface JoinResponse extends MemberResponse {
  memberSecret: string;
}

/** Kafka's bounds on what a member may ask for; the lower one of the session is configured. */
const sessionTimeoutMsMax = 30 * 60_000;
const rebalanceTimeoutMsMax = 60 * 60_000;

const sweepEveryMs = 1000;
const timersEveryMs = 250;
/** Who claims a timer acts on it within this time, or another does. */
const timerClaimMs = 5000;
const timersAtOnce = 100;
/** Changes of topics are heard of at once; this finds what was missed in a gap of the event stream. */
const topicsEveryMs = 60_000;
const groupsAtOnce = 1000;

export class GroupCoordinator {
  readonly #groups: Groups;
  readonly #states: GroupStateManager;
  readonly #requests: MembershipBatcher;
  readonly #debouncer = new JoinDebouncer();
  readonly #metrics: GroupMetrics;
  readonly #log: Logger;
  readonly #sources: { namespace: Namespace; topics: TopicCache };
  readonly #tail: EventTail;
  readonly #sessionMinTtlMs: number;
  readonly #sweeper: PeriodicTask;
  readonly #timers: PeriodicTask;
  readonly #topicsTask: PeriodicTask;
  /** Groups of which a member's node has gone. */
  readonly #toSweep = new Set<string>();
  readonly #unsubscribe: (() => void)[] = [];

  constructor(
    store: { groups: Groups; namespace: Namespace },
    states: GroupStateManager,
    topics: TopicCache,
    tail: EventTail,
    options: { sessionMinTtlMs: number },
    metrics: GroupMetrics,
    log: Logger,
  ) {
    this.#groups = store.groups;
    this.#states = states;
    this.#requests = new MembershipBatcher(states, { namespace: store.namespace, topics }, metrics);
    this.#metrics = metrics;
    this.#log = log;
    this.#sources = { namespace: store.namespace, topics };
    this.#tail = tail;
    this.#sessionMinTtlMs = options.sessionMinTtlMs;
    this.#sweeper = new PeriodicTask('sweep of groups', sweepEveryMs, () => this.#sweep(), log);
    this.#timers = new PeriodicTask('rebalance timers', timersEveryMs, () => this.#fenceOverdue(), log);
    this.#topicsTask = new PeriodicTask('topics of groups', topicsEveryMs, () => this.#refreshTopics(), log);
  }

  /** Begins to look after groups; tail and topics have been started. */
  start(): void {
    this.#unsubscribe.push(
      this.#tail.subscribe((batch) => this.#accept(batch)),
      this.#sources.topics.onChange(() => this.#topicsTask.trigger()),
    );
    for (const chore of [this.#sweeper, this.#timers, this.#topicsTask]) chore.start();
  }

  async stop(): Promise<void> {
    for (const stop of this.#unsubscribe) stop();
    await Promise.all([this.#sweeper.stop(), this.#timers.stop(), this.#topicsTask.stop()]);
  }

  /**
   * Adds a member, or lets it begin anew if it is one: as another incarnation, unless the caller presents its secret.
   * @throws ServiceError BAD_REQUEST, UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, TOO_LARGE,
   *   IDEMPOTENCY_KEY_REUSED; FORBIDDEN, MEMBER_SUPERSEDED for a secret that is not the member's
   */
  async join(
    group: string,
    join: Join,
    presented: string | undefined,
    idempotency?: IdempotencyKey,
  ): Promise<{ zxid: number; answer: JoinResponse; replayed: boolean }> {
    const fresh = newMemberSecret();
    const secretHash = hashMemberSecret(fresh);
    const presentedSecretHash = presented === undefined ? undefined : hashMemberSecret(presented);
    const request = { ...this.#joining(group, join), secretHash, presentedSecretHash };
    const answer = (member: GroupMember): JoinResponse => {
      const isFresh = member.secretHash === secretHash;
      return { ...memberResponse(member), memberSecret: isFresh ? fresh : presented! };
    };
    const kept = idempotency && {
      ...idempotency,
      answer: (member: GroupMember) => sealResponse(idempotency.key, JSON.stringify(answer(member))),
    };
    await this.#debounced(group);
    const { zxid, member, replayed } = await this.#requests.submit(group, {
      change: () => ({ kind: 'join', request }),
      kept,
    });
    if (replayed === undefined) return { zxid, answer: answer(member!), replayed: false };
    return { zxid, answer: JSON.parse(openResponse(idempotency!.key, replayed)) as JoinResponse, replayed: true };
  }

  /**
   * Adds a member that a broker serves, as join(). @returns `call` = whoever has this number speaks for it, until there is
   *   a newer one
   */
  async joinOverSocket(
    group: string,
    join: Join,
    wanted: RequestedPartitions,
  ): Promise<{ member: GroupMember; callEpoch: number; positions: PartitionPosition[] }> {
    const request = this.#joining(group, join);
    await this.#debounced(group);
    const { member, callEpoch, positions } = await this.#requests.submit(group, {
      change: () => ({ kind: 'join', request }),
      wanted,
    });
    return { member: member!, callEpoch, positions };
  }

  /**
   * Hears for a member that a broker serves what it may still be using, and tells what it has then.
   * @param served `owned` is asked for when it is decided; `renews` = the member has given a sign of life
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID; MEMBER_SUPERSEDED if the call is not the newest
   */
  async reportOwned(
    group: string,
    { memberId, callEpoch }: Caller,
    served: { owned(): TopicPartitions[]; renews: boolean; wanted: RequestedPartitions },
  ): Promise<{ member: GroupMember; positions: PartitionPosition[] }> {
    const { owned, renews, wanted } = served;
    const { member, positions } = await this.#requests.submit(group, {
      change: () => ({ kind: 'consume', memberId, owned: owned(), callEpoch }),
      renews,
      wanted,
    });
    return { member: member!, positions };
  }

  /** Waits for others that join, if the group is large, as far as this broker knows. */
  #debounced(group: string): Promise<void> {
    return this.#debouncer.wait(group, Object.keys(this.#states.cached(group)?.document?.members ?? {}).length);
  }

  /** What a client asks for, with the ids and within the limits that the service gives. */
  #joining(group: string, request: Join): JoinRequest {
    checkName('group', group);
    const memberId = request.memberId ?? randomUUID();
    checkName('memberId', memberId);
    if (request.instanceId !== undefined) checkName('instanceId', request.instanceId);
    if ('pattern' in request.subscription) checkPattern(request.subscription.pattern);
    const sessionTimeoutMs = Math.min(Math.max(request.sessionTimeoutMs, this.#sessionMinTtlMs), sessionTimeoutMsMax);
    const rebalanceTimeoutMs = Math.min(
      Math.max(request.rebalanceTimeoutMs, rebalanceTimeoutMsMin),
      rebalanceTimeoutMsMax,
    );
    const sessionId = randomBytes(8).toString('hex');
    return { ...request, memberId, sessionId, sessionTimeoutMs, rebalanceTimeoutMs };
  }

  /**
   * Keeps a member alive, hears what it has, and tells what it shall have.
   * @param owned undefined = it says nothing
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED, FENCED_MEMBER_EPOCH
   */
  async heartbeat(
    group: string,
    memberId: string,
    memberEpoch: number,
    owned: TopicPartitions[] | undefined,
    credential: MemberCredential,
  ): Promise<{ zxid: number; answer: MemberResponse }> {
    const change: MemberChange = { kind: 'heartbeat', memberId, memberEpoch, owned, credential };
    const remembered = this.#states.cached(group)?.document;
    if (remembered && hasReachedTarget(remembered, memberId)) {
      const quick = await this.#requests.tryUnchanged(group, { change: () => change });
      if (quick) return { zxid: quick.zxid, answer: memberResponse(quick.member) };
    }
    const { zxid, member } = await this.#requests.submit(group, { change: () => change });
    return { zxid, answer: memberResponse(member!) };
  }

  /**
   * Takes a member out.
   * @param how `isTemporary` = a static member that will be back under its instance id keeps its partitions until its
   *   session ends; `call` = only if that one speaks for the member
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID; BAD_REQUEST for a member without instance id;
   *   MEMBER_SUPERSEDED if the call is not the newest
   */
  async leave(
    group: string,
    memberId: string,
    how: {
      isTemporary?: boolean;
      callEpoch?: number;
      credential?: MemberCredential;
      idempotency?: IdempotencyKey | undefined;
    },
  ): Promise<{ zxid: number; replayed: boolean }> {
    const { isTemporary = false, callEpoch, credential, idempotency } = how;
    const change: MemberChange = { kind: 'leave', memberId, isTemporary, callEpoch, credential };
    const kept = idempotency && { ...idempotency, answer: () => '' };
    const { zxid, replayed } = await this.#requests.submit(group, { change: () => change, kept });
    return { zxid, replayed: replayed !== undefined };
  }

  /** Deletes a group with its committed offsets. @throws ServiceError UNKNOWN_GROUP, GROUP_NOT_EMPTY */
  async delete(group: string, idempotency?: IdempotencyKey): Promise<{ zxid: number; replayed: boolean }> {
    const responses = idempotency ? [{ idempotencyKey: idempotency, response: '' }] : [];
    const { zxid, refused } = await this.#states.update(group, (document) => {
      checkEmpty(group, requireGroup(group, document));
      return { document: 'delete', commit: { allowOom: true, responses }, result: undefined };
    });
    const earlier = idempotency && refused?.answered.get(idempotency.key);
    if (earlier instanceof ServiceError) throw earlier;
    return { zxid, replayed: earlier !== undefined };
  }

  #accept(batch: Transaction[]): void {
    const changed = new Set<string>();
    let isGone = false;
    for (const { events } of batch) {
      for (const { kind, path } of events) {
        if (!path.startsWith(`${groupsPath}/`)) continue;
        const [, , group, part, name] = path.split('/');
        if (name === undefined || (part !== 'ids' && part !== 'owners')) continue;
        changed.add(group!);
        if (part === 'ids' && kind === 'deleted') {
          this.#toSweep.add(group!);
          isGone = true;
        }
      }
    }
    for (const group of changed) this.#states.notifyChanged(group);
    if (isGone) this.#sweeper.trigger();
  }

  async #sweep(): Promise<void> {
    for (const group of [...this.#toSweep]) {
      // First out of the list: what happens from here on puts it there again.
      this.#toSweep.delete(group);
      try {
        await this.#states.sweep(group);
      } catch (error) {
        this.#toSweep.add(group);
        throw error;
      }
    }
  }

  /** Many members of one group are fenced in one step: others wait for what they have. */
  async #fenceOverdue(): Promise<void> {
    const due = new Map<string, (OverdueMember & { name: string })[]>();
    for (const name of await this.#groups.due(timerClaimMs, timersAtOnce)) {
      const { group, ...overdue } = parseTimerName(name);
      const known = due.get(group);
      if (known) known.push({ ...overdue, name });
      else due.set(group, [{ ...overdue, name }]);
    }
    for (const [group, overdue] of due) await this.#fence(group, overdue);
  }

  async #fence(group: string, overdue: readonly (OverdueMember & { name: string })[]): Promise<void> {
    const { result: fenced } = await this.#states.update(group, (document) => {
      const next = document && fence(document, overdue);
      const isOut = ({ memberId }: OverdueMember) =>
        getOwn(document?.members ?? {}, memberId) && !getOwn(next!.members, memberId);
      const commit = { allowOom: true, cancel: overdue.map(({ name }) => name) };
      return { document: next, commit, result: overdue.filter(isOut) };
    });
    for (const { memberId, memberEpoch } of fenced) {
      this.#metrics.fenced.inc();
      const why =
        memberEpoch === undefined
          ? 'A member was fenced: it made no consume call within its rebalance timeout'
          : 'A member was fenced: it did not let go of partitions within its rebalance timeout';
      this.#log.warn({ group, member: memberId }, why);
    }
  }

  async #refreshTopics(): Promise<void> {
    let after: string | undefined;
    do {
      const page = await this.#groups.versions(after, groupsAtOnce);
      for (const { group, version } of page.groups) {
        const document = await this.#states.readAtVersion(group, version);
        if (!document || isEmpty(document)) continue;
        if (updateTopics(document, await topicsViewOf(this.#sources, document)) === document) continue;
        await this.#states.update(group, async (current) => {
          const next = current && updateTopics(current, await topicsViewOf(this.#sources, current));
          return { document: next, isNoop: next === current, commit: { allowOom: true }, result: undefined };
        });
      }
      after = page.next;
    } while (after !== undefined);
  }
}

export function memberResponse(member: GroupMember): MemberResponse {
  return {
    memberId: member.memberId,
    memberEpoch: member.memberEpoch,
    assignment: assignmentOf(member),
    heartbeatIntervalMs: heartbeatIntervalMs(member.sessionTimeoutMs),
    sessionTimeoutMs: member.sessionTimeoutMs,
  };
}
