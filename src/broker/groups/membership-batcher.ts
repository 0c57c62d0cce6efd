// What members ask for while others do: joins, heartbeats, releases and leaves of one group that come in while one commit
// is under way are decided together and are the next one. So a thousand members that join at once are a few rebalances, not
// a thousand, and the document, however large, is written a few times.
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  emptyGroup,
  type GroupDocument,
  type GroupMember,
  getOwn,
  heldBy,
  memberOf,
  memberSuperseded,
  type TopicPartition,
  unknownGroup,
} from '../../core/groups/group-document.ts';
import { pollTimerName } from '../../core/groups/group-nodes.ts';
import { applyChanges, type MemberChange } from '../../core/groups/group-state.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { Caller, KnownPartition, PartitionPosition, Refusal, Renewal } from '../../store/groups/groups.ts';
import type { IdempotencyKey, ResponseToStore } from '../../store/idempotency.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { TopicCache } from '../metadata/topic-cache.ts';
import { checkPartitionRoom, checkRoom } from './group-limits.ts';
import type { GroupMetrics } from './group-metrics.ts';
import type { ComputeUpdate, GroupStateManager, GroupUpdate } from './group-state-manager.ts';
import { topicsViewOf } from './topics-view.ts';

/** Which partitions the outcome tells the positions of, given the group and the member as they are to be. */
export type RequestedPartitions = (document: GroupDocument, member: GroupMember) => readonly KnownPartition[];

/** What is asked for one member. */
export interface MembershipRequest {
  /** Asked for at each attempt to decide: what a member has let go of meanwhile counts. */
  change(): MemberChange;
  /** Whether the member's session has its full time from here on; that of who joins or sends a heartbeat has in any case. */
  renews?: boolean;
  wanted?: RequestedPartitions;
  /** What is kept for the request's repetition: the key, and what the answer to the member as it is to be says. */
  kept?: (IdempotencyKey & { answer(member: GroupMember): string }) | undefined;
}

/** The member as it is after what was asked for; undefined if it left for good, or if the answer is a kept one. */
export interface MembershipResult {
  zxid: number;
  member: GroupMember | undefined;
  /** If it joined: its newest consume call is the one of this number. */
  callEpoch: number;
  /** Those of `wanted`. */
  positions: PartitionPosition[];
  /** The answer that an earlier request with the same Idempotency-Key got. */
  replayed?: string;
}

interface Submitted {
  request: MembershipRequest;
  resolve(outcome: MembershipResult): void;
  reject(error: unknown): void;
}

/** What comes of one of the requests that are decided together. */
type Result =
  | ServiceError
  | { member: GroupMember | undefined; change: MemberChange; wanted: readonly KnownPartition[] };

/** What one commit takes at most, so that it does not hold up the store. */
const changesAtOnce = 1000;

export class MembershipBatcher {
  readonly #states: GroupStateManager;
  readonly #sources: { namespace: Namespace; topics: TopicCache };
  readonly #waiting = new Map<string, Submitted[]>();

  readonly #metrics: Pick<GroupMetrics, 'refused'>;

  constructor(
    states: GroupStateManager,
    sources: { namespace: Namespace; topics: TopicCache },
    metrics: Pick<GroupMetrics, 'refused'>,
  ) {
    this.#metrics = metrics;
    this.#states = states;
    this.#sources = sources;
  }

