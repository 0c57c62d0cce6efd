/**
 * Kafka's range assignor: topic by topic, the members get runs of partitions that follow each other. Topics with equal
 * partition counts and subscribers are cut at the same places, so that equal keys of both meet at one member.
 */
import { type Assignor, assignmentsOf, noOwners, orderMembers, subscribersByTopic } from './assignment.ts';

/** With n partitions and k subscribers, the first n mod k members get one partition more than the others. */
export const range: Assignor = (input) => {
  const members = orderMembers(input.members);
  const subscribers = subscribersByTopic(input, members);
  const owners = noOwners(input, subscribers.keys());
  for (const [topic, ownerOf] of owners) {
    const indices = subscribers.get(topic)!;
    const share = Math.floor(ownerOf.length / indices.length);
    const larger = ownerOf.length % indices.length;
    let start = 0;
    for (const [i, member] of indices.entries()) {
      const end = start + share + (i < larger ? 1 : 0);
      ownerOf.fill(member, start, end);
      start = end;
    }
  }
  return assignmentsOf(members, owners);
};
