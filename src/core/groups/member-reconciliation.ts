/**
 * Moves members from the partitions they have to their target without two of them ever having the same partition: the member
 * state machine of KIP-848 as pure steps, and the checks of member epochs. It does not compute targets (the assignors do),
 * keeps no timers and stores nothing (the group coordinator does).
 *
 * The states are plain JSON: the whole group is one document.
 */

import { ServiceError } from '../service-error.ts';
import { compareText, type TopicPartitions } from './assignors/assignment.ts';

/** Partitions of a member, with the member epoch at which it got each: `epochs[i]` for `partitions[i]`. */
export interface HeldPartitions extends TopicPartitions {
  epochs: number[];
}

export interface MemberState {
  memberId: string;
  /** The epoch of the member: the target epoch, unless it must first release partitions. */
  memberEpoch: number;
  /** The epoch before that: a member that missed the last response still sends it. */
  previousMemberEpoch: number;
  /**
   * `unrevoked`: the member must release `pendingRevocation` and has not done so. `unreleased`: it is at the target epoch, but
   * waits for partitions that other members have not released yet. `stable`: neither.
   */
  state: 'stable' | 'unrevoked' | 'unreleased';
  /** Partitions that the member may use, sorted by topic and partition, as is `pendingRevocation`. */
  assigned: HeldPartitions[];
  /** Partitions that it must release and may still be using; empty unless `unrevoked`. */
  pendingRevocation: HeldPartitions[];
  /** It got partitions without a new epoch: a heartbeat with its epoch may be older than they are. */
  gainedLate?: true;
}

export interface GroupState<M extends MemberState = MemberState> {
  /** Rises with every change that needs another target. */
  groupEpoch: number;
  /** The group epoch for which `target` was computed; if it is lower than the group epoch, a new target is due. */
  targetEpoch: number;
  members: Record<string, M>;
  /** The partitions that each member shall have, by member id. */
  target: Record<string, TopicPartitions[]>;
}

export interface ReconcileStep {
  readonly targetEpoch: number;
  /** The part of the target for this member. */
  readonly target: readonly TopicPartitions[];
  /** The partitions that the member reports to own; undefined if it does not report, which releases nothing. */
  readonly owned: readonly TopicPartitions[] | undefined;
  /** Whether no member at all has the partition. */
  readonly isFree: (topic: string, partition: number) => boolean;
}

/** A member that has just joined: it has nothing, and the first step takes it to the target epoch. */
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
 * Moves a member one step towards the target, after a heartbeat that `checkMemberEpoch` called `current` or `rejoin`. Returns
 * the member itself and `changed: false` if there is nothing to do. `startedRevocation`: in this step the member was told to
 * release partitions, and its time for that begins.
 *
 * A heartbeat may be late, and repeated through another broker, and of two with the same epoch it is unknown which is older. So
 * a member must never have to release at an epoch what it got at that epoch: an old heartbeat does not name the partition, and
 * would release it while it is in use. The epoch of such a member rises by one when it must release, so older heartbeats are
 * recognized.
 *
 * Releases come first: while the member has a partition that the target takes away, it gets no new ones and keeps its epoch.
 * Then it goes to the target epoch and gets the partitions that are free. (Kafka up to 4.0 raised the epoch by one between two
 * revocations. Later versions do not, nor does this: a member that misses that response would be fenced for partitions that it
 * was told to have.)
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

  // From here on, pending partitions are released: any member may get them, also this one.
  const target = partitionSets(step.target);
  const [kept, revoked] = splitHeld(member.assigned, (topic, p) => target.get(topic)?.has(p) ?? false);
  if (revoked.length > 0 && (member.gainedLate || hasAny(step.owned, revoked))) {
    const { gainedLate, ...rest } = member;
    const raised = gainedLate && { memberEpoch: member.memberEpoch + 1, previousMemberEpoch: member.memberEpoch };
    const next = { ...rest, ...raised, state: 'unrevoked', assigned: kept, pendingRevocation: revoked } as unknown as M;
    return { member: next, changed: true, startedRevocation: true };
  }

  const released = partitionSets(member.pendingRevocation);
  const held = partitionSets(kept);
  const gained: TopicPartitions[] = [];
  let waits = false;
  for (const { topic, partitions } of step.target) {
    const wanted = partitions.filter((p) => !held.get(topic)?.has(p));
    const free = wanted.filter((p) => step.isFree(topic, p) || released.get(topic)?.has(p));
    if (free.length > 0) gained.push({ topic, partitions: free });
    if (free.length < wanted.length) waits = true;
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
    assigned: gained.length > 0 ? withGained(kept, gained, step.targetEpoch) : kept,
    pendingRevocation: [],
    ...(isLate && { gainedLate: true }),
  } as unknown as M;
  return { member: next, changed: true, startedRevocation: false };
}

