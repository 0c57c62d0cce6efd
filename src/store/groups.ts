// Consumer groups in the store: typed calls of lua/groups. A group is one versioned document; what a broker decides over
// it is committed with the version that it read, together with the sessions, nodes, timers and positions that go with it.
import { randomBytes } from 'node:crypto';
import type { TopicPartitions } from '../core/assignors/assignment.ts';
import type { GroupDocument, TopicPartition } from '../core/group-document.ts';
import { type GroupChanges, groupPath } from '../core/group-nodes.ts';
import type { StoreConnection } from './connection.ts';
import type { CoordinationKeys } from './keys.ts';
import { idempotencyTtlMs, type NamespaceLimits } from './namespace.ts';
import { type Idempotency, type Op, packOp } from './op-codec.ts';
import { integer, type ReplyValue, text } from './scripts.ts';

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
  living: number;
  renew?: Renewal | readonly Renewal[];
  idempotency?: Idempotency | undefined;
  /** What is kept with the idempotency key. */
  answer?: string;
  /** Lets it through at the store's memory limit: it keeps the group running and adds no member. */
  keeps?: boolean;
  /** Partitions whose position is forgotten, besides those that change hands. */
  forget?: readonly TopicPartition[];
  /** Timers to set, besides those that the changes begin. */
  timers?: readonly { name: string; delayMs: number }[];
  /** Timers that are of no more use, besides those that the changes end. */
  cancel?: readonly string[];
  /** Members whose newest consume call is made one that nobody has, and numbered. */
  calls?: readonly string[];
  consume?: {
    memberId: string;
    /** 'new' = numbers this consume call; a number = only if that one is still the member's newest. */
    call: 'new' | number;
    /** Where the member has read to in these is committed, unless the group has committed more. */
    commit?: readonly KnownPartition[];
    set?: readonly (TopicPartition & { offset: number })[];
    /** What positions() of the result tells of. */
    wanted?: readonly KnownPartition[];
  };
}

export interface PartitionPosition extends TopicPartition {
  /** The next offset that the member reads; undefined if it has not begun. */
  position: number | undefined;
  committed: number | undefined;
}

export type CommitOutcome =
  | {
      outcome: 'applied';
      version: number;
      zxid: number;
      /** The number of the consume call. */
      call: number;
      /** Those of the members of `calls`. */
      calls: number[];
      /** For how long the members were on the move, if that has ended with this. */
      movedMs: number | undefined;
      /** The kept answer of an earlier request with the same Idempotency-Key; else undefined. */
      replayed: string | undefined;
      positions: PartitionPosition[];
    }
  /** Another version is there: decide anew over it. */
  | ({ outcome: 'conflict' } & GroupSnapshot)
  /** Sessions of members have ended; `living` are the others. */
  | ({ outcome: 'gone'; living: Set<string> } & GroupSnapshot)
  /** The member has begun a newer consume call. */
  | { outcome: 'superseded' };

export interface CommittedOffset extends KnownPartition {
  offset: number;
  /** By the store's clock, ms since the epoch. */
  committedAt: number;
  metadata: string | undefined;
}

/** One offset to commit; `offset` undefined takes the commit back. */
export interface OffsetCommit extends KnownPartition {
  offset: number | undefined;
  metadata?: string | undefined;
}

export type OffsetsOutcome =
  | { outcome: 'applied'; version: number; zxid: number }
  | ({ outcome: 'conflict' | 'gone' } & GroupSnapshot)
  | { outcome: 'superseded' };

type Arguments = (string | number | Buffer)[];

export class Groups {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;
  readonly #limits: NamespaceLimits;

  constructor(connection: StoreConnection, keys: CoordinationKeys, limits: NamespaceLimits) {
    this.#connection = connection;
    this.#keys = keys;
    this.#limits = limits;
  }

  /**
   * Reads a group's document, and which of its members have a living session.
   * @param known what the broker remembers: a document that is still the same is not sent again
   */
  async get(group: string, known?: GroupSnapshot): Promise<GroupSnapshot & { zxid: number; living: Set<string> }> {
    const [zxid, version, document, ...names] = await this.#call('get', [group, known?.version ?? 0]);
    const living = new Set(names.map((name) => text(name)));
    const isKnown = known && known.version > 0 && known.version === integer(version);
    return { zxid: integer(zxid), ...(isKnown ? known : snapshot(version, document)), living };
  }

