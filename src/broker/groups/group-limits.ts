// Limits on the size of a group. A group is one document and every update handles all of it: beyond these limits an update
// would hold up the broker and the store for too long.
import type { GroupDocument, Subscription } from '../../core/groups/group-document.ts';
import { groupPartitionsMax, partitionsOverLimit, type TopicsView } from '../../core/groups/group-topics.ts';
import { ServiceError } from '../../core/service-error.ts';

/** A thousand members that join at once have their assignment within seconds. */
export const membersMax = 2000;
/** Bytes of the subscriptions of all members, as JSON. */
export const subscriptionBytesMax = 4 * 1024 * 1024;

interface JoiningMember {
  memberId: string;
  instanceId?: string | undefined;
  subscription: Subscription;
}

interface JoiningActor extends JoiningMember {
  actor: { identity: string | undefined };
}

/**
 * Which joins exceed the limits of members or subscriptions, with the error of each: TOO_LARGE. Joins of existing members do
 * not count as new.
 */
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
 * Which joins would add more partitions than a group may have, with the error of each: TOO_LARGE.
 * @param view contains the topics to which they subscribe
 */
export function checkPartitionRoom<T extends JoiningActor>(
  group: string,
  document: GroupDocument,
  joining: readonly T[],
  view: TopicsView,
): Map<T, ServiceError> {
  const refused = new Map<T, ServiceError>();
  const admitted: { subscription: Subscription; identity: string | undefined }[] = [];
  // Most members that join at once have the same subscription.
  const judged = new Map<string, ServiceError | undefined>();
  for (const join of joining) {
    const one = { subscription: join.subscription, identity: join.actor.identity };
    const text = JSON.stringify(one);
    if (!judged.has(text)) {
      const beyond = partitionsOverLimit(document, [...admitted, one], view);
      judged.set(text, beyond && tooManyPartitions(group, beyond, view.partitionsMax ?? groupPartitionsMax));
      if (!beyond) admitted.push(one);
    }
    const error = judged.get(text);
    if (error) refused.set(join, error);
  }
  return refused;
}

/** The members of a group and the bytes of their subscriptions, while others join. */
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

  /** What a join adds: no new member if it begins a new incarnation, or replaces a static member. */
  requiredBy(join: JoiningMember): { isNew: boolean; bytes: number } {
    const slot = this.#slotOf(join);
    return { isNew: slot === undefined, bytes: bytesOf(join.subscription) - (this.#sizes.get(slot ?? '') ?? 0) };
  }

  take(join: JoiningMember): void {
    this.bytes += this.requiredBy(join).bytes;
    const slot = this.#slotOf(join);
    if (slot !== undefined) this.#sizes.delete(slot);
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
