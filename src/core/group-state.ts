/**
 * How a group changes: members come, are heard, leave or are lost, and topics change. Each function takes the document
 * and gives the next one, the same object if nothing changes. There is no clock here and no store; who calls commits the
 * result with the version that it read, or decides anew over what is there instead.
 *
 * A change that calls for another target computes it at once, and moves on, in the same step, every member that can be
 * moved on: what nobody has goes to its new owner without waiting for that member's next heartbeat. So a member may be
 * ahead of what it was told. That is safe: it has no partition that another has, and loses none before it says so.
 */
import {
  assignorNamed,
  defaultAssignor,
  fromTopicPartitions,
  type TopicPartitions,
  toTopicPartitions,
} from './assignors/assignor.ts';
import {
  type GroupDocument,
  type GroupMember,
  heldBy,
  memberOf,
  own,
  type ResetPolicy,
  replaced,
  type Subscription,
} from './group-document.ts';
import { refreshTopics, type TopicsView } from './group-topics.ts';
import { checkMemberEpoch, newMember, reconcileMember } from './reconcile.ts';
import { ServiceError } from './service-error.ts';

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
}

/**
 * Adds a member. A member id that is known begins anew with what it is assigned, so that a join whose answer was lost
 * may be repeated. A static member under a new id takes the place of the old one, with its partitions, and nobody else
 * is moved.
 * @throws ServiceError UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID
 */
export function join(group: GroupDocument, request: JoinRequest, view: TopicsView): GroupDocument {
  if (request.assignor !== undefined) assignorNamed(request.assignor);
  const { memberId, instanceId } = request;
  const known = own(group.members, memberId);
  const holder =
    instanceId === undefined
      ? undefined
      : Object.values(group.members).find((member) => member.instanceId === instanceId && member.memberId !== memberId);
  if (holder?.formerIds?.includes(memberId)) throw replaced(memberId, instanceId!);
  if (holder && known) {
    throw new ServiceError(
      'UNRELEASED_INSTANCE_ID',
      `The instance id '${instanceId}' belongs to member '${holder.memberId}', and '${memberId}' is a member already.`,
      { instanceId },
    );
  }

  const before = known ?? holder;
  const fresh: GroupMember = {
    ...(before ?? newMember(memberId)),
    memberId,
    sessionId: known && known.sessionTimeoutMs === request.sessionTimeoutMs ? known.sessionId : request.sessionId,
    subscription: request.subscription,
    topics: before?.topics ?? [],
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs,
    reset: request.reset,
  };
  const member = withOptional(fresh, {
    instanceId,
    clientId: request.clientId,
    assignor: request.assignor,
    formerIds: holder ? [...(holder.formerIds ?? []), holder.memberId].slice(-formerIdsMax) : before?.formerIds,
  });
  const next = holder ? renameMember(group, holder.memberId, member) : withMember(group, member);
  // Another wish for the assignor or another instance id changes the target as another subscription does, which
  // refreshTopics sees by itself.
  const changesTarget = !before || before.assignor !== member.assignor || before.instanceId !== member.instanceId;
  const refreshed = refreshTopics(changesTarget ? raised(next) : next, view);
  // It has nothing in use, so what it was asked to let go of is free; and the answer to this join tells it all.
  const joined = settle(refreshed, { memberId, owned: [] });
  const { memberEpoch } = memberOf(joined, memberId);
  return withMember(joined, { ...memberOf(joined, memberId), previousMemberEpoch: memberEpoch });
}

/**
 * A heartbeat of a member at `epoch` that says it has `owned` (undefined = it says nothing).
 * @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH
 */
export function heartbeat(
  group: GroupDocument,
  memberId: string,
  epoch: number,
  owned: TopicPartitions[] | undefined,
): GroupDocument {
  const member = memberOf(group, memberId);
  // Who has not heard yet that a topic is gone claims what nobody can have any more: that is no offence.
  const claimed = owned && presentPartitions(group, owned);
  const isBehind = epoch >= member.previousMemberEpoch && epoch < member.memberEpoch && epoch > 0;
  // Who is behind and claims nothing only wants the answer that it has missed.
  if (isBehind && claimed === undefined) return group;
  const verdict = checkMemberEpoch(isBehind ? { ...member, previousMemberEpoch: epoch } : member, epoch, claimed);
  switch (verdict) {
    case 'previous':
      return group;
    case 'rejoin':
      return settle(group, { memberId, owned: [] });
    case 'current': {
      const isHeard = member.previousMemberEpoch === epoch;
      const heard = isHeard ? group : withMember(group, { ...member, previousMemberEpoch: epoch });
      return settle(heard, { memberId, owned: claimed });
    }
  }
}

