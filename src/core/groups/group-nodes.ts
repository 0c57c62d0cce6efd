/**
 * The nodes of a group in the tree, with Kafka's paths and JSON, and all that changes with the group document: nodes, sessions,
 * timers and positions. The changes are derived by comparing two documents, so owner nodes are correct at every zxid, whatever
 * updated the document. Each partition that a member may use or must release has an owner node.
 */
import { compareText, type TopicPartitions } from './assignors/assignment.ts';
import { type GroupDocument, type GroupMember, getOwn, heartbeatIntervalMs } from './group-document.ts';
import { groupStateName } from './member-reconciliation.ts';

export const groupsPath = '/consumers';
export const groupPath = (group: string): string => `${groupsPath}/${group}`;
const memberPath = (group: string, memberId: string): string => `${groupsPath}/${group}/ids/${memberId}`;

/** An operation on the tree. `create` creates an ephemeral node of the session. */
type NodeChange =
  | { op: 'create'; path: string; data: string; contentType: string; sessionId: string }
  | { op: 'set'; path: string; data: string; contentType: string }
  | { op: 'delete'; path: string };

/** Partitions that a member gets. Their owner nodes are ephemeral nodes of the session. */
interface Ownership extends TopicPartitions {
  memberId: string;
  sessionId: string;
}

/** The changes that are committed together with a group document. */
export interface GroupChanges {
  /** Owner nodes to delete; deleted first, as another member may get the partition. */
  ownersRemoved: TopicPartitions[];
  /** Changes of member nodes. */
  nodes: NodeChange[];
  /** Owner nodes to create; created last. */
  ownersAdded: Ownership[];
  /** `identity` = to which the member belongs. */
  sessionsCreated: { id: string; ttlMs: number; identity: string | undefined }[];
  sessionsEnded: string[];
  membersRemoved: string[];
  timersSet: { name: string; delayMs: number }[];
  timersCancelled: string[];
  /** Partitions whose position is deleted, so that the next owner begins at the committed offset. */
  positionsCleared: TopicPartitions[];
  /** Whether every member has its whole assignment. */
  isSettled: boolean;
  /** Whether a topic has lost its last subscriber, so that its committed offsets may expire. */
  topicsDropped: boolean;
}

/**
 * Compares a document with the next one.
 * @param expired members of `before` whose session has ended; the store has already deleted their nodes
 * @param nowMs the current time, ms since the epoch; written into member nodes for display only
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
      changes.sessionsCreated.push({ id: now.sessionId, ttlMs: now.sessionTimeoutMs, identity: now.identity });
      const data = encodeMember(now, nowMs);
      changes.nodes.push({ op: 'create', path, data, contentType: 'application/json', sessionId: now.sessionId });
    }
  }
  setTimers(group, before, after, changes);
  return changes;
}

/** The partitions that members of `before` have lost, except those of members in `without`. */
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

/** The partitions that members of `after` have gained. */
function gained(before: GroupDocument, after: GroupDocument): Ownership[] {
  return Object.values(after.members).flatMap((member) => {
    const { memberId, sessionId } = member;
    return difference(after, member, before).map((held) => ({ memberId, sessionId, ...held }));
  });
}

/** The partitions that a member has in its group but not in the other one. A new session or topic id makes a partition different. */
function difference(group: GroupDocument, member: GroupMember, other: GroupDocument): TopicPartitions[] {
  const there = getOwn(other.members, member.memberId);
  const isSame = (topic: string) => getOwn(group.topics, topic)?.topicId === getOwn(other.topics, topic)?.topicId;
  const hasSameLists =
    there?.sessionId === member.sessionId &&
    there.assigned === member.assigned &&
    there.pendingRevocation === member.pendingRevocation;
  if (hasSameLists && (group.topics === other.topics || heldPartitionsOf(member).every(({ topic }) => isSame(topic))))
    return [];
  const has = new Map<string, Set<number>>();
  for (const { topic, partitions } of there?.sessionId === member.sessionId ? heldPartitionsOf(there) : []) {
    if (!isSame(topic)) continue;
    const known = has.get(topic);
    if (known) for (const partition of partitions) known.add(partition);
    else has.set(topic, new Set(partitions));
  }
  return heldPartitionsOf(member)
    .map(({ topic, partitions }) => ({ topic, partitions: partitions.filter((p) => !has.get(topic)?.has(p)) }))
    .filter(({ partitions }) => partitions.length > 0);
}

function heldPartitionsOf({ assigned, pendingRevocation }: GroupMember): TopicPartitions[] {
  return [...assigned, ...pendingRevocation];
}

/** Starts and cancels timers: a member must release partitions within its rebalance timeout, counted from its next heartbeat. */
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

/** The name of a timer in the store. Its parts cannot contain the separator. */
function timerName(group: string, memberId: string, memberEpoch: number): string {
  return [group, memberId, memberEpoch].join('\0');
}

/** The name of the timer that limits the time until the next consume call of a member. */
export function pollTimerName(group: string, memberId: string): string {
  return [group, memberId, 'poll'].join('\0');
}

/** Parses the name of a timer. `memberEpoch` is undefined for a timer of consume calls. */
export function parseTimerName(name: string): { group: string; memberId: string; memberEpoch: number | undefined } {
  const [group = '', memberId = '', what] = name.split('\0');
  return { group, memberId, memberEpoch: what === 'poll' ? undefined : Number(what) };
}

/** The content of a member node without its time, to detect changes. */
function describes(member: GroupMember): string {
  return JSON.stringify([member.subscription, member.clientId, member.instanceId]);
}

/** The data of `/consumers/G/ids/C`, version 1: Kafka's fields, and the client and instance ids. */
function encodeMember(member: GroupMember, nowMs: number): string {
  const { subscription, clientId, instanceId } = member;
  const [pattern, names] =
    'pattern' in subscription ? ['white_list', [subscription.pattern]] : ['static', subscription.topics];
  return JSON.stringify({
    version: 1,
    // The number of consumer streams by topic; a member has one.
    subscription: Object.fromEntries(names.map((name) => [name, 1])),
    pattern,
    timestamp: String(nowMs),
    ...(clientId !== undefined && { clientId }),
    ...(instanceId !== undefined && { instanceId }),
  });
}
