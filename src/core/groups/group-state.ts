/**
 * The updates of a group document: members join, send heartbeats, leave or expire, and topics change. Each function takes a
 * document and returns the next one, or the same object if nothing changes. The functions use no clock and no store. The caller
 * commits the result by compare-and-set, and calls the function again after a version conflict.
 *
 * If a change needs a new target, the same update computes it and reconciles the group (group-reconciliation.ts).
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
  /** The member sends `memberEpoch` and the partitions it owns; `owned` undefined = it does not report them. */
  | {
      kind: 'heartbeat';
      memberId: string;
      memberEpoch: number;
      owned: TopicPartitions[] | undefined;
      credential?: MemberCredential;
    }
  /**
   * A report by the broker that serves the member: the member still uses `owned`, and has processed the records of all other
   * partitions. `callEpoch` is that of the consume call or socket, which must be the member's newest.
   */
  | { kind: 'consume'; memberId: string; owned: TopicPartitions[]; callEpoch?: number }
  /** `isTemporary`: a static member leaves and keeps its partitions until its session ends. `callEpoch` as above. */
  | {
      kind: 'leave';
      memberId: string;
      isTemporary: boolean;
      callEpoch?: number | undefined;
      credential?: MemberCredential;
    };

/**
 * Applies changes in order, as one update: the target is computed once, so a thousand joins cause one rebalance. A change that
 * fails is skipped, and its error has the same index in `errors`. The caller checks call epochs. Only a change that follows a
 * join of its member in the same list is refused here, as the join supersedes it.
 * @param view the existing topics; required if there are joins
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

/** Marks the epochs of members that have joined as known to them, as the response to a join contains the newest epoch. */
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
  // A member may still report partitions of a deleted topic. They are ignored: no other member can have them.
  const claimed = owned && presentPartitions(membership.before, owned);
  const isBehind = epoch >= member.previousMemberEpoch && epoch < member.memberEpoch && epoch > 0;
  // A member that sends an older epoch and reports no partitions has only missed the last response.
  if (isBehind && claimed === undefined) return;
  switch (checkMemberEpoch(isBehind ? { ...member, previousMemberEpoch: epoch } : member, epoch, claimed)) {
    case 'previous':
      return;
    case 'rejoin':
      membership.report(memberId, undefined);
      return;
    case 'current':
      // The epoch is not recorded for a member that has its whole assignment, as that would cause one more write of the
      // document per member after each rebalance. Older epochs of such a member stay valid for longer, which is harmless.
      if (member.previousMemberEpoch !== epoch && !hasReachedTarget(membership.before, memberId)) {
        membership.put({ ...member, previousMemberEpoch: epoch });
      }
      membership.report(memberId, claimed);
  }
}

/** Applies a single join with applyChanges(). @throws ServiceError UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID */
export function join(group: GroupDocument, request: JoinRequest, view: TopicsView): GroupDocument {
  return singleResult(applyChanges(group, [{ kind: 'join', request }], view));
}

/** Applies a single heartbeat with applyChanges(). @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH */
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
 * Applies a consume call of a member. The call confirms that all records returned before are processed. So it releases the
 * partitions that the member must release, except `owned`, which a member on a socket may still be using. It needs no epoch, as
 * it comes from the broker that serves the member.
 * @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID
 */
export function consume(group: GroupDocument, memberId: string, owned: TopicPartitions[] = []): GroupDocument {
  return singleResult(applyChanges(group, [{ kind: 'consume', memberId, owned }]));
}

/** Removes members that were fenced or have expired; ignores unknown ids. */
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

/** Removes the members whose session has ended. @param living the ids of members whose session is alive */
export function expire(group: GroupDocument, living: ReadonlySet<string>): GroupDocument {
  return remove(
    group,
    Object.keys(group.members).filter((memberId) => !living.has(memberId)),
  );
}

/** A member that has exceeded its rebalance timeout. */
export interface OverdueMember {
  memberId: string;
  /** The epoch at which it had to release partitions; undefined = it has made no consume call within the timeout. */
  memberEpoch: number | undefined;
}

/**
 * Removes members that did not release partitions, or made no consume call, within their rebalance timeout, even if they send
 * heartbeats. Members that have released the partitions in the meantime stay.
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

/** Updates the group after topics were created, deleted or enlarged. */
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
