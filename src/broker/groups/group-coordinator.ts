// Serves the members of consumer groups on one broker: they join, send heartbeats and leave. It also removes members whose
// session has ended, fences members that miss their rebalance timeout, and updates assignments when topics change. Every
// broker does this for every group. Committed offsets are in offsets/, reading as a member is in consume/ and stream/.
import type { Logger } from 'pino';
import { joinResponse } from '../../../schemas/groups.ts';
import type { AccessControl } from '../../access/access-control.ts';
import type { TopicPartitions } from '../../core/groups/assignors/assignor.ts';
import {
  checkEmpty,
  type GroupMember,
  getOwn,
  heartbeatIntervalMs,
  isEmpty,
  requireGroup,
} from '../../core/groups/group-document.ts';
import { groupsPath, parseTimerName } from '../../core/groups/group-nodes.ts';
import { hasReachedTarget } from '../../core/groups/group-reconciliation.ts';
import { fence, type MemberChange, type OverdueMember, updateTopics } from '../../core/groups/group-state.ts';
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
import type { GroupStateManager } from './group-state-manager.ts';
import { JoinDebouncer } from './join-debouncer.ts';
import { type Join, joinRequestOf } from './join-request.ts';
import { MembershipBatcher } from './membership-batcher.ts';
import type { JoinedMember, MembershipResult, RequestedPartitions } from './membership-update.ts';
import { type TopicSources, topicsViewOf } from './topics-view.ts';

/** The response to a heartbeat, and the first frame on a socket. */
interface MemberResponse {
  memberId: string;
  memberEpoch: number;
  assignment: TopicPartitions[];
  heartbeatIntervalMs: number;
  sessionTimeoutMs: number;
}

/** The `joined` frame of a socket, without its type. */
export interface JoinedResponse extends MemberResponse {
  /** Of the topics that the join names, those that do not exist; set if there are any. */
  unknownTopics?: string[] | undefined;
}

/** The response to a join over HTTP, the only one that contains the secret. */
interface JoinResponse extends JoinedResponse {
  memberSecret: string;
}

const sweepEveryMs = 1000;
/** Timers are claimed when the session reaper finds one due; this is in case a claim has failed. */
const timersEveryMs = 5000;
/** A broker that claims a timer handles it within this time; else another broker may claim it. */
const timerClaimMs = 5000;
const timersPerClaim = 100;
/** Changes of topics are handled when their event arrives; this finds those whose events were missed. */
const topicsEveryMs = 60_000;
const groupsPerPage = 1000;

export class GroupCoordinator {
  readonly #groups: Groups;
  readonly #states: GroupStateManager;
  readonly #batcher: MembershipBatcher;
  readonly #debouncer = new JoinDebouncer();
  readonly #metrics: GroupMetrics;
  readonly #log: Logger;
  readonly #sources: TopicSources;
  readonly #access: AccessControl;
  readonly #tail: EventTail;
  readonly #sessionMinTtlMs: number;
  readonly #sweeper: PeriodicTask;
  readonly #timers: PeriodicTask;
  readonly #topicsTask: PeriodicTask;
  /** Groups in which the node of a member was deleted. */
  readonly #toSweep = new Set<string>();
  readonly #unsubscribe: (() => void)[] = [];

