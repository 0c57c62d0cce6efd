// Committed offsets of groups: typed calls of the scripts of lua/groups that deal with them. The offsets are nodes of the tree; a
// commit succeeds only at the version of the group by which it was validated.
import { comparePartitions, type GroupDocument } from '../../core/groups/group-document.ts';
import { idempotencyArguments, type ResponseToStore } from '../idempotency.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { integer, type ReplyValue, type ScriptArguments, text } from '../scripts.ts';
import type { NamespaceLimits } from '../tree/namespace.ts';
import { type GroupSnapshot, type KnownPartition, pushRows, snapshot } from './group-commit.ts';

export interface CommittedOffset extends KnownPartition {
  offset: number;
  /** By the store's clock, ms since the epoch. */
  committedAt: number;
  metadata: string | undefined;
}

/** One offset to commit; `offset` undefined deletes the committed offset. */
export interface OffsetCommit extends KnownPartition {
  offset: number | undefined;
  metadata?: string | undefined;
}

/** The state of a group, and all or a part of its committed offsets. */
export interface SurveyedGroup {
  group: string;
  state: 'empty' | 'reconciling' | 'stable';
  members: number;
  /** The version of its document. */
  version: number;
  topics: { topic: string; topicId: string; offsets: { partition: number; offset: number }[] }[];
}

type OffsetsOutcome =
  | { outcome: 'applied'; version: number; zxid: number }
  | ({ outcome: 'conflict' | 'sessions_ended' } & GroupSnapshot)
  | { outcome: 'superseded' }
  /** An earlier request with the same Idempotency-Key has done it; `response` is its stored response. */
  | { outcome: 'repeated'; response: string };

/** How many groups one script reads, how many commits it deletes, and how many offsets it reports: a few ms of Redis each. */
const groupsAtOnce = 1000;
const commitsAtOnce = 500;
const surveyedAtOnce = 2000;

export class CommittedOffsets {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;
  readonly #limits: NamespaceLimits;

  constructor(connection: StoreConnection, keys: CoordinationKeys, limits: NamespaceLimits) {
    this.#connection = connection;
    this.#keys = keys;
    this.#limits = limits;
  }

  /**
   * Commits or deletes committed offsets, if the group is still at `version`.
   * @param options `makes` = the document of a group that this creates; `sessionId` = the member's session, which must be live;
   *   `caller` = the member's call, which must be its newest
   */
  async commit(
    group: string,
    version: number,
    offsets: readonly OffsetCommit[],
    options: {
      makes?: GroupDocument | undefined;
      sessionId?: string | undefined;
      caller?: { memberId: string; callEpoch: number } | undefined;
    },
    toStore?: ResponseToStore,
  ): Promise<OffsetsOutcome> {
    const args: ScriptArguments = [
      group,
      version,
      options.makes ? JSON.stringify(options.makes) : '',
      this.#limits.maxNodeBytes,
      this.#limits.eventRetention,
      options.sessionId ?? '',
      options.caller?.memberId ?? '',
      options.caller?.callEpoch ?? '',
      ...idempotencyArguments(toStore?.idempotencyKey),
      this.#limits.responseLimits,
      toStore?.response ?? '',
    ];
    const rows = offsets.map((at) => [at.topic, at.topicId, at.partition, at.offset ?? '', at.metadata ?? '']);
    pushRows(args, rows);
    const [outcome, ...rest] = await this.#call('commit-offsets', args);
    const kind = text(outcome);
    if (kind === 'applied') return { outcome: kind, version: integer(rest[0]), zxid: integer(rest[1]) };
    if (kind === 'superseded') return { outcome: kind };
    if (kind === 'repeated') return { outcome: kind, response: text(rest[0]) };
    return { outcome: kind === 'sessions_ended' ? kind : 'conflict', ...snapshot(rest[0], rest[1]) };
  }

  /** All committed offsets of a group, also those of deleted topics, which have another topic id than a new topic of that name. */
  async list(group: string): Promise<{ zxid: number; offsets: CommittedOffset[] }> {
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
    offsets.sort(comparePartitions);
    return { zxid: integer(zxid), offsets };
  }

  /**
   * Claims groups with committed offsets that may have been unused for `retentionMs`. A group is due again `claimMs` later, unless it
   * was checked by then. @returns their names
   */
  async claimDue(retentionMs: number, claimMs: number, limit: number): Promise<string[]> {
    return (await this.#call('claim-due-offsets', [retentionMs, claimMs, limit])).map((name) => text(name));
  }

  /**
   * Deletes at most `limit` commits that have been unused for `retentionMs`, and then the group if it has no members and no commits.
   * Does nothing if the group has another version.
   * @param subscribed the topics that members subscribe to: their commits are kept
   */
  async expire(
    group: string,
    version: number,
    subscribed: readonly string[],
    retentionMs: number,
    limit: number,
  ): Promise<{ expired: number; isDeleted: boolean }> {
    const { maxNodeBytes, eventRetention } = this.#limits;
    const args: ScriptArguments = [group, version, maxNodeBytes, eventRetention, retentionMs, limit];
    pushRows(
      args,
      subscribed.map((topic) => [topic]),
    );
    const [, expired, isDeleted] = await this.#call('expire-offsets', args);
    return { expired: integer(expired), isDeleted: integer(isDeleted) === 1 };
  }

  /**
   * Deletes the commits of all groups for a topic whose node was deleted, and the groups without members that have no other commit.
   * If it fails halfway, it may be called again.
   * @returns how many commits it deleted
   */
  async forgetTopic(topic: string, topicId: string): Promise<number> {
    let after = '';
    let forgotten = 0;
    do {
      const args = [after, topic, topicId, groupsAtOnce, commitsAtOnce, this.#limits.eventRetention];
      const [last, count] = await this.#call('forget-topic', args);
      after = text(last);
      forgotten += integer(count);
    } while (after !== '');
    return forgotten;
  }

  /** Reads all groups with their committed offsets, in pages; a group with many commits is in several pages. */
  async *survey(): AsyncGenerator<SurveyedGroup[]> {
    let [group, topic] = ['', ''];
    do {
      const [next, after, ...rest] = await this.#call('survey', [group, topic, groupsAtOnce, surveyedAtOnce]);
      [group, topic] = [text(next), text(after)];
      yield surveyed(rest);
    } while (group !== '');
  }

  #call(verb: string, args: ScriptArguments): Promise<ReplyValue[]> {
    return this.#connection.call(`groups/${verb}`, this.#keys.root, args);
  }
}

function surveyed(reply: ReplyValue[]): SurveyedGroup[] {
  const groups: SurveyedGroup[] = [];
  const values = reply.values();
  const next = () => values.next().value as ReplyValue;
  for (const name of values) {
    const state = text(next()) as SurveyedGroup['state'];
    const [members, version, count] = [integer(next()), integer(next()), integer(next())];
    const topics = Array.from({ length: count }, () => {
      const [topic, topicId, words] = [text(next()), text(next()), text(next())];
      const numbers = words.split(' ').map(Number);
      const offsets = [];
      for (let i = 0; i + 1 < numbers.length; i += 2) {
        const [partition = 0, offset = 0] = numbers.slice(i, i + 2);
        offsets.push({ partition, offset });
      }
      return { topic, topicId, offsets };
    });
    groups.push({ group: text(name), state, members, version, topics });
  }
  return groups;
}
