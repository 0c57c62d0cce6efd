// A commit of a group: its form, and how it is encoded for lua/groups/apply.lua and the reply decoded.

import { randomBytes } from 'node:crypto';
import type { ErrorCode } from '../../../schemas/errors.ts';
import type { TopicPartitions } from '../../core/groups/assignors/assignment.ts';
import { decodeGroup, type GroupDocument, type TopicPartition } from '../../core/groups/group-document.ts';
import { type GroupChanges, groupPath } from '../../core/groups/group-nodes.ts';
import { required } from '../../core/required.ts';
import { ServiceError } from '../../core/service-error.ts';
import { idempotencyArguments, type ResponseToStore } from '../idempotency.ts';
import { integer, type ReplyValue, type ScriptArguments, text } from '../scripts.ts';
import type { NamespaceLimits } from '../tree/namespace.ts';
import { encodeOp, type Op } from '../tree/op-codec.ts';
import { brokerCredential } from '../tree/sessions.ts';

/** A group as it was read. `version` 0 = the group does not exist. */
export interface GroupSnapshot {
  version: number;
  document: GroupDocument | undefined;
  /** The stored JSON of the document, '' if there is none. */
  text: string;
}

export interface Renewal {
  sessionId: string;
  ttlMs: number;
}

/** A consume call or socket that acts for a member. Only the one with the member's newest call epoch may. */
export interface Caller {
  memberId: string;
  callEpoch: number;
}

/** A partition of a topic that exists. */
export interface KnownPartition extends TopicPartition {
  topicId: string;
}

/** An update of a group, computed from a snapshot of it. */
export interface GroupCommit {
  /** The next document as JSON; undefined = unchanged, 'delete' = delete the group. */
  document: string | 'delete' | undefined;
  changes?: GroupChanges;
  /** How many members of the snapshot have a live session as far as the broker knows; another number in Redis is a conflict. */
  liveMemberCount: number;
  sessionsToRenew?: Renewal | readonly Renewal[];
  /** The responses to store for requests with an Idempotency-Key, each with a key of its own. */
  responses?: readonly ResponseToStore[];
  /** Commit even when Redis is at its memory limit: the update adds no member and the group needs it to continue. */
  allowOom?: boolean;
  /** Partitions whose position is deleted, besides those that change their owner. */
  positionsToClear?: readonly TopicPartition[];
  /** Timers to set, besides those in `changes`. */
  timersToSet?: readonly { name: string; delayMs: number }[];
  /** Timers to cancel, besides those in `changes`. */
  timersToCancel?: readonly string[];
  /** The commit succeeds only if each of these is the newest call of its member. */
  currentCalls?: readonly Caller[];
  /** Members that get a new call epoch, so that all their earlier calls are superseded. */
  raiseCallEpochs?: readonly string[];
  /** The partitions that `positions` of the result describes. */
  positionsToRead?: readonly KnownPartition[];
  consume?: {
    memberId: string;
    /** 'new': the commit gives the call a call epoch. A number: it succeeds only if that is the member's newest call epoch. */
    callEpoch?: 'new' | number;
    /** The commit succeeds only if this is the sequence of the member's last response; with `isRepeat`, of the one before. */
    expectedSeq?: number;
    isRepeat?: boolean;
    /**
     * Commits the member's position in these partitions, or the offset in `resetTo`, unless a higher offset is committed;
     * `isBack` = even then.
     */
    commit?: readonly (KnownPartition & { resetTo?: { offset: number; isBack: boolean } | undefined })[];
    /** Positions to set. With `start`, this commit delivers the records from there up to `offset`. */
    set?: readonly (TopicPartition & { offset: number; start?: number | undefined })[];
  };
}

export interface PartitionPosition extends TopicPartition {
  /** The next offset that the member reads; undefined if it has not read from the partition. */
  position: number | undefined;
  /** The first offset of the member's last delivery; undefined if that had no record of this partition. */
  start: number | undefined;
  committed: number | undefined;
}

export type CommitOutcome =
  | {
      outcome: 'applied';
      version: number;
      zxid: number;
      /** The call epoch of the consume call. */
      callEpoch: number;
      /** The sequence of the consumer's last delivery, with this one; 0 = there was none. */
      lastSeq: number;
      /** The new call epochs of the members in `raiseCallEpochs`, in that order. */
      raisedCallEpochs: number[];
      /** How long the rebalance took, ms, if this commit completes it. */
      movedMs: number | undefined;
      positions: PartitionPosition[];
    }
  /** The group has another version; this is its state. Compute the update again. */
  | ({ outcome: 'conflict' } & GroupSnapshot)
  /** Sessions of members have ended; `living` are the members that have one. */
  | ({ outcome: 'sessions_ended'; living: Set<string> } & GroupSnapshot)
  /** Nothing was done: these calls were superseded, and these requests have a stored response. */
  | ({ outcome: 'refused' } & Refusal)
  /** The consumer's last delivery is not the one that `consume.expectedSeq` names. */
  | { outcome: 'stale_sequence'; lastSeq: number; prevSeq: number };

