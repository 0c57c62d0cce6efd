/**
 * Kafka's range assignor: in each topic, every subscriber gets a range of consecutive partitions. Topics with the same number of
 * partitions and the same subscribers have the same ranges, so one member gets equal keys of all of them.
 */
import { type Assignor, assignmentsOf, noOwners, orderMembers, subscribersByTopic } from './assignment.ts';

/** With n partitions and k subscribers, the first n mod k subscribers get one partition more than the others. */
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
