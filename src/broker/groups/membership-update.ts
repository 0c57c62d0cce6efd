// Applies membership requests (joins, heartbeats, releases, leaves) to a group document, several in one update. Each request
// fails or succeeds by itself; the group state manager commits the update and returns a result for each request.
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
import { type TopicsView, unknownTopics } from '../../core/groups/group-topics.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Caller, KnownPartition, PartitionPosition, Refusal, Renewal } from '../../store/groups/groups.ts';
import type { IdempotencyKey, ResponseToStore } from '../../store/idempotency.ts';
import { checkPartitionRoom, checkRoom } from './group-limits.ts';
import { type CommittedUpdate, type GroupUpdate, renewalOf } from './group-update.ts';
import { type TopicSources, topicsViewOf } from './topics-view.ts';

/** Returns the partitions whose positions the result contains, given the group and the member after the update. */
export type RequestedPartitions = (document: GroupDocument, member: GroupMember) => readonly KnownPartition[];

/** What the response to a join is about. */
export interface JoinedMember {
  member: GroupMember;
  /** Of the topics that the join names, those that do not exist. */
  unknownTopics: string[];
}

/** A request of one member. */
export interface MembershipRequest {
  /** Called at each attempt, so that it includes what a member on a socket has released meanwhile. */
  change(): MemberChange;
  /** Whether the commit renews the member's session. Default: true for joins and heartbeats. */
  renews?: boolean;
  positionsToRead?: RequestedPartitions;
  /** The idempotency key, and the response to store for repeats of the request. */
  stored?: (IdempotencyKey & { response(joined: JoinedMember): string }) | undefined;
}

export interface MembershipResult {
  zxid: number;
  /** The member after the update; undefined if it left for good, or if the response is replayed. */
  member: GroupMember | undefined;
  /** As JoinedMember, after a join; else empty. */
  unknownTopics: string[];
  /** The member's new call epoch after a join; else 0. */
  callEpoch: number;
  /** Of the partitions that `positionsToRead` returned, in their order. */
  positions: PartitionPosition[];
  /** The stored response of an earlier request with the same Idempotency-Key; then nothing else is set. */
  replayed?: string;
}

/** A request in the next document, before the commit. */
interface AppliedRequest {
  member: GroupMember | undefined;
  unknownTopics: string[];
  change: MemberChange;
  positionsToRead: readonly KnownPartition[];
}

/** In the order of the requests; an error stands for a request that is left out of the update. */
export type AppliedRequests = (AppliedRequest | ServiceError)[];

/**
 * Applies requests to a document. Requests that fail are left out and do not stop the others.
 * @param isNewest whether the document is not older than the call
 * @throws ServiceError the first error of a request, unless `isNewest`: it may be due to the old document alone
 */
export async function applyRequests(
  sources: TopicSources,
  group: string,
  requests: readonly MembershipRequest[],
  document: GroupDocument | undefined,
  isNewest: boolean,
): Promise<GroupUpdate<AppliedRequests>> {
  const entries = requests.map((request) => ({ request, change: request.change() }));
  const changes = entries.map(({ change }) => change);
  const joins = changes.flatMap((change) => (change.kind === 'join' ? [change.request] : []));
  const before = document ?? emptyGroup();
  const full = checkRoom(group, before, joins);
  const admitted = joins.filter((join) => !full.has(join));
  const subscriptions = admitted.map(({ subscription }) => subscription);
  const view = admitted.length > 0 ? await topicsViewOf(sources, before, subscriptions) : undefined;
  const overLimit = view && checkPartitionRoom(group, before, admitted, view);
  const refusals = changes.map((change) => {
    if (change.kind !== 'join') return document ? undefined : unknownGroup(group);
    return full.get(change.request) ?? overLimit?.get(change.request);
  });
  const { group: next, errors } = applyChanges(
    before,
    changes.filter((_, index) => !refusals[index]),
    view,
  );
  const remaining = errors.values();
  const applied = entries.map(({ request, change }, index): AppliedRequest | ServiceError => {
    return refusals[index] ?? remaining.next().value ?? appliedRequest(next, change, request, view);
  });
  const failed = applied.find((one) => one instanceof ServiceError);
  if (failed && !isNewest) throw failed;
  return updateOf(group, before, next, requests, applied);
}

