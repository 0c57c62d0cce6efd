/**
 * Updates a group document: members join, send heartbeats, leave or expire, and topics change. Each function takes a document
 * and returns the next one; the same object if nothing changes. There is no clock and no store here: the caller commits the
 * result with the version it has read, or computes it again.
 *
 * A change that needs another target computes it at once, and the group is reconciled in the same update
 * (group-reconciliation.ts).
 */

import { ServiceError } from '../service-error.ts';
import type { TopicPartitions } from './assignors/assignor.ts';
import { type GroupDocument, getOwn, memberSuperseded } from './group-document.ts';
import { admit, type JoinRequest, leave, MembershipDraft } from './group-membership.ts';
import { hasReachedTarget, reconcileGroup, withRaisedEpoch } from './group-reconciliation.ts';
import { refreshTopics, rememberFormer, type TopicsView } from './group-topics.ts';
import { checkMemberEpoch } from './member-reconciliation.ts';
import type { MemberCredential } from './member-secret.ts';

export type { JoinRequest } from './group-membership.ts';

/** A change of one member. */
export type MemberChange =
  | { kind: 'join'; request: JoinRequest }
  /** The member is at `memberEpoch` and reports `owned`; undefined = it does not report. */
  | {
      kind: 'heartbeat';
      memberId: string;
      memberEpoch: number;
      owned: TopicPartitions[] | undefined;
      credential?: MemberCredential;
    }
  /**
   * A broker reports for a member that it serves right now: the member has `owned`, and has processed all else that it got.
   * `callEpoch`: of the consume call or socket, which must be the newest of the member.
   */
  | { kind: 'consume'; memberId: string; owned: TopicPartitions[]; callEpoch?: number }
  /** `isTemporary`: a static member that will come back keeps its partitions until its session ends. `callEpoch` as above. */
  | {
      kind: 'leave';
      memberId: string;
      isTemporary: boolean;
      callEpoch?: number | undefined;
      credential?: MemberCredential;
    };

/**
 * Applies changes in their order, as one update: the target is computed once, so a thousand joins are one rebalance. A change
 * that fails is left out, and its error is at its place in `errors`. The caller checks call epochs, except for a change behind
 * a join of its member.
 * @param view required if there are joins
 */
export function applyChanges(
  group: GroupDocument,
  changes: readonly MemberChange[],
  view?: TopicsView,
): { group: GroupDocument; errors: (ServiceError | undefined)[] } {
  const membership = new MembershipDraft(group);
  const joined = new Set<string>();
  const errors = changes.map((change) => {
    try {
      if (change.kind === 'join') {
        admit(membership, change.request);
        joined.add(change.request.memberId);
        return undefined;
      }
      if ('callEpoch' in change && change.callEpoch !== undefined && joined.has(change.memberId))
        return memberSuperseded(change.memberId);
      if (change.kind === 'leave') {
        leave(membership, change.memberId, change.isTemporary, change.credential);
      } else if (change.kind === 'consume') {
        membership.report(membership.memberOf(change.memberId).memberId, change.owned);
      } else {
        applyHeartbeat(membership, change);
      }
      return undefined;
    } catch (error) {
      if (error instanceof ServiceError) return error;
      throw error;
    }
  });
  const changed = membership.document();
  const { reports } = membership;
  if (changed === group && reports.size === 0) return { group, errors };
  const settled = reconcileGroup(joined.size > 0 && view ? refreshTopics(changed, view, group) : changed, reports);
  return { group: rememberFormer(group, withJoinsAcknowledged(settled, joined)), errors };
}

/** The response to a join contains the newest epoch and assignment. */
function withJoinsAcknowledged(group: GroupDocument, joined: ReadonlySet<string>): GroupDocument {
  const members = [...joined].flatMap((memberId) => getOwn(group.members, memberId) ?? []);
  if (members.every(({ memberEpoch, previousMemberEpoch }) => memberEpoch === previousMemberEpoch)) return group;
  const next = new MembershipDraft(group);
  for (const member of members) next.put({ ...member, previousMemberEpoch: member.memberEpoch });
  return next.document();
}

