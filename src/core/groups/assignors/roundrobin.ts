/**
 * Kafka's round robin assignor: the partitions of all topics are assigned to the members in turn. Members that do not subscribe to
 * a topic are skipped.
 */
import { required } from '../../required.ts';
import { type Assignor, assignmentsOf, orderMembers, subscribedTopics } from './assignment.ts';

/** The turn continues from topic to topic: the member after the one that got the last partition of a topic is next. */
export const roundRobin: Assignor = (input) => {
  const members = orderMembers(input.members);
  const topics = subscribedTopics(input, members);
  let turn = 0; // the index of the member whose turn it is
  for (const { subscribers, ownerOf } of topics) {
    if (ownerOf.length === 0) continue;
    // Within a topic, only its subscribers are visited. Skipping all other members for each partition would be slow if few of
    // many members subscribe.
    const first = Math.max(
      0,
      subscribers.findIndex((member) => member >= turn),
    );
    for (let partition = 0; partition < ownerOf.length; partition++) {
      const member = required(subscribers[(first + partition) % subscribers.length], 'subscriber of a topic');
      ownerOf[partition] = member;
      turn = member + 1;
    }
  }
  return assignmentsOf(members, topics);
};