/**
 * Checks the epoch of a heartbeat, and returns how to respond:
 * - `current`: step the member with its report;
 * - `previous`: it missed the last response. Return it again, and do not step: so a member is never more than one epoch behind,
 * and an old report releases nothing;
 * - `rejoin` (epoch 0): it joins again. Clients repeat a join whose response they missed, so this is no error; as the repeat
 * may arrive late, it releases nothing.
 *
 * Throws FENCED_MEMBER_EPOCH for any other epoch, and for the previous one if the member claims partitions that it does not
 * have.
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
      `Member '${member.memberId}' sent epoch 0, which is to join, and yet owns partitions; ` +
        'release all of them and join again.',
      { memberEpoch: member.memberEpoch },
    );
  }
  if (epoch === member.memberEpoch) return 'current';
  if (epoch !== member.previousMemberEpoch) throw fenced(member, epoch, 'release all partitions and join again');
  // Kafka compares with `assigned` alone. Here a member on a socket may have been stepped without a heartbeat; partitions that
  // it must release, and does not know of yet, it owns in good faith.
  const given = partitionSets([...member.assigned, ...member.pendingRevocation]);
  if (owned?.every(({ topic, partitions }) => partitions.every((p) => given.get(topic)?.has(p)))) return 'previous';
  throw fenced(member, epoch, 'it claims partitions that it no longer has; release all and join again');
}

/**
 * Checks whether a member that sends `epoch` may commit offsets for these partitions. It may if it got each of them at that
 * epoch or before (KIP-1251): records read before a rebalance that left it the partition can still be committed, also while it
 * must release the partition. Kafka lets a member at the current epoch commit for any partition; here it may not, as a late
 * commit could overwrite those of the next owner.
 *
 * Throws FENCED_MEMBER_EPOCH if the member never had the epoch, and STALE_MEMBER_EPOCH for a partition that it does not have.
 */
export function checkCommitEpoch(
  member: MemberState,
  epoch: number,
  partitions: readonly { readonly topic: string; readonly partition: number }[],
): void {
  if (epoch > member.memberEpoch) throw fenced(member, epoch, 'release all partitions and join again');
  const given = new Map<string, Map<number, number>>();
  for (const held of [...member.assigned, ...member.pendingRevocation]) {
    const epochs = given.get(held.topic) ?? new Map<number, number>();
    for (const [i, p] of held.partitions.entries()) epochs.set(p, held.epochs[i]!);
    given.set(held.topic, epochs);
  }
  for (const { topic, partition: p } of partitions) {
    const since = given.get(topic)?.get(p);
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

/** The name of a group's state, for users. */
export function groupStateName(
  group: Pick<GroupState, 'groupEpoch' | 'targetEpoch' | 'members'>,
): 'empty' | 'assigning' | 'reconciling' | 'stable' {
  const members = Object.values(group.members);
  if (members.length === 0) return 'empty';
  if (group.groupEpoch > group.targetEpoch) return 'assigning';
  const reached = (member: MemberState) => member.state === 'stable' && member.memberEpoch === group.targetEpoch;
  return members.every(reached) ? 'stable' : 'reconciling';
}

/** The partitions that a member may use, without the epochs. */
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

/** Whether both, in their order, name the same partitions. */
function sameLists(a: readonly TopicPartitions[], b: readonly TopicPartitions[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ topic, partitions }, i) => {
      const other = b[i]!;
      return (
        topic === other.topic &&
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

/** Whether `owned` contains any of `partitions`. A member that does not report may have them all. */
function hasAny(owned: readonly TopicPartitions[] | undefined, partitions: readonly TopicPartitions[]): boolean {
  if (owned === undefined) return true;
  const sets = partitionSets(partitions);
  return owned.some(({ topic, partitions: named }) => named.some((p) => sets.get(topic)?.has(p)));
}

/** Those for which the test is true, and the others; order and epochs stay. */
function splitHeld(
  held: readonly HeldPartitions[],
  test: (topic: string, partition: number) => boolean,
): [HeldPartitions[], HeldPartitions[]] {
  const filtered = (wanted: boolean): HeldPartitions[] =>
    held
      .map(({ topic, partitions, epochs }) => ({
        topic,
        partitions: partitions.filter((p) => test(topic, p) === wanted),
        epochs: epochs.filter((_, i) => test(topic, partitions[i]!) === wanted),
      }))
      .filter(({ partitions }) => partitions.length > 0);
  return [filtered(true), filtered(false)];
}

/** Both lists, sorted; the gained partitions have `epoch`. */
function withGained(
  kept: readonly HeldPartitions[],
  gained: readonly TopicPartitions[],
  epoch: number,
): HeldPartitions[] {
  const epochsOf = new Map<string, [partition: number, epoch: number][]>();
  for (const { topic, partitions, epochs } of kept) {
    epochsOf.set(
      topic,
      partitions.map((p, i) => [p, epochs[i]!]),
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
