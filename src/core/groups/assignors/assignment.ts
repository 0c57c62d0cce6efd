/**
 * What all assignors share: the shapes of their input and output, the order of members, and the table of owners that
 * they fill. It decides nothing; range, roundrobin and uniform do.
 */

/** Partitions by topic, as the assignors work on them. */
export type Assignment = Map<string, number[]>;

/** The same on the wire and in stored documents, where lists are sorted by topic and by partition. */
export interface TopicPartitions {
  topic: string;
  partitions: number[];
}

export interface AssignorMember {
  readonly memberId: string;
  /** Set for a static member. */
  readonly instanceId?: string;
  /** The subscription: topic names, sorted, each once, patterns already resolved. */
  readonly topics: readonly string[];
  /** What the current target gives to the member; only sticky assignors look at it. */
  readonly owned?: Assignment;
}

export interface AssignorInput {
  readonly members: readonly AssignorMember[];
  /** The partition count of each topic that exists; a subscription to any other topic brings no partitions. */
  readonly topics: ReadonlyMap<string, number>;
}

/**
 * Divides the partitions of all subscribed topics among the members: each partition to exactly one member that
 * subscribes to its topic. Every member has an entry in the result, if only an empty one. The same input gives the same
 * result, in whatever order its members and topics come.
 */
export type Assignor = (input: AssignorInput) => Map<string, Assignment>;

/** The owner of each partition of a topic, as an index into the ordered members, or `noOwner`. */
export type Owners = Map<string, Int32Array>;

export const noOwner = -1;

/**
 * The order in which Kafka's assignors serve members: static ones by instance id, then dynamic ones by member id. A
 * static member keeps its place, and with it its share, when it comes back under another member id.
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
 * The indices of the members that subscribe to each existing topic, ascending; topics come in their sorted order.
 * Topics may share a list: they must not be modified.
 */
export function subscribersByTopic(
  input: AssignorInput,
  members: readonly AssignorMember[],
): Map<string, readonly number[]> {
  // Members of a group mostly subscribe alike. Those that follow each other and do so are looked at together: a
  // thousand members with ten thousand topics each would else be ten million steps.
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
  return new Map(
    [...runsOf]
      .sort(([a], [b]) => compareText(a, b))
      // Plain concatenation copies whole lists; `flat` would look at each of their elements.
      .map(([topic, [first, ...rest]]): [string, readonly number[]] => [
        topic,
        rest.length === 0 ? first! : first!.concat(...rest),
      ]),
  );
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}

/** A table without owners. `topics` are the keys of a map, in the order in which they will be read. */
export function noOwners(input: AssignorInput, topics: Iterable<string>): Owners {
  const owners: Owners = new Map();
  for (const topic of topics) owners.set(topic, new Int32Array(input.topics.get(topic) ?? 0).fill(noOwner));
  return owners;
}

/** The result of an assignor from its table; partitions come out ascending, topics in the order of the table. */
export function assignmentsOf(members: readonly AssignorMember[], owners: Owners): Map<string, Assignment> {
  const assignments = members.map((): Assignment => new Map());
  for (const [topic, ownerOf] of owners) {
    for (let partition = 0; partition < ownerOf.length; partition++) {
      const assignment = assignments[ownerOf[partition]!]!;
      const partitions = assignment.get(topic);
      if (partitions) partitions.push(partition);
      else assignment.set(topic, [partition]);
    }
  }
  return new Map(members.map((member, index) => [member.memberId, assignments[index]!]));
}

/** The wire form of an assignment: sorted by topic, partitions ascending, topics without partitions left out. */
export function toTopicPartitions(assignment: ReadonlyMap<string, readonly number[]>): TopicPartitions[] {
  return [...assignment]
    .filter(([, partitions]) => partitions.length > 0)
    .sort(([a], [b]) => compareText(a, b))
    .map(([topic, partitions]) => ({ topic, partitions: [...partitions].sort((a, b) => a - b) }));
}

/** The assignment that a wire form stands for; a topic that is named twice is taken together. */
export function fromTopicPartitions(list: readonly TopicPartitions[]): Assignment {
  const assignment: Assignment = new Map();
  for (const { topic, partitions } of list) {
    const known = assignment.get(topic);
    if (known) known.push(...partitions);
    else assignment.set(topic, [...partitions]);
  }
  return assignment;
}

/** By UTF-16 code units, as Java compares strings; a locale must not change who gets what. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
