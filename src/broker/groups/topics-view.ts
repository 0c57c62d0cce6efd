// Reads the topics that a group document is updated with. How a group uses them is in core/groups/group-topics.ts.
import { topicsPath } from '../../core/cluster/cluster-nodes.ts';
import {
  type GroupDocument,
  getOwn,
  type SubscribedTopic,
  type Subscription,
} from '../../core/groups/group-document.ts';
import type { TopicsView } from '../../core/groups/group-topics.ts';
import { hasCode } from '../../core/service-error.ts';
import type { CommittedOffset } from '../../store/groups/committed-offsets.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { TopicCache } from '../metadata/topic-cache.ts';
import { matches } from './group-patterns.ts';

/** Where the topics that exist are looked up. */
export interface TopicSources {
  namespace: Namespace;
  topics: TopicCache;
  /** Whether an identity may read a topic: what a pattern matches besides is not told to its members. */
  mayRead(identity: string, topic: string): boolean;
}

/** From this many names on, the list of all topics is read first. */
const namesMax = 100;

/**
 * Reads the topics to which members and joining members subscribe. If the cache of the broker differs from the document, one of
 * the two is old, so the tree is read: the view is at least as new as the document.
 * @throws ServiceError BAD_REQUEST for an invalid pattern
 */
export async function topicsViewOf(
  { namespace, topics, mayRead }: TopicSources,
  group: GroupDocument,
  joining: readonly Subscription[] = [],
): Promise<TopicsView> {
  const subscriptions = [...Object.values(group.members).map(({ subscription }) => subscription), ...joining];
  const names = new Set<string>(Object.keys(group.topics));
  const matching = new Map<string, readonly string[]>();
  let all: string[] | undefined;
  for (const subscription of new Set(subscriptions)) {
    if ('topics' in subscription) {
      for (const name of subscription.topics) names.add(name);
    } else if (!matching.has(subscription.pattern)) {
      const { pattern } = subscription;
      all ??= await namespace.allChildren(topicsPath);
      const found = await matches(pattern, all);
      matching.set(pattern, found);
      for (const name of found) names.add(name);
    }
  }
  // Missing topics are not cached, so thousands of single lookups would hold up the store.
  if (names.size > namesMax) all ??= await namespace.allChildren(topicsPath);
  const present = all && new Set(all);
  const infos = new Map<string, SubscribedTopic>();
  await Promise.all(
    [...names].map(async (name) => {
      if (present && !present.has(name)) return;
      const info = await currentTopic(topics, name, getOwn(group.topics, name));
      if (info) infos.set(name, info);
    }),
  );
  for (const subscription of group.former?.subscriptions ?? []) {
    if ('topics' in subscription || matching.has(subscription.pattern)) continue;
    all ??= await namespace.allChildren(topicsPath);
    matching.set(subscription.pattern, await matches(subscription.pattern, all));
  }
  const visible = new Map<string, readonly string[]>();
  return {
    get: (name) => infos.get(name),
    matching: (pattern, identity) => {
      const key = `${identity ?? ''} ${pattern}`;
      const known = visible.get(key);
      if (known) return known;
      const found = (matching.get(pattern) ?? []).filter(
        (name) => infos.has(name) && (identity === undefined || mayRead(identity, name)),
      );
      visible.set(key, found);
      return found;
    },
  };
}

async function currentTopic(
  topics: TopicCache,
  name: string,
  recorded: SubscribedTopic | undefined,
): Promise<SubscribedTopic | undefined> {
  const cached = await unlessUnknown(topics.get(name));
  if (cached?.topicId === recorded?.topicId && cached?.partitionCount === recorded?.partitionCount) return cached;
  return unlessUnknown(topics.refresh(name));
}

async function unlessUnknown(reading: Promise<SubscribedTopic>): Promise<SubscribedTopic | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (hasCode(error, 'UNKNOWN_TOPIC')) return undefined;
    throw error;
  }
}

/** The committed offsets without those of deleted topics of the same name. */
export async function ofPresentTopics(
  topics: TopicCache,
  offsets: readonly CommittedOffset[],
): Promise<CommittedOffset[]> {
  const ids = new Map<string, string>();
  for (const name of new Set(offsets.map(({ topic }) => topic))) {
    const info = await unlessUnknown(topics.get(name));
    if (info) ids.set(name, info.topicId);
  }
  return offsets.filter(({ topic, topicId }) => ids.get(topic) === topicId);
}
