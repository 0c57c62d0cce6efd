/**
 * A group in the tree, in Kafka's paths and JSON (docs/concepts.md, Map of the tree), and what must change there, and beside it,
 * when the group's document changes. It is a comparison of two documents, so whatever decided over them, owner nodes tell
 * the truth at every zxid: there is one for each partition that a member has, to use or still to let go of.
 */
import { compareText, type TopicPartitions } from './assignors/assignment.ts';
import { type GroupDocument, type GroupMember, getOwn, heartbeatIntervalMs } from './group-document.ts';
import { groupStateName } from './member-reconciliation.ts';

export const groupsPath = '/consumers';
export const groupPath = (group: string): string => `${groupsPath}/${group}`;
const memberPath = (group: string, memberId: string): string => `${groupsPath}/${group}/ids/${memberId}`;

/** One operation on the tree; an ephemeral node is the session's. */
export type NodeChange =
  | { op: 'create'; path: string; data: string; contentType: string; sessionId: string }
  | { op: 'set'; path: string; data: string; contentType: string }
  | { op: 'delete'; path: string };

/** Partitions that a member has from now on; their nodes are the session's. */
export interface Ownership extends TopicPartitions {
  memberId: string;
  sessionId: string;
}

export interface GroupChanges {
  /** Owner nodes that go, before anything else. */
  ownersRemoved: TopicPartitions[];
  /** The nodes of members. */
  nodes: NodeChange[];
  /** Owner nodes that come, at last. */
  ownersAdded: Ownership[];
  sessionsCreated: { id: string; ttlMs: number }[];
  sessionsEnded: string[];
  membersRemoved: string[];
  timersSet: { name: string; delayMs: number }[];
  timersCancelled: string[];
  /** Partitions whose position is forgotten: who has them next begins where the group has committed. */
  positionsCleared: TopicPartitions[];
  /** Every member has what it shall have. */
  isSettled: boolean;
  /** A topic is subscribed to no more, so its committed offsets may be of no use. */
  topicsDropped: boolean;
}

/**
 * What goes with the step from one document to the next.
 * @param expired members of `before` whose session has ended: the store has removed their nodes already
 * @param nowMs only for people to read
 */
export function changesBetween(
  group: string,
  before: GroupDocument,
  after: GroupDocument,
  expired: ReadonlySet<string>,
  nowMs: number,
): GroupChanges {
  const stateName = groupStateName(after);
  const changes: GroupChanges = {
    ownersRemoved: [],
    nodes: [],
    ownersAdded: [],
    sessionsCreated: [],
    sessionsEnded: [],
    membersRemoved: [],
    timersSet: [],
    timersCancelled: [],
    positionsCleared: [],
    isSettled: stateName === 'stable' || stateName === 'empty',
    topicsDropped: Object.keys(before.topics).some((topic) => !getOwn(after.topics, topic)),
  };
  changes.positionsCleared = lost(before, after);
  changes.ownersRemoved = lost(before, after, expired);
  changes.ownersAdded = gained(before, after);
  for (const old of Object.values(before.members)) {
    const now = getOwn(after.members, old.memberId);
    if (now === old) continue;
    if (!now) changes.membersRemoved.push(old.memberId);
    if (!now || now.isAway) changes.timersCancelled.push(pollTimerName(group, old.memberId));
    if (now?.sessionId === old.sessionId) continue;
    if (expired.has(old.memberId)) continue;
    changes.nodes.push({ op: 'delete', path: memberPath(group, old.memberId) });
    changes.sessionsEnded.push(old.sessionId);
  }
  for (const now of Object.values(after.members)) {
    const old = getOwn(before.members, now.memberId);
    if (old === now) continue;
    const path = memberPath(group, now.memberId);
    if (old?.sessionId === now.sessionId) {
      if (old.subscription === now.subscription && old.clientId === now.clientId) continue;
      if (describes(old) === describes(now)) continue;
      changes.nodes.push({ op: 'set', path, data: encodeMember(now, nowMs), contentType: 'application/json' });
    } else {
      changes.sessionsCreated.push({ id: now.sessionId, ttlMs: now.sessionTimeoutMs });
      const data = encodeMember(now, nowMs);
      changes.nodes.push({ op: 'create', path, data, contentType: 'application/json', sessionId: now.sessionId });
    }
  }
  setTimers(group, before, after, changes);
  return changes;
}

