/**
 * The topics of a group: resolves subscriptions, and updates the group document when topics are created, deleted, created again
 * or enlarged. The group coordinator reads the topics and passes them as a view.
 */

import { alternativesProblem } from '../alternatives.ts';
import { checkTopicName } from '../records/topic-config.ts';
import { required } from '../required.ts';
import { ServiceError } from '../service-error.ts';
import { compareText, sameTexts, type TopicPartitions } from './assignors/assignment.ts';
import {
  type FormerSubscriptions,
  type GroupDocument,
  type GroupMember,
  getOwn,
  type SubscribedTopic,
  type Subscription,
} from './group-document.ts';
import type { HeldPartitions } from './member-reconciliation.ts';

/** The existing topics. They are read after the document, so where the two differ, the view is newer. */
export interface TopicsView {
  get(topic: string): SubscribedTopic | undefined;
  /** The topics whose whole name matches the pattern. @param identity only those that it may read; undefined = all */
  matching(pattern: string, identity?: string): readonly string[];
  /** The maximum number of partitions of a group; default `groupPartitionsMax`. */
  readonly partitionsMax?: number;
}

/**
 * The maximum number of partitions of a group. When a member replaces a static member that has all of them, one script deletes
 * and creates every owner node. That blocks Redis for 43 µs per partition, so for about 0.1 s in total.
 */
export const groupPartitionsMax = 2500;

/** The subscription of a joining member: topics or a pattern. @throws ServiceError BAD_REQUEST if both or neither are set */
export function subscriptionOf(topics: string[] | undefined, pattern: string | undefined): Subscription {
  const problem = alternativesProblem({ topics, pattern });
  if (problem !== undefined) throw new ServiceError('BAD_REQUEST', problem);
  if (topics === undefined) return { pattern: required(pattern, 'pattern of a subscription') };
  for (const topic of topics) checkTopicName(topic);
  return { topics };
}

/** Limits on the former subscriptions and topics in the document; the newest ones are stored. */
const formerSubscriptionsMax = 20;
const formerSubscriptionBytesMax = 64 * 1024;
const formerTopicsMax = 1000;

/**
 * Updates the group to the view of the topics. Patterns are resolved again. Partitions that do not exist any more are removed from
 * members at once, as no member can read them. If anything changes, the group epoch rises and a new target is due.
 * @param before the group without the members that join in this update; only subscriptions in it make topics created since then
 *   be read from their beginning
 */
export function refreshTopics(group: GroupDocument, view: TopicsView, before = group): GroupDocument {
  const resubscribed = new Map<string, string[]>();
  const names = new Set<string>();
  for (const [memberId, member] of Object.entries(group.members)) {
    const { subscription } = member;
    const subscribed = sortedTexts(
      'topics' in subscription ? subscription.topics : view.matching(subscription.pattern, member.identity),
    );
    if (!sameTexts(subscribed, member.topics)) resubscribed.set(memberId, subscribed);
    for (const topic of subscribed) names.add(topic);
    // Topics without subscribers stay in the document until members have released their partitions.
    for (const { topic } of [...member.assigned, ...member.pendingRevocation]) names.add(topic);
  }
  const topics: Record<string, SubscribedTopic> = {};
  const earlier = new EarlierSubscriptions(before, view);
  const { taken, leftOut } = withinLimit(names, earlier, view);
  for (const [topic, info] of taken) {
    defineProperty(topics, topic, withBegunWith(info, earlier.topic(topic), earlier.covers(topic)));
  }
  const areSame = sameTopics(group.topics, topics) && (group.leftOut ?? 0) === leftOut;
  if (areSame && resubscribed.size === 0) return group;

  const resolved = Object.fromEntries(
    Object.entries(group.members).map(([memberId, member]) => {
      const subscribed = resubscribed.get(memberId);
      return [memberId, subscribed ? { ...member, topics: subscribed } : member];
    }),
  );
  const { leftOut: _, ...rest } = group;
  const next = { ...rest, members: resolved, ...(leftOut > 0 && { leftOut }) };
  // The caller may have raised the epoch in this update already; it rises only once.
  const groupEpoch = Math.max(group.groupEpoch, group.targetEpoch + 1);
  return { ...(areSame ? next : withTopics(next, topics)), groupEpoch };
}

