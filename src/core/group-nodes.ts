/**
 * A group in the tree, in Kafka's paths and JSON (kafka-semantics, section 1), and what must change there, and beside it,
 * when the group's document changes. It is a comparison of two documents, so whatever decided over them, owner nodes tell
 * the truth at every zxid: there is one for each partition that a member has, to use or still to let go of.
 */
import {
  type GroupDocument,
  type GroupMember,
  heartbeatIntervalMs,
  heldBy,
  own,
  type TopicPartition,
} from './group-document.ts';

export const groupsPath = '/consumers';
export const groupPath = (group: string): string => `${groupsPath}/${group}`;
export const memberPath = (group: string, memberId: string): string => `${groupsPath}/${group}/ids/${memberId}`;
export const ownerPath = (group: string, { topic, partition }: TopicPartition): string =>
  `${groupsPath}/${group}/owners/${topic}/${partition}`;

/** One operation on the tree; an ephemeral node is the session's. */
export type NodeChange =
  | { op: 'create'; path: string; data: string; contentType: string; sessionId: string }
  | { op: 'set'; path: string; data: string; contentType: string }
  | { op: 'delete'; path: string };

export interface GroupChanges {
  nodes: NodeChange[];
  sessionsCreated: { id: string; ttlMs: number }[];
  sessionsEnded: string[];
  membersRemoved: string[];
  timersSet: { name: string; delayMs: number }[];
  timersCancelled: string[];
  /** Partitions whose position is forgotten: who has them next begins where the group has committed. */
  positionsCleared: TopicPartition[];
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
  const changes: GroupChanges = {
    nodes: [],
    sessionsCreated: [],
    sessionsEnded: [],
    membersRemoved: [],
    timersSet: [],
    timersCancelled: [],
    positionsCleared: [],
  };
  // What goes goes first: a node that changes its owner is deleted and made anew.
  removeOwners(group, before, after, expired, changes);
  for (const old of Object.values(before.members)) {
    const now = own(after.members, old.memberId);
    if (!now) changes.membersRemoved.push(old.memberId);
    if (now?.sessionId === old.sessionId) continue;
    if (expired.has(old.memberId)) continue;
    changes.nodes.push({ op: 'delete', path: memberPath(group, old.memberId) });
    changes.sessionsEnded.push(old.sessionId);
  }
  for (const now of Object.values(after.members)) {
    const old = own(before.members, now.memberId);
    const path = memberPath(group, now.memberId);
    if (old?.sessionId === now.sessionId) {
      if (describes(old) === describes(now)) continue;
      changes.nodes.push({ op: 'set', path, data: encodeMember(now, nowMs), contentType: 'application/json' });
    } else {
      changes.sessionsCreated.push({ id: now.sessionId, ttlMs: now.sessionTimeoutMs });
      const data = encodeMember(now, nowMs);
      changes.nodes.push({ op: 'create', path, data, contentType: 'application/json', sessionId: now.sessionId });
    }
  }
  addOwners(group, before, after, changes);
  setTimers(group, before, after, changes);
  return changes;
}

/** Who has each partition, and of which topic of that name: `topic:partition` → member, session and topic id. */
function owners(group: GroupDocument): Map<string, { at: TopicPartition; member: GroupMember; as: string }> {
  const all = new Map<string, { at: TopicPartition; member: GroupMember; as: string }>();
  for (const member of Object.values(group.members)) {
    for (const at of heldBy(member)) {
      const as = `${member.memberId} ${member.sessionId} ${own(group.topics, at.topic)?.topicId}`;
      all.set(`${at.topic}:${at.partition}`, { at, member, as });
    }
  }
  return all;
}

function removeOwners(
  group: string,
  before: GroupDocument,
  after: GroupDocument,
  expired: ReadonlySet<string>,
  changes: GroupChanges,
): void {
  const now = owners(after);
  for (const [key, { at, member, as }] of owners(before)) {
    if (now.get(key)?.as === as) continue;
    changes.positionsCleared.push(at);
    if (!expired.has(member.memberId)) changes.nodes.push({ op: 'delete', path: ownerPath(group, at) });
  }
}

function addOwners(group: string, before: GroupDocument, after: GroupDocument, changes: GroupChanges): void {
  const old = owners(before);
  for (const [key, { at, member, as }] of owners(after)) {
    if (old.get(key)?.as === as) continue;
    const { memberId, sessionId } = member;
    const contentType = 'text/plain; charset=utf-8';
    changes.nodes.push({ op: 'create', path: ownerPath(group, at), data: memberId, contentType, sessionId });
  }
}

/**
 * A member that begins to let go of something has its rebalance timeout for it, from the moment at which it must have
 * heard of it: at its next heartbeat.
 */
function setTimers(group: string, before: GroupDocument, after: GroupDocument, changes: GroupChanges): void {
  const nameOf = (member: GroupMember) => timerName(group, member.memberId, member.memberEpoch);
  for (const old of Object.values(before.members)) {
    if (old.state !== 'unrevoked') continue;
    const now = own(after.members, old.memberId);
    if (now?.state !== 'unrevoked' || nameOf(now) !== nameOf(old)) changes.timersCancelled.push(nameOf(old));
  }
  for (const now of Object.values(after.members)) {
    if (now.state !== 'unrevoked') continue;
    const old = own(before.members, now.memberId);
    const pending = JSON.stringify(now.pendingRevocation);
    if (old && nameOf(old) === nameOf(now) && JSON.stringify(old.pendingRevocation) === pending) continue;
    const delayMs = now.rebalanceTimeoutMs + heartbeatIntervalMs(now.sessionTimeoutMs);
    changes.timersSet.push({ name: nameOf(now), delayMs });
  }
}

/** A timer's name in the store; none of its parts can have the character that separates them. */
export function timerName(group: string, memberId: string, memberEpoch: number): string {
  return [group, memberId, memberEpoch].join('\0');
}

export function parseTimerName(name: string): { group: string; memberId: string; memberEpoch: number } {
  const [group = '', memberId = '', memberEpoch] = name.split('\0');
  return { group, memberId, memberEpoch: Number(memberEpoch) };
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
