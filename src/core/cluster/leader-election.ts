/**
 * Kafka's rules for leader elections, as pure functions: each takes the state of a partition and the live brokers, and returns
 * the next state, or undefined for no change. The controller watches brokers and commits the states by compare-and-set.
 *
 * One rule differs from Kafka. There a replica outside the ISR may lack records, and its election is "unclean". Here the log is
 * in the store that all brokers share, so any live replica can lead without losing records. So the ISR is simply the set of live
 * replicas. Its members are elected first, then any other live replica.
 */

export interface PartitionState {
  /** The brokers that may lead, the preferred leader first. Kafka calls them the assigned replicas, AR. */
  readonly replicas: readonly number[];
  /** The live replicas, in the order of `replicas`. As in Kafka, the last one stays in the ISR when it dies. */
  readonly isr: readonly number[];
  /** The leading broker, or `noLeader`. */
  readonly leader: number;
  /** Rises with each change of the leader and whenever the ISR shrinks. The log refuses maintenance under an older epoch. */
  readonly leaderEpoch: number;
}

type BrokerSet = ReadonlySet<number>;

/** The value of `leader` while no replica is alive; the same as in Kafka. */
export const noLeader = -1;

/**
 * The state after brokers have died or returned. A live leader stays. A dead leader is replaced by the first live replica in the
 * ISR, else by the first live replica. Without a live replica, the partition has no leader until one returns. When a replica
 * returns to a partition with a leader, it joins the ISR, and the epoch stays the same. When the ISR loses a replica, the epoch
 * rises, as in Kafka.
 */
export function electAfterBrokerChange(state: PartitionState, live: BrokerSet): PartitionState | undefined {
  const isr = liveOrLast(state, live);
  const leader = live.has(state.leader) ? state.leader : firstEligible(state.replicas, state.isr, live);
  return nextState(state, { isr, leader });
}

/**
 * The state after some of the live brokers have bounced: they died and registered again before the controller handled their
 * death. As in Kafka, this counts as a failure followed by a start, here in one step. Another live replica of the ISR becomes
 * leader, and the epoch rises, so the log refuses writes that the earlier process of a leader still has in flight.
 * @param live all live brokers, including those that bounced
 */
export function electAfterBounce(
  state: PartitionState,
  live: BrokerSet,
  bounced: BrokerSet,
): PartitionState | undefined {
  const failed = electAfterBrokerChange(state, new Set([...live].filter((id) => !bounced.has(id))));
  return failed ? (electAfterBrokerChange(failed, live) ?? failed) : electAfterBrokerChange(state, live);
}

/** Fraction of the partitions which prefer a broker that others may lead before leadership is returned to it: 10 %, as in Kafka. */
const imbalanceMax = 0.1;

/**
 * The partitions that are due for a preferred election, as with Kafka's `leader.imbalance.per.broker.percentage`. If a live
 * broker does not lead more than a tenth of the partitions of which it is the preferred leader, these partitions are due.
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
 * The preferred election: the first replica becomes the leader if it is live and in the ISR. The ISR does not change.
 * Undefined if it cannot lead or leads already.
 */
export function electPreferred(state: PartitionState, live: BrokerSet): PartitionState | undefined {
  const preferred = state.replicas[0];
  if (preferred === undefined || !live.has(preferred) || !state.isr.includes(preferred)) return undefined;
  return nextState(state, { isr: state.isr, leader: preferred });
}

/**
 * The state after the store has lost an election that the log of the partition still knows. The log then refuses the leader:
 * the log has a newer leader epoch, or the same epoch from another broker. The leader stays, and gets an epoch above that of the
 * log, as epochs only rise.
 *
 * Undefined if the state has changed in the meantime: another broker leads, or the epoch is above that of the log. Also undefined
 * if the leader is dead, as an election follows anyway.
 * @param leader the broker that the log has refused
 * @param logEpoch the leader epoch that the log has
 */
export function raiseLeaderEpoch(
  state: PartitionState,
  leader: number,
  logEpoch: number,
  live: BrokerSet,
): PartitionState | undefined {
  if (state.leader !== leader || state.leaderEpoch > logEpoch || !live.has(leader)) return undefined;
  return { ...state, leaderEpoch: logEpoch + 1 };
}

/**
 * The reassignment to other replicas. No data is copied, so it is a single step here, unlike in Kafka. The leader stays if it is
 * live and in the new list. Otherwise the first replica of the list that is live and in the ISR becomes the leader, else the first
 * live one. The epoch always rises, as in Kafka when a reassignment begins.
 * Undefined if the list is the current one, or if no replica in it is live, as the partition would then have no leader.
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

/** The new ISR: the live replicas. If there are none, one replica of the previous ISR stays in it: the leader if it was in it. */
function liveOrLast(state: PartitionState, live: BrokerSet): readonly number[] {
  const isr = state.replicas.filter((id) => live.has(id));
  if (isr.length > 0) return isr;
  return state.isr.includes(state.leader) ? [state.leader] : state.isr.slice(0, 1);
}

function firstEligible(replicas: readonly number[], isr: readonly number[], live: BrokerSet): number {
  const candidates = replicas.filter((id) => live.has(id));
  return candidates.find((id) => isr.includes(id)) ?? candidates[0] ?? noLeader;
}

/** The state with a new ISR and leader, or undefined if nothing changes. The epoch rises if the leader changes or the ISR loses a member. */
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