/** @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED, FENCED_MEMBER_EPOCH */
function applyHeartbeat(
  membership: MembershipDraft,
  { memberId, memberEpoch: epoch, owned, credential }: Extract<MemberChange, { kind: 'heartbeat' }>,
): void {
  const member = membership.memberOf(memberId, credential);
  // A member that does not know yet that a topic is deleted may claim its partitions: no other member can have them.
  const claimed = owned && presentPartitions(membership.before, owned);
  const isBehind = epoch >= member.previousMemberEpoch && epoch < member.memberEpoch && epoch > 0;
  // A member with an older epoch that claims nothing has only missed the last response.
  if (isBehind && claimed === undefined) return;
  switch (checkMemberEpoch(isBehind ? { ...member, previousMemberEpoch: epoch } : member, epoch, claimed)) {
    case 'previous':
      return;
    case 'rejoin':
      membership.report(memberId, undefined);
      return;
    case 'current':
      // Not recorded for a member that has its whole assignment: else each member of a large group would cause one more write
      // of the document after each rebalance. So it may send older epochs for longer, which is harmless.
      if (member.previousMemberEpoch !== epoch && !hasReachedTarget(membership.before, memberId)) {
        membership.put({ ...member, previousMemberEpoch: epoch });
      }
      membership.report(memberId, claimed);
  }
}

/** A single join, as applyChanges(). @throws ServiceError UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID */
export function join(group: GroupDocument, request: JoinRequest, view: TopicsView): GroupDocument {
  return singleResult(applyChanges(group, [{ kind: 'join', request }], view));
}

/** A single heartbeat, as applyChanges(). @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH */
export function heartbeat(
  group: GroupDocument,
  memberId: string,
  memberEpoch: number,
  owned: TopicPartitions[] | undefined,
): GroupDocument {
  return singleResult(applyChanges(group, [{ kind: 'heartbeat', memberId, memberEpoch, owned }]));
}

function singleResult({ group, errors: [error] }: ReturnType<typeof applyChanges>): GroupDocument {
  if (error) throw error;
  return group;
}

/**
 * A consume call of a member. It states that all records returned before are processed, so partitions that the member must
 * release are free from here on, except `owned`, which a member on a socket may still be using. It needs no epoch: the broker
 * acts for a member that it serves right now.
 * @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID
 */
export function consume(group: GroupDocument, memberId: string, owned: TopicPartitions[] = []): GroupDocument {
  return singleResult(applyChanges(group, [{ kind: 'consume', memberId, owned }]));
}

/** Removes members that were fenced or have expired. Unknown ids are ignored. */
export function remove(group: GroupDocument, memberIds: readonly string[]): GroupDocument {
  const removed = new Set(memberIds.filter((memberId) => getOwn(group.members, memberId)));
  if (removed.size === 0) return group;
  const withoutRemoved = <T>(record: Record<string, T>) =>
    Object.fromEntries(Object.entries(record).filter(([memberId]) => !removed.has(memberId)));
  return rememberFormer(
    group,
    reconcileGroup(
      withRaisedEpoch({ ...group, members: withoutRemoved(group.members), target: withoutRemoved(group.target) }),
    ),
  );
}

/** Removes the members that are not in `living`, as their session has ended. */
export function expire(group: GroupDocument, living: ReadonlySet<string>): GroupDocument {
  return remove(
    group,
    Object.keys(group.members).filter((memberId) => !living.has(memberId)),
  );
}

/** A member whose rebalance timeout is over. */
export interface OverdueMember {
  memberId: string;
  /** The epoch at which it was told to release partitions; undefined = it has made no consume call for too long. */
  memberEpoch: number | undefined;
}

/**
 * Removes members that did not release partitions within their rebalance timeout, and those that make no consume calls, though
 * heartbeats may arrive. Members that have moved on meanwhile stay.
 */
export function fence(group: GroupDocument, overdue: readonly OverdueMember[]): GroupDocument {
  const late = overdue.filter(({ memberId, memberEpoch }) => {
    const member = getOwn(group.members, memberId);
    if (memberEpoch === undefined) return member && !member.isAway;
    return member?.state === 'unrevoked' && member.memberEpoch === memberEpoch;
  });
  return remove(
    group,
    late.map(({ memberId }) => memberId),
  );
}

/** Updates the group after topics were created or deleted, or have got more partitions. */
export function updateTopics(group: GroupDocument, view: TopicsView): GroupDocument {
  const refreshed = refreshTopics(group, view);
  return refreshed === group ? group : reconcileGroup(refreshed);
}

function presentPartitions(group: GroupDocument, list: readonly TopicPartitions[]): TopicPartitions[] {
  return list.map(({ topic, partitions }) => {
    const partitionCount = getOwn(group.topics, topic)?.partitionCount ?? 0;
    return { topic, partitions: partitions.filter((partition) => partition < partitionCount) };
  });
}