/**
 * Selects the topics within the partition limit: first the partitions that the group has, then those added to its topics, then
 * new topics, each ordered by name. If a topic exceeds the limit, the group keeps the partitions that it had of it, or gets none.
 */
function withinLimit(names: ReadonlySet<string>, earlier: EarlierSubscriptions, view: TopicsView) {
  const all = [...names].sort(compareText).flatMap((name) => {
    const info = view.get(name);
    if (!info) return [];
    const known = earlier.topic(name);
    const had = known?.topicId === info.topicId ? Math.min(known.partitionCount, info.partitionCount) : 0;
    return [{ name, info, had }];
  });
  let room = view.partitionsMax ?? groupPartitionsMax;
  for (const { had } of all) room -= had;
  let leftOut = 0;
  const counts = new Map<string, number>();
  for (const isNew of [false, true]) {
    for (const { name, info, had } of all) {
      if (had > 0 === isNew) continue;
      const more = info.partitionCount - had;
      const hasRoom = more <= room;
      if (hasRoom) room -= more;
      else leftOut += more;
      counts.set(name, hasRoom ? info.partitionCount : had);
    }
  }
  const taken = all.flatMap(({ name, info }): [string, SubscribedTopic][] => {
    const partitionCount = counts.get(name) ?? 0;
    return partitionCount > 0 ? [[name, { topicId: info.topicId, partitionCount }]] : [];
  });
  return { taken, leftOut };
}

/** How many of the unknown topics a response to a join names. */
const unknownTopicsMax = 100;

/**
 * The topics that a joining member names and that do not exist, in its order and at most `unknownTopicsMax`. A pattern names none:
 * it is for topics that are yet to come, too.
 */
export function unknownTopics(subscription: Subscription, view: TopicsView): string[] {
  if (!('topics' in subscription)) return [];
  return [...new Set(subscription.topics)].filter((name) => !view.get(name)).slice(0, unknownTopicsMax);
}

interface JoiningSubscription {
  subscription: Subscription;
  /** That of the member. */
  identity: string | undefined;
}

/**
 * Checks the partition limit for members that join. Topics to which the group was subscribed before do not count as new, even if
 * they are left out in part. Otherwise the members of a group that exceeds the limit could not join again after a restart.
 * @returns undefined if the subscriptions are within the limit, else the numbers of partitions and topics that the group would have
 */
export function partitionsOverLimit(
  group: GroupDocument,
  joining: readonly JoiningSubscription[],
  view: TopicsView,
): { partitions: number; topics: number } | undefined {
  const earlier = new EarlierSubscriptions(group, view);
  const named = joining.flatMap(({ subscription, identity }) =>
    'topics' in subscription ? subscription.topics : view.matching(subscription.pattern, identity),
  );
  const added = [...new Set(named)]
    .filter((name) => !getOwn(group.topics, name) && !earlier.covers(name))
    .flatMap((name) => view.get(name) ?? []);
  if (added.length === 0) return undefined;
  const counts = [...Object.values(group.topics), ...added];
  const partitions = counts.reduce((sum, { partitionCount }) => sum + partitionCount, 0);
  if (partitions <= (view.partitionsMax ?? groupPartitionsMax)) return undefined;
  return { partitions, topics: counts.length };
}

/**
 * The entry of a topic in the document, with `begunWith`.
 * @param known the entry in the earlier document, if any
 * @param isCovered whether the group was already subscribed to a topic of this name
 */
function withBegunWith(info: SubscribedTopic, known: SubscribedTopic | undefined, isCovered: boolean): SubscribedTopic {
  const { topicId, partitionCount } = info;
  let begunWith: number | undefined;
  if (known?.topicId === topicId) begunWith = known.begunWith ?? known.partitionCount;
  else if (known || isCovered) begunWith = 0;
  return begunWith === undefined || begunWith >= partitionCount
    ? { topicId, partitionCount }
    : { topicId, partitionCount, begunWith };
}