/**
 * A consume call of a member. It says that all records given out before are dealt with, so whatever the member was asked
 * to let go of is free from here on; but for `owned`, which a member on a socket may still be using. No epoch goes with
 * it: the broker speaks for a member that it serves right now.
 * @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID
 */
export function consume(group: GroupDocument, memberId: string, owned: TopicPartitions[] = []): GroupDocument {
  const { memberId: known } = memberOf(group, memberId);
  return settle(group, { memberId: known, owned });
}

/** Takes members out: they left, were fenced, or their sessions have ended. Unknown ones are passed over. */
export function remove(group: GroupDocument, memberIds: readonly string[]): GroupDocument {
  const going = new Set(memberIds.filter((memberId) => own(group.members, memberId)));
  if (going.size === 0) return group;
  const stay = <T>(record: Record<string, T>) =>
    Object.fromEntries(Object.entries(record).filter(([memberId]) => !going.has(memberId)));
  return settle(raised({ ...group, members: stay(group.members), target: stay(group.target) }));
}

/** Takes out the members whose session has ended, given those whose session lives. */
export function expire(group: GroupDocument, living: ReadonlySet<string>): GroupDocument {
  return remove(
    group,
    Object.keys(group.members).filter((memberId) => !living.has(memberId)),
  );
}

/** Fences a member that has not let go of what it was asked for at `epoch`, in all its rebalance timeout. */
export function fenceOverdue(group: GroupDocument, memberId: string, epoch: number): GroupDocument {
  const member = own(group.members, memberId);
  return member?.state === 'unrevoked' && member.memberEpoch === epoch ? remove(group, [memberId]) : group;
}

/** Topics were made or deleted, or have grown. */
export function topicsChanged(group: GroupDocument, view: TopicsView): GroupDocument {
  const refreshed = refreshTopics(group, view);
  return refreshed === group ? group : settle(refreshed);
}

interface Report {
  memberId: string;
  owned: TopicPartitions[] | undefined;
}

/** Computes the target if it is due, and moves on every member as far as it can go, the one that reports first. */
function settle(group: GroupDocument, report?: Report): GroupDocument {
  const isDue = group.groupEpoch > group.targetEpoch;
  if (report && !isDue && hasArrived(memberOf(group, report.memberId), group.targetEpoch)) return group;
  const aimed = isDue ? withTarget(group) : group;
  const holdings = new Holdings(Object.values(aimed.members));
  const changed = new Map<string, GroupMember>();
  const stepOne = (member: GroupMember, owned: TopicPartitions[] | undefined) => {
    const next = step(aimed, member, owned, holdings);
    if (next !== member) changed.set(member.memberId, next);
  };
  if (report) stepOne(memberOf(aimed, report.memberId), report.owned);
  // One pass is enough: those who say nothing let go of nothing, so nothing becomes free on the way.
  for (const member of Object.values(aimed.members)) {
    if (member.memberId !== report?.memberId) stepOne(member, undefined);
  }
  if (changed.size === 0) return aimed;
  const members = Object.fromEntries(
    Object.entries(aimed.members).map(([memberId, member]) => [memberId, changed.get(memberId) ?? member]),
  );
  return { ...aimed, members };
}

function presentPartitions(group: GroupDocument, list: readonly TopicPartitions[]): TopicPartitions[] {
  return list.map(({ topic, partitions }) => {
    const partitionCount = own(group.topics, topic)?.partitionCount ?? 0;
    return { topic, partitions: partitions.filter((partition) => partition < partitionCount) };
  });
}

