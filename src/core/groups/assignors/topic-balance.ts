/**
 * The part of the uniform assignor for members whose subscriptions differ. It fills and then evens out a table of
 * owners, topic by topic, as Kafka's UniformHeterogeneousAssignmentBuilder does: the load of a member is the number of
 * all its partitions, and a topic is in balance when no owner of its partitions has two more than another subscriber.
 */
import { compareText, noOwner, type Owners } from './assignment.ts';

/**
 * Rounds over all topics. Where the subscribers of each topic have equal subscriptions, the first settles it; chains of
 * overlapping subscriptions can take more, each about halving what is left. The limit, Kafka's, keeps the time bounded.
 */
const maxRounds = 16;

/**
 * Gives the partitions without an owner to the least loaded subscribers, then moves single partitions from the most to
 * the least loaded ones until every topic is in balance. `subscribers` are member indices by topic, ascending.
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

/** Topics with most partitions per subscriber first, then those with fewest subscribers, then by name. */
function orderTopics(subscribers: ReadonlyMap<string, readonly number[]>, owners: Owners): string[] {
  const entries = [...owners].map(([topic, ownerOf]) => {
    const count = subscribers.get(topic)!.length;
    return { topic, count, density: ownerOf.length / count };
  });
  entries.sort((a, b) => b.density - a.density || a.count - b.count || compareText(a.topic, b.topic));
  return entries.map((entry) => entry.topic);
}

/** Gives each partition without an owner to the subscriber that has the least at that moment. */
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
 * Moves partitions of one topic from its most to its least loaded subscribers until they differ by one at most, or those
 * that have more own nothing of this topic. Says whether anything moved.
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

  // `givers` stand by load, so those at or above a level are its end. All of them have come down to `level` exactly:
  // in each round every one gives a single partition, the last of those it has of this topic.
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

/** The members by load, equal ones by index. Load and index fit into one number, and numbers sort fast. */
function byLoad(members: readonly number[], loads: Int32Array): number[] {
  const keys = Float64Array.from(members, (member) => loads[member]! * loads.length + member).sort();
  return Array.from(keys, (key) => key % loads.length);
}

/**
 * Names the least loaded member again and again, provided that each one named gets a partition before the next call.
 * `members` stand by load. Those at the lowest level are a run at the front; once all of it was served it is one level
 * higher, and the run grows by the members that stood there from the start.
 *
 * A member that gives partitions away meanwhile is below the load it is listed under. That is harmless: givers come
 * down to no less than one above the lowest level, and when that level reaches them, nothing is left to even out.
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
