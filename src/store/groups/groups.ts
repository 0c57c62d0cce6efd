// Consumer groups in the store: typed calls of lua/groups. A group is one versioned document. A broker commits an update of it with
// the version that it read, together with the sessions, nodes, timers and positions that belong to the update.
import { decodeGroup, type GroupDocument } from '../../core/groups/group-document.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { integer, type ReplyValue, type ScriptArguments, text } from '../scripts.ts';
import type { NamespaceLimits } from '../tree/namespace.ts';
import {
  type CommitOutcome,
  decodeCommitReply,
  encodeCommit,
  type GroupCommit,
  type GroupSnapshot,
  snapshot,
} from './group-commit.ts';

export type {
  Caller,
  CommitOutcome,
  GroupCommit,
  GroupSnapshot,
  KnownPartition,
  PartitionPosition,
  Refusal,
  Renewal,
} from './group-commit.ts';

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
   * Reads a group's document, and which of its members have a live session.
   * @param known the broker's cached snapshot: if its version is still current, the document is not sent again
   */
  async get(group: string, known?: GroupSnapshot): Promise<GroupSnapshot & { zxid: number; living: Set<string> }> {
    const [zxid, version, document, ...names] = await this.#call('get', [group, known?.version ?? 0]);
    const living = new Set(names.map((name) => text(name)));
    const isKnown = known && known.version > 0 && known.version === integer(version);
    return { zxid: integer(zxid), ...(isKnown ? known : snapshot(version, document)), living };
  }

  /** A page of groups in byte order of their names, after the name `after`. `next` = the `after` of the next page. */
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
      if (document !== '') groups.push({ group: last, document: decodeGroup(document) });
    }
    return { zxid: integer(zxid), groups, next: text(more) === '1' ? last : undefined };
  }

  /** As list(), with the versions of the groups instead of their documents. */
  async versions(
    after: string | undefined,
    limit: number,
  ): Promise<{ groups: { group: string; version: number }[]; next: string | undefined }> {
    const [more, ...rest] = await this.#call('versions', [after ?? '', limit]);
    const groups: { group: string; version: number }[] = [];
    for (let i = 0; i + 1 < rest.length; i += 2) groups.push({ group: text(rest[i]), version: integer(rest[i + 1]) });
    return { groups, next: text(more) === '1' ? groups.at(-1)?.group : undefined };
  }

  /** Commits an update that was computed from `version` of the group. */
  async commit(group: string, version: number, commit: GroupCommit): Promise<CommitOutcome> {
    const args = encodeCommit(group, version, commit, this.#limits);
    return decodeCommitReply(await this.#call(commit.allowOom ? 'apply-allow-oom' : 'apply', args), commit);
  }

  /** Claims timers that are due. A timer is due again `claimMs` later, unless it was cancelled or set by then. @returns their names */
  async claimDueTimers(claimMs: number, limit: number): Promise<string[]> {
    return (await this.#call('claim-due-timers', [claimMs, limit])).map((name) => text(name));
  }

  #call(verb: string, args: ScriptArguments): Promise<ReplyValue[]> {
    return this.#connection.call(`groups/${verb}`, this.#keys.root, args);
  }
}
