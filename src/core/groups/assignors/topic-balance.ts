/**
 * The uniform assignor for members with different subscriptions, as Kafka's UniformHeterogeneousAssignmentBuilder. It fills a table
 * of owners and then balances it topic by topic. The load of a member is the number of all its partitions. A topic is balanced if
 * no owner of its partitions has a load two or more above that of another subscriber.
 */
import { compareText, noOwner, type Owners } from './assignment.ts';

/**
 * The maximum number of rounds over all topics; the limit is Kafka's and bounds the time. If the subscribers of each topic have
 * equal subscriptions, one round is enough. Chains of overlapping subscriptions can need more; each round about halves the imbalance.
 */
const maxRounds = 16;

/**
 * Assigns the partitions without an owner to the least loaded subscribers. Then it moves single partitions from the most to the
 * least loaded ones until every topic is balanced or `maxRounds` is reached. `owners` is updated in place.
 * @param subscribers member indices by topic, ascending
 */
export function balanceByTopic(
  subscribers: ReadonlyMap<string, readonly number[]>,
  owners: Owners,
  memberCount: number,
): void {
  const loads = new Int32Array(memberCount);
  for (const ownerOf of owners.values()) for (const owner of ownerOf) if (owner !== noOwner) loads[owner]!++;

  const topics = orderTopics(subscribers, owners);
  for (const topic of topics) giveOut(subscribers.get(topic)!, owners.get(topic)!, loads);

  const shared = topics.filter((topic) => subscribers.get(topic)!.length > 1);
  for (let round = 0; round < maxRounds; round++) {
    let moved = false;
    for (const topic of shared) moved = evenOut(subscribers.get(topic)!, owners.get(topic)!, loads) || moved;
    if (!moved) return;
  }
}

/** Sorts topics: most partitions per subscriber first, then fewest subscribers first, then by name. */
function orderTopics(subscribers: ReadonlyMap<string, readonly number[]>, owners: Owners): string[] {
  const entries = [...owners].map(([topic, ownerOf]) => {
    const count = subscribers.get(topic)!.length;
    return { topic, count, density: ownerOf.length / count };
  });
  entries.sort((a, b) => b.density - a.density || a.count - b.count || compareText(a.topic, b.topic));
  return entries.map((entry) => entry.topic);
}

/** Assigns each partition without an owner to the subscriber with the least load at that moment. */
function giveOut(subscribers: readonly number[], ownerOf: Int32Array, loads: Int32Array): void {
  if (!ownerOf.includes(noOwner)) return;
  const taker = leastLoadedFirst(byLoad(subscribers, loads), loads);
  for (let partition = 0; partition < ownerOf.length; partition++) {
    if (ownerOf[partition] !== noOwner) continue;
    const member = taker();
    ownerOf[partition] = member;
    loads[member]!++;
  }
}

/**
 * Moves partitions of one topic from its most to its least loaded subscribers. It ends when their loads differ by at most one, or
 * when the more loaded ones have no partition of this topic. Returns whether any partition was moved.
 */
function evenOut(subscribers: readonly number[], ownerOf: Int32Array, loads: Int32Array): boolean {
  if (ownerOf.length === 0 || spread(subscribers, loads) <= 1) return false;
  const members = byLoad(subscribers, loads);
  const partitionsOf = new Map<number, number[]>();
  for (const [partition, owner] of ownerOf.entries()) {
    const list = partitionsOf.get(owner);
    if (list) list.push(partition);
    else partitionsOf.set(owner, [partition]);
  }
  const givers = members.filter((member) => partitionsOf.has(member));
  const taker = leastLoadedFirst(members, loads);

  // `givers` are sorted by load, so the members at or above a level are at the end of the list. In each round every active giver
  // gives its last partition of this topic, so the load of all active givers is exactly `level`.
  let moved = false;
  let active: number[] = [];
  for (let level = loads[givers.at(-1)!]!; ; level--) {
    active = active.filter((member) => partitionsOf.get(member)!.length > 0);
    if (active.length === 0 && givers.length > 0) level = loads[givers.at(-1)!]!;
    while (givers.length > 0 && loads[givers.at(-1)!] === level) active.push(givers.pop()!);
    if (active.length === 0) return moved;
    for (const giver of active) {
      const member = taker();
      if (level - loads[member]! <= 1) return moved;
      ownerOf[partitionsOf.get(giver)!.pop()!] = member;
      loads[giver]!--;
      loads[member]!++;
      moved = true;
    }
  }
}

function spread(members: readonly number[], loads: Int32Array): number {
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  for (const member of members) {
    least = Math.min(least, loads[member]!);
    most = Math.max(most, loads[member]!);
  }
  return most - least;
}

/** Sorts members by load, then by index. Both are combined into one number, as numbers sort fast. */
function byLoad(members: readonly number[], loads: Int32Array): number[] {
  const keys = Float64Array.from(members, (member) => loads[member]! * loads.length + member).sort();
  return Array.from(keys, (key) => key % loads.length);
}

/**
 * Returns a function that returns the least loaded member on each call. The caller must assign a partition to that member before
 * the next call. `members` must be sorted by load. The members at the lowest level are at the front of the list. Once each of them
 * got a partition, the level rises by one, and the members that had this load from the start are included.
 *
 * A member that gives partitions away in the meantime has less load than listed. That is harmless: givers stay at least one above
 * the lowest level, and when that level reaches them, the topic is balanced.
 */
function leastLoadedFirst(members: readonly number[], loads: Int32Array): () => number {
  const listed = members.map((member) => loads[member]!);
  let level = listed[0]! - 1;
  let end = 0;
  let next = 0;
  return () => {
    if (next === end) {
      level++;
      while (end < members.length && listed[end]! <= level) end++;
      next = 0;
    }
    return members[next++]!;
  };
}
