/**
 * The member state machine of KIP-848 as pure functions, and the checks of member epochs. Each step moves a member from the
 * partitions it has towards its target, so that two members never have the same partition. The assignors compute the targets;
 * the group coordinator has the timers and the store.
 *
 * States are plain JSON, as the whole group is one document.
 */

import { required } from '../required.ts';
import { ServiceError } from '../service-error.ts';
import { compareText, type TopicPartitions } from './assignors/assignment.ts';

/** Partitions of a member, with the member epoch at which it got each: it got `partitions[i]` at `epochs[i]`. */
export interface HeldPartitions extends TopicPartitions {
  epochs: number[];
}

export interface MemberState {
  memberId: string;
  /** The epoch of the member: the target epoch, unless it must first release partitions. */
  memberEpoch: number;
  /** The epoch before `memberEpoch`. A member that missed the last response still sends it. */
  previousMemberEpoch: number;
  /**
   * `unrevoked`: the member has not yet released `pendingRevocation`. `unreleased`: it is at the target epoch, but other members
   * have not yet released partitions of its target. `stable`: neither.
   */
  state: 'stable' | 'unrevoked' | 'unreleased';
  /** Partitions that the member may use, sorted by topic and partition. `pendingRevocation` is sorted in the same way. */
  assigned: HeldPartitions[];
  /** Partitions that it must release and may still be using; empty unless the state is `unrevoked`. */
  pendingRevocation: HeldPartitions[];
  /** Set if it got partitions without a new epoch: a heartbeat with its current epoch may have been sent before that. */
  gainedLate?: true;
}

export interface GroupState<M extends MemberState = MemberState> {
  /** Rises with every change that needs another target. */
  groupEpoch: number;
  /** The group epoch for which `target` was computed; if it is lower than the group epoch, a new target is due. */
  targetEpoch: number;
  members: Record<string, M>;
  /** The target assignment, by member id. */
  target: Record<string, TopicPartitions[]>;
}

interface ReconcileStep {
  readonly targetEpoch: number;
  /** The target assignment of this member. */
  readonly target: readonly TopicPartitions[];
  /** The partitions that the member reports as owned; undefined = it does not report, so nothing is released. */
  readonly owned: readonly TopicPartitions[] | undefined;
  /** Whether no member has the partition. */
  readonly isFree: (topic: string, partition: number) => boolean;
}

/** A member that has just joined, without partitions. The first step moves it to the target epoch. */
export function newMember(memberId: string): MemberState {
  return {
    memberId,
    memberEpoch: 0,
    previousMemberEpoch: 0,
    state: 'stable',
    assigned: [],
    pendingRevocation: [],
  };
}

/**
 * Moves a member one step towards its target, after a heartbeat for which checkMemberEpoch() returned `current` or `rejoin`.
 * Returns the same member and `changed: false` if there is nothing to do. `startedRevocation` is true if partitions must be
 * released from this step on, so that the rebalance timeout begins.
 *
 * Releases come first. While the member has a partition that is not in its target, it gets no new ones and keeps its epoch. Then
 * it moves to the target epoch and gets the free partitions of its target. Kafka up to 4.0 raised the epoch by one between two
 * revocations. Later versions do not, and neither does this function: a member that missed that response would be fenced for
 * partitions that it was assigned.
 *
 * Heartbeats may be delayed, and repeated through another broker, so the order of two with the same epoch is unknown. Therefore a
 * member never has to release a partition at the epoch at which it got it. A heartbeat sent before it got the partition does not
 * list it, and would release it while it is in use. When such a member must release partitions, its epoch rises by one, which
 * makes older heartbeats recognizable.
 */
