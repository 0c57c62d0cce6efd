/**
 * Kafka's range assignor: in each topic, every subscriber gets a range of consecutive partitions. Topics with the same number of
 * partitions and the same subscribers have the same ranges, so one member gets equal keys of all of them.
 */
import { type Assignor, assignmentsOf, orderMembers, subscribedTopics } from './assignment.ts';

/** With n partitions and k subscribers, the first n mod k subscribers get one partition more than the others. */
export const range: Assignor = (input) => {
  const members = orderMembers(input.members);
  const topics = subscribedTopics(input, members);
  for (const { subscribers, ownerOf } of topics) {
    const share = Math.floor(ownerOf.length / subscribers.length);
    const larger = ownerOf.length % subscribers.length;
    let start = 0;
    for (const [i, member] of subscribers.entries()) {
      const end = start + share + (i < larger ? 1 : 0);
      ownerOf.fill(member, start, end);
      start = end;
    }
  }
  return assignmentsOf(members, topics);
};