/** What members of `before` have no more, taken together, but for members of `without`. */
function lost(
  before: GroupDocument,
  after: GroupDocument,
  without: ReadonlySet<string> = new Set(),
): TopicPartitions[] {
  const all = new Map<string, number[]>();
  for (const member of Object.values(before.members)) {
    if (without.has(member.memberId)) continue;
    for (const { topic, partitions } of difference(before, member, after)) {
      const known = all.get(topic);
      if (known) known.push(...partitions);
      else all.set(topic, [...partitions]);
    }
  }
  return [...all].sort(([a], [b]) => compareText(a, b)).map(([topic, partitions]) => ({ topic, partitions }));
}

/** What members of `after` have and had not before. */
function gained(before: GroupDocument, after: GroupDocument): Ownership[] {
  return Object.values(after.members).flatMap((member) => {
    const { memberId, sessionId } = member;
    return difference(after, member, before).map((held) => ({ memberId, sessionId, ...held }));
  });
}

/** What the member has in its group and not in the other one: there under the same session, and of the same topic. */
function difference(group: GroupDocument, member: GroupMember, other: GroupDocument): TopicPartitions[] {
  const there = getOwn(other.members, member.memberId);
  const isSame = (topic: string) => getOwn(group.topics, topic)?.topicId === getOwn(other.topics, topic)?.topicId;
  const hasKept =
    there?.sessionId === member.sessionId &&
    there.assigned === member.assigned &&
    there.pendingRevocation === member.pendingRevocation;
  if (hasKept && (group.topics === other.topics || heldLists(member).every(({ topic }) => isSame(topic)))) return [];
  const has = new Map<string, Set<number>>();
  for (const { topic, partitions } of there?.sessionId === member.sessionId ? heldLists(there) : []) {
    if (!isSame(topic)) continue;
    const known = has.get(topic);
    if (known) for (const partition of partitions) known.add(partition);
    else has.set(topic, new Set(partitions));
  }
  return heldLists(member)
    .map(({ topic, partitions }) => ({ topic, partitions: partitions.filter((p) => !has.get(topic)?.has(p)) }))
    .filter(({ partitions }) => partitions.length > 0);
}

function heldLists({ assigned, pendingRevocation }: GroupMember): TopicPartitions[] {
  return [...assigned, ...pendingRevocation];
}

/**
 * A member that begins to let go of something has its rebalance timeout for it, from the moment at which it must have
 * heard of it: at its next heartbeat.
 */
function setTimers(group: string, before: GroupDocument, after: GroupDocument, changes: GroupChanges): void {
  const nameOf = (member: GroupMember) => timerName(group, member.memberId, member.memberEpoch);
  for (const old of Object.values(before.members)) {
    if (old.state !== 'unrevoked') continue;
    const now = getOwn(after.members, old.memberId);
    if (now?.state !== 'unrevoked' || nameOf(now) !== nameOf(old)) changes.timersCancelled.push(nameOf(old));
  }
  for (const now of Object.values(after.members)) {
    if (now.state !== 'unrevoked') continue;
    const old = getOwn(before.members, now.memberId);
    const pending = JSON.stringify(now.pendingRevocation);
    if (old && nameOf(old) === nameOf(now) && JSON.stringify(old.pendingRevocation) === pending) continue;
    const delayMs = now.rebalanceTimeoutMs + heartbeatIntervalMs(now.sessionTimeoutMs);
    changes.timersSet.push({ name: nameOf(now), delayMs });
  }
}

/** A timer's name in the store; none of its parts can have the character that separates them. */
function timerName(group: string, memberId: string, memberEpoch: number): string {
  return [group, memberId, memberEpoch].join('\0');
}

/** The timer of the next consume call. */
export function pollTimerName(group: string, memberId: string): string {
  return [group, memberId, 'poll'].join('\0');
}

/** What a timer is about; no epoch = the member's next consume call. */
export function parseTimerName(name: string): { group: string; memberId: string; memberEpoch: number | undefined } {
  const [group = '', memberId = '', what] = name.split('\0');
  return { group, memberId, memberEpoch: what === 'poll' ? undefined : Number(what) };
}

/** What a member's node says, but for the time. */
function describes(member: GroupMember): string {
  return JSON.stringify([member.subscription, member.clientId, member.instanceId]);
}

/** `/consumers/G/ids/C`, version 1, with the client and instance id beside Kafka's own fields. */
function encodeMember(member: GroupMember, nowMs: number): string {
  const { subscription, clientId, instanceId } = member;
  const [pattern, names] =
    'pattern' in subscription ? ['white_list', [subscription.pattern]] : ['static', subscription.topics];
  return JSON.stringify({
    version: 1,
    // How many streams of each: a member is one.
    subscription: Object.fromEntries(names.map((name) => [name, 1])),
    pattern,
    timestamp: String(nowMs),
    ...(clientId !== undefined && { clientId }),
    ...(instanceId !== undefined && { instanceId }),
  });
}
