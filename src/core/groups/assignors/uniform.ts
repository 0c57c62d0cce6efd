/**
 * Kafka's uniform assignor, the default. Balance comes first, then stickiness: members keep the partitions of the current target.
 * Members with equal subscriptions get equal numbers of partitions. With different subscriptions, topic-balance.ts balances each
 * topic.
 */
import { required } from '../../required.ts';
import {
  type Assignor,
  type AssignorMember,
  assignmentsOf,
  noOwner,
  orderMembers,
  subscribedTopics,
  type TopicOwners,
} from './assignment.ts';
import { balanceByTopic } from './topic-balance.ts';

export const uniform: Assignor = (input) => {
  const members = orderMembers(input.members);
  const topics = subscribedTopics(input, members);
  keepOwned(members, topics);
  const homogeneous = topics.every(({ subscribers }) => subscribers.length === members.length);
  if (homogeneous) fillToQuota(members.length, topics);
  else balanceByTopic(topics, members.length);
  return assignmentsOf(members, topics);
};

/**
 * Enters the partitions that members keep of the current target: those that exist, of topics to which they still subscribe. If an
 * invalid target has two owners of one partition, the first one keeps it.
 */
function keepOwned(members: readonly AssignorMember[], topics: readonly TopicOwners[]): void {
  const byName = new Map(topics.map((one) => [one.topic, one]));
  for (const [index, member] of members.entries()) {
    for (const [topic, partitions] of member.owned ?? []) {
      const of = byName.get(topic);
      if (!of || !contains(of.subscribers, index)) continue;
      const { ownerOf } = of;
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
    const found = ascending[middle];
    if (found !== undefined && found < value) low = middle + 1;
    else high = middle;
  }
  return ascending[low] === value;
}

/** A partition of the topic with these owners. */
interface Place {
  readonly ownerOf: Int32Array;
  readonly partition: number;
}

/**
 * Balances members with equal subscriptions. Each member has a quota; quotas differ by at most one. Members above their quota give
 * up their last partitions, topic by topic. Members below it get the partitions without an owner, then those given up. In Kafka,
 * the larger quotas go to the members that are first in a hash table. Here they go to members that own that many partitions
 * already, then to the first members in order, so that the remainder alone never moves a partition.
 */
function fillToQuota(memberCount: number, topics: readonly TopicOwners[]): void {
  const unassigned: Place[] = [];
  const owned = Array.from({ length: memberCount }, (): Place[] => []);
  for (const { ownerOf } of topics) {
    for (const [partition, owner] of ownerOf.entries()) {
      (owner === noOwner ? unassigned : required(owned[owner], 'owner of a partition')).push({ ownerOf, partition });
    }
  }
  const quotas = quotasFor(
    topics.reduce((sum, { ownerOf }) => sum + ownerOf.length, 0),
    owned.map(({ length }) => length),
  );
  const free = [...unassigned, ...owned.flatMap((places, member) => places.slice(quotas[member]))].values();
  for (const [member, quota] of quotas.entries()) {
    for (let i = owned[member]?.length ?? 0; i < quota; i++) {
      const { ownerOf, partition } = required(free.next().value, 'partition for a member below its quota');
      ownerOf[partition] = member;
    }
  }
}

/** The quota of each member. The sum is `total`. */
function quotasFor(total: number, owned: readonly number[]): number[] {
  const share = Math.floor(total / owned.length);
  let larger = total % owned.length;
  const quotas = owned.map((count) => (count > share && larger-- > 0 ? share + 1 : share));
  for (let i = 0; i < quotas.length && larger > 0; i++) {
    if (quotas[i] === share) {
      quotas[i] = share + 1;
      larger--;
    }
  }
  return quotas;
}
