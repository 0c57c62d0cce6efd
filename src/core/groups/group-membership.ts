/**
 * Changes the members of a group: members join, begin a new incarnation, replace a static member, and leave. It does not assign
 * partitions; the caller reconciles the group afterwards.
 */

import type { Actor } from '../actor.ts';
import { ServiceError } from '../service-error.ts';
import type { TopicPartitions } from './assignors/assignment.ts';
import { assignorNamed } from './assignors/assignor.ts';
import {
  type GroupDocument,
  type GroupMember,
  getOwn,
  memberOf,
  memberReplaced,
  type ResetPolicy,
  type Subscription,
} from './group-document.ts';
import { withRaisedEpoch } from './group-reconciliation.ts';
import { newMember } from './member-reconciliation.ts';
import { checkCredential, checkOwner, type MemberCredential, secretsOfJoin } from './member-secret.ts';

/** The number of earlier ids of a static member that are stored. */
const formerIdsMax = 10;

export interface JoinRequest {
  memberId: string;
  /** The id of the session that is created if the member needs a new one. */
  sessionId: string;
  instanceId?: string | undefined;
  clientId?: string | undefined;
  /** The address of the client, if it is known. */
  address?: string | undefined;
  /** When the request came, ms since 1970. */
  joinedAt?: number | undefined;
  subscription: Subscription;
  assignor?: string | undefined;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  reset: ResetPolicy;
  /** The hash of the secret for a new incarnation; undefined for a member on a socket. */
  secretHash?: string | undefined;
  /** Who joins. */
  actor: Actor;
  /** The hash of the secret that the caller sends to continue the current incarnation of the member. */
  presentedSecretHash?: string | undefined;
}

/** A draft of the next document, so that many changes need only one copy of it. */
export class MembershipDraft {
  /** The document before the changes. */
  readonly before: GroupDocument;
  /** The partitions that members report as owned, by member id; undefined = the member does not report them. */
  readonly reports = new Map<string, readonly TopicPartitions[] | undefined>();
  #members: Map<string, GroupMember> | undefined;
  #target: Map<string, TopicPartitions[]> | undefined;
  #isRaised = false;

  constructor(before: GroupDocument) {
    this.before = before;
  }

  /** Returns a present member. @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED */
  memberOf(memberId: string, credential?: MemberCredential): GroupMember {
    const known = this.#members ? this.#members.get(memberId) : getOwn(this.before.members, memberId);
    const isPresent = known && !known.isAway;
    const member = isPresent ? known : memberOf({ members: Object.fromEntries(this.members) }, memberId);
    checkCredential(member, credential);
    return member;
  }

  get members(): Map<string, GroupMember> {
    this.#members ??= new Map(Object.entries(this.before.members));
    return this.#members;
  }

  /** Adds the member, or replaces the one with its id. */
  put(member: GroupMember): void {
    this.members.set(member.memberId, member);
  }

  /** Replaces a member by another one, which inherits its target. */
  replace(memberId: string, member: GroupMember): void {
    const rename = <T>(record: Iterable<[string, T]>, value: (old: T) => T) =>
      new Map([...record].map(([id, old]) => (id === memberId ? [member.memberId, value(old)] : [id, old])));
    this.#members = rename(this.members, () => member);
    this.#target = rename(this.target, (old) => old);
    this.reports.delete(memberId);
  }

  remove(memberId: string): void {
    this.members.delete(memberId);
    this.target.delete(memberId);
    this.reports.delete(memberId);
    this.raise();
  }

  /** Makes a new target due. */
  raise(): void {
    this.#isRaised = true;
  }

  /** Adds a report of owned partitions. Two reports in one update are united, so that an old one releases nothing. */
  report(memberId: string, owned: readonly TopicPartitions[] | undefined): void {
    const before = this.reports.has(memberId) ? this.reports.get(memberId) : [];
    this.reports.set(memberId, before && owned && [...before, ...owned]);
  }

