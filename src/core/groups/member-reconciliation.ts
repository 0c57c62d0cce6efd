/**
 * How the members of a group come from what they have to what the target gives them, without two of them ever having
 * the same partition: the member machine of KIP-848 as pure steps, and the checks of member epochs that go with it.
 * It does not compute targets (the assignors do), keeps no deadlines and stores nothing (the group coordinator does).
 *
 * The states are plain JSON: the whole group is one document, read, stepped and committed by compare-and-set.
 */

import { ServiceError } from '../service-error.ts';
import { compareText, type TopicPartitions } from './assignors/assignment.ts';

/** Partitions that a member has, with the member epoch at which each was given to it: `epochs[i]` for `partitions[i]`. */
export interface HeldPartitions extends TopicPartitions {
  epochs: number[];
}

export interface MemberState {
  memberId: string;
  /** The last epoch that the member was told. It is the target epoch unless the member must first let go of something. */
  memberEpoch: number;
  /** The epoch before that: a member that missed the last answer still sends this one. */
  previousMemberEpoch: number;
  /**
   * `unrevoked`: the member was asked to let go of `pendingRevocation` and has not said that it did. `unreleased`: it is
   * at the target epoch, but waits for partitions that others have not let go of yet. `stable`: neither.
   */
  state: 'stable' | 'unrevoked' | 'unreleased';
  /** What the member may use. Sorted by topic and partition, as is `pendingRevocation`. */
  assigned: HeldPartitions[];
  /** What it must let go of and may still be using; empty unless `unrevoked`. */
  pendingRevocation: HeldPartitions[];
  /** It got partitions without another epoch: a heartbeat of its epoch may be older than they are. */
  gainedLate?: true;
}

export interface GroupState<M extends MemberState = MemberState> {
  /** Grows with every change that calls for another target. */
  groupEpoch: number;
  /** The group epoch for which `target` was computed; a target that lags behind is due. */
  targetEpoch: number;
  members: Record<string, M>;
  /** What each member shall come to, by member id. */
  target: Record<string, TopicPartitions[]>;
}

export interface ReconcileStep {
  readonly targetEpoch: number;
  /** The member's own part of the target. */
  readonly target: readonly TopicPartitions[];
  /** What the member says that it has; undefined if it says nothing, which lets go of nothing. */
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
 * Takes a member one step towards the target, on a heartbeat that `checkMemberEpoch` called `current` or `rejoin`.
 * Gives the member itself and `changed: false` if there is nothing to do yet. `startedRevocation` says that the member
 * was asked, in this step, to let go of something: the time in which it must do so begins.
 *
 * A heartbeat may be late, and repeated through another broker. Of two with the same epoch it cannot be told which one is
 * older; so a member must never have to let go, at an epoch, of what it got at that epoch without the epoch being raised:
 * an old heartbeat does not name it, and would release what the member is using. Such a member is raised by one epoch when
 * it is asked to let go, whatever it says to have; what it sent before is then known for old.
 *
 * What is given up comes first: while the member still has a partition that the target takes away, it gets no new ones
 * and keeps its epoch. Only then does it go to the target epoch, with those of the wanted partitions that are free.
 * (Kafka up to 4.0 raised the epoch by one between two revocations. Now it stays, and so does ours: otherwise a member
 * that misses that one answer would be fenced for having what it was told to have.)
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

  // From here on, what was pending is let go of: it may be given away, also back to this very member.
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
 * Judges the epoch of a heartbeat, and says how to answer it:
 * - `current`: step the member with what it says it owns;
 * - `previous`: it missed the last answer. Give that answer again, from the state as it is, and do not step: a member
 *   is thus never more than one epoch behind, and what an old message says of `owned` can release nothing;
 * - `rejoin` (epoch 0): it has begun anew. Joining twice is no mistake, since clients make their own ids and repeat a join
 *   whose answer they missed; but as such a repetition may arrive late, it releases nothing.
 *
 * Throws FENCED_MEMBER_EPOCH for any other epoch, and for the previous one if the member claims more than it was given.
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
        'let go of all of them and join again.',
      { memberEpoch: member.memberEpoch },
    );
  }
  if (epoch === member.memberEpoch) return 'current';
  if (epoch !== member.previousMemberEpoch) throw fenced(member, epoch, 'let go of all partitions and join again');
  // Kafka compares with `assigned` alone. Here a member may also have been stepped without its asking, to tell it over
  // a socket; what it was asked there to let go of, and has not heard of, it owns in good faith.
  const given = partitionSets([...member.assigned, ...member.pendingRevocation]);
  if (owned?.every(({ topic, partitions }) => partitions.every((p) => given.get(topic)?.has(p)))) return 'previous';
  throw fenced(member, epoch, 'it owns partitions that it no longer has there; let go of all and join again');
}

/**
 * Whether a member that sends `epoch` may commit offsets for these partitions. It may, if it has each of them and got it
 * at that epoch or before (KIP-1251): what it read before a rebalance that left it the partition is still its to commit.
 * A partition that it has been asked to let go of is its own until it has. Kafka lets a member at the current epoch
 * commit for any partition; here it may not, or else a late commit could take back those of the next owner.
 *
 * Throws FENCED_MEMBER_EPOCH if the epoch was never given to it, and STALE_MEMBER_EPOCH for what it does not have.
 */
export function checkCommitEpoch(
  member: MemberState,
  epoch: number,
  partitions: readonly { readonly topic: string; readonly partition: number }[],
): void {
  if (epoch > member.memberEpoch) throw fenced(member, epoch, 'let go of all partitions and join again');
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
      `Member '${member.memberId}' ${reason}; send a heartbeat to learn the present assignment.`,
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

/** What a member may use, as it is told: its `assigned` without the epochs. */
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

/** Whether `owned` names any of `partitions`. Who says nothing may have them all. */
function hasAny(owned: readonly TopicPartitions[] | undefined, partitions: readonly TopicPartitions[]): boolean {
  if (owned === undefined) return true;
  const sets = partitionSets(partitions);
  return owned.some(({ topic, partitions: named }) => named.some((p) => sets.get(topic)?.has(p)));
}

/** Those that the test takes, and the others; order and epochs stay. */
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

/** Both lists together, sorted; what is gained was given at `epoch`. */
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
