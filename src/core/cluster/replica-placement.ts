/**
 * Which brokers hold the replicas of new partitions: Kafka's AdminUtils, with and without racks. It is deterministic:
 * the caller draws `startIndex` and `shift`, and a test or a repeat of a request can fix them.
 */
import { ServiceError } from '../service-error.ts';

export interface PlacementBroker {
  readonly id: number;
  readonly rack?: string;
}

export interface PlacementRequest {
  /** The live brokers, in any order, each id once. */
  readonly brokers: readonly PlacementBroker[];
  /** How many partitions to place. */
  readonly partitions: number;
  readonly replicationFactor: number;
  /** The position of the first leader in the list of brokers, 0 or more; Kafka draws it below the number of brokers. */
  readonly startIndex: number;
  /** The first distance between a leader and its first follower, 0 or more; Kafka draws it likewise. */
  readonly shift: number;
  /** The number of the first partition placed: the count of those that are there when partitions are added. */
  readonly firstPartition?: number;
}

/**
 * The replica lists of the partitions, in order, the first of each being the preferred leader. Leaders go round the
 * brokers; followers stand at a distance that grows with every round, so that the load of a broker that dies spreads.
 * If every broker names its rack, the replicas of a partition take as many racks as there are; if only some do, racks
 * are disregarded, since half a map of the racks would favour the brokers that are on it.
 *
 * Throws INVALID_PARTITIONS and INVALID_REPLICATION_FACTOR.
 */
export function placeReplicas(request: PlacementRequest): number[][] {
  const { brokers, partitions, replicationFactor, startIndex, firstPartition = 0 } = request;
  checkCounts(partitions, replicationFactor, brokers.length);

  const racks = rackOfEach(brokers);
  const ordered = racks ? alternateRacks(racks) : sortedById(brokers).map((broker) => broker.id);
  const n = ordered.length;
  let shift = request.shift;
  const result: number[][] = [];
  for (let p = firstPartition; p < firstPartition + partitions; p++) {
    if (p > 0 && p % n === 0) shift++;
    const first = (p + startIndex) % n;
    result.push(
      racks
        ? placeAcrossRacks(ordered, racks, first, shift, replicationFactor)
        : placeInARow(ordered, first, shift, replicationFactor),
    );
  }
  return result;
}

/**
 * The `startIndex` (and `shift`) with which Kafka places partitions that are added to a topic, so that they go on where
 * the first ones began: the position, by id, of the first broker that is not before partition 0's first replica.
 */
export function startForAddedPartitions(brokers: readonly PlacementBroker[], firstReplica: number): number {
  return Math.max(
    0,
    sortedById(brokers).findIndex((broker) => broker.id >= firstReplica),
  );
}

function checkCounts(partitions: number, replicationFactor: number, brokerCount: number): void {
  if (!Number.isInteger(partitions) || partitions <= 0) {
    throw new ServiceError('INVALID_PARTITIONS', `The number of partitions is ${partitions}; it must be 1 or more.`);
  }
  if (!Number.isInteger(replicationFactor) || replicationFactor <= 0) {
    throw new ServiceError(
      'INVALID_REPLICATION_FACTOR',
      `The replication factor is ${replicationFactor}; it must be 1 or more.`,
    );
  }
  if (replicationFactor > brokerCount) {
    throw new ServiceError(
      'INVALID_REPLICATION_FACTOR',
      `The replication factor is ${replicationFactor}, but the number of live brokers is ${brokerCount}; ` +
        'ask for fewer replicas or start more brokers.',
    );
  }
}

function sortedById(brokers: readonly PlacementBroker[]): PlacementBroker[] {
  return [...brokers].sort((a, b) => a.id - b.id);
}

/** The rack of each broker by id, ids ascending; undefined unless every broker has one. */
function rackOfEach(brokers: readonly PlacementBroker[]): Map<number, string> | undefined {
  const racks = new Map<number, string>();
  for (const { id, rack } of sortedById(brokers)) {
    if (rack === undefined) return undefined;
    racks.set(id, rack);
  }
  return racks;
}

/** All brokers, one of each rack in turn: racks by name, brokers of a rack by id. */
function alternateRacks(racks: ReadonlyMap<number, string>): number[] {
  const byRack = new Map<string, number[]>();
  for (const [id, rack] of racks) {
    const ids = byRack.get(rack);
    if (ids) ids.push(id);
    else byRack.set(rack, [id]);
  }
  const lists = [...byRack].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, ids]) => ids);
  const result: number[] = [];
  for (let row = 0; result.length < racks.size; row++) {
    for (const ids of lists) if (row < ids.length) result.push(ids[row]!);
  }
  return result;
}

/** The position of the follower number `step`: never that of the leader, and all the others before one comes twice. */
function followerIndex(first: number, shift: number, step: number, n: number): number {
  return (first + 1 + ((shift + step) % (n - 1))) % n;
}

function placeInARow(ordered: readonly number[], first: number, shift: number, replicationFactor: number): number[] {
  const replicas = [ordered[first]!];
  for (let step = 0; replicas.length < replicationFactor; step++) {
    replicas.push(ordered[followerIndex(first, shift, step, ordered.length)]!);
  }
  return replicas;
}

/** As in a row, but a rack that has a replica is passed over while another has none. */
function placeAcrossRacks(
  ordered: readonly number[],
  racks: ReadonlyMap<number, string>,
  first: number,
  shift: number,
  replicationFactor: number,
): number[] {
  const rackCount = new Set(racks.values()).size;
  const replicas = [ordered[first]!];
  const usedRacks = new Set([racks.get(ordered[first]!)!]);
  // This ends: while replicas are missing, some broker has none, and one on a rack without any if there is such a rack;
  // the steps go round all brokers but the leader.
  for (let step = 0; replicas.length < replicationFactor; step++) {
    const id = ordered[followerIndex(first, shift * rackCount, step, ordered.length)]!;
    const rack = racks.get(id)!;
    if (replicas.includes(id)) continue;
    if (usedRacks.has(rack) && usedRacks.size < rackCount) continue;
    replicas.push(id);
    usedRacks.add(rack);
  }
  return replicas;
}
