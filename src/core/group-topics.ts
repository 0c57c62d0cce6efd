/**
 * What a group makes of the topics that there are: which ones its members subscribe to, and what goes when a topic is
 * deleted, made anew, or grows. It does not watch topics; the group coordinator does, and brings what it sees as a view.
 */
import { compareText, type TopicPartitions } from './assignors/assignment.ts';
import { type GroupDocument, type GroupMember, own, type Subscription, type TopicInfo } from './group-document.ts';
import type { HeldPartitions } from './reconcile.ts';
import { ServiceError } from './service-error.ts';
import { checkTopicName } from './topic-config.ts';

/** The topics that there are, read after the document was: so where the two differ, the view is the newer one. */
export interface TopicsView {
  get(topic: string): TopicInfo | undefined;
  /** The names of all topics that the pattern matches as a whole. */
  matching(pattern: string): readonly string[];
}

/** What a member that joins subscribes to: topics or a pattern. @throws ServiceError BAD_REQUEST */
export function subscriptionOf(topics: string[] | undefined, pattern: string | undefined): Subscription {
  if ((topics === undefined) === (pattern === undefined)) {
    throw new ServiceError('BAD_REQUEST', 'Give topics or pattern, one of the two.');
  }
  if (topics === undefined) return { pattern: pattern! };
  for (const topic of topics) checkTopicName(topic);
  return { topics };
}

/**
 * Brings the group up to the view: patterns are resolved anew, and partitions that are no more are taken from everybody
 * at once, as nobody can read them. If anything differs, the group epoch rises, and a new target is due.
 */
export function refreshTopics(group: GroupDocument, view: TopicsView): GroupDocument {
  const resubscribed = new Map<string, string[]>();
  const names = new Set<string>();
  for (const [memberId, member] of Object.entries(group.members)) {
    const { subscription } = member;
    const subscribed = sortedTexts(
      'topics' in subscription ? subscription.topics : view.matching(subscription.pattern),
    );
    if (!sameTexts(subscribed, member.topics)) resubscribed.set(memberId, subscribed);
    for (const topic of subscribed) names.add(topic);
    // What is still in use of a topic that nobody subscribes to any more must be let go of before others may have it.
    for (const { topic } of [...member.assigned, ...member.pendingRevocation]) names.add(topic);
  }
  const topics: Record<string, TopicInfo> = {};
  for (const topic of names) {
    const info = view.get(topic);
    if (info) define(topics, topic, { topicId: info.topicId, partitionCount: info.partitionCount });
  }
  const areSame = sameTopics(group.topics, topics);
  if (areSame && resubscribed.size === 0) return group;

  const resolved = Object.fromEntries(
    Object.entries(group.members).map(([memberId, member]) => {
      const subscribed = resubscribed.get(memberId);
      return [memberId, subscribed ? { ...member, topics: subscribed } : member];
    }),
  );
  const next = { ...group, members: resolved };
  // A change that the caller has counted already is the same change.
  const groupEpoch = Math.max(group.groupEpoch, group.targetEpoch + 1);
  return { ...(areSame ? next : withTopics(next, topics)), groupEpoch };
}

/** Forgets topics that no member subscribes to any more, nor has partitions of. */
export function dropUnsubscribed(group: GroupDocument): GroupDocument {
  const needed = new Set<string>();
  for (const member of Object.values(group.members)) {
    for (const topic of member.topics) needed.add(topic);
    for (const { topic } of [...member.assigned, ...member.pendingRevocation]) needed.add(topic);
  }
  const entries = Object.entries(group.topics);
  if (entries.every(([topic]) => needed.has(topic))) return group;
  return { ...group, topics: Object.fromEntries(entries.filter(([topic]) => needed.has(topic))) };
}

/** The group with these topics only: what is of others, or of earlier ones of their names, is taken from everybody. */
function withTopics(group: GroupDocument, topics: Record<string, TopicInfo>): GroupDocument {
  const exists = (topic: string, partition: number) => {
    const now = own(topics, topic);
    return now !== undefined && partition < now.partitionCount && own(group.topics, topic)?.topicId === now.topicId;
  };
  const members = Object.fromEntries(
    Object.entries(group.members).map(([memberId, member]) => [memberId, withoutMissing(member, exists)]),
  );
  const target = Object.fromEntries(
    Object.entries(group.target).map(([memberId, list]) => [memberId, keepPartitions(list, exists)]),
  );
  return { ...group, members, target, topics };
}

/** The member with those partitions only that pass the test. */
function withoutMissing(member: GroupMember, exists: (topic: string, partition: number) => boolean): GroupMember {
  const assigned = keepHeld(member.assigned, exists);
  const pendingRevocation = keepHeld(member.pendingRevocation, exists);
  // With nothing left to let go of, it need not be waited for.
  const state = member.state === 'unrevoked' && pendingRevocation.length === 0 ? 'stable' : member.state;
  return { ...member, assigned, pendingRevocation, state };
}

function keepHeld(held: HeldPartitions[], keep: (topic: string, partition: number) => boolean): HeldPartitions[] {
  return held
    .map(({ topic, partitions, epochs }) => ({
      topic,
      partitions: partitions.filter((p) => keep(topic, p)),
      epochs: epochs.filter((_, i) => keep(topic, partitions[i]!)),
    }))
    .filter(({ partitions }) => partitions.length > 0);
}

function keepPartitions(list: TopicPartitions[], keep: (topic: string, partition: number) => boolean) {
  return list
    .map(({ topic, partitions }) => ({ topic, partitions: partitions.filter((p) => keep(topic, p)) }))
    .filter(({ partitions }) => partitions.length > 0);
}

const sorted = new WeakMap<readonly string[], string[]>();

/** Many members keep the same long list for as long as they live. */
function sortedTexts(texts: readonly string[]): string[] {
  const known = sorted.get(texts) ?? [...new Set(texts)].sort(compareText);
  sorted.set(texts, known);
  return known;
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}

function sameTopics(a: Readonly<Record<string, TopicInfo>>, b: Readonly<Record<string, TopicInfo>>): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => {
    const [x, y] = [own(a, name), own(b, name)];
    return x?.topicId === y?.topicId && x?.partitionCount === y?.partitionCount;
  });
}

/** A plain assignment to '__proto__' would not make a key. */
function define<T>(record: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true });
}
