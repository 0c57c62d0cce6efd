// The topics as a group's document is to be brought up to, and the patterns that members give. What a group makes of the
// topics is core/group-topics.ts.
import { createContext, Script } from 'node:vm';
import { topicsPath } from '../core/cluster-nodes.ts';
import { type GroupDocument, own, type Subscription, type TopicInfo } from '../core/group-document.ts';
import type { TopicsView } from '../core/group-topics.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Namespace } from '../store/namespace.ts';
import type { Topics } from './topics.ts';

/** A pattern that takes longer over all topics would hold up everybody else: no pattern that is meant well does. */
const matchMsMax = 200;

/**
 * The topics that the members of a group subscribe to, and those of `joining`. Where the broker's cache differs from the
 * document one of them is old, so the tree is read: the view is then at least as new as the document.
 * @throws ServiceError BAD_REQUEST for a pattern of `joining` that is none, or takes too long
 */
export async function viewOf(
  { namespace, topics }: { namespace: Namespace; topics: Topics },
  group: GroupDocument,
  joining?: Subscription,
): Promise<TopicsView> {
  const members = Object.values(group.members);
  const subscriptions = [...members.map((member) => member.subscription), ...(joining ? [joining] : [])];
  const names = new Set<string>();
  const candidates = new Map<string, readonly string[]>();
  let known: string[] | undefined;
  for (const subscription of subscriptions) {
    if ('topics' in subscription) {
      for (const name of subscription.topics) names.add(name);
    } else if (!candidates.has(subscription.pattern)) {
      const { pattern } = subscription;
      known ??= await namespace.allChildren(topicsPath);
      // A pattern that was good when its member joined, and is too slow over what there is now, stays with what it has.
      const present = members.find(
        (member) => 'pattern' in member.subscription && member.subscription.pattern === pattern,
      );
      const matching =
        present && subscription !== joining ? matchesOr(present.topics, pattern, known) : matches(pattern, known);
      candidates.set(pattern, matching);
      for (const name of matching) names.add(name);
    }
  }
  const infos = new Map<string, TopicInfo>();
  await Promise.all(
    [...names].map(async (name) => {
      const info = await infoOf(topics, name, own(group.topics, name));
      if (info) infos.set(name, info);
    }),
  );
  return {
    get: (name) => infos.get(name),
    matching: (pattern) => (candidates.get(pattern) ?? []).filter((name) => infos.has(name)),
  };
}

async function infoOf(topics: Topics, name: string, recorded: TopicInfo | undefined): Promise<TopicInfo | undefined> {
  const cached = await presentOf(topics.get(name));
  if (cached?.topicId === recorded?.topicId && cached?.partitionCount === recorded?.partitionCount) return cached;
  return presentOf(topics.refresh(name));
}

async function presentOf(reading: Promise<TopicInfo>): Promise<TopicInfo | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (hasCode(error, 'UNKNOWN_TOPIC')) return undefined;
    throw error;
  }
}

const matchAll = new Script('names.filter((name) => expression.test(name))');
const matchContext = createContext({});

/**
 * The names that the pattern matches as a whole. It runs under a limit of time, since a pattern of a few characters can
 * take hours over one name.
 * @throws ServiceError BAD_REQUEST
 */
export function matches(pattern: string, names: readonly string[]): string[] {
  try {
    Object.assign(matchContext, { names, expression: new RegExp(`^(?:${pattern})$`) });
  } catch (error) {
    throw badPattern(`is no regular expression: ${(error as Error).message}`);
  }
  try {
    // What comes from another context is copied into a list of this one.
    return [...(matchAll.runInContext(matchContext, { timeout: matchMsMax }) as string[])];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw badPattern('takes too long to match; give one without nested repetitions');
  }
}

function matchesOr(otherwise: readonly string[], pattern: string, names: readonly string[]): readonly string[] {
  try {
    return matches(pattern, names);
  } catch (error) {
    if (hasCode(error, 'BAD_REQUEST')) return otherwise;
    throw error;
  }
}

function badPattern(problem: string): ServiceError {
  return new ServiceError('BAD_REQUEST', `pattern ${problem}.`, { field: 'pattern' });
}
