// The rights on topics that subscriptions, commits and resets need: the same over HTTP and on sockets.
import { ServiceError } from '../core/service-error.ts';
import type { Caller } from './authenticator.ts';
import type { Kind, Verb } from './verbs.ts';

interface Asker {
  readonly caller: Caller;
  require(verb: Verb, kind: Kind, name: string): void;
}

/**
 * Checks the topics that a subscription, commit or reset names: each tells whether its topic exists, and a lag tells how much is in it. A
 * pattern needs no check: it matches the topics that the identity of the member may read. But to its members the rights of a derived
 * token are not known.
 * @throws ServiceError FORBIDDEN
 */
export function requireTopics(
  asker: Asker,
  { topics = [], pattern }: { topics?: readonly string[] | undefined; pattern?: string | undefined },
): void {
  for (const topic of topics) asker.require('read', 'topics', topic);
  const { isDerived, narrowedTo = [] } = asker.caller;
  if (pattern === undefined || !isDerived || narrowedTo.some(readsAllTopics)) return;
  throw new ServiceError(
    'FORBIDDEN',
    'A derived token subscribes with a pattern only if it has topics: { "*": [read] }. Name the topics.',
  );
}

function readsAllTopics({ topics, admin }: NonNullable<Caller['narrowedTo']>[number] & { admin?: boolean }): boolean {
  return admin === true || topics['*']?.includes('read') === true;
}
