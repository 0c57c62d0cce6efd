/**
 * Kafka's uniform assignor, the default: balance first, then stickiness, which is to leave with each member what the
 * current target gives it. Members with equal subscriptions get equal shares; for others, no partition can be moved
 * that would lessen a difference of two or more between its owner and another subscriber of its topic.
 */
import {
  type Assignor,
  type AssignorMember,
  assignmentsOf,
  noOwner,
  noOwners,
  type Owners,
  orderMembers,
  subscribersByTopic,
} from './assignment.ts';
import { balanceByTopic } from './topic-balance.ts';

export const uniform: Assignor = (input) => {
  const members = orderMembers(input.members);
  const subscribers = subscribersByTopic(input, members);
  const owners = noOwners(input, subscribers.keys());
  keepOwned(members, subscribers, owners);
  const homogeneous = [...subscribers.values()].every((indices) => indices.length === members.length);
  if (homogeneous) fillToQuota(members.length, owners);
  else balanceByTopic(subscribers, owners, members.length);
  return assignmentsOf(members, owners);
};

/**
 * Writes down what members keep of the current target: partitions that exist, of topics that they still subscribe to.
 * If two members claim one partition, as no sound target does, the first one keeps it.
 */
function keepOwned(
  members: readonly AssignorMember[],
  subscribers: ReadonlyMap<string, readonly number[]>,
  owners: Owners,
): void {
  for (const [index, member] of members.entries()) {
    for (const [topic, partitions] of member.owned ?? []) {
      const ownerOf = owners.get(topic);
      if (!ownerOf || !contains(subscribers.get(topic)!, index)) continue;
      for (const partition of partitions) if (ownerOf[partition] === noOwner) ownerOf[partition] = index;
    }
  }
}

/** Binary search: `ascending` can be as long as the group, and is asked for every topic of every member. */
function contains(ascending: readonly number[], value: number): boolean {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return ascending[low] === value;
}

/**
 * Equal subscriptions: everyone has a quota, and no two quotas differ by more than one. Members above theirs give up
 * their last partitions, topic by topic; members below get those without an owner, then those given up, one member after
 * the other. Kafka gives the larger quotas to the members that its hash table lists first; here they go to members that
 * own that many already, and only then to the first in order, so that no partition moves for the sake of the remainder.
 */
function fillToQuota(memberCount: number, owners: Owners): void {
  const unassigned: [ownerOf: Int32Array, partition: number][] = [];
  const owned = new Int32Array(memberCount);
  let total = 0;
  for (const ownerOf of owners.values()) {
    total += ownerOf.length;
    for (const [partition, owner] of ownerOf.entries()) {
      if (owner === noOwner) unassigned.push([ownerOf, partition]);
      else owned[owner]!++;
    }
  }
  if (total === 0) return;

  const quotas = quotasFor(total, owned);
  const kept = new Int32Array(memberCount);
  const givenUp = quotas.map((): [Int32Array, number][] => []);
  for (const ownerOf of owners.values()) {
    for (const [partition, owner] of ownerOf.entries()) {
      if (owner === noOwner) continue;
      if (kept[owner]! < quotas[owner]!) kept[owner]!++;
      else givenUp[owner]!.push([ownerOf, partition]);
    }
  }
  unassigned.push(...givenUp.flat());

  let next = 0;
  for (const [member, quota] of quotas.entries()) {
    for (let i = kept[member]!; i < quota; i++) {
      const [ownerOf, partition] = unassigned[next++]!;
      ownerOf[partition] = member;
    }
  }
}

/** The quota of each member, in sum exactly `total`. */
function quotasFor(total: number, owned: Int32Array): number[] {
  const share = Math.floor(total / owned.length);
  let larger = total % owned.length;
  const quotas = Array.from(owned, (count) => (count > share && larger-- > 0 ? share + 1 : share));
  for (let i = 0; i < quotas.length && larger > 0; i++) {
    if (quotas[i] === share) {
      quotas[i] = share + 1;
      larger--;
    }
  }
  return quotas;
}