  /** A page of the groups, by name in byte order, after the name `after`. `next` = the `after` of the next page. */
  async list(
    after: string | undefined,
    limit: number,
  ): Promise<{ zxid: number; groups: { group: string; document: GroupDocument }[]; next: string | undefined }> {
    const [zxid, more, ...rest] = await this.#call('list', [after ?? '', limit]);
    const groups: { group: string; document: GroupDocument }[] = [];
    let last: string | undefined;
    for (let i = 0; i + 1 < rest.length; i += 2) {
      last = text(rest[i]);
      const document = text(rest[i + 1]);
      if (document !== '') groups.push({ group: last, document: JSON.parse(document) as GroupDocument });
    }
    return { zxid: integer(zxid), groups, next: text(more) === '1' ? last : undefined };
  }

  /** A page of the groups as list(), with their versions instead of their documents. */
  async versions(
    after: string | undefined,
    limit: number,
  ): Promise<{ groups: { group: string; version: number }[]; next: string | undefined }> {
    const [more, ...rest] = await this.#call('versions', [after ?? '', limit]);
    const groups: { group: string; version: number }[] = [];
    for (let i = 0; i + 1 < rest.length; i += 2) groups.push({ group: text(rest[i]), version: integer(rest[i + 1]) });
    return { groups, next: text(more) === '1' ? groups.at(-1)?.group : undefined };
  }

