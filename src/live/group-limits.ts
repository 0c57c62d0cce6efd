// How large a group may grow. It is one document, which is decided over as a whole: beyond these limits each change of it
// would hold up a broker, and the store, for longer than others may wait.
import { type GroupDocument, own, type Subscription } from '../core/group-document.ts';
import { ServiceError } from '../core/service-error.ts';

/** Measured: a thousand members that join at once are through within seconds (docs/semantics.md, limits). */
const membersMax = 2000;
/** Of the subscriptions of all members together, as they come in. */
const subscriptionBytesMax = 4 * 1024 * 1024;

interface Joining {
  memberId: string;
  instanceId?: string | undefined;
  subscription: Subscription;
}

/** Which of those that join find no room, with the error of each: TOO_LARGE. Who is a member already keeps its place. */
export function checkRoom<T extends Joining>(
  group: string,
  document: GroupDocument,
  joining: readonly T[],
): Map<T, ServiceError> {
  const refused = new Map<T, ServiceError>();
  if (joining.length === 0) return refused;
  const members = Object.values(document.members);
  const instances = new Set(members.map(({ instanceId }) => instanceId));
  let count = members.length;
  let bytes = 0;
  for (const { subscription } of members) bytes += bytesOf(subscription);
  for (const join of joining) {
    const known = own(document.members, join.memberId);
    const isNew = !known && (join.instanceId === undefined || !instances.has(join.instanceId));
    const more = bytesOf(join.subscription) - (known ? bytesOf(known.subscription) : 0);
    if (isNew && count >= membersMax) {
      refused.set(join, tooLarge(group, `has ${count} members, the most that a group may have`, { membersMax }));
    } else if (more > 0 && bytes + more > subscriptionBytesMax) {
      const limit = `${subscriptionBytesMax} bytes of topic names in the subscriptions of its members`;
      refused.set(
        join,
        tooLarge(group, `may have ${limit}; subscribe to fewer, or with a pattern`, { subscriptionBytesMax }),
      );
    } else {
      if (isNew) count += 1;
      bytes += more;
    }
  }
  return refused;
}

const sizes = new WeakMap<Subscription, number>();

function bytesOf(subscription: Subscription): number {
  const known = sizes.get(subscription) ?? JSON.stringify(subscription).length;
  sizes.set(subscription, known);
  return known;
}

function tooLarge(group: string, what: string, fields: Record<string, unknown>): ServiceError {
  return new ServiceError('TOO_LARGE', `Group '${group}' ${what}.`, { group, ...fields });
}