  constructor(
    store: { groups: Groups; namespace: Namespace },
    states: GroupStateManager,
    topics: TopicCache,
    tail: EventTail,
    options: { sessionMinTtlMs: number; access: AccessControl },
    metrics: GroupMetrics,
    log: Logger,
  ) {
    this.#groups = store.groups;
    this.#states = states;
    this.#access = options.access;
    this.#sources = {
      namespace: store.namespace,
      topics,
      mayRead: (identity, name) =>
        options.access.policy?.rightsOf(identity).allows('read', { kind: 'topics', name }) ?? true,
    };
    this.#batcher = new MembershipBatcher(states, this.#sources);
    this.#metrics = metrics;
    this.#log = log;
    this.#tail = tail;
    this.#sessionMinTtlMs = options.sessionMinTtlMs;
    this.#sweeper = new PeriodicTask('sweep of groups', sweepEveryMs, () => this.#sweep(), log);
    this.#timers = new PeriodicTask('rebalance timers', timersEveryMs, () => this.#fenceOverdue(), log);
    this.#topicsTask = new PeriodicTask('topics of groups', topicsEveryMs, () => this.#refreshTopics(), log);
  }

  /** Starts the periodic tasks. The event tail and the topic cache must be started before. */
  start(): void {
    this.#unsubscribe.push(
      this.#tail.subscribe((batch) => this.#onTransactions(batch)),
      this.#sources.topics.onChange(() => this.#topicsTask.trigger()),
      this.#access.onChange(() => this.#topicsTask.trigger()),
    );
    for (const task of [this.#sweeper, this.#timers, this.#topicsTask]) task.start();
  }

  async stop(): Promise<void> {
    for (const stop of this.#unsubscribe) stop();
    await Promise.all([this.#sweeper.stop(), this.#timers.stop(), this.#topicsTask.stop()]);
  }

  /**
   * Adds a member. A member id that is in the group already begins a new incarnation, unless the caller presents its secret.
   * @throws ServiceError BAD_REQUEST, UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, TOO_LARGE,
   *   IDEMPOTENCY_KEY_REUSED; FORBIDDEN, MEMBER_SUPERSEDED for a secret that is not the member's
   */
  async join(
    group: string,
    join: Join,
    presentedSecret: string | undefined,
    idempotency?: IdempotencyKey,
  ): Promise<{ zxid: number; response: JoinResponse; replayed: boolean }> {
    const newSecret = newMemberSecret();
    const secretHash = hashMemberSecret(newSecret);
    const presentedSecretHash = presentedSecret === undefined ? undefined : hashMemberSecret(presentedSecret);
    const request = { ...joinRequestOf(group, join, this.#sessionMinTtlMs), secretHash, presentedSecretHash };
    const responseOf = (joined: JoinedMember): JoinResponse => {
      const memberSecret = joined.member.secretHash === secretHash ? newSecret : (presentedSecret ?? '');
      return { ...joinedResponseOf(joined), memberSecret };
    };
    const stored = idempotency && {
      ...idempotency,
      response: (joined: JoinedMember) => sealResponse(idempotency.key, JSON.stringify(responseOf(joined))),
    };
    await this.#debounce(group);
    const change = (): MemberChange => ({ kind: 'join', request });
    const result = await this.#batcher.submit(group, { change, stored });
    if (!idempotency || result.replayed === undefined) {
      return { zxid: result.zxid, response: responseOf(joinedIn(result)), replayed: false };
    }
    const response = joinResponse.parse(JSON.parse(openResponse(idempotency.key, result.replayed)));
    return { zxid: result.zxid, response, replayed: true };
  }

  /**
   * Adds a member that is connected to this broker by a socket, as join(). @returns `callEpoch` = the socket acts for the member
   *   until there is a newer call epoch
   */
  async joinOverSocket(
    group: string,
    join: Join,
    positionsToRead: RequestedPartitions,
  ): Promise<JoinedMember & { callEpoch: number; positions: PartitionPosition[] }> {
    const request = joinRequestOf(group, join, this.#sessionMinTtlMs);
    await this.#debounce(group);
    const result = await this.#batcher.submit(group, { change: () => ({ kind: 'join', request }), positionsToRead });
    return { ...joinedIn(result), callEpoch: result.callEpoch, positions: result.positions };
  }

  /**
   * Reports which partitions a member on a socket may still be using, and returns the member after that.
   * @param report `owned` is called when the update is computed; `renews` = the peer has sent a pong
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID; MEMBER_SUPERSEDED if there is a newer call epoch
   */
  async reportOwned(
    group: string,
    { memberId, callEpoch }: Caller,
    {
      owned,
      renews,
      positionsToRead,
    }: { owned(): TopicPartitions[]; renews: boolean; positionsToRead: RequestedPartitions },
  ): Promise<{ member: GroupMember; positions: PartitionPosition[] }> {
    const change = (): MemberChange => ({ kind: 'consume', memberId, owned: owned(), callEpoch });
    const result = await this.#batcher.submit(group, { change, renews, positionsToRead });
    return { member: memberIn(result), positions: result.positions };
  }

  /** Waits for more joins if the group is large, as far as this broker knows. */
  #debounce(group: string): Promise<void> {
    return this.#debouncer.wait(group, Object.keys(this.#states.cached(group)?.document?.members ?? {}).length);
  }

  /**
   * Renews a member's session, takes what it says that it owns, and returns its assignment.
   * @param owned undefined = the member does not say
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED, FENCED_MEMBER_EPOCH
   */
  async heartbeat(
    group: string,
    memberId: string,
    memberEpoch: number,
    owned: TopicPartitions[] | undefined,
    credential: MemberCredential,
  ): Promise<{ zxid: number; response: MemberResponse }> {
    const heartbeat: MemberChange = { kind: 'heartbeat', memberId, memberEpoch, owned, credential };
    const change = () => heartbeat;
    const cached = this.#states.cached(group)?.document;
    if (cached && hasReachedTarget(cached, memberId)) {
      const unchanged = await this.#batcher.tryUnchanged(group, { change });
      if (unchanged) return { zxid: unchanged.zxid, response: memberResponseOf(unchanged.member) };
    }
    const result = await this.#batcher.submit(group, { change });
    return { zxid: result.zxid, response: memberResponseOf(memberIn(result)) };
  }

  /**
   * Removes a member.
   * @param options `isTemporary` = a static member that will come back under its instance id keeps its partitions until its
   *   session ends; `callEpoch` = only if that is the member's newest
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID; BAD_REQUEST for a member without instance id;
   *   MEMBER_SUPERSEDED if there is a newer call epoch
   */
  async leave(
    group: string,
    memberId: string,
    options: {
      isTemporary?: boolean;
      callEpoch?: number;
      credential?: MemberCredential;
      idempotency?: IdempotencyKey | undefined;
    },
  ): Promise<{ zxid: number; replayed: boolean }> {
    const { isTemporary = false, callEpoch, credential, idempotency } = options;
    const change = (): MemberChange => ({ kind: 'leave', memberId, isTemporary, callEpoch, credential });
    const stored = idempotency && { ...idempotency, response: () => '' };
    const { zxid, replayed } = await this.#batcher.submit(group, { change, stored });
    return { zxid, replayed: replayed !== undefined };
  }

  /** Deletes a group with its committed offsets. @throws ServiceError UNKNOWN_GROUP, GROUP_NOT_EMPTY */
  async delete(group: string, idempotency?: IdempotencyKey): Promise<{ zxid: number; replayed: boolean }> {
    const responses = idempotency ? [{ idempotencyKey: idempotency, response: '' }] : [];
    const { zxid, refused } = await this.#states.update(group, (document) => {
      checkEmpty(group, requireGroup(group, document));
      return { document: 'delete', commit: { allowOom: true, responses }, result: undefined };
    });
    const earlier = idempotency && refused?.responses.get(idempotency.key);
    if (earlier instanceof ServiceError) throw earlier;
    return { zxid, replayed: earlier !== undefined };
  }

  #onTransactions(batch: Transaction[]): void {
    const changed = new Set<string>();
    let isMemberDeleted = false;
    for (const { events } of batch) {
      for (const { kind, path } of events) {
        if (!path.startsWith(`${groupsPath}/`)) continue;
        const [, , group, part, name] = path.split('/');
        if (group === undefined || name === undefined || (part !== 'ids' && part !== 'owners')) continue;
        changed.add(group);
        if (part === 'ids' && kind === 'deleted') {
          this.#toSweep.add(group);
          isMemberDeleted = true;
        }
      }
    }
    for (const group of changed) this.#states.notifyChanged(group);
    if (isMemberDeleted) this.#sweeper.trigger();
  }

  /** Acts on the timers that are due. */
  timersDue(): void {
    this.#timers.trigger();
  }

  async #sweep(): Promise<void> {
    for (const group of [...this.#toSweep]) {
      // Removed first, so that a member that is deleted during the sweep adds the group again.
      this.#toSweep.delete(group);
      try {
        await this.#states.sweep(group);
      } catch (error) {
        this.#toSweep.add(group);
        throw error;
      }
    }
  }

  /** Fences the overdue members of each group in one update, as other members wait for their partitions. */
  async #fenceOverdue(): Promise<void> {
    const due = new Map<string, (OverdueMember & { name: string })[]>();
    for (const name of await this.#groups.claimDueTimers(timerClaimMs, timersPerClaim)) {
      const { group, ...overdue } = parseTimerName(name);
      const others = due.get(group);
      if (others) others.push({ ...overdue, name });
      else due.set(group, [{ ...overdue, name }]);
    }
    for (const [group, overdue] of due) await this.#fence(group, overdue);
  }

  async #fence(group: string, overdue: readonly (OverdueMember & { name: string })[]): Promise<void> {
    const { result: fenced } = await this.#states.update(group, (document) => {
      const next = document && fence(document, overdue);
      const isRemoved = ({ memberId }: OverdueMember) =>
        getOwn(document?.members ?? {}, memberId) && !getOwn(next?.members ?? {}, memberId);
      const commit = { allowOom: true, timersToCancel: overdue.map(({ name }) => name) };
      return { document: next, commit, result: overdue.filter(isRemoved) };
    });
    for (const { memberId, memberEpoch } of fenced) {
      this.#metrics.fenced.inc();
      const why =
        memberEpoch === undefined
          ? 'A member was fenced: it made no consume call within its rebalance timeout'
          : 'A member was fenced: it did not release partitions within its rebalance timeout';
      this.#log.warn({ group, member: memberId }, why);
    }
  }

  async #refreshTopics(): Promise<void> {
    let after: string | undefined;
    do {
      const page = await this.#groups.versions(after, groupsPerPage);
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

/** The member in the result of a request other than leave; the update throws if the member is not in the group. */
function memberIn({ member }: MembershipResult): GroupMember {
  if (member) return member;
  throw new Error('The result of a join, heartbeat or report has no member.');
}

function joinedIn(result: MembershipResult): JoinedMember {
  return { member: memberIn(result), unknownTopics: result.unknownTopics };
}

export function joinedResponseOf({ member, unknownTopics }: JoinedMember): JoinedResponse {
  return { ...memberResponseOf(member), ...(unknownTopics.length > 0 && { unknownTopics }) };
}

function memberResponseOf(member: GroupMember): MemberResponse {
  return {
    memberId: member.memberId,
    memberEpoch: member.memberEpoch,
    assignment: assignmentOf(member),
    heartbeatIntervalMs: heartbeatIntervalMs(member.sessionTimeoutMs),
    sessionTimeoutMs: member.sessionTimeoutMs,
  };
}
