// A decision over a group on its way to lua/groups/apply.lua and back: what is committed, in the words that the script
// reads, and what became of it.
import { randomBytes } from 'node:crypto';
import type { ErrorCode } from '../../../schemas/errors.ts';
import type { TopicPartitions } from '../../core/groups/assignors/assignment.ts';
import { decodeGroup, type GroupDocument, type TopicPartition } from '../../core/groups/group-document.ts';
import { type GroupChanges, groupPath } from '../../core/groups/group-nodes.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { IdempotencyKey } from '../idempotency.ts';
import { idempotencyArguments } from '../idempotency.ts';
import { integer, type ReplyValue, text } from '../scripts.ts';
import type { NamespaceLimits } from '../tree/namespace.ts';
import { encodeOp, type Op } from '../tree/op-codec.ts';

/** A group as it was read. `version` 0 = there is no such group. */
export interface GroupSnapshot {
  version: number;
  document: GroupDocument | undefined;
  /** The document as it is stored, '' if there is none. */
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

export interface StoredResult extends IdempotencyKey {
  answer: string;
}

/** A partition of a topic that exists. */
export interface KnownPartition extends TopicPartition {
  topicId: string;
}

/** What is to be committed, over the snapshot that it was decided on. */
export interface GroupCommit {
  /** The next document as JSON; undefined = it stays as it is, 'delete' = the group goes. */
  document: string | 'delete' | undefined;
  changes?: GroupChanges;
  /** How many of the members in the snapshot have a living session, as far as the broker knows. */
  liveMemberCount: number;
  renew?: Renewal | readonly Renewal[];
  /** What is kept for requests with an Idempotency-Key, each of its own key. */
  answers?: readonly StoredResult[];
  /** Commit even when Redis is at its memory limit: the update adds no member and the group needs it to continue. */
  allowOom?: boolean;
  /** Partitions whose position is forgotten, besides those that change hands. */
  forget?: readonly TopicPartition[];
  /** Timers to set, besides those that the changes begin. */
  timers?: readonly { name: string; delayMs: number }[];
  /** Timers that are of no more use, besides those that the changes end. */
  cancel?: readonly string[];
  /** Only if each of them is still the newest that speaks for its member. */
  callers?: readonly Caller[];
  /** Members whose newest consume call is made one that nobody has, and numbered. */
  raiseCallEpochs?: readonly string[];
  /** What positions() of the result tells of. */
  wanted?: readonly KnownPartition[];
  consume?: {
    memberId: string;
    /** 'new': the commit gives the call a call epoch. A number: it succeeds only if that is the member's newest call epoch. */
    callEpoch?: 'new' | number;
    /** The commit succeeds only if this is the sequence of the member's last response; with `isRepeat`, of the one before. */
    expectedSeq?: number;
    isRepeat?: boolean;
    /**
     * Where the member has read to in these is committed, or their `place`, unless the group has committed more; `isBack` =
     * even then.
     */
    commit?: readonly (KnownPartition & { place?: { offset: number; isBack: boolean } | undefined })[];
    /** With `start`, records from there up to `offset` are given out with this. */
    set?: readonly (TopicPartition & { offset: number; start?: number | undefined })[];
  };
}

export interface PartitionPosition extends TopicPartition {
  /** The next offset that the member reads; undefined if it has not begun. */
  position: number | undefined;
  /** Where that began which the member was given last; undefined if that has nothing of this partition. */
  start: number | undefined;
  committed: number | undefined;
}

export type CommitOutcome =
  | {
      outcome: 'applied';
      version: number;
      zxid: number;
      /** The number of the consume call. */
      callEpoch: number;
      /** The number of what the member of `consume` was given last, by this or before; 0 = nothing yet. */
      lastSeq: number;
      /** Those of the members of `calls`. */
      raisedCallEpochs: number[];
      /** For how long the members were on the move, if that has ended with this. */
      movedMs: number | undefined;
      positions: PartitionPosition[];
    }
  /** Another version is there: decide anew over it. */
  | ({ outcome: 'conflict' } & GroupSnapshot)
  /** Sessions of members have ended; `living` are the others. */
  | ({ outcome: 'gone'; living: Set<string> } & GroupSnapshot)
  /** Nothing was done: these callers are not the newest any more, and these requests were answered before. */
  | ({ outcome: 'refused' } & Refusal)
  /** What the member was given last, and before that, is not as `consume.after` says. */
  | { outcome: 'elsewhere'; lastSeq: number; prevSeq: number };

export interface Refusal {
  superseded: Caller[];
  /** By key; an error where the key was used for another request. */
  answered: Map<string, string | ServiceError>;
}

export type Arguments = (string | number | Buffer)[];

/** The words of a commit over `version`, as groups/apply.lua reads them. */
export function commitArguments(
  group: string,
  version: number,
  commit: GroupCommit,
  limits: NamespaceLimits,
): Arguments {
  const { document, changes, consume } = commit;
  const args: Arguments = [
    group,
    version,
    document ?? '',
    limits.maxNodeBytes,
    limits.eventRetention,
    limits.responseLimits,
    commit.liveMemberCount,
    changes?.isSettled ? 'settled' : 'moving',
    changes?.topicsDropped ? 1 : 0,
  ];
  const renewals = [commit.renew ?? []].flat();
  pushRows(
    args,
    renewals.map(({ sessionId, ttlMs }) => [sessionId, ttlMs]),
  );
  // Nobody is told these secrets: the sessions are the broker's own, for the nodes of members.
  pushRows(
    args,
    changes?.sessionsCreated.map(({ id, ttlMs }) => [id, randomBytes(16).toString('hex'), ttlMs]),
  );
  pushRows(
    args,
    changes?.sessionsEnded.map((id) => [id]),
  );
  pushRows(
    args,
    [...(changes?.timersSet ?? []), ...(commit.timers ?? [])].map(({ name, delayMs }) => [name, delayMs]),
  );
  const cancelled = [...(changes?.timersCancelled ?? []), ...(commit.cancel ?? [])];
  pushRows(
    args,
    cancelled.map((name) => [name]),
  );
  args.push(consume?.memberId ?? '', consume?.expectedSeq ?? '', consume?.isRepeat ? 'again' : '');
  const speaking = typeof consume?.callEpoch === 'number' ? [[consume.memberId, consume.callEpoch]] : [];
  pushRows(args, [...(commit.callers ?? []).map(({ memberId, callEpoch }) => [memberId, callEpoch]), ...speaking]);
  pushRows(
    args,
    [...(commit.raiseCallEpochs ?? []), ...(consume?.callEpoch === 'new' ? [consume.memberId] : [])].map((memberId) => [
      memberId,
    ]),
  );
  pushRows(
    args,
    commit.answers?.map((answer) => [...idempotencyArguments(answer), answer.answer]),
  );
  pushRows(
    args,
    consume?.commit?.map(({ topic, partition, topicId, place }) => {
      return [topic, partition, topicId, place?.offset ?? '', place?.isBack ? 'back' : ''];
    }),
  );
  const forgotten = (commit.forget ?? []).map(({ topic, partition }) => [topic, String(partition)]);
  pushRows(args, [...(changes?.positionsCleared ?? []).map(partitionsRow), ...forgotten]);
  pushRows(
    args,
    changes?.membersRemoved.map((memberId) => [memberId]),
  );
  pushRows(
    args,
    consume?.set?.map((at) => [field(at), at.offset, at.start ?? '']),
  );
  pushRows(
    args,
    commit.wanted?.map(({ topic, partition, topicId }) => [topic, partition, topicId]),
  );
  pushRows(args, changes?.ownersRemoved.map(partitionsRow));
  pushRows(
    args,
    changes?.ownersAdded.map((added) => [...partitionsRow(added), added.memberId, added.sessionId]),
  );
  if (document === 'delete') args.push(encodeOp({ op: 'delete-recursive', path: groupPath(group) }));
  for (const change of changes?.nodes ?? []) args.push(encodeOp(operation(change)));
  return args;
}

/** What became of it. */
export function commitOutcome(reply: ReplyValue[], commit: GroupCommit): CommitOutcome {
  const [outcome, ...rest] = reply;
  switch (text(outcome)) {
    case 'applied':
      return applied(rest, commit);
    case 'refused':
      return { outcome: 'refused', ...refusal(rest, commit) };
    case 'elsewhere':
      return { outcome: 'elsewhere', lastSeq: integer(rest[0]), prevSeq: integer(rest[1]) };
    case 'gone': {
      const living = new Set(rest.slice(2).map((name) => text(name)));
      return { outcome: 'gone', ...snapshot(rest[0], rest[1]), living };
    }
    default:
      return { outcome: 'conflict', ...snapshot(rest[0], rest[1]) };
  }
}

/** The field of a position in its hash, as lua/lib/group.lua makes it. */
function field({ topic, partition }: TopicPartition): string {
  return `${topic}:${partition}`;
}

function partitionsRow({ topic, partitions }: TopicPartitions): [string, string] {
  return [topic, partitions.join()];
}

/** Appends a list as lua/lib/arguments.lua reads it. */
export function pushRows(args: Arguments, rows: (string | number)[][] = []): void {
  args.push(rows.length);
  for (const row of rows) args.push(...row);
}

function operation(change: GroupChanges['nodes'][number]): Op {
  if (change.op !== 'create') return change;
  const { sessionId, ...rest } = change;
  return { ...rest, mode: 'ephemeral', session: { id: sessionId, secretHash: '' }, parents: true };
}

/** A group as a script gives it. */
export function snapshot(version: ReplyValue | undefined, document: ReplyValue | undefined): GroupSnapshot {
  const stored = text(document);
  return {
    version: integer(version),
    document: stored === '' ? undefined : decodeGroup(stored),
    text: stored,
  };
}

function applied(rest: ReplyValue[], { raiseCallEpochs = [], consume, wanted = [] }: GroupCommit): CommitOutcome {
  const [version, zxid, moved, given, ...more] = rest;
  const numbers = more
    .splice(0, raiseCallEpochs.length + (consume?.callEpoch === 'new' ? 1 : 0))
    .map((number) => integer(number));
  const offset = (value: ReplyValue | undefined) => (text(value) === '' ? undefined : integer(value));
  return {
    outcome: 'applied',
    version: integer(version),
    zxid: integer(zxid),
    callEpoch: consume?.callEpoch === 'new' ? numbers.pop()! : (consume?.callEpoch ?? 0),
    lastSeq: integer(given),
    raisedCallEpochs: numbers,
    movedMs: integer(moved) < 0 ? undefined : integer(moved),
    positions: wanted.map(({ topic, partition }, i) => ({
      topic,
      partition,
      position: offset(more[3 * i]),
      start: offset(more[3 * i + 1]),
      committed: offset(more[3 * i + 2]),
    })),
  };
}

function refusal([count, ...rest]: ReplyValue[], { answers = [] }: GroupCommit): Refusal {
  const keys = new Map(answers.map((answer) => [idempotencyArguments(answer)[0], answer.key]));
  const superseded = Array.from({ length: integer(count) }, (_, i) => ({
    memberId: text(rest[2 * i]),
    callEpoch: integer(rest[2 * i + 1]),
  }));
  const answered = new Map<string, string | ServiceError>();
  for (let i = 2 * superseded.length; i + 2 < rest.length; i += 3) {
    const [id, code, said] = [text(rest[i]), text(rest[i + 1]), text(rest[i + 2])];
    answered.set(keys.get(id)!, code === '' ? said : new ServiceError(code as ErrorCode, said));
  }
  return { superseded, answered };
}