  /** The next document; the same object if nothing has changed. */
  document(): GroupDocument {
    if (!this.#members) return this.before;
    const changed = [...this.#members].some(([memberId, member]) => this.before.members[memberId] !== member);
    if (!changed && !this.#isRaised) return this.before;
    const members = Object.fromEntries(this.#members);
    const target = this.#target ? Object.fromEntries(this.#target) : this.before.target;
    const next = { ...this.before, members, target };
    return this.#isRaised ? withRaisedEpoch(next) : next;
  }

  private get target(): Map<string, TopicPartitions[]> {
    this.#target ??= new Map(Object.entries(this.before.target));
    return this.#target;
  }
}

/**
 * Adds a member. A join with a known member id begins a new incarnation and keeps the assignment, so a client can repeat a join
 * whose response was lost. A static member with a new id replaces the old one and gets its partitions; no other member is affected.
 * @throws ServiceError UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED
 */
export function admit(membership: MembershipDraft, request: JoinRequest): void {
  if (request.assignor !== undefined) assignorNamed(request.assignor);
  const { memberId, instanceId } = request;
  const known = membership.members.get(memberId);
  const holder = instanceId === undefined ? undefined : memberWithInstanceId(membership, instanceId, memberId);
  if (instanceId !== undefined && holder?.formerIds?.includes(memberId)) throw memberReplaced(memberId, instanceId);
  if (holder && known) {
    throw new ServiceError(
      'UNRELEASED_INSTANCE_ID',
      `The instance id '${instanceId}' belongs to member '${holder.memberId}', and '${memberId}' is a member, too. One of them must leave first.`,
      { instanceId },
    );
  }

  const before = known ?? holder;
  if (before) checkOwner(before, request.actor);
  const fresh: GroupMember = {
    ...(before ?? { ...newMember(memberId), topics: [] }),
    memberId,
    sessionId: known && known.sessionTimeoutMs === request.sessionTimeoutMs ? known.sessionId : request.sessionId,
    subscription: request.subscription,
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs,
    reset: request.reset,
  };
  const member = withOptional(fresh, {
    instanceId,
    clientId: request.clientId,
    address: request.address,
    joinedAt: request.joinedAt,
    assignor: request.assignor,
    identity: request.actor.identity,
    ...secretsOfJoin(known, request.presentedSecretHash, request.secretHash),
    formerIds: holder ? [...(holder.formerIds ?? []), holder.memberId].slice(-formerIdsMax) : before?.formerIds,
  });
  if (holder) membership.replace(holder.memberId, member);
  else membership.put(member);
  // A change of the assignor or the instance id needs a new target; refreshTopics() detects changes of subscriptions.
  if (!before || before.assignor !== member.assignor || before.instanceId !== member.instanceId) membership.raise();
  // The join of a known member may be a delayed first attempt of a join that was repeated, so it must not release partitions; the
  // next heartbeat does. A replaced static member is fenced, and a new member has no partitions, so both release all.
  membership.report(memberId, known && !known.isAway ? undefined : []);
}

/**
 * Removes a member. A static member that leaves temporarily (epoch -2 in Kafka) stays in the group without heartbeats and keeps
 * its partitions for the next member with its instance id. Partitions that it had to release become free.
 * @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED; BAD_REQUEST if a member that is not
 *   static leaves temporarily
 */
export function leave(
  membership: MembershipDraft,
  memberId: string,
  isTemporary: boolean,
  credential?: MemberCredential,
): void {
  const member = membership.memberOf(memberId, credential);
  if (!isTemporary) {
    membership.remove(memberId);
    return;
  }
  if (member.instanceId === undefined) {
    throw new ServiceError(
      'BAD_REQUEST',
      `Member '${memberId}' has no instanceId, so no member could replace it. Leave without the parameter temporary.`,
      { field: 'temporary' },
    );
  }
  membership.put({ ...member, isAway: true });
  membership.report(memberId, []);
}

function memberWithInstanceId(
  { members }: MembershipDraft,
  instanceId: string,
  memberId: string,
): GroupMember | undefined {
  for (const member of members.values()) {
    if (member.instanceId === instanceId && member.memberId !== memberId) return member;
  }
  return undefined;
}

/** Sets the optional fields that have a value and removes the others. */
function withOptional(
  member: GroupMember,
  fields: {
    instanceId: string | undefined;
    clientId: string | undefined;
    address: string | undefined;
    joinedAt: number | undefined;
    assignor: string | undefined;
    identity: string | undefined;
    formerIds: string[] | undefined;
    secretHash: string | undefined;
    formerSecretHashes: string[] | undefined;
  },
): GroupMember {
  const { instanceId: _i, clientId: _c, assignor: _a, formerIds: _f, isAway: _w, ...others } = member;
  const { secretHash: _s, formerSecretHashes: _h, address: _d, joinedAt: _j, identity: _o, ...rest } = others;
  const { instanceId, clientId, address, joinedAt, assignor, identity, formerIds, secretHash, formerSecretHashes } =
    fields;
  return {
    ...rest,
    ...(instanceId !== undefined && { instanceId }),
    ...(clientId !== undefined && { clientId }),
    ...(address !== undefined && { address }),
    ...(joinedAt !== undefined && { joinedAt }),
    ...(assignor !== undefined && { assignor }),
    ...(identity !== undefined && { identity }),
    ...(formerIds !== undefined && { formerIds }),
    ...(secretHash !== undefined && { secretHash }),
    ...(formerSecretHashes !== undefined && { formerSecretHashes }),
  };
}
