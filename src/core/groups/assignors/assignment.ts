/**
 * The types and functions that all assignors share: their input and output, the order of members, and the owners of
 * partitions that they fill in.
 */

import { required } from '../../required.ts';

/** Partitions by topic, as the assignors use them. */
export type Assignment = Map<string, number[]>;

/** The partitions of one topic, in API messages and stored documents. Lists are sorted by topic and by partition. */
export interface TopicPartitions {
  topic: string;
  partitions: number[];
}

export interface AssignorMember {
  readonly memberId: string;
  /** Set for a static member. */
  readonly instanceId?: string;
  /** The subscribed topics, sorted and without duplicates; patterns are already resolved. */
  readonly topics: readonly string[];
  /** The current target of the member; only sticky assignors use it. */
  readonly owned?: Assignment;
}

export interface AssignorInput {
  readonly members: readonly AssignorMember[];
  /** The number of partitions of each existing topic; subscriptions to other topics are ignored. */
  readonly topics: ReadonlyMap<string, number>;
}

/**
 * Assigns each partition of the subscribed topics to exactly one member that subscribes to its topic. The result has an entry for
 * every member, which may be empty. It does not depend on the order of members and topics in the input.
 */
export type Assignor = (input: AssignorInput) => Map<string, Assignment>;

/** A topic whose partitions are assigned. */
export interface TopicOwners {
  readonly topic: string;
  /** Indices into the ordered members, ascending; at least one. */
  readonly subscribers: readonly number[];
  /** The owner of each partition, as an index into the ordered members, or `noOwner`. */
  readonly ownerOf: Int32Array;
}

export const noOwner = -1;

/**
 * Sorts members as Kafka's assignors do: static members by instance id, then dynamic ones by member id. So a static member that
 * returns with another member id keeps its position and its assignment.
 */
export function orderMembers(members: readonly AssignorMember[]): AssignorMember[] {
  return [...members].sort((a, b) => {
    if (a.instanceId !== undefined && b.instanceId !== undefined) return compareText(a.instanceId, b.instanceId);
    if (a.instanceId !== undefined) return -1;
    if (b.instanceId !== undefined) return 1;
    return compareText(a.memberId, b.memberId);
  });
}

/**
 * The existing topics that have subscribers, sorted by name, without owners. Topics may share a list of subscribers, so these lists
 * must not be modified.
 * @param members in order
 */
export function subscribedTopics(input: AssignorInput, members: readonly AssignorMember[]): TopicOwners[] {
  // Most members of a group have equal subscriptions. Consecutive members with equal ones are handled together. Otherwise a
  // thousand members with ten thousand topics each would take ten million steps.
  const runs: { topics: readonly string[]; indices: number[] }[] = [];
  for (const [index, { topics }] of members.entries()) {
    const last = runs.at(-1);
    if (last && sameTexts(last.topics, topics)) last.indices.push(index);
    else runs.push({ topics, indices: [index] });
  }
  const runsOf = new Map<string, number[][]>();
  for (const { topics, indices } of runs) {
    for (const topic of new Set(topics)) {
      const list = runsOf.get(topic);
      if (list) list.push(indices);
      else if (input.topics.has(topic)) runsOf.set(topic, [indices]);
    }
  }
  return [...runsOf]
    .sort(([a], [b]) => compareText(a, b))
    .map(([topic, [first = [], ...rest]]) => ({
      topic,
      // concat() copies whole lists, which is faster than flat().
      subscribers: rest.length === 0 ? first : first.concat(...rest),
      ownerOf: new Int32Array(input.topics.get(topic) ?? 0).fill(noOwner),
    }));
}

export function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}

/** Converts complete owners to the result of an assignor. Partitions are ascending, topics in the order of the list. */
export function assignmentsOf(
  members: readonly AssignorMember[],
  topics: readonly TopicOwners[],
): Map<string, Assignment> {
  const assigned = members.map(({ memberId }): [memberId: string, Assignment] => [memberId, new Map()]);
  for (const { topic, ownerOf } of topics) {
    ownerOf.forEach((owner, partition) => {
      const [, assignment] = required(assigned[owner], 'owner of a partition');
      const partitions = assignment.get(topic);
      if (partitions) partitions.push(partition);
      else assignment.set(topic, [partition]);
    });
  }
  return new Map(assigned);
}

/** The wire form of an assignment: sorted by topic, partitions ascending, topics without partitions left out. */
export function toTopicPartitions(assignment: ReadonlyMap<string, readonly number[]>): TopicPartitions[] {
  return [...assignment]
    .filter(([, partitions]) => partitions.length > 0)
    .sort(([a], [b]) => compareText(a, b))
    .map(([topic, partitions]) => ({ topic, partitions: [...partitions].sort((a, b) => a - b) }));
}

/** Converts a list to an assignment. Several entries of one topic are merged. */
export function fromTopicPartitions(list: readonly TopicPartitions[]): Assignment {
  const assignment: Assignment = new Map();
  for (const { topic, partitions } of list) {
    const known = assignment.get(topic);
    if (known) known.push(...partitions);
    else assignment.set(topic, [...partitions]);
  }
  return assignment;
}

/** Compares by UTF-16 code units, as Java does; the assignment must not depend on a locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
