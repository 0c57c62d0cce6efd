/**
 * Chooses the replicas of new partitions by the algorithm of Kafka's AdminUtils, with or without racks. The result is
 * deterministic: the caller chooses the random numbers `startIndex` and `shift`.
 */
import { required } from '../required.ts';
import { ServiceError } from '../service-error.ts';

export interface PlacementBroker {
  readonly id: number;
  readonly rack?: string;
}

interface PlacementRequest {
  /** The live brokers, in any order, each id once. */
  readonly brokers: readonly PlacementBroker[];
  /** The number of partitions to place. */
  readonly partitions: number;
  readonly replicationFactor: number;
  /** The index of the first leader in the list of brokers, 0 or more; in Kafka a random number below the number of brokers. */
  readonly startIndex: number;
  /** The distance between the first leader and its first follower, 0 or more; in Kafka a random number, too. */
  readonly shift: number;
  /** The number of the first new partition: 0 for a new topic, else the number of existing partitions. */
  readonly firstPartition?: number;
}

/**
 * Returns the list of replicas of each partition, in order; the first replica of a list is the preferred leader. Leaders are
 * assigned to the brokers in turn. The distance from leader to followers grows with every round, so that the load of a dead broker
 * is spread over all others. If every broker has a rack, the replicas of a partition are spread over as many racks as possible. If
 * only some brokers have one, racks are ignored, as otherwise these brokers would get more replicas.
 *
 * @throws ServiceError INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR
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
 * The `startIndex` and `shift` for partitions that are added to a topic, as in Kafka, so that they continue the placement of the
 * existing ones: the index, among the brokers by id, of the first replica of partition 0, or else of the next higher id.
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
        'request fewer replicas or start more brokers.',
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
    for (const ids of lists) result.push(...ids.slice(row, row + 1));
  }
  return result;
}

/** The follower number `step`. It is never the leader, and steps visit all other brokers before one is repeated. */
function followerOf(ordered: readonly number[], first: number, shift: number, step: number): number {
  const n = ordered.length;
  return brokerAt(ordered, (first + 1 + ((shift + step) % (n - 1))) % n);
}

function brokerAt(ordered: readonly number[], index: number): number {
  return required(ordered[index], 'broker at the chosen place');
}

function placeInARow(ordered: readonly number[], first: number, shift: number, replicationFactor: number): number[] {
  const replicas = [brokerAt(ordered, first)];
  for (let step = 0; replicas.length < replicationFactor; step++) {
    replicas.push(followerOf(ordered, first, shift, step));
  }
  return replicas;
}

/** Like placeInARow(), but skips brokers of racks that have a replica while another rack has none. */
function placeAcrossRacks(
  ordered: readonly number[],
  racks: ReadonlyMap<number, string>,
  first: number,
  shift: number,
  replicationFactor: number,
): number[] {
  const rackCount = new Set(racks.values()).size;
  const leader = brokerAt(ordered, first);
  const replicas = [leader];
  const usedRacks = new Set([racks.get(leader)]);
  // The loop ends: the steps visit all brokers except the leader. While replicas are missing, a broker without a replica exists,
  // and it is in a rack without replicas if there is such a rack.
  for (let step = 0; replicas.length < replicationFactor; step++) {
    const id = followerOf(ordered, first, shift * rackCount, step);
    const rack = racks.get(id);
    if (replicas.includes(id)) continue;
    if (usedRacks.has(rack) && usedRacks.size < rackCount) continue;
    replicas.push(id);
    usedRacks.add(rack);
  }
  return replicas;
}
