/**
 * Kafka's round robin assignor: all partitions, topic by topic, are dealt out to the members in a circle, which passes
 * over those that do not subscribe to the topic.
 */
import { type Assignor, assignmentsOf, noOwners, orderMembers, subscribersByTopic } from './assignment.ts';

/** The circle goes on from topic to topic, so that a member that got the last partition of one is not first in the next. */
export const roundRobin: Assignor = (input) => {
  const members = orderMembers(input.members);
  const subscribers = subscribersByTopic(input, members);
  const owners = noOwners(input, subscribers.keys());
  let turn = 0; // the member, among all, whose turn it is
  for (const [topic, ownerOf] of owners) {
    if (ownerOf.length === 0) continue;
    const indices = subscribers.get(topic)!;
    // Within a topic the circle is that of its subscribers alone; to walk over all the others for each partition
    // would be slow in a group where few of many members subscribe.
    const first = Math.max(
      0,
      indices.findIndex((member) => member >= turn),
    );
    for (let partition = 0; partition < ownerOf.length; partition++) {
      ownerOf[partition] = indices[(first + partition) % indices.length]!;
    }
    turn = ownerOf[ownerOf.length - 1]! + 1;
  }
  return assignmentsOf(members, owners);
};