/** Whether the member has all that it shall have: its heartbeats then change nothing, neither for it nor for others. */
function hasArrived(member: GroupMember, targetEpoch: number): boolean {
  return member.state === 'stable' && member.memberEpoch === targetEpoch;
}

function step(
  group: GroupDocument,
  member: GroupMember,
  owned: TopicPartitions[] | undefined,
  holdings: Holdings,
): GroupMember {
  const target = own(group.target, member.memberId) ?? [];
  const { targetEpoch } = group;
  const { member: next, changed } = reconcileMember(member, { targetEpoch, target, owned, isFree: holdings.isFree });
  if (!changed) return member;
  holdings.replace(member, next);
  return { ...next, previousMemberEpoch: member.previousMemberEpoch };
}

/** Which partitions somebody has, kept up to date from step to step: to build it anew each time would be slow. */
class Holdings {
  readonly #taken = new Map<string, Set<number>>();

  constructor(members: readonly GroupMember[]) {
    for (const member of members) this.#add(member);
  }

  readonly isFree = (topic: string, partition: number): boolean => !this.#taken.get(topic)?.has(partition);

  replace(before: GroupMember, after: GroupMember): void {
    for (const { topic, partition } of heldBy(before)) this.#taken.get(topic)?.delete(partition);
    this.#add(after);
  }

  #add(member: GroupMember): void {
    for (const { topic, partition } of heldBy(member)) {
      const partitions = this.#taken.get(topic);
      if (partitions) partitions.add(partition);
      else this.#taken.set(topic, new Set([partition]));
    }
  }
}

function withTarget(group: GroupDocument): GroupDocument {
  const assignor = wantedAssignor(group);
  const members = Object.values(group.members).map((member) => ({
    memberId: member.memberId,
    topics: member.topics,
    ...(member.instanceId !== undefined && { instanceId: member.instanceId }),
    owned: fromTopicPartitions(own(group.target, member.memberId) ?? []),
  }));
  const topics = new Map(Object.entries(group.topics).map(([topic, info]) => [topic, info.partitionCount]));
  const assignments = assignorNamed(assignor)({ members, topics });
  const target = Object.fromEntries([...assignments].map(([memberId, given]) => [memberId, toTopicPartitions(given)]));
  return { ...group, assignor, target, targetEpoch: group.groupEpoch };
}

/** The assignor that most members ask for, the first by name among equals; Kafka's default if nobody asks. */
function wantedAssignor(group: GroupDocument): string {
  const votes = new Map<string, number>();
  for (const { assignor } of Object.values(group.members)) {
    if (assignor !== undefined) votes.set(assignor, (votes.get(assignor) ?? 0) + 1);
  }
  const most = Math.max(...votes.values());
  const first = [...votes.keys()].filter((assignor) => votes.get(assignor) === most).sort()[0];
  return first ?? defaultAssignor;
}

function raised(group: GroupDocument): GroupDocument {
  return { ...group, groupEpoch: group.groupEpoch + 1 };
}

function withMember(group: GroupDocument, member: GroupMember): GroupDocument {
  return { ...group, members: { ...group.members, [member.memberId]: member } };
}

function renameMember(group: GroupDocument, from: string, member: GroupMember): GroupDocument {
  const rename = <T>(record: Record<string, T>, value: (old: T) => T) =>
    Object.fromEntries(
      Object.entries(record).map(([id, old]) => (id === from ? [member.memberId, value(old)] : [id, old])),
    );
  return { ...group, members: rename(group.members, () => member), target: rename(group.target, (old) => old) };
}

/** The member with exactly those optional fields that have a value. */
function withOptional(
  member: GroupMember,
  fields: {
    instanceId: string | undefined;
    clientId: string | undefined;
    assignor: string | undefined;
    formerIds: string[] | undefined;
  },
): GroupMember {
  const { instanceId: _i, clientId: _c, assignor: _a, formerIds: _f, ...rest } = member;
  const { instanceId, clientId, assignor, formerIds } = fields;
  return {
    ...rest,
    ...(instanceId !== undefined && { instanceId }),
    ...(clientId !== undefined && { clientId }),
    ...(assignor !== undefined && { assignor }),
    ...(formerIds !== undefined && { formerIds }),
  };
}
