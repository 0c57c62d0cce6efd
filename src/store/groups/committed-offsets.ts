// What groups have committed, in the store: typed calls of those scripts of lua/groups. The offsets themselves are nodes
// of the tree; a commit is made for the version of the group that it was judged by.
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

/** One offset to commit; `offset` undefined takes the commit back. */
export interface OffsetCommit extends KnownPartition {
  offset: number | undefined;
  metadata?: string | undefined;
}

/** How a group is, and what it has committed, or a part of that. */
export interface SurveyedGroup {
  group: string;
  state: 'empty' | 'reconciling' | 'stable';
  members: number;
  /** Of its document. */
  version: number;
  topics: { topic: string; topicId: string; offsets: { partition: number; offset: number }[] }[];
}

export type OffsetsOutcome =
  | { outcome: 'applied'; version: number; zxid: number }
  | ({ outcome: 'conflict' | 'gone' } & GroupSnapshot)
  | { outcome: 'superseded' }
  /** An earlier request with the same Idempotency-Key has done it; what was kept for its repeat. */
  | { outcome: 'repeated'; kept: string };

/** What one script looks at, and about how much it changes: some ms of the store's time. */
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
   * Commits offsets, or takes commits back, if the group is still at `version`.
   * @param options `makes` = the document of a group that begins with this; `sessionId` = the member's, which must live;
   *   `caller` = the member with the consume call that speaks for it, which must be its newest
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
    if (kind === 'repeated') return { outcome: kind, kept: text(rest[0]) };
    return { outcome: kind === 'gone' ? kind : 'conflict', ...snapshot(rest[0], rest[1]) };
  }

  /** All committed offsets of a group, those of topics that were deleted, too: their topic ids tell them apart. */
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
   * Claims groups with committed offsets that may have been of no use for `retentionMs`, for `claimMs`: who claims one
   * looks into it within that time, or it is claimed again.
   */
  async claimDue(retentionMs: number, claimMs: number, limit: number): Promise<string[]> {
    return (await this.#call('claim-due-offsets', [retentionMs, claimMs, limit])).map((name) => text(name));
  }

  /**
   * Takes back the commits that have been of no use for `retentionMs`, at most `limit`, and deletes an empty group of which
   * nothing is left; does nothing if the group is not at `version` any more.
   * @param kept the topics that members subscribe to
   */
  async expire(
    group: string,
    version: number,
    kept: readonly string[],
    retentionMs: number,
    limit: number,
  ): Promise<{ expired: number; isDeleted: boolean }> {
    const { maxNodeBytes, eventRetention } = this.#limits;
    const args: ScriptArguments = [group, version, maxNodeBytes, eventRetention, retentionMs, limit];
    pushRows(
      args,
      kept.map((topic) => [topic]),
    );
    const [, expired, isDeleted] = await this.#call('expire-offsets', args);
    return { expired: integer(expired), isDeleted: integer(isDeleted) === 1 };
  }

  /**
   * Takes back what all groups have committed for a topic whose node is gone, and deletes the groups without members of which
   * nothing is left. What is not done when this fails may be done later.
   * @returns how many commits there were
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

  /** A look at all groups, in parts; a group that has committed much is in several of them. */
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
      for (let i = 0; i + 1 < numbers.length; i += 2) offsets.push({ partition: numbers[i]!, offset: numbers[i + 1]! });
      return { topic, topicId, offsets };
    });
    groups.push({ group: text(name), state, members, version, topics });
  }
  return groups;
}