/** @returns an error if another request of the same update replaced the member */
function appliedRequest(
  group: GroupDocument,
  change: MemberChange,
  { positionsToRead }: MembershipRequest,
  view: TopicsView | undefined,
): AppliedRequest | ServiceError {
  const memberId = change.kind === 'join' ? change.request.memberId : change.memberId;
  try {
    const current = getOwn(group.members, memberId);
    const member = current || change.kind === 'leave' ? current : memberOf(group, memberId);
    return {
      member,
      unknownTopics: view && change.kind === 'join' ? unknownTopics(change.request.subscription, view) : [],
      change,
      positionsToRead: (member && positionsToRead?.(group, member)) ?? [],
    };
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

/** The update for the requests that were applied. */
function updateOf(
  group: string,
  before: GroupDocument,
  next: GroupDocument,
  requests: readonly MembershipRequest[],
  applied: AppliedRequests,
): GroupUpdate<AppliedRequests> {
  const sessionsToRenew: Renewal[] = [];
  const positionsToClear: TopicPartition[] = [];
  const raiseCallEpochs: string[] = [];
  const currentCalls: Caller[] = [];
  const responses: ResponseToStore[] = [];
  const timersToCancel: string[] = [];
  const positionsToRead: KnownPartition[] = [];
  let isNoop = true;
  let allowOom = true;
  for (const [index, { renews, stored }] of requests.entries()) {
    const one = applied[index];
    if (!one || one instanceof ServiceError) continue;
    const { member, change } = one;
    isNoop = false;
    const caller = callerOf(change);
    if (caller) currentCalls.push(caller);
    const store = (response: string) => stored && responses.push({ idempotencyKey: stored, response });
    if (change.kind === 'leave') store('');
    if (!member) continue;
    const { memberId } = member;
    const earlier = getOwn(before.members, memberId);
    // A new session needs no renewal.
    const isRenewed = renews ?? change.kind !== 'consume';
    if (isRenewed && earlier?.sessionId === member.sessionId) sessionsToRenew.push(renewalOf(member));
    positionsToRead.push(...one.positionsToRead);
    if (change.kind !== 'join') continue;
    allowOom = false;
    // Earlier consume calls and sockets of the member must not act for it any more.
    raiseCallEpochs.push(memberId);
    if (earlier) {
      // Records of earlier responses may be lost, so the member reads on from the committed offsets. It is not known whether
      // it will make consume calls, so their timer stops.
      positionsToClear.push(...heldBy(earlier));
      timersToCancel.push(pollTimerName(group, memberId));
    }
    if (stored) store(stored.response({ member, unknownTopics: one.unknownTopics }));
  }
  const commit: GroupUpdate<AppliedRequests>['commit'] = {
    allowOom,
    sessionsToRenew,
    positionsToClear,
    raiseCallEpochs,
    currentCalls,
    responses,
    timersToCancel,
    positionsToRead,
  };
  return { document: next, isNoop, commit, result: applied };
}

/** The call epoch that a change must have for the store to accept it; undefined for one that needs none. */
function callerOf(change: MemberChange): Caller | undefined {
  if (change.kind !== 'consume' && change.kind !== 'leave') return undefined;
  return change.callEpoch === undefined ? undefined : { memberId: change.memberId, callEpoch: change.callEpoch };
}

/** The results of requests that were committed, in the order of the requests. */
export function resultsOf({
  zxid,
  result: applied,
  raisedCallEpochs,
  positions,
}: CommittedUpdate<AppliedRequests>): (MembershipResult | ServiceError)[] {
  const callEpochs = raisedCallEpochs.values();
  let at = 0;
  return applied.map((one) => {
    if (one instanceof ServiceError) return one;
    const { member, unknownTopics, change, positionsToRead } = one;
    const callEpoch = (member && change.kind === 'join' && callEpochs.next().value) || 0;
    const ownPositions = positions.slice(at, at + positionsToRead.length);
    at += positionsToRead.length;
    return { zxid, member, unknownTopics, callEpoch, positions: ownPositions };
  });
}

/** The result of a request that the store refused; undefined if it refused the update because of other requests. */
export function refusedResult(
  { change, stored }: MembershipRequest,
  { superseded, responses }: Refusal,
): MembershipResult | ServiceError | undefined {
  const caller = callerOf(change());
  const isSuperseded = superseded.some(
    ({ memberId, callEpoch }) => memberId === caller?.memberId && callEpoch === caller.callEpoch,
  );
  if (caller && isSuperseded) return memberSuperseded(caller.memberId);
  const earlier = stored && responses.get(stored.key);
  if (earlier === undefined || earlier instanceof ServiceError) return earlier;
  return { zxid: 0, member: undefined, unknownTopics: [], callEpoch: 0, positions: [], replayed: earlier };
}
