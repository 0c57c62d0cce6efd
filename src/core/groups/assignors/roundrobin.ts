/**
 * Kafka's round robin assignor: the partitions of all topics are assigned to the members in turn. Members that do not subscribe to
 * a topic are skipped.
 */
import { type Assignor, assignmentsOf, noOwners, orderMembers, subscribersByTopic } from './assignment.ts';

/** The turn continues from topic to topic: the member after the one that got the last partition of a topic is next. */
export const roundRobin: Assignor = (input) => {
  const members = orderMembers(input.members);
  const subscribers = subscribersByTopic(input, members);
  const owners = noOwners(input, subscribers.keys());
  let turn = 0; // the index of the member whose turn it is
  for (const [topic, ownerOf] of owners) {
    if (ownerOf.length === 0) continue;
    const indices = subscribers.get(topic)!;
    // Within a topic, only its subscribers are visited. Skipping all other members for each partition would be slow if few of
    // many members subscribe.
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