  /** Commits what was decided over `version`. @throws ServiceError IDEMPOTENCY_KEY_REUSED */
  async commit(group: string, version: number, commit: GroupCommit): Promise<CommitOutcome> {
    const { document, changes, idempotency, consume } = commit;
    const args: Arguments = [
      group,
      version,
      document ?? '',
      this.#limits.maxNodeBytes,
      this.#limits.eventRetention,
      idempotency?.key ?? '',
      idempotency?.fingerprint ?? '',
      idempotencyTtlMs,
      commit.answer ?? '',
      commit.living,
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
    args.push(consume?.memberId ?? '', consume?.call ?? '');
    pushRows(
      args,
      commit.calls?.map((memberId) => [memberId]),
    );
    pushRows(
      args,
      consume?.commit?.map(({ topic, partition, topicId }) => [topic, partition, topicId]),
    );
    const forgotten = (commit.forget ?? []).map(({ topic, partition }) => [topic, String(partition)]);
    pushRows(args, [...(changes?.positionsCleared ?? []).map(partitionsRow), ...forgotten]);
    pushRows(
      args,
      changes?.membersRemoved.map((memberId) => [memberId]),
    );
    pushRows(
      args,
      consume?.set?.map((at) => [field(at), at.offset]),
    );
    pushRows(
      args,
      consume?.wanted?.map(({ topic, partition, topicId }) => [topic, partition, topicId]),
    );
    pushRows(args, changes?.ownersRemoved.map(partitionsRow));
    pushRows(
      args,
      changes?.ownersAdded.map((added) => [...partitionsRow(added), added.memberId, added.sessionId]),
    );
    if (document === 'delete') args.push(packOp({ op: 'delete-recursive', path: groupPath(group) }));
    for (const change of changes?.nodes ?? []) args.push(packOp(operation(change)));
    const reply = await this.#call(commit.keeps ? 'keep' : 'apply', args);
    const [replayed, outcome, ...rest] = reply;
    switch (text(outcome)) {
      case 'applied':
        return applied(integer(replayed) === 1, rest, commit.calls?.length ?? 0, consume?.wanted ?? []);
      case 'superseded':
        return { outcome: 'superseded' };
      case 'gone': {
        const living = new Set(rest.slice(2).map((name) => text(name)));
        return { outcome: 'gone', ...snapshot(rest[0], rest[1]), living };
      }
      default:
        return { outcome: 'conflict', ...snapshot(rest[0], rest[1]) };
    }
  }

  /**
   * Commits offsets, or takes commits back, if the group is still at `version`.
   * @param options `makes` = the document of a group that begins with this; `sessionId` = the member's, which must live;
   *   `caller` = the member with the consume call that speaks for it, which must be its newest
   */
  async commitOffsets(
    group: string,
    version: number,
    offsets: readonly OffsetCommit[],
    options: {
      makes?: GroupDocument | undefined;
      sessionId?: string | undefined;
      caller?: { memberId: string; call: number } | undefined;
    },
  ): Promise<OffsetsOutcome> {
    const args: Arguments = [
      group,
      version,
      options.makes ? JSON.stringify(options.makes) : '',
      this.#limits.maxNodeBytes,
      this.#limits.eventRetention,
      options.sessionId ?? '',
      options.caller?.memberId ?? '',
      options.caller?.call ?? '',
    ];
    const rows = offsets.map((at) => [at.topic, at.topicId, at.partition, at.offset ?? '', at.metadata ?? '']);
    pushRows(args, rows);
    const [, outcome, ...rest] = await this.#call('commit-offsets', args);
    const kind = text(outcome);
    if (kind === 'applied') return { outcome: kind, version: integer(rest[0]), zxid: integer(rest[1]) };
    if (kind === 'superseded') return { outcome: kind };
    return { outcome: kind === 'gone' ? kind : 'conflict', ...snapshot(rest[0], rest[1]) };
  }

  /** All committed offsets of a group, those of topics that were deleted, too: their topic ids tell them apart. */
  async offsets(group: string): Promise<{ zxid: number; offsets: CommittedOffset[] }> {
    const [zxid, ...rest] = await this.#call('offsets', [group]);
    const offsets: CommittedOffset[] = [];
    for (let i = 0; i + 5 < rest.length; i += 6) {
      offsets.push({
        topic: text(rest[i]),
        topicId: text(rest[i + 1]),
        partition: integer(rest[i + 2]),
        offset: integer(rest[i + 3]),
        committedAt: integer(rest[i + 4]),
        metadata: text(rest[i + 5]) || undefined,
      });
    }
    offsets.sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition));
    return { zxid: integer(zxid), offsets };
  }

  /**
   * Claims groups with committed offsets that may have been of no use for `retentionMs`, for `claimMs`: who claims one
   * looks into it within that time, or it is claimed again.
   */
  async aged(retentionMs: number, claimMs: number, limit: number): Promise<string[]> {
    return (await this.#call('aged', [retentionMs, claimMs, limit])).map((name) => text(name));
  }

  /**
   * Takes back the commits that have been of no use for `retentionMs`, at most `limit`, and deletes an empty group of which
   * nothing is left; does nothing if the group is not at `version` any more.
   * @param kept the topics that members subscribe to
   */
  async expireOffsets(
    group: string,
    version: number,
    kept: readonly string[],
    retentionMs: number,
    limit: number,
  ): Promise<{ expired: number; isDeleted: boolean }> {
    const { maxNodeBytes, eventRetention } = this.#limits;
    const args: Arguments = [group, version, maxNodeBytes, eventRetention, retentionMs, limit];
    pushRows(
      args,
      kept.map((topic) => [topic]),
    );
    const [, expired, isDeleted] = await this.#call('expire-offsets', args);
    return { expired: integer(expired), isDeleted: integer(isDeleted) === 1 };
  }

  /** Claims timers that are due, for `claimMs`: who claims one must act on it within that time, or it is due again. */
  async due(claimMs: number, limit: number): Promise<string[]> {
    return (await this.#call('due', [claimMs, limit])).map((name) => text(name));
  }

  #call(verb: string, args: Arguments): Promise<ReplyValue[]> {
    return this.#connection.call(`groups/${verb}`, this.#keys.root, args);
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
function pushRows(args: Arguments, rows: (string | number)[][] = []): void {
  args.push(rows.length);
  for (const row of rows) args.push(...row);
}

function operation(change: GroupChanges['nodes'][number]): Op {
  if (change.op !== 'create') return change;
  const { sessionId, ...rest } = change;
  return { ...rest, mode: 'ephemeral', session: { id: sessionId, secretHash: '' }, parents: true };
}

function snapshot(version: ReplyValue | undefined, document: ReplyValue | undefined): GroupSnapshot {
  const stored = text(document);
  return {
    version: integer(version),
    document: stored === '' ? undefined : (JSON.parse(stored) as GroupDocument),
    text: stored,
  };
}

function applied(
  isReplay: boolean,
  rest: ReplyValue[],
  callCount: number,
  wanted: readonly TopicPartition[],
): CommitOutcome {
  const [version, zxid, call, answer, moved, ...more] = rest;
  const offsets = more.splice(callCount);
  const offset = (value: ReplyValue | undefined) => (text(value) === '' ? undefined : integer(value));
  return {
    outcome: 'applied',
    version: integer(version),
    zxid: integer(zxid),
    call: integer(call),
    calls: more.map((number) => integer(number)),
    movedMs: isReplay || integer(moved) < 0 ? undefined : integer(moved),
    replayed: isReplay ? text(answer) : undefined,
    positions: isReplay
      ? []
      : wanted.map(({ topic, partition }, i) => ({
          topic,
          partition,
          position: offset(offsets[2 * i]),
          committed: offset(offsets[2 * i + 1]),
        })),
  };
}