  /**
   * Does it with whatever else is asked of the group.
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, FENCED_MEMBER_EPOCH,
   *   UNSUPPORTED_ASSIGNOR, BAD_REQUEST, TOO_LARGE; MEMBER_SUPERSEDED if the request's call is not the newest, IDEMPOTENCY_KEY_REUSED
   */
  submit(group: string, request: MembershipRequest): Promise<MembershipResult> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(group);
      const asked = { request, resolve, reject };
      if (waiting) {
        waiting.push(asked);
        return;
      }
      this.#waiting.set(group, [asked]);
      void this.#decideSoon(group);
    });
  }

  /**
   * Does a heartbeat that is thought to change nothing, at once and by itself. @returns undefined if it does change
   * something, and nothing was done: ask() then does it
   */
  async tryUnchanged(
    group: string,
    request: MembershipRequest,
  ): Promise<{ zxid: number; member: GroupMember } | undefined> {
    const quick = await this.#states.tryUnchanged(group, this.#decide(group, [request]));
    const [result] = quick?.result ?? [];
    if (!quick || !result || result instanceof ServiceError || !result.member) return undefined;
    return { zxid: quick.zxid, member: result.member };
  }

  /** A decision over several requests; its result has what comes of each at its place. */
  #decide(group: string, requests: readonly MembershipRequest[]): ComputeUpdate<Result[]> {
    return async (document, isNewest) => {
      const changes = requests.map((request) => request.change());
      const joins = changes.flatMap((change) => (change.kind === 'join' ? [change.request] : []));
      const before = document ?? emptyGroup();
      const full = checkRoom(group, before, joins);
      const refused = changes.map((change) =>
        change.kind === 'join' ? full.get(change.request) : document ? undefined : unknownGroup(group),
      );
      const roomy = joins.filter((join) => !full.has(join));
      const subscriptions = roomy.map(({ subscription }) => subscription);
      const view = roomy.length > 0 ? await topicsViewOf(this.#sources, before, subscriptions) : undefined;
      if (view) {
        const tooMany = checkPartitionRoom(group, before, roomy, view);
        for (const [index, change] of changes.entries()) {
          if (change.kind === 'join') refused[index] ??= tooMany.get(change.request);
        }
      }
      const open = changes.filter((_, index) => !refused[index]);
      const { group: next, errors } = applyChanges(before, open, view);
      const judged = errors.values();
      const results = changes.map((change, index): Result => {
        const error = refused[index] ?? judged.next().value;
        return error ?? resultOf(next, change, requests[index]!);
      });
      const failed = results.find((result) => result instanceof ServiceError);
      if (failed && !isNewest) throw failed;
      return commitOf(group, before, next, requests, results);
    };
  }

  async #decideSoon(group: string): Promise<void> {
    let taken: Submitted[] = [];
    // Immediates run once all requests that have come in were looked at.
    await nextTurn();
    const decide: ComputeUpdate<Result[]> = (document, isNewest) => {
      if (taken.length === 0) taken = this.#take(group);
      const requests = taken.map(({ request }) => request);
      return this.#decide(group, requests)(document, isNewest);
    };
    try {
      do {
        const { zxid, result, raisedCallEpochs, positions, refused } = await this.#states.update(group, decide, true);
        if (refused) taken = withoutRefused(taken, refused);
        else {
          for (const one of result) if (hasCode(one, 'TOO_LARGE')) this.#metrics.refused.inc();
          settle(taken, result, { zxid, raisedCallEpochs, positions });
          return;
        }
      } while (taken.length > 0);
    } catch (error) {
      this.#fail(group, taken.length > 0 ? taken : this.#take(group), error);
    }
  }

  /** The next of those that wait; the rest are decided after them. */
  #take(group: string): Submitted[] {
    const waiting = this.#waiting.get(group) ?? [];
    this.#waiting.delete(group);
    const keys = new Set<string>();
    const later: Submitted[] = [];
    const taken = waiting.filter((asked, index) => {
      const { key } = asked.request.kept ?? {};
      // The repetition of a request that is about to be decided gets its answer, once that is kept.
      const isNow = index < changesAtOnce && (key === undefined || !keys.has(key));
      if (key !== undefined) keys.add(key);
      if (!isNow) later.push(asked);
      return isNow;
    });
    if (later.length > 0) {
      this.#waiting.set(group, later);
      void this.#decideSoon(group);
    }
    return taken;
  }

  #fail(group: string, taken: Submitted[], error: unknown): void {
    const joins = taken.filter(({ request }) => request.change().kind === 'join');
    // Only for those who join there is no room; the others keep the group going.
    const isTheirs = hasCode(error, 'STORE_FULL') && joins.length < taken.length;
    for (const { reject } of isTheirs ? joins : taken) reject(error);
    if (!isTheirs) return;
    for (const asked of taken) {
      if (!joins.includes(asked)) this.submit(group, asked.request).then(asked.resolve, asked.reject);
    }
  }
}

