/**
 * Kafka's uniform assignor, the default. Balance comes first, then stickiness: members keep the partitions of the current target.
 * Members with equal subscriptions get equal numbers of partitions. With different subscriptions, topic-balance.ts balances each
 * topic.
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
 * Enters the partitions that members keep of the current target: those that exist, of topics to which they still subscribe. If an
 * invalid target has two owners of one partition, the first one keeps it.
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

/** Binary search, as the list can have all members of the group and is searched for every topic of every member. */
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
 * Balances members with equal subscriptions. Each member has a quota; quotas differ by at most one. Members above their quota give
 * up their last partitions, topic by topic. Members below it get the partitions without an owner, then those given up. In Kafka,
 * the larger quotas go to the members that are first in a hash table. Here they go to members that own that many partitions
 * already, then to the first members in order, so that the remainder alone never moves a partition.
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

/** The quota of each member. The sum is `total`. */
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
