// How large a group may grow. It is one document, which is decided over as a whole: beyond these limits each change of it
// would hold up a broker, and the store, for longer than others may wait.
import type { GroupDocument, Subscription } from '../../core/groups/group-document.ts';
import { groupPartitionsMax, partitionsOverLimit, type TopicsView } from '../../core/groups/group-topics.ts';
import { ServiceError } from '../../core/service-error.ts';

/** Measured: a thousand members that join at once are through within seconds (docs/group-protocol.md, Batching and limits). */
export const membersMax = 2000;
/** Of the subscriptions of all members together, as they come in. */
export const subscriptionBytesMax = 4 * 1024 * 1024;

interface JoiningMember {
  memberId: string;
  instanceId?: string | undefined;
  subscription: Subscription;
}

/** Which of those that join find no room, with the error of each: TOO_LARGE. Who is a member already keeps its place. */
export function checkRoom<T extends JoiningMember>(
  group: string,
  document: GroupDocument,
  joining: readonly T[],
): Map<T, ServiceError> {
  const refused = new Map<T, ServiceError>();
  if (joining.length === 0) return refused;
  const slots = new MemberSlots(document);
  for (const join of joining) {
    const { isNew, bytes } = slots.requiredBy(join);
    if (isNew && slots.count >= membersMax) {
      refused.set(join, tooManyMembers(group, slots.count));
    } else if (bytes > 0 && slots.bytes + bytes > subscriptionBytesMax) {
      refused.set(join, tooLongSubscriptions(group, slots.bytes, bytes));
    } else {
      slots.take(join);
    }
  }
  return refused;
}

/**
 * Which of those that join would bring in more partitions than a group may have, with the error of each: TOO_LARGE.
 * @param view has what they subscribe to
 */
export function checkPartitionRoom<T extends JoiningMember>(
  group: string,
  document: GroupDocument,
  joining: readonly T[],
  view: TopicsView,
): Map<T, ServiceError> {
  const refused = new Map<T, ServiceError>();
  const admitted: Subscription[] = [];
  // Most that join at once subscribe to the same.
  const judged = new Map<string, ServiceError | undefined>();
  for (const join of joining) {
    const { subscription } = join;
    const text = JSON.stringify(subscription);
    if (!judged.has(text)) {
      const beyond = partitionsOverLimit(document, [...admitted, subscription], view);
      judged.set(text, beyond && tooManyPartitions(group, beyond, view.partitionsMax ?? groupPartitionsMax));
      if (!beyond) admitted.push(subscription);
    }
    const error = judged.get(text);
    if (error) refused.set(join, error);
  }
  return refused;
}

/** Who has a place in the group and how many bytes its subscription takes, while others join. */
class MemberSlots {
  bytes = 0;
  readonly #sizes = new Map<string, number>();
  readonly #instances = new Map<string, string>();

  constructor(document: GroupDocument) {
    for (const member of Object.values(document.members)) this.take(member);
  }

  get count(): number {
    return this.#sizes.size;
  }

  /** What joining takes, as things stand: nothing new for a member that begins anew, or one that takes another's place. */
  requiredBy(join: JoiningMember): { isNew: boolean; bytes: number } {
    const place = this.#slotOf(join);
    return { isNew: place === undefined, bytes: bytesOf(join.subscription) - (this.#sizes.get(place ?? '') ?? 0) };
  }

  take(join: JoiningMember): void {
    this.bytes += this.requiredBy(join).bytes;
    const place = this.#slotOf(join);
    if (place !== undefined) this.#sizes.delete(place);
    this.#sizes.set(join.memberId, bytesOf(join.subscription));
    if (join.instanceId !== undefined) this.#instances.set(join.instanceId, join.memberId);
  }

  #slotOf({ memberId, instanceId }: JoiningMember): string | undefined {
    if (this.#sizes.has(memberId)) return memberId;
    return instanceId === undefined ? undefined : this.#instances.get(instanceId);
  }
}

const sizes = new WeakMap<Subscription, number>();

function bytesOf(subscription: Subscription): number {
  const known = sizes.get(subscription) ?? JSON.stringify(subscription).length;
  sizes.set(subscription, known);
  return known;
}

function tooManyMembers(group: string, members: number): ServiceError {
  return new ServiceError(
    'TOO_LARGE',
    `Group '${group}' has ${members} members, the most that a group may have; join when one of them has left.`,
    { group, members, membersMax },
  );
}

function tooManyPartitions(
  group: string,
  { partitions, topics }: { partitions: number; topics: number },
  partitionsMax: number,
): ServiceError {
  return new ServiceError(
    'TOO_LARGE',
    `With this member group '${group}' would have ${partitions} partitions, in ${topics} topics; the most is ${partitionsMax}. ` +
      'Subscribe to fewer topics, or read them with several groups.',
    { group, partitions, partitionsMax },
  );
}

function tooLongSubscriptions(group: string, bytes: number, more: number): ServiceError {
  return new ServiceError(
    'TOO_LARGE',
    `The subscriptions of group '${group}' have ${bytes} bytes of topic names, and this one would add ${more}; ` +
      `the most is ${subscriptionBytesMax}. Subscribe to fewer topics, or with a pattern.`,
    { group, subscriptionBytes: bytes, subscriptionBytesMax },
  );
}
