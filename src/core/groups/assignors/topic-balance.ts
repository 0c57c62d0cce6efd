/**
 * The uniform assignor for members with different subscriptions, as Kafka's UniformHeterogeneousAssignmentBuilder. It fills a table
 * of owners and then balances it topic by topic. The load of a member is the number of all its partitions. A topic is balanced if
 * no owner of its partitions has a load two or more above that of another subscriber.
 */
import { required } from '../../required.ts';
import { compareText, noOwner, type TopicOwners } from './assignment.ts';

/**
 * The maximum number of rounds over all topics; the limit is Kafka's and bounds the time. If the subscribers of each topic have
 * equal subscriptions, one round is enough. Chains of overlapping subscriptions can need more; each round about halves the imbalance.
 */
const maxRounds = 16;

/**
 * Assigns the partitions without an owner to the least loaded subscribers. Then it moves single partitions from the most to the
 * least loaded ones until every topic is balanced or `maxRounds` is reached. The owners are updated in place.
 */
export function balanceByTopic(topics: readonly TopicOwners[], memberCount: number): void {
  const loads = new Loads(memberCount);
  for (const { ownerOf } of topics) for (const owner of ownerOf) if (owner !== noOwner) loads.add(owner, 1);

  const ordered = orderTopics(topics);
  for (const topic of ordered) giveOut(topic, loads);

  const shared = ordered.filter(({ subscribers }) => subscribers.length > 1);
  for (let round = 0; round < maxRounds; round++) {
    let moved = false;
    for (const topic of shared) moved = evenOut(topic, loads) || moved;
    if (!moved) return;
  }
}

/** Sorts topics: most partitions per subscriber first, then fewest subscribers first, then by name. */
function orderTopics(topics: readonly TopicOwners[]): TopicOwners[] {
  const density = ({ subscribers, ownerOf }: TopicOwners) => ownerOf.length / subscribers.length;
  return [...topics].sort(
    (a, b) => density(b) - density(a) || a.subscribers.length - b.subscribers.length || compareText(a.topic, b.topic),
  );
}

/** The number of all partitions of each member. */
class Loads {
  readonly #counts: Int32Array;

  constructor(memberCount: number) {
    this.#counts = new Int32Array(memberCount);
  }

  of(member: number): number {
    return this.#counts[member] ?? 0;
  }

  add(member: number, partitions: number): void {
    this.#counts[member] = this.of(member) + partitions;
  }

  /** Sorts members by load, then by index. Both are combined into one number, as numbers sort fast. */
  sort(members: readonly number[]): number[] {
    const { length } = this.#counts;
    const keys = Float64Array.from(members, (member) => this.of(member) * length + member).sort();
    return Array.from(keys, (key) => key % length);
  }
}

/** Assigns each partition without an owner to the subscriber with the least load at that moment. */
function giveOut({ subscribers, ownerOf }: TopicOwners, loads: Loads): void {
  if (!ownerOf.includes(noOwner)) return;
  const taker = leastLoadedFirst(loads.sort(subscribers), loads);
  for (let partition = 0; partition < ownerOf.length; partition++) {
    if (ownerOf[partition] !== noOwner) continue;
    const member = taker();
    ownerOf[partition] = member;
    loads.add(member, 1);
  }
}

/**
 * Moves partitions of one topic from its most to its least loaded subscribers. It ends when their loads differ by at most one, or
 * when the more loaded ones have no partition of this topic. Returns whether any partition was moved.
 */
function evenOut({ subscribers, ownerOf }: TopicOwners, loads: Loads): boolean {
  if (ownerOf.length === 0 || spread(subscribers, loads) <= 1) return false;
  const members = loads.sort(subscribers);
  const partitionsOf = new Map<number, number[]>();
  for (const [partition, owner] of ownerOf.entries()) {
    const list = partitionsOf.get(owner);
    if (list) list.push(partition);
    else partitionsOf.set(owner, [partition]);
  }
  const givers = members.flatMap((member) => {
    const partitions = partitionsOf.get(member);
    return partitions ? [{ member, partitions }] : [];
  });
  const largest = () => {
    const last = givers.at(-1);
    return last && loads.of(last.member);
  };
  const taker = leastLoadedFirst(members, loads);

  // `givers` are sorted by load, so the members at or above a level are at the end of the list. In each round every active giver
  // gives its last partition of this topic, so the load of all active givers is exactly `level`.
  let moved = false;
  let active: typeof givers = [];
  for (let level = largest() ?? 0; ; level--) {
    active = active.filter(({ partitions }) => partitions.length > 0);
    if (active.length === 0) level = largest() ?? level;
    while (largest() === level) active.push(...givers.splice(-1));
    if (active.length === 0) return moved;
    for (const { member: giver, partitions } of active) {
      const taking = taker();
      if (level - loads.of(taking) <= 1) return moved;
      ownerOf[required(partitions.pop(), 'partition to give')] = taking;
      loads.add(giver, -1);
      loads.add(taking, 1);
      moved = true;
    }
  }
}

function spread(members: readonly number[], loads: Loads): number {
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  for (const member of members) {
    const load = loads.of(member);
    least = Math.min(least, load);
    most = Math.max(most, load);
  }
  return most - least;
}

/**
 * Returns a function that returns the least loaded member on each call. The caller must assign a partition to that member before
 * the next call. `members` must be sorted by load. The members at the lowest level are at the front of the list. Once each of them
 * got a partition, the level rises by one, and the members that had this load from the start are included.
 *
 * A member that gives partitions away in the meantime has less load than listed. That is harmless: givers stay at least one above
 * the lowest level, and when that level reaches them, the topic is balanced.
 */
function leastLoadedFirst(members: readonly number[], loads: Loads): () => number {
  const listed = members.map((member) => loads.of(member));
  let level = (listed[0] ?? 0) - 1;
  let end = 0;
  let next = 0;
  return () => {
    if (next === end) {
      level++;
      while ((listed[end] ?? Number.POSITIVE_INFINITY) <= level) end++;
      next = 0;
    }
    return required(members[next++], 'subscriber of a topic');
  };
}