/** The member as it is then; undefined or away if it left; the error if another took its place in the same step. */
function resultOf(group: GroupDocument, change: MemberChange, { wanted }: MembershipRequest): Result {
  const memberId = change.kind === 'join' ? change.request.memberId : change.memberId;
  try {
    const known = getOwn(group.members, memberId);
    const member = known || change.kind === 'leave' ? known : memberOf(group, memberId);
    return { member, change, wanted: (member && wanted?.(group, member)) ?? [] };
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

/** What is committed for those requests that can be done. */
function commitOf(
  group: string,
  before: GroupDocument,
  next: GroupDocument,
  requests: readonly MembershipRequest[],
  results: Result[],
): GroupUpdate<Result[]> {
  const renew: Renewal[] = [];
  const forget: TopicPartition[] = [];
  const raiseCallEpochs: string[] = [];
  const callers: Caller[] = [];
  const responses: ResponseToStore[] = [];
  const cancel: string[] = [];
  const wanted: KnownPartition[] = [];
  let isIdle = true;
  let allowOom = true;
  for (const [index, result] of results.entries()) {
    if (result instanceof ServiceError) continue;
    const { renews, kept } = requests[index]!;
    const { member, change } = result;
    isIdle = false;
    const caller = callerOf(change);
    if (caller) callers.push(caller);
    if (kept && change.kind === 'leave') responses.push({ idempotencyKey: kept, response: '' });
    if (!member) continue;
    const { memberId, sessionId, sessionTimeoutMs } = member;
    const known = getOwn(before.members, memberId);
    // A session that begins with this has its time from it.
    const isRenewed = renews ?? change.kind !== 'consume';
    if (isRenewed && known?.sessionId === sessionId) renew.push({ sessionId, ttlMs: sessionTimeoutMs });
    wanted.push(...result.wanted);
    if (change.kind !== 'join') continue;
    allowOom = false;
    // Whoever has spoken for it until now, in a consume call or on a socket, does so no more.
    raiseCallEpochs.push(memberId);
    // What a member that begins anew was given before may be lost: it goes on from what is committed. Whether it will
    // make consume calls is not known.
    if (known) {
      forget.push(...heldBy(known));
      cancel.push(pollTimerName(group, memberId));
    }
    if (kept) responses.push({ idempotencyKey: kept, response: kept.answer(member) });
  }
  const commit = { allowOom, renew, forget, raiseCallEpochs, callers, responses, cancel, wanted };
  return { document: next, isNoop: isIdle, commit, result: results };
}

/** Who says that it speaks for the member: nothing is done if another has begun to. */
function callerOf(change: MemberChange): Caller | undefined {
  if (change.kind !== 'consume' && change.kind !== 'leave') return undefined;
  return change.callEpoch === undefined ? undefined : { memberId: change.memberId, callEpoch: change.callEpoch };
}

/** Tells each what has come of its request. */
function settle(
  taken: readonly Submitted[],
  results: readonly Result[],
  committed: { zxid: number; raisedCallEpochs: readonly number[]; positions: readonly PartitionPosition[] },
): void {
  const callEpochs = committed.raisedCallEpochs.values();
  let at = 0;
  for (const [index, { resolve, reject }] of taken.entries()) {
    const result = results[index]!;
    if (result instanceof ServiceError) {
      reject(result);
      continue;
    }
    const { member, change, wanted } = result;
    const callEpoch = member && change.kind === 'join' ? callEpochs.next().value! : 0;
    const positions = committed.positions.slice(at, at + wanted.length);
    at += wanted.length;
    resolve({ zxid: committed.zxid, member, callEpoch, positions });
  }
}

/** Answers those for whom nothing can be done. @returns the others: nothing has been done for them yet */
function withoutRefused(taken: readonly Submitted[], { superseded: callers, answered }: Refusal): Submitted[] {
  return taken.filter(({ request, resolve, reject }) => {
    const caller = callerOf(request.change());
    const isOld = callers.some((old) => old.memberId === caller?.memberId && old.callEpoch === caller.callEpoch);
    const answer = request.kept && answered.get(request.kept.key);
    if (caller && isOld) reject(memberSuperseded(caller.memberId));
    else if (answer instanceof ServiceError) reject(answer);
    else if (answer !== undefined)
      resolve({ zxid: 0, member: undefined, callEpoch: 0, positions: [], replayed: answer });
    else return true;
    return false;
  });
}
