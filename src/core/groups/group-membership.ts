/**
 * Who belongs to a group: members join, begin anew, take each other's place and leave. It says nothing of who gets what;
 * whoever calls settles the group afterwards.
 */

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
import { checkCredential, type MemberCredential, secretsOfJoin } from './member-secret.ts';

/** How many former ids of a static member are remembered. */
const formerIdsMax = 10;

export interface JoinRequest {
  memberId: string;
  /** The session that the member gets if it needs a new one. */
  sessionId: string;
  instanceId?: string | undefined;
  clientId?: string | undefined;
  subscription: Subscription;
  assignor?: string | undefined;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  reset: ResetPolicy;
  /** Of the secret that the member gets if it begins a new incarnation; undefined for one on a socket. */
  secretHash?: string | undefined;
  /** Of the secret that the caller presents, to go on as the member. */
  presentedSecretHash?: string | undefined;
}

/** A group's document in the works: so many changes of it are one copy, not one each. */
export class Membership {
  /** The document that it began with. */
  readonly before: GroupDocument;
  /** What members say that they have. */
  readonly reports = new Map<string, readonly TopicPartitions[] | undefined>();
  #members: Map<string, GroupMember> | undefined;
  #target: Map<string, TopicPartitions[]> | undefined;
  #isRaised = false;

  constructor(before: GroupDocument) {
    this.before = before;
  }

  /** @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED */
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

  /** Adds the member, or puts it in the place of the one of its id. */
  put(member: GroupMember): void {
    this.members.set(member.memberId, member);
  }

  /** The member takes the place of another, with its share of the target. */
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

  /** Another target is due. */
  raise(): void {
    this.#isRaised = true;
  }

  /** A member that is heard twice in one step has whatever it said at either time: so an old word releases nothing. */
  report(memberId: string, owned: readonly TopicPartitions[] | undefined): void {
    const before = this.reports.has(memberId) ? this.reports.get(memberId) : [];
    this.reports.set(memberId, before && owned && [...before, ...owned]);
  }

  /** The next document; the same object as before if nothing has changed. */
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
 * Lets a member in. A member id that is known begins anew with what it is assigned, so that a join whose answer was lost
 * may be repeated. A static member under a new id takes the place of the old one, with its partitions, and nobody else
 * is moved.
 * @throws ServiceError UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED
 */
export function admit(membership: Membership, request: JoinRequest): void {
  if (request.assignor !== undefined) assignorNamed(request.assignor);
  const { memberId, instanceId } = request;
  const known = membership.members.get(memberId);
  const holder = instanceId === undefined ? undefined : otherWith(membership, instanceId, memberId);
  if (holder?.formerIds?.includes(memberId)) throw memberReplaced(memberId, instanceId!);
  if (holder && known) {
    throw new ServiceError(
      'UNRELEASED_INSTANCE_ID',
      `The instance id '${instanceId}' belongs to member '${holder.memberId}', and '${memberId}' is a member already.`,
      { instanceId },
    );
  }

  const before = known ?? holder;
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
    assignor: request.assignor,
    ...secretsOfJoin(known, request.presentedSecretHash, request.secretHash),
    formerIds: holder ? [...(holder.formerIds ?? []), holder.memberId].slice(-formerIdsMax) : before?.formerIds,
  });
  if (holder) membership.replace(holder.memberId, member);
  else membership.put(member);
  // Another wish for the assignor or another instance id changes the target as another subscription does, which
  // refreshTopics sees by itself.
  if (!before || before.assignor !== member.assignor || before.instanceId !== member.instanceId) membership.raise();
  // A member that is known may have joined long since, and this be its first try, which was late: so it releases nothing
  // before the next heartbeat. Whoever had the place of a static one is fenced, and one that is new has nothing.
  membership.report(memberId, known && !known.isAway ? undefined : []);
}

/**
 * Lets a member go. One that will be back (Kafka's epoch -2) stays in the group, is not heard any more, and keeps its
 * partitions for whoever joins under its instance id; but what it was asked to let go of is free.
 * @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED; BAD_REQUEST if one that is not static
 *   would be back
 */
export function leave(
  membership: Membership,
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
      `Member '${memberId}' has no instanceId, so nobody could take its place; it can only leave for good, without temporary.`,
      { field: 'temporary' },
    );
  }
  membership.put({ ...member, isAway: true });
  membership.report(memberId, []);
}

function otherWith({ members }: Membership, instanceId: string, memberId: string): GroupMember | undefined {
  for (const member of members.values()) {
    if (member.instanceId === instanceId && member.memberId !== memberId) return member;
  }
  return undefined;
}

/** The member, which is there, with exactly those optional fields that have a value. */
function withOptional(
  member: GroupMember,
  fields: {
    instanceId: string | undefined;
    clientId: string | undefined;
    assignor: string | undefined;
    formerIds: string[] | undefined;
    secretHash: string | undefined;
    formerSecretHashes: string[] | undefined;
  },
): GroupMember {
  const { instanceId: _i, clientId: _c, assignor: _a, formerIds: _f, isAway: _w, ...others } = member;
  const { secretHash: _s, formerSecretHashes: _h, ...rest } = others;
  const { instanceId, clientId, assignor, formerIds, secretHash, formerSecretHashes } = fields;
  return {
    ...rest,
    ...(instanceId !== undefined && { instanceId }),
    ...(clientId !== undefined && { clientId }),
    ...(assignor !== undefined && { assignor }),
    ...(formerIds !== undefined && { formerIds }),
    ...(secretHash !== undefined && { secretHash }),
    ...(formerSecretHashes !== undefined && { formerSecretHashes }),
  };
}