export function reconcileMember<M extends MemberState>(
  member: M,
  step: ReconcileStep,
): { member: M; changed: boolean; startedRevocation: boolean } {
  const unchanged = { member, changed: false, startedRevocation: false };
  if (member.state === 'stable' && member.memberEpoch === step.targetEpoch) return unchanged;
  if (member.state === 'unrevoked' && hasAny(step.owned, member.pendingRevocation)) return unchanged;

  if (member.state === 'stable' && sameLists(member.assigned, step.target)) {
    const { gainedLate: _, memberEpoch: previousMemberEpoch, ...rest } = member;
    const next = { ...rest, memberEpoch: step.targetEpoch, previousMemberEpoch } as unknown as M;
    return { member: next, changed: true, startedRevocation: false };
  }

  // From here on, the partitions in pendingRevocation are released: any member may get them, including this one.
  const target = partitionSets(step.target);
  const [remaining, revoked] = splitHeld(member.assigned, (topic, p) => target.get(topic)?.has(p) ?? false);
  if (revoked.length > 0 && (member.gainedLate || hasAny(step.owned, revoked))) {
    const { gainedLate, ...rest } = member;
    const raised = gainedLate && { memberEpoch: member.memberEpoch + 1, previousMemberEpoch: member.memberEpoch };
    const next = {
      ...rest,
      ...raised,
      state: 'unrevoked',
      assigned: remaining,
      pendingRevocation: revoked,
    } as unknown as M;
    return { member: next, changed: true, startedRevocation: true };
  }

  const released = partitionSets(member.pendingRevocation);
  const held = partitionSets(remaining);
  const gained: TopicPartitions[] = [];
  let waits = false;
  for (const { topic, partitions } of step.target) {
    const unheld = partitions.filter((p) => !held.get(topic)?.has(p));
    const free = unheld.filter((p) => step.isFree(topic, p) || released.get(topic)?.has(p));
    if (free.length > 0) gained.push({ topic, partitions: free });
    if (free.length < unheld.length) waits = true;
  }

  const state = waits ? 'unreleased' : 'stable';
  const moved = revoked.length + gained.length + member.pendingRevocation.length > 0;
  const reached = member.memberEpoch === step.targetEpoch;
  if (!moved && reached && state === member.state) return unchanged;
  const { gainedLate, ...rest } = member;
  const isLate = reached && (gainedLate || gained.length > 0);
  const next = {
    ...rest,
    memberEpoch: step.targetEpoch,
    previousMemberEpoch: reached ? member.previousMemberEpoch : member.memberEpoch,
    state,
    assigned: gained.length > 0 ? withGained(remaining, gained, step.targetEpoch) : remaining,
    pendingRevocation: [],
    ...(isLate && { gainedLate: true }),
  } as unknown as M;
  return { member: next, changed: true, startedRevocation: false };
}

/**
 * Checks the epoch of a heartbeat. The result says how to handle it:
 * - `current`: reconcile the member with its report.
 * - `previous`: the member missed the last response. Send the response again and do not reconcile. So a member is never more than
 * one epoch behind, and an old report releases nothing.
 * - `rejoin` (epoch 0): the member joins again. Clients repeat a join whose response they missed, so this is not an error. The
 * repeat may arrive late, so it releases nothing.
 *
 * @throws ServiceError FENCED_MEMBER_EPOCH for any other epoch, and for the previous one if the member reports partitions that it
 *   does not have
 */
export function checkMemberEpoch(
  member: MemberState,
  epoch: number,
  owned: readonly TopicPartitions[] | undefined,
): 'current' | 'previous' | 'rejoin' {
  if (epoch === 0) {
    if (!owned?.some(({ partitions }) => partitions.length > 0)) return 'rejoin';
    throw new ServiceError(
      'FENCED_MEMBER_EPOCH',
      `Member '${member.memberId}' sent epoch 0, which means to join, but reports partitions; ` +
        'release all of them and join again.',
      { memberEpoch: member.memberEpoch },
    );
  }
  if (epoch === member.memberEpoch) return 'current';
  if (epoch !== member.previousMemberEpoch) throw fenced(member, epoch, 'release all partitions and join again');
  // Kafka compares with `assigned` only. Here a member on a socket may have been reconciled without a heartbeat. So it may
  // rightly report partitions that it must release and has not been notified of.
  const held = partitionSets([...member.assigned, ...member.pendingRevocation]);
  if (owned?.every(({ topic, partitions }) => partitions.every((p) => held.get(topic)?.has(p)))) return 'previous';
  throw fenced(member, epoch, 'it reports partitions that it no longer has; release all and join again');
}

/**
 * Checks whether a member that sends `epoch` may commit offsets for these partitions. It may if it got each of them at that
 * epoch or earlier (KIP-1251). So it can commit records that it read before a rebalance if it still has the partition, even while
 * it must release it. In Kafka, a member at the current epoch may commit for any partition. Here it may not, as a late commit
 * could overwrite those of the next owner.
 *
 * @throws ServiceError FENCED_MEMBER_EPOCH if the member has not reached the epoch, STALE_MEMBER_EPOCH for a partition that it does
 *   not have, or got after that epoch
 */
