/**
 * Kafka's rules for electing leaders, as pure functions from the state of a partition and the live brokers to its next state.
 * undefined means no change. The controller watches brokers and commits the states by compare-and-set.
 *
 * One departure from Kafka, everywhere in this file: there a replica outside the ISR may lack records, and electing it
 * is "unclean". Here the log lies in a store that all brokers share, so any live replica can lead without loss. The ISR
 * is therefore simply the set of replicas that are alive; members of it go first, and any other live replica follows.
 */

export interface PartitionState {
  /** The brokers that may lead, the preferred leader first. Kafka calls them the assigned replicas, AR. */
  readonly replicas: readonly number[];
  /** Those replicas that are alive, in the order of `replicas`. The last one stays when it dies, as in Kafka. */
  readonly isr: readonly number[];
  /** The leading broker, or `noLeader`. */
  readonly leader: number;
  /** Grows with each change that a leader must notice; the log refuses maintenance under an older one. */
  readonly leaderEpoch: number;
}

type BrokerSet = ReadonlySet<number>;

/** The value of `leader` while no replica is alive; Kafka's sentinel. */
export const noLeader = -1;

/**
 * The state after brokers died or came back. A live leader stays. A dead one is followed by the first replica that is
 * live and in the ISR, else by the first live one; if there is none, the partition has no leader until a replica
 * returns. A replica that returns to a partition with a leader joins the ISR and changes nothing else: no election, the
 * same epoch. A replica that leaves the ISR raises the epoch, as when Kafka's controller removes it.
 */
export function electAfterBrokerChange(state: PartitionState, live: BrokerSet): PartitionState | undefined {
  const isr = liveOrLast(state, live);
  const leader = live.has(state.leader) ? state.leader : firstEligible(state.replicas, state.isr, live);
  return nextState(state, { isr, leader });
}

/**
 * The state after some of the live brokers have bounced: died and registered anew before anybody acted on their death. Kafka
 * treats that as a failure followed by a start, and so does this, in one step: another live replica of the ISR takes over,
 * and the epoch rises, so that what the earlier run of a leader has left under way is refused.
 * @param live all live brokers, with those that bounced
 */
export function electAfterBounce(
  state: PartitionState,
  live: BrokerSet,
  bounced: BrokerSet,
): PartitionState | undefined {
  const failed = electAfterBrokerChange(state, new Set([...live].filter((id) => !bounced.has(id))));
  return failed ? (electAfterBrokerChange(failed, live) ?? failed) : electAfterBrokerChange(state, live);
}

/** The share of preferred partitions that a broker may not be leading before they are given back: Kafka's 10 %. */
const imbalanceMax = 0.1;

/**
 * Which partitions are due for the preferred election: Kafka's `leader.imbalance.per.broker.percentage`. Those whose preferred
 * leader is live but does not lead, where that is so for more than a tenth of the partitions that this broker is to lead.
 */
export function imbalancedPartitions<P extends PartitionState>(partitions: Iterable<P>, live: BrokerSet): P[] {
  const byPreferred = new Map<number, { all: number; led: number; due: P[] }>();
  for (const partition of partitions) {
    const preferred = partition.replicas[0];
    if (preferred === undefined || !live.has(preferred)) continue;
    const share = byPreferred.get(preferred) ?? { all: 0, led: 0, due: [] };
    byPreferred.set(preferred, share);
    share.all += 1;
    if (partition.leader === preferred) share.led += 1;
    else if (partition.isr.includes(preferred)) share.due.push(partition);
  }
  return [...byPreferred.values()].flatMap(({ all, led, due }) => ((all - led) / all > imbalanceMax ? due : []));
}

/**
 * The preferred election: the first replica takes over, if it is live, in the ISR and not the leader already. The ISR is
 * not touched.
 */
export function electPreferred(state: PartitionState, live: BrokerSet): PartitionState | undefined {
  const preferred = state.replicas[0];
  if (preferred === undefined || !live.has(preferred) || !state.isr.includes(preferred)) return undefined;
  return nextState(state, { isr: state.isr, leader: preferred });
}

/**
 * The state after the store has lost an election, of which the partition's log has heard and refuses the leader: its epoch is
 * older than that one, or the same, and another broker has worked under it. The leader stays, under an epoch beyond that one, as
 * epochs only grow. Undefined if the state has moved on meanwhile: another broker leads, or the epoch is newer than what the log
 * has heard of; or if the leader is dead: then an election is to come.
 * @param leader who was refused
 */
export function raiseLeaderEpoch(
  state: PartitionState,
  leader: number,
  heardOf: number,
  live: BrokerSet,
): PartitionState | undefined {
  if (state.leader !== leader || state.leaderEpoch > heardOf || !live.has(leader)) return undefined;
  return { ...state, leaderEpoch: heardOf + 1 };
}

/**
 * The reassignment to other replicas. No data has to be copied, so Kafka's steps collapse into one: the new list holds
 * at once. The leader stays if it is live and on the list, else the first replica of the list that is live and in the
 * ISR follows, else the first live one. The epoch rises in any case, as Kafka's does when a reassignment begins.
 * Undefined if the list is the present one, or if none of it is alive: that would take the partition offline.
 */
export function reassign(
  state: PartitionState,
  replicas: readonly number[],
  live: BrokerSet,
): PartitionState | undefined {
  const isr = replicas.filter((id) => live.has(id));
  if (isr.length === 0 || sameIds(replicas, state.replicas)) return undefined;
  const leader = isr.includes(state.leader) ? state.leader : firstEligible(replicas, state.isr, live);
  return { replicas, isr, leader, leaderEpoch: state.leaderEpoch + 1 };
}

/** The live replicas; if there is none, the one that went last stands for all, which is the leader where it is known. */
function liveOrLast(state: PartitionState, live: BrokerSet): readonly number[] {
  const isr = state.replicas.filter((id) => live.has(id));
  if (isr.length > 0 || state.isr.length === 0) return isr;
  return [state.isr.includes(state.leader) ? state.leader : state.isr[0]!];
}

function firstEligible(replicas: readonly number[], isr: readonly number[], live: BrokerSet): number {
  const candidates = replicas.filter((id) => live.has(id));
  return candidates.find((id) => isr.includes(id)) ?? candidates[0] ?? noLeader;
}

/** The state with a new ISR and leader, its epoch raised if either the leader changed or the ISR lost a member. */
function nextState(
  state: PartitionState,
  { isr, leader }: { isr: readonly number[]; leader: number },
): PartitionState | undefined {
  const shrunk = state.isr.some((id) => !isr.includes(id));
  if (leader !== state.leader || shrunk) return { ...state, isr, leader, leaderEpoch: state.leaderEpoch + 1 };
  return sameIds(isr, state.isr) ? undefined : { ...state, isr };
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
