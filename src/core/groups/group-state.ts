/**
 * How a group changes: members come, are heard, leave or are lost, and topics change. Each function takes the document
 * and gives the next one, the same object if nothing changes. There is no clock here and no store; who calls commits the
 * result with the version that it read, or decides anew over what is there instead.
 *
 * A change that calls for another target computes it at once, and the group is settled in the same step (group-reconciliation.ts).
 */

import { ServiceError } from '../service-error.ts';
import type { TopicPartitions } from './assignors/assignor.ts';
import { type GroupDocument, getOwn, memberSuperseded } from './group-document.ts';
import { admit, type JoinRequest, leave, Membership } from './group-membership.ts';
import { hasReachedTarget, reconcileGroup, withRaisedEpoch } from './group-reconciliation.ts';
import { refreshTopics, rememberFormer, type TopicsView } from './group-topics.ts';
import { checkMemberEpoch } from './member-reconciliation.ts';
import type { MemberCredential } from './member-secret.ts';

export type { JoinRequest } from './group-membership.ts';

/** What one member asks for. */
export type MemberChange =
  | { kind: 'join'; request: JoinRequest }
  /** It is at `memberEpoch` and says that it has `owned`; undefined = it says nothing of that. */
  | {
      kind: 'heartbeat';
      memberId: string;
      memberEpoch: number;
      owned: TopicPartitions[] | undefined;
      credential?: MemberCredential;
    }
  /**
   * A broker that serves it right now says it for it: it has `owned`, and all else that it was given is dealt with. `call` =
   * the consume call or socket that speaks for the member, until there is a newer one.
   */
  | { kind: 'consume'; memberId: string; owned: TopicPartitions[]; callEpoch?: number }
  /** `isTemporary`: a static member that will be back keeps its partitions until its session ends. `call` as above. */
  | {
      kind: 'leave';
      memberId: string;
      isTemporary: boolean;
      callEpoch?: number | undefined;
      credential?: MemberCredential;
    };

/**
 * What members ask for, one after the other, in one step: the target is computed once, so that a thousand who join at once
 * are one rebalance. What cannot be done is left out, and its error stands at its place in `errors`. Whether a call is the
 * member's newest is the caller's affair, but for what comes behind a join of that member.
 * @param view needed if any of them joins
 */
export function applyChanges(
  group: GroupDocument,
  changes: readonly MemberChange[],
  view?: TopicsView,
): { group: GroupDocument; errors: (ServiceError | undefined)[] } {
  const membership = new Membership(group);
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
        hear(membership, change);
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
  return { group: rememberFormer(group, told(settled, joined)), errors };
}

/** The answer to a join tells a member all that it has by then. */
function told(group: GroupDocument, joined: ReadonlySet<string>): GroupDocument {
  const members = [...joined].flatMap((memberId) => getOwn(group.members, memberId) ?? []);
  if (members.every(({ memberEpoch, previousMemberEpoch }) => memberEpoch === previousMemberEpoch)) return group;
  const next = new Membership(group);
  for (const member of members) next.put({ ...member, previousMemberEpoch: member.memberEpoch });
  return next.document();
}

/** @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED, FENCED_MEMBER_EPOCH */
function hear(
  membership: Membership,
  { memberId, memberEpoch: epoch, owned, credential }: Extract<MemberChange, { kind: 'heartbeat' }>,
): void {
  const member = membership.memberOf(memberId, credential);
  // Who has not heard yet that a topic is gone claims what nobody can have any more: that is no offence.
  const claimed = owned && presentPartitions(membership.before, owned);
  const isBehind = epoch >= member.previousMemberEpoch && epoch < member.memberEpoch && epoch > 0;
  // Who is behind and claims nothing only wants the answer that it has missed.
  if (isBehind && claimed === undefined) return;
  switch (checkMemberEpoch(isBehind ? { ...member, previousMemberEpoch: epoch } : member, epoch, claimed)) {
    case 'previous':
      return;
    case 'rejoin':
      membership.report(memberId, undefined);
      return;
    case 'current':
      // Of who has arrived it is not noted, or else each member of a large group would have the document written once
      // more after each rebalance. So it may send older epochs for longer, and is told the newest again: that is harmless.
      if (member.previousMemberEpoch !== epoch && !hasReachedTarget(membership.before, memberId)) {
        membership.put({ ...member, previousMemberEpoch: epoch });
      }
      membership.report(memberId, claimed);
  }
}

/** One that joins, as applyChanges(). @throws ServiceError UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID */
export function join(group: GroupDocument, request: JoinRequest, view: TopicsView): GroupDocument {
  return only(applyChanges(group, [{ kind: 'join', request }], view));
}

/** One that is heard, as applyChanges(). @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH */
export function heartbeat(
  group: GroupDocument,
  memberId: string,
  memberEpoch: number,
  owned: TopicPartitions[] | undefined,
): GroupDocument {
  return only(applyChanges(group, [{ kind: 'heartbeat', memberId, memberEpoch, owned }]));
}

function only({ group, errors: [error] }: ReturnType<typeof applyChanges>): GroupDocument {
  if (error) throw error;
  return group;
}

/**
 * A consume call of a member. It says that all records given out before are dealt with, so whatever the member was asked
 * to let go of is free from here on; but for `owned`, which a member on a socket may still be using. No epoch goes with
 * it: the broker speaks for a member that it serves right now.
 * @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID
 */
export function consume(group: GroupDocument, memberId: string, owned: TopicPartitions[] = []): GroupDocument {
  return only(applyChanges(group, [{ kind: 'consume', memberId, owned }]));
}

/** Takes members out: they were fenced, or their sessions have ended. Unknown ones are passed over. */
export function remove(group: GroupDocument, memberIds: readonly string[]): GroupDocument {
  const going = new Set(memberIds.filter((memberId) => getOwn(group.members, memberId)));
  if (going.size === 0) return group;
  const stay = <T>(record: Record<string, T>) =>
    Object.fromEntries(Object.entries(record).filter(([memberId]) => !going.has(memberId)));
  return rememberFormer(
    group,
    reconcileGroup(withRaisedEpoch({ ...group, members: stay(group.members), target: stay(group.target) })),
  );
}

/** Takes out the members whose session has ended, given those whose session lives. */
export function expire(group: GroupDocument, living: ReadonlySet<string>): GroupDocument {
  return remove(
    group,
    Object.keys(group.members).filter((memberId) => !living.has(memberId)),
  );
}

/** A member whose time is over. */
export interface OverdueMember {
  memberId: string;
  /** The epoch at which it was asked to let go of something; undefined = it has made no consume call for too long. */
  memberEpoch: number | undefined;
}

/**
 * Fences those that have not let go, in all their rebalance timeout, of what they were asked for, and those that make no
 * consume calls, though something may go on sending their heartbeats. Whoever has moved on meanwhile stays.
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

/** Topics were made or deleted, or have grown. */
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