export interface Refusal {
  superseded: Caller[];
  /** The stored response by Idempotency-Key; an error if the key was used for another request. */
  responses: Map<string, string | ServiceError>;
}

/**
 * Encodes a commit over `version` as the arguments of groups/apply.lua: the group, the document, the fields below as JSON, and
 * the operations on the tree. This is the one declaration of the fields; lua/lib/group-apply.lua reads them by these names, and
 * test/house/scripts.test.ts compares the two.
 */
export function encodeCommit(
  group: string,
  version: number,
  commit: GroupCommit,
  limits: NamespaceLimits,
): ScriptArguments {
  const { document, changes, consume } = commit;
  const isCurrent = typeof consume?.callEpoch === 'number' ? [[consume.memberId, consume.callEpoch]] : [];
  const isNew = consume?.callEpoch === 'new' ? [consume.memberId] : [];
  const fields = {
    expected_version: version,
    max_node_bytes: limits.maxNodeBytes,
    event_retention: limits.eventRetention,
    response_limits: limits.responseLimits,
    live_members: commit.liveMemberCount,
    /** Of the new document. */
    state: changes?.isSettled ? 'settled' : 'moving',
    /** Whether committed offsets may have expired with this change, so that they are checked soon. */
    check_offset_ages: changes?.topicsDropped ?? false,
    /** Session id, time to live (ms). */
    sessions_to_renew: rows([commit.sessionsToRenew ?? []].flat().map(({ sessionId, ttlMs }) => [sessionId, ttlMs])),
    /** Session id, hash of the secret, time to live (ms), identity or ''. Nobody gets these secrets: the broker renews members' sessions. */
    sessions_to_create: rows(
      changes?.sessionsCreated.map(({ id, ttlMs, identity }) => [
        id,
        randomBytes(16).toString('hex'),
        ttlMs,
        identity ?? '',
      ]),
    ),
    sessions_to_end: texts(changes?.sessionsEnded),
    /** Name, delay (ms). */
    timers_to_set: rows(
      [...(changes?.timersSet ?? []), ...(commit.timersToSet ?? [])].map(({ name, delayMs }) => [name, delayMs]),
    ),
    timers_to_cancel: texts([...(changes?.timersCancelled ?? []), ...(commit.timersToCancel ?? [])]),
    /** The member that consumes, or ''. */
    consumer: (consume?.memberId ?? '').toWellFormed(),
    /** The sequence that must be the consumer's last one, or with is_repeat the one before; '' = any. */
    expected_seq: String(consume?.expectedSeq ?? ''),
    is_repeat: consume?.isRepeat ?? false,
    /** Member id, the call epoch that must be its newest. */
    current_calls: rows([
      ...(commit.currentCalls ?? []).map(({ memberId, callEpoch }) => [memberId, callEpoch]),
      ...isCurrent,
    ]),
    /** Member ids that get a new call epoch. */
    new_calls: texts([...(commit.raiseCallEpochs ?? []), ...isNew]),
    /** Id of the stored response, fingerprint of the request, response. */
    responses: rows(
      commit.responses?.map(({ idempotencyKey, response }) => [...idempotencyArguments(idempotencyKey), response]),
    ),
    /** Topic, partition, topic id, offset to commit or '' (= the position), 'back' = also to a lower offset. */
    positions_to_commit: rows(
      consume?.commit?.map(({ topic, partition, topicId, resetTo }) => {
        return [topic, partition, topicId, resetTo?.offset ?? '', resetTo?.isBack ? 'back' : ''];
      }),
    ),
    /** Topic, partitions as '0,4,7'. */
    positions_to_clear: rows([
      ...(changes?.positionsCleared ?? []).map(partitionsRow),
      ...(commit.positionsToClear ?? []).map(({ topic, partition }) => [topic, String(partition)]),
    ]),
    /** Member ids whose call epochs and sequences are deleted. */
    removed_members: texts(changes?.membersRemoved),
    /** Field `topic:partition`, offset, start of the records that are delivered now or ''. */
    positions_to_set: rows(consume?.set?.map((at) => [field(at), at.offset, at.start ?? ''])),
    /** Topic, partition, topic id. */
    positions_to_read: rows(
      commit.positionsToRead?.map(({ topic, partition, topicId }) => [topic, partition, topicId]),
    ),
    /** Topic, partitions as '0,4,7'. */
    owners_to_remove: rows(changes?.ownersRemoved.map(partitionsRow)),
    /** Topic, partitions as '0,4,7', member id, session id. */
    owners_to_add: rows(
      changes?.ownersAdded.map((added) => [...partitionsRow(added), added.memberId, added.sessionId]),
    ),
  };
  const deletion = document === 'delete' ? [encodeOp({ op: 'delete-recursive', path: groupPath(group) })] : [];
  const operations = (changes?.nodes ?? []).map((change) => encodeOp(operation(change)));
  return [group, document ?? '', JSON.stringify(fields), ...deletion, ...operations];
}

