/**
 * What a group makes of the topics that there are: which ones its members subscribe to, and what goes when a topic is
 * deleted, made anew, or grows. It does not watch topics; the group coordinator does, and brings what it sees as a view.
 */

import { checkTopicName } from '../records/topic-config.ts';
import { ServiceError } from '../service-error.ts';
import { compareText, type TopicPartitions } from './assignors/assignment.ts';
import {
  type FormerSubscriptions,
  type GroupDocument,
  type GroupMember,
  getOwn,
  type SubscribedTopic,
  type Subscription,
} from './group-document.ts';
import type { HeldPartitions } from './member-reconciliation.ts';

/** The topics that there are, read after the document was: so where the two differ, the view is the newer one. */
export interface TopicsView {
  get(topic: string): SubscribedTopic | undefined;
  /** The names of all topics that the pattern matches as a whole. */
  matching(pattern: string): readonly string[];
  /** Most partitions of a group. */
  readonly partitionsMax?: number;
}

/**
 * Most partitions of a group. Who takes the place of a static member with all of them has the owner node of each deleted and made
 * anew in one script: 43 us of the store's time, so a tenth of a second for these.
 */
export const groupPartitionsMax = 2500;

/** What a member that joins subscribes to: topics or a pattern. @throws ServiceError BAD_REQUEST */
export function subscriptionOf(topics: string[] | undefined, pattern: string | undefined): Subscription {
  if ((topics === undefined) === (pattern === undefined)) {
    throw new ServiceError('BAD_REQUEST', 'Give topics or pattern, one of the two.');
  }
  if (topics === undefined) return { pattern: pattern! };
  for (const topic of topics) checkTopicName(topic);
  return { topics };
}

/** How many subscriptions and topics a group remembers that no member has any more, the newest of them. */
const formerSubscriptionsMax = 20;
const formerSubscriptionBytesMax = 64 * 1024;
const formerTopicsMax = 1000;

/**
 * Brings the group up to the view: patterns are resolved anew, and partitions that are no more are taken from everybody
 * at once, as nobody can read them. If anything differs, the group epoch rises, and a new target is due.
 * @param before the group without those that join in this step: what its members subscribe to was subscribed to when
 *   topics appeared
 */
export function refreshTopics(group: GroupDocument, view: TopicsView, before = group): GroupDocument {
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
  const topics: Record<string, SubscribedTopic> = {};
  const earlier = new EarlierSubscriptions(before, view);
  const { taken, leftOut } = withinLimit(names, earlier, view);
  for (const [topic, info] of taken) {
    define(topics, topic, withBeginning(info, earlier.topic(topic), earlier.covers(topic)));
  }
  const areSame = sameTopics(group.topics, topics) && (group.leftOut ?? 0) === leftOut;
  if (areSame && resubscribed.size === 0) return group;

  const resolved = Object.fromEntries(
    Object.entries(group.members).map(([memberId, member]) => {
      const subscribed = resubscribed.get(memberId);
      return [memberId, subscribed ? { ...member, topics: subscribed } : member];
    }),
  );
  const { leftOut: _, ...kept } = group;
  const next = { ...kept, members: resolved, ...(leftOut > 0 && { leftOut }) };
  // A change that the caller has counted already is the same change.
  const groupEpoch = Math.max(group.groupEpoch, group.targetEpoch + 1);
  return { ...(areSame ? next : withTopics(next, topics)), groupEpoch };
}

/**
 * The topics, as far as the group has room for their partitions: what it has it keeps, then those of its topics that have grown, then
 * new ones, each by name. A topic for which there is no room is left out as a whole, or keeps the partitions that it had.
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
    const partitionCount = counts.get(name)!;
    return partitionCount > 0 ? [[name, { topicId: info.topicId, partitionCount }]] : [];
  });
  return { taken, leftOut };
}

/**
 * Whether there is room for what a member subscribes to that joins. What the group subscribed to before it may go on with, though it is
 * left out in part: else a group that has outgrown its room could not come back after a stop.
 * @returns undefined if there is; else how many partitions there would be, in how many topics
 */
export function partitionsOverLimit(
  group: GroupDocument,
  joining: readonly Subscription[],
  view: TopicsView,
): { partitions: number; topics: number } | undefined {
  const earlier = new EarlierSubscriptions(group, view);
  const named = joining.flatMap((one) => ('topics' in one ? one.topics : view.matching(one.pattern)));
  const added = [...new Set(named)].filter(
    (name) => view.get(name) && !getOwn(group.topics, name) && !earlier.covers(name),
  );
  if (added.length === 0) return undefined;
  const counts = [...Object.values(group.topics), ...added.map((name) => view.get(name)!)];
  const partitions = counts.reduce((sum, { partitionCount }) => sum + partitionCount, 0);
  if (partitions <= (view.partitionsMax ?? groupPartitionsMax)) return undefined;
  return { partitions, topics: counts.length };
}

/** The topic as the group is to know it. @param known as it knew it before; `isCovered` = it was subscribed to already */
function withBeginning(info: SubscribedTopic, known: SubscribedTopic | undefined, isCovered: boolean): SubscribedTopic {
  const { topicId, partitionCount } = info;
  let begunWith: number | undefined;
  if (known?.topicId === topicId) begunWith = known.begunWith ?? known.partitionCount;
  else if (known || isCovered) begunWith = 0;
  const isAllOld = begunWith === undefined || begunWith >= partitionCount;
  return { topicId, partitionCount, ...(!isAllOld && { begunWith: begunWith! }) };
}

/** Whether the partition came while the group subscribed to its topic: then it is read from its beginning. */
export function isNewerThanSubscription(group: GroupDocument, topic: string, partition: number): boolean {
  return partition >= (getOwn(group.topics, topic)?.begunWith ?? Number.POSITIVE_INFINITY);
}

/** What a group subscribed to before a step. */
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

/** The next group, which remembers what members subscribed to before the step and no member does after it. */
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
  const isSame = former.length === known.length && former.every((one, i) => textOf(one) === textOf(known[i]!));
  return isSame ? after : withFormer(after, { subscriptions: former, topics: after.former?.topics ?? {} });
}

/**
 * The group as if its members had never subscribed to what they do not subscribe to now.
 * @param only this topic, as it is now; undefined = all
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

/** The subscriptions without those that say the same as one before them. */
function distinct(subscriptions: readonly Subscription[]): Subscription[] {
  return [...new Map([...subscriptions].reverse().map((one) => [textOf(one), one])).values()].reverse();
}

/** Puts topics that no member subscribes to any more, nor has partitions of, among the former ones. */
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
  const kept = Object.entries(withoutTopics(before, new Set(dropped.map(([topic]) => topic))));
  const former = Object.fromEntries([...kept, ...dropped].slice(-formerTopicsMax));
  const topics = Object.fromEntries(entries.filter(([topic]) => needed.has(topic)));
  return withFormer({ ...group, topics }, { subscriptions, topics: former });
}

/** The group with these topics only: what is of others, or of earlier ones of their names, is taken from everybody. */
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

/** A plain assignment to '__proto__' would not make a key. */
function define<T>(record: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true });
}