export function checkCommitEpoch(
  member: MemberState,
  epoch: number,
  partitions: readonly { readonly topic: string; readonly partition: number }[],
): void {
  if (epoch > member.memberEpoch) throw fenced(member, epoch, 'release all partitions and join again');
  const epochsOf = new Map<string, Map<number, number>>();
  for (const item of [...member.assigned, ...member.pendingRevocation]) {
    const epochs = epochsOf.get(item.topic) ?? new Map<number, number>();
    for (const [i, p] of item.partitions.entries()) epochs.set(p, epochAt(item, i));
    epochsOf.set(item.topic, epochs);
  }
  for (const { topic, partition: p } of partitions) {
    const since = epochsOf.get(topic)?.get(p);
    if (since !== undefined && since <= epoch) continue;
    const reason =
      since === undefined
        ? `does not have partition ${p} of topic '${topic}'`
        : `has partition ${p} of topic '${topic}' since epoch ${since}, not as early as epoch ${epoch}`;
    throw new ServiceError(
      'STALE_MEMBER_EPOCH',
      `Member '${member.memberId}' ${reason}; send a heartbeat to get the current assignment.`,
      { memberEpoch: member.memberEpoch, topic, partition: p },
    );
  }
}

/** The name of the state of a group, as the API shows it. */
export function groupStateName(
  group: Pick<GroupState, 'groupEpoch' | 'targetEpoch' | 'members'>,
): 'empty' | 'assigning' | 'reconciling' | 'stable' {
  const members = Object.values(group.members);
  if (members.length === 0) return 'empty';
  if (group.groupEpoch > group.targetEpoch) return 'assigning';
  const reached = (member: MemberState) => member.state === 'stable' && member.memberEpoch === group.targetEpoch;
  return members.every(reached) ? 'stable' : 'reconciling';
}

/** The partitions that a member may use, without their epochs. */
export function assignmentOf(member: MemberState): TopicPartitions[] {
  return member.assigned.map(({ topic, partitions }) => ({ topic, partitions }));
}

function fenced(member: MemberState, epoch: number, advice: string): ServiceError {
  return new ServiceError(
    'FENCED_MEMBER_EPOCH',
    `Member '${member.memberId}' sent epoch ${epoch}, but its epoch is ${member.memberEpoch}; ${advice}.`,
    { memberEpoch: member.memberEpoch },
  );
}

/** Whether both lists have the same partitions in the same order. */
function sameLists(a: readonly TopicPartitions[], b: readonly TopicPartitions[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ topic, partitions }, i) => {
      const other = b[i];
      return (
        topic === other?.topic &&
        partitions.length === other.partitions.length &&
        partitions.every((partition, j) => partition === other.partitions[j])
      );
    })
  );
}

function partitionSets(list: readonly TopicPartitions[]): Map<string, Set<number>> {
  const sets = new Map<string, Set<number>>();
  for (const { topic, partitions } of list) {
    const set = sets.get(topic) ?? new Set<number>();
    for (const p of partitions) set.add(p);
    sets.set(topic, set);
  }
  return sets;
}

/** Whether `owned` contains any of `partitions`; true if the member does not report, as it may then own all of them. */
function hasAny(owned: readonly TopicPartitions[] | undefined, partitions: readonly TopicPartitions[]): boolean {
  if (owned === undefined) return true;
  const sets = partitionSets(partitions);
  return owned.some(({ topic, partitions: named }) => named.some((p) => sets.get(topic)?.has(p)));
}

/** Splits partitions into those for which the test is true and the others. Order and epochs stay. */
function splitHeld(
  held: readonly HeldPartitions[],
  test: (topic: string, partition: number) => boolean,
): [HeldPartitions[], HeldPartitions[]] {
  const filtered = (expected: boolean): HeldPartitions[] =>
    held
      .map(({ topic, partitions, epochs }) => {
        const isIn = partitions.map((p) => test(topic, p) === expected);
        return { topic, partitions: partitions.filter((_, i) => isIn[i]), epochs: epochs.filter((_, i) => isIn[i]) };
      })
      .filter(({ partitions }) => partitions.length > 0);
  return [filtered(true), filtered(false)];
}

/** Merges both lists, sorted by topic and partition. The gained partitions get `epoch`. */
function withGained(
  remaining: readonly HeldPartitions[],
  gained: readonly TopicPartitions[],
  epoch: number,
): HeldPartitions[] {
  const epochsOf = new Map<string, [partition: number, epoch: number][]>();
  for (const item of remaining) {
    epochsOf.set(
      item.topic,
      item.partitions.map((p, i) => [p, epochAt(item, i)]),
    );
  }
  for (const { topic, partitions } of gained) {
    epochsOf.set(topic, [...(epochsOf.get(topic) ?? []), ...partitions.map((p): [number, number] => [p, epoch])]);
  }
  return [...epochsOf]
    .sort(([a], [b]) => compareText(a, b))
    .map(([topic, pairs]) => {
      pairs.sort(([a], [b]) => a - b);
      return { topic, partitions: pairs.map(([p]) => p), epochs: pairs.map(([, e]) => e) };
    });
}

function epochAt({ epochs }: HeldPartitions, index: number): number {
  return required(epochs[index], 'epoch of a held partition');
}