/** Rows of a list. Values are sent as text, as Lua would print large numbers as 1e+14. A lone surrogate is no JSON for Lua. */
function rows(values: (string | number)[][] = []): string[][] {
  return values.map(texts);
}

function texts(values: readonly (string | number)[] = []): string[] {
  return values.map((value) => String(value).toWellFormed());
}

/** Decodes the reply of groups/apply.lua to `commit`. */
export function decodeCommitReply(reply: ReplyValue[], commit: GroupCommit): CommitOutcome {
  const [outcome, ...rest] = reply;
  switch (text(outcome)) {
    case 'applied':
      return applied(rest, commit);
    case 'refused':
      return { outcome: 'refused', ...refusal(rest, commit) };
    case 'stale_sequence':
      return { outcome: 'stale_sequence', lastSeq: integer(rest[0]), prevSeq: integer(rest[1]) };
    case 'sessions_ended': {
      const living = new Set(rest.slice(2).map((name) => text(name)));
      return { outcome: 'sessions_ended', ...snapshot(rest[0], rest[1]), living };
    }
    default:
      return { outcome: 'conflict', ...snapshot(rest[0], rest[1]) };
  }
}

/** The field of a position in its hash, as in lua/lib/group.lua. */
function field({ topic, partition }: TopicPartition): string {
  return `${topic}:${partition}`;
}

function partitionsRow({ topic, partitions }: TopicPartitions): [string, string] {
  return [topic, partitions.join()];
}

/** Appends a list: the number of rows, then their values (lua/lib/arguments.lua). */
export function pushRows(args: ScriptArguments, rows: (string | number)[][] = []): void {
  args.push(rows.length);
  for (const row of rows) args.push(...row);
}

function operation(change: GroupChanges['nodes'][number]): Op {
  if (change.op !== 'create') return change;
  const { sessionId, ...rest } = change;
  return { ...rest, mode: 'ephemeral', session: brokerCredential(sessionId), parents: true };
}

/** Decodes the version and the document of a group in a reply. */
export function snapshot(version: ReplyValue | undefined, document: ReplyValue | undefined): GroupSnapshot {
  const stored = text(document);
  return {
    version: integer(version),
    document: stored === '' ? undefined : decodeGroup(stored),
    text: stored,
  };
}

function applied(
  rest: ReplyValue[],
  { raiseCallEpochs = [], consume, positionsToRead = [] }: GroupCommit,
): CommitOutcome {
  const [version, zxid, movedMs, lastSeq, ...more] = rest;
  const callEpochs = more
    .splice(0, raiseCallEpochs.length + (consume?.callEpoch === 'new' ? 1 : 0))
    .map((number) => integer(number));
  const offset = (value: ReplyValue | undefined) => (text(value) === '' ? undefined : integer(value));
  return {
    outcome: 'applied',
    version: integer(version),
    zxid: integer(zxid),
    callEpoch: consume?.callEpoch === 'new' ? required(callEpochs.pop(), 'new call epoch') : (consume?.callEpoch ?? 0),
    lastSeq: integer(lastSeq),
    raisedCallEpochs: callEpochs,
    movedMs: integer(movedMs) < 0 ? undefined : integer(movedMs),
    positions: positionsToRead.map(({ topic, partition }, i) => ({
      topic,
      partition,
      position: offset(more[3 * i]),
      start: offset(more[3 * i + 1]),
      committed: offset(more[3 * i + 2]),
    })),
  };
}

function refusal([count, ...rest]: ReplyValue[], { responses = [] }: GroupCommit): Refusal {
  const keys = new Map(
    responses.map(({ idempotencyKey }) => [idempotencyArguments(idempotencyKey)[0], idempotencyKey.key]),
  );
  const superseded = Array.from({ length: integer(count) }, (_, i) => ({
    memberId: text(rest[2 * i]),
    callEpoch: integer(rest[2 * i + 1]),
  }));
  const stored = new Map<string, string | ServiceError>();
  for (let i = 2 * superseded.length; i + 2 < rest.length; i += 3) {
    const [id, code, said] = [text(rest[i]), text(rest[i + 1]), text(rest[i + 2])];
    stored.set(
      required(keys.get(id), 'key of a stored response'),
      code === '' ? said : new ServiceError(code as ErrorCode, said),
    );
  }
  return { superseded, responses: stored };
}