/** Whether the partition was created after the group subscribed to its topic; if so, the group reads it from its beginning. */
export function isNewerThanSubscription(group: GroupDocument, topic: string, partition: number): boolean {
  return partition >= (getOwn(group.topics, topic)?.begunWith ?? Number.POSITIVE_INFINITY);
}

/** The subscriptions of a group before an update. */
class EarlierSubscriptions {
  readonly #group: GroupDocument;
  readonly #view: TopicsView;
  #covered: Set<string> | undefined;

  constructor(group: GroupDocument, view: TopicsView) {
    this.#group = group;
    this.#view = view;
  }

  topic(name: string): SubscribedTopic | undefined {
    return getOwn(this.#group.topics, name) ?? getOwn(this.#group.former?.topics ?? {}, name);
  }

  covers(name: string): boolean {
    this.#covered ??= new Set(this.#names());
    return this.#covered.has(name);
  }

  *#names(): Generator<string> {
    const members = Object.values(this.#group.members).map(({ subscription }) => subscription);
    for (const subscription of distinct([...members, ...(this.#group.former?.subscriptions ?? [])])) {
      yield* 'topics' in subscription ? subscription.topics : this.#view.matching(subscription.pattern);
    }
  }
}

/** Stores the subscriptions that no member has after the update as former subscriptions. */
export function rememberFormer(before: GroupDocument, after: GroupDocument): GroupDocument {
  if (before.members === after.members) return after;
  const gone = Object.values(before.members).filter(
    ({ memberId, subscription }) => getOwn(after.members, memberId)?.subscription !== subscription,
  );
  const known = after.former?.subscriptions ?? [];
  if (gone.length === 0 && known.length === 0) return after;
  const living = new Set(Object.values(after.members).map(({ subscription }) => textOf(subscription)));
  const former = distinct([...known, ...gone.map(({ subscription }) => subscription)].reverse())
    .filter((subscription) => !living.has(textOf(subscription)))
    .slice(0, formerSubscriptionsMax);
  while (former.reduce((sum, one) => sum + textOf(one).length, 0) > formerSubscriptionBytesMax) former.pop();
  former.reverse();
  const isSame = sameTexts(former.map(textOf), known.map(textOf));
  return isSame ? after : withFormer(after, { subscriptions: former, topics: after.former?.topics ?? {} });
}

/**
 * Removes former subscriptions from the group.
 * @param only the topic for which they no longer count, as it is now; undefined = all former subscriptions and topics are removed
 */
export function forgetFormer(group: GroupDocument, only?: { name: string; info: SubscribedTopic }): GroupDocument {
  if (!group.former) return group;
  if (!only) return withFormer(group, { subscriptions: [], topics: {} });
  if (getOwn(group.topics, only.name)) return group;
  const { topics, subscriptions } = group.former;
  const { topicId, partitionCount } = only.info;
  const others = Object.entries(topics).filter(([name]) => name !== only.name);
  const all = Object.fromEntries([...others, [only.name, { topicId, partitionCount }]].slice(-formerTopicsMax));
  return withFormer(group, { subscriptions, topics: all });
}

function withFormer({ former: _, ...group }: GroupDocument, former: FormerSubscriptions): GroupDocument {
  const isNone = former.subscriptions.length === 0 && Object.keys(former.topics).length === 0;
  return isNone ? group : { ...group, former };
}

function withoutTopics(topics: Readonly<Record<string, SubscribedTopic>>, names: ReadonlySet<string>) {
  return Object.fromEntries(Object.entries(topics).filter(([name]) => !names.has(name)));
}

const texts = new WeakMap<Subscription, string>();

function textOf(subscription: Subscription): string {
  const known = texts.get(subscription) ?? JSON.stringify(subscription);
  texts.set(subscription, known);
  return known;
}

/** Removes duplicate subscriptions; the last of equal ones stays. */
function distinct(subscriptions: readonly Subscription[]): Subscription[] {
  return [...new Map([...subscriptions].reverse().map((one) => [textOf(one), one])).values()].reverse();
}

/** Moves the topics that no member subscribes to or has partitions of to the former topics. */
export function dropUnsubscribed(group: GroupDocument): GroupDocument {
  const needed = new Set<string>();
  for (const member of Object.values(group.members)) {
    for (const topic of member.topics) needed.add(topic);
    for (const { topic } of [...member.assigned, ...member.pendingRevocation]) needed.add(topic);
  }
  const entries = Object.entries(group.topics);
  const dropped = entries.filter(([topic]) => !needed.has(topic));
  if (dropped.length === 0) return group;
  const { subscriptions = [], topics: before = {} } = group.former ?? {};
  const earlier = Object.entries(withoutTopics(before, new Set(dropped.map(([topic]) => topic))));
  const former = Object.fromEntries([...earlier, ...dropped].slice(-formerTopicsMax));
  const topics = Object.fromEntries(entries.filter(([topic]) => needed.has(topic)));
  return withFormer({ ...group, topics }, { subscriptions, topics: former });
}

/**
 * Replaces the topics of the group, and removes partitions of other topics, and of deleted topics with the same names, from all
 * members.
 */
function withTopics(group: GroupDocument, topics: Record<string, SubscribedTopic>): GroupDocument {
  const exists = (topic: string, partition: number) => {
    const now = getOwn(topics, topic);
    return now !== undefined && partition < now.partitionCount && getOwn(group.topics, topic)?.topicId === now.topicId;
  };
  const members = Object.fromEntries(
    Object.entries(group.members).map(([memberId, member]) => [memberId, withoutMissing(member, exists)]),
  );
  const target = Object.fromEntries(
    Object.entries(group.target).map(([memberId, list]) => [memberId, keepPartitions(list, exists)]),
  );
  const { subscriptions = [], topics: former = {} } = group.former ?? {};
  const next = { ...group, members, target, topics };
  return withFormer(next, { subscriptions, topics: withoutTopics(former, new Set(Object.keys(topics))) });
}

/** Removes partitions that do not exist from a member. */
function withoutMissing(member: GroupMember, exists: (topic: string, partition: number) => boolean): GroupMember {
  const assigned = keepHeld(member.assigned, exists);
  const pendingRevocation = keepHeld(member.pendingRevocation, exists);
  // Without partitions to release, the member has nothing to revoke.
  const state = member.state === 'unrevoked' && pendingRevocation.length === 0 ? 'stable' : member.state;
  return { ...member, assigned, pendingRevocation, state };
}

function keepHeld(held: HeldPartitions[], keep: (topic: string, partition: number) => boolean): HeldPartitions[] {
  return held
    .map(({ topic, partitions, epochs }) => {
      const kept = partitions.map((p) => keep(topic, p));
      return { topic, partitions: partitions.filter((_, i) => kept[i]), epochs: epochs.filter((_, i) => kept[i]) };
    })
    .filter(({ partitions }) => partitions.length > 0);
}

function keepPartitions(list: TopicPartitions[], keep: (topic: string, partition: number) => boolean) {
  return list
    .map(({ topic, partitions }) => ({ topic, partitions: partitions.filter((p) => keep(topic, p)) }))
    .filter(({ partitions }) => partitions.length > 0);
}

const sorted = new WeakMap<readonly string[], string[]>();

/** Sorts names and removes duplicates. The result is cached by list, as members often share one long list. */
function sortedTexts(texts: readonly string[]): string[] {
  const known = sorted.get(texts) ?? [...new Set(texts)].sort(compareText);
  sorted.set(texts, known);
  return known;
}

function sameTopics(
  a: Readonly<Record<string, SubscribedTopic>>,
  b: Readonly<Record<string, SubscribedTopic>>,
): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => {
    const [x, y] = [getOwn(a, name), getOwn(b, name)];
    return x?.topicId === y?.topicId && x?.partitionCount === y?.partitionCount;
  });
}

/** Sets a property of any name: an assignment to `__proto__` would not create one. */
function defineProperty<T>(record: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true });
}
