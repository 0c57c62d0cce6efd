// Commits, lists, deletes and resets offsets of groups. The group document says whether a member may commit, and the store
// applies a commit only if the document still has the version that was checked.

import { offsetsPerCommitMax, resetResponse } from '../../../../schemas/groups.ts';
import {
  checkEmpty,
  checkName,
  emptyGroup,
  type GroupDocument,
  getOwn,
  memberSuperseded,
  requireGroup,
  type TopicPartition,
} from '../../../core/groups/group-document.ts';
import { forgetFormer } from '../../../core/groups/group-topics.ts';
import { checkCommitEpoch } from '../../../core/groups/member-reconciliation.ts';
import { callingMember, type MemberCredential } from '../../../core/groups/member-secret.ts';
import { required } from '../../../core/required.ts';
import { findServiceError, ServiceError } from '../../../core/service-error.ts';
import type { CommittedOffset, CommittedOffsets, OffsetCommit } from '../../../store/groups/committed-offsets.ts';
import type { IdempotencyKey, ResponseToStore } from '../../../store/idempotency.ts';
import type { LogBounds, Logs } from '../../../store/log/logs.ts';
import type { LogReader } from '../../log/log-reader.ts';
import { checkPartition, type TopicCache, type TopicInfo } from '../../metadata/topic-cache.ts';
import type { Metrics } from '../../metrics.ts';
import type { GroupStateManager } from '../group-state-manager.ts';
import { cursorKey } from '../member-cursors.ts';
import { ofPresentTopics } from '../topics-view.ts';

/** The next offset to read, as a client commits it. */
export interface OffsetToCommit extends TopicPartition {
  offset: number;
  metadata?: string | undefined;
}

/** The member that commits. A commit without a member is that of an operator, and the group must be empty. */
interface Committer {
  memberId: string;
  /** Default: the current epoch of the member. */
  memberEpoch: number | undefined;
  /** If set, it must be the newest call epoch of the member. */
  callEpoch?: number;
  /** The hash of the member secret that the caller sends. */
  credential?: MemberCredential;
}

/** Selects committed offsets: all, those of a topic, or that of one of its partitions. */
export interface OffsetFilter {
  topic?: string | undefined;
  partition?: number | undefined;
}

type ResetTarget = 'earliest' | 'latest' | { timestamp: number } | { offset: number } | { shiftBy: number };

interface ResetOffset extends TopicPartition {
  offset: number;
  /** The offset that was committed before; null = none. */
  previous: number | null;
}

const attemptsMax = 20;
/** Most topics of one commit that are looked up at the same time. */
const lookupsAtOnce = 500;
/** Most committed offsets deleted in one transaction; the script takes about 40 ms for them. */
const deletedAtOnce = 1000;

export class GroupOffsets {
  readonly #offsets: CommittedOffsets;
  readonly #states: GroupStateManager;
  readonly #topics: TopicCache;
  readonly #reader: LogReader;
  readonly #logs: Logs;
  readonly #committed;

  constructor(
    store: { committedOffsets: CommittedOffsets; logs: Logs },
    states: GroupStateManager,
    topics: TopicCache,
    reader: LogReader,
    metrics: Metrics,
  ) {
    this.#offsets = store.committedOffsets;
    this.#logs = store.logs;
    this.#states = states;
    this.#topics = topics;
    this.#reader = reader;
    this.#committed = metrics.counter(
      'group_offset_commits_total',
      'Offsets that clients committed through this broker.',
    );
  }

  /**
   * Commits offsets. A member may commit only for partitions that it has. An offset may be lower than the committed one.
   * @param by the member that commits; undefined = an operator
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION; with a member UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID,
   *   FORBIDDEN, FENCED_MEMBER_EPOCH, STALE_MEMBER_EPOCH, MEMBER_SUPERSEDED; without one GROUP_NOT_EMPTY
   */
  async commit(
    group: string,
    by: Committer | undefined,
    offsets: readonly OffsetToCommit[],
    idempotency?: IdempotencyKey,
  ): Promise<{ zxid: number }> {
    checkName('group', group);
    const responseToStore = idempotency && { idempotencyKey: idempotency, response: '' };
    const { zxid } = await this.#refreshingTopics(async () => {
      const commits = await this.#resolveAll(offsets);
      return this.#write(
        group,
        (document) => {
          if (!by) {
            if (document) checkEmpty(group, document);
            return { commits, makes: document ? undefined : emptyGroup() };
          }
          const { topics, members } = requireGroup(group, document);
          const member = callingMember({ members }, by.memberId, by.credential);
          checkCommitEpoch(member, by.memberEpoch ?? member.memberEpoch, offsets);
          const caller =
            by.callEpoch === undefined ? undefined : { memberId: member.memberId, callEpoch: by.callEpoch };
          // The commit is for the topic of the group document. A topic that was created again has the same name but another id.
          const held = commits.map((commit) => ({
            ...commit,
            topicId: required(getOwn(topics, commit.topic), 'topic of a partition that the member holds').topicId,
          }));
          return { commits: held, sessionId: member.sessionId, caller };
        },
        responseToStore,
      );
    });
    this.#committed.inc(offsets.length);
    return { zxid };
  }

  /**
   * The committed offsets of a group, for topics that exist.
   * @throws ServiceError UNKNOWN_GROUP; NO_COMMITTED_OFFSET if a single partition is requested and has none
   */
  async list(group: string, only: OffsetFilter): Promise<{ zxid: number; offsets: CommittedOffset[] }> {
    requireGroup(group, (await this.#states.read(group)).document);
    const { zxid, offsets: all } = await this.#offsets.list(group);
    const offsets = (await ofPresentTopics(this.#topics, all)).filter((at) => isSelected(only, at));
    if (offsets.length === 0 && only.topic !== undefined && only.partition !== undefined) {
      throw new ServiceError(
        'NO_COMMITTED_OFFSET',
        `Group '${group}' has committed no offset for partition ${only.partition} of topic '${only.topic}'.`,
        { group, ...only },
      );
    }
    return { zxid, offsets };
  }

  /**
   * Deletes committed offsets: all, those of a topic, or that of a partition. Offsets of topics to which members subscribe
   * cannot be deleted.
   * @throws ServiceError UNKNOWN_GROUP, GROUP_NOT_EMPTY
   */
  async delete(group: string, only: OffsetFilter, idempotency?: IdempotencyKey): Promise<{ zxid: number }> {
    const { offsets: all } = await this.#offsets.list(group);
    const deleted = all.filter((at) => isSelected(only, at));
    const commits = deleted.map(({ topic, topicId, partition }) => ({ topic, topicId, partition, offset: undefined }));
    const check = (document: GroupDocument | undefined) => {
      const found = requireGroup(group, document);
      const topics = new Set(Object.values(found.members).flatMap((member) => member.topics));
      const inUse = only.topic === undefined ? topics.size > 0 : topics.has(only.topic);
      if (inUse) checkEmpty(group, found);
    };
    const write = (from: number, responseToStore?: ResponseToStore) =>
      this.#write(
        group,
        (document) => {
          check(document);
          return { commits: commits.slice(from, from + deletedAtOnce) };
        },
        responseToStore,
      );
    // Each transaction has a bounded size and is checked on its own. After a failure the request can be repeated.
    let from = 0;
    for (; from + deletedAtOnce < commits.length; from += deletedAtOnce) await write(from);
    const { zxid } = await write(from, idempotency && { idempotencyKey: idempotency, response: '' });
    await this.finishDelete(group, only);
    return { zxid };
  }

  /** The last step of delete(), after the offsets are deleted. */
  async finishDelete(group: string, only: OffsetFilter): Promise<void> {
    if (only.partition === undefined) await this.#forgetFormer(group, only.topic);
  }

  /** A group without committed offsets starts again: partitions that were added to its topics count as initial ones again. */
  async #forgetFormer(group: string, topic: string | undefined): Promise<void> {
    await this.#states.update(group, async (document) => {
      const info = topic === undefined ? undefined : await this.#topics.get(topic).catch(() => undefined);
      if (!document || (topic !== undefined && !info)) return { isNoop: true, result: undefined };
      const next = forgetFormer(document, info && { name: info.name, info });
      return { document: next, isNoop: next === document, commit: { allowOom: true }, result: undefined };
    });
  }

  /**
   * Resets the committed offsets of an empty group; a target outside of a log is moved to the nearest end.
   * @param topics undefined = those with committed offsets; with topics, a group that does not exist is created
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_TOPIC, GROUP_NOT_EMPTY; NO_COMMITTED_OFFSET for a shift without a committed
   *   offset
   */
  async reset(
    group: string,
    to: ResetTarget,
    topics: readonly string[] | undefined,
    dryRun: boolean,
    idempotency?: IdempotencyKey,
  ): Promise<{ zxid: number; offsets: ResetOffset[] }> {
    checkName('group', group);
    return this.#refreshingTopics(() => this.#reset(group, to, topics, dryRun, idempotency));
  }

  async #reset(
    group: string,
    to: ResetTarget,
    topics: readonly string[] | undefined,
    dryRun: boolean,
    idempotency: IdempotencyKey | undefined,
  ) {
    const { zxid: readAt, document } = await this.#states.read(group);
    if (topics === undefined || document) checkEmpty(group, requireGroup(group, document));
    const committed = await ofPresentTopics(this.#topics, (await this.#offsets.list(group)).offsets);
    const before = new Map(committed.map((offset) => [cursorKey(offset), offset.offset]));
    const moves: (OffsetCommit & ResetOffset)[] = [];
    for (const topic of await this.#topicsByName(topics ?? committed.map((offset) => offset.topic))) {
      const { name, topicId, partitionCount } = topic;
      const all = Array.from({ length: partitionCount }, (_, partition) => ({ topic: name, topicId, partition }));
      // Without named topics only partitions with a committed offset are reset.
      const partitions = topics === undefined ? all.filter((at) => before.has(cursorKey(at))) : all;
      const bounds = await this.#logs.bounds(partitions);
      for (const [index, at] of partitions.entries()) {
        const previous = before.get(cursorKey(at));
        const offset = await this.#resetOffset(group, topic, at.partition, to, previous, bounds[index]);
        moves.push({ ...at, offset, previous: previous ?? null });
      }
    }
    const offsets = moves.map(({ topic, partition, offset, previous }) => ({ topic, partition, offset, previous }));
    if (dryRun) return { zxid: readAt, offsets };
    if (moves.length > offsetsPerCommitMax) throw tooManyMoves(group, moves.length);
    // The response is stored, as a repeat of the request could not find the previous offsets.
    const responseToStore = idempotency && { idempotencyKey: idempotency, response: JSON.stringify(offsets) };
    const { zxid, response } = await this.#write(
      group,
      (current) => {
        if (current) checkEmpty(group, current);
        return { commits: moves, makes: current ? undefined : emptyGroup() };
      },
      responseToStore,
    );
    return {
      zxid,
      offsets: response === undefined ? offsets : resetResponse.shape.offsets.parse(JSON.parse(response)),
    };
  }

  /**
   * Writes commits; on a version conflict it checks and writes again, up to `attemptsMax` times.
   * @param check returns the commits for a group document, and throws if they are not allowed
   * @returns `response` = the stored response, if the idempotency key was used before
   * @throws ServiceError TOO_MANY_REQUESTS after too many conflicts; MEMBER_SUPERSEDED
   */
  async #write(
    group: string,
    check: (document: GroupDocument | undefined) => {
      commits: readonly OffsetCommit[];
      makes?: GroupDocument | undefined;
      sessionId?: string;
      caller?: { memberId: string; callEpoch: number } | undefined;
    },
    responseToStore?: ResponseToStore,
  ): Promise<{ zxid: number; response?: string }> {
    let snapshot = this.#states.cached(group);
    let isNewest = false;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      if (!snapshot) {
        snapshot = await this.#states.read(group);
        isNewest = true;
      }
      let checked: ReturnType<typeof check>;
      try {
        checked = check(snapshot.document);
      } catch (error) {
        if (isNewest) throw error;
        snapshot = undefined;
        continue;
      }
      const outcome = await this.#offsets.commit(group, snapshot.version, checked.commits, checked, responseToStore);
      if (outcome.outcome === 'applied') return { zxid: outcome.zxid };
      if (outcome.outcome === 'repeated') return { zxid: 0, response: outcome.response };
      if (outcome.outcome === 'superseded')
        throw memberSuperseded(required(checked.caller, 'caller that was superseded').memberId);
      snapshot = undefined;
    }
    throw new ServiceError(
      'TOO_MANY_REQUESTS',
      `Group '${group}' changed during each of ${attemptsMax} attempts to commit; nothing was committed. Try again.`,
      { group },
    );
  }

  /** Runs `use`; after an UNKNOWN_TOPIC refreshes the topic and runs it again, as the topic cache may be out of date. */
  async #refreshingTopics<T>(use: () => Promise<T>): Promise<T> {
    const refreshed = new Set<string>();
    for (;;) {
      try {
        return await use();
      } catch (error) {
        const known = findServiceError(error);
        const topic = known?.code === 'UNKNOWN_TOPIC' && String(known.fields.topic);
        if (!topic || refreshed.has(topic)) throw error;
        refreshed.add(topic);
        await this.#topics.refresh(topic).catch(() => undefined);
      }
    }
  }

  /** Finds the topics of the offsets, `lookupsAtOnce` at a time: each topic that is not cached is a read of the store. */
  async #resolveAll(offsets: readonly OffsetToCommit[]): Promise<OffsetCommit[]> {
    const commits: OffsetCommit[] = [];
    for (let start = 0; start < offsets.length; start += lookupsAtOnce) {
      const part = offsets.slice(start, start + lookupsAtOnce);
      commits.push(...(await Promise.all(part.map((offset) => this.#resolve(offset)))));
    }
    return commits;
  }

  async #resolve({ topic: name, partition, offset, metadata }: OffsetToCommit): Promise<OffsetCommit> {
    return this.#topics.withTopic(name, async (topic) => {
      checkPartition(topic, partition);
      return { topic: name, topicId: topic.topicId, partition, offset, metadata };
    });
  }

  async #topicsByName(names: readonly string[]): Promise<TopicInfo[]> {
    return Promise.all([...new Set(names)].sort().map((name) => this.#topics.get(name)));
  }

  async #resetOffset(
    group: string,
    topic: TopicInfo,
    partition: number,
    to: ResetTarget,
    before: number | undefined,
    { logStartOffset, endOffset }: LogBounds = { logStartOffset: 0, endOffset: 0 },
  ): Promise<number> {
    const within = (offset: number) => Math.min(Math.max(offset, logStartOffset), endOffset);
    if (to === 'earliest') return logStartOffset;
    if (to === 'latest') return endOffset;
    if ('offset' in to) return within(to.offset);
    if ('timestamp' in to) return within((await this.#reader.offsetAt(topic, partition, to.timestamp)).offset);
    if (before !== undefined) return within(before + to.shiftBy);
    throw new ServiceError(
      'NO_COMMITTED_OFFSET',
      `Group '${group}' has committed no offset for partition ${partition} of topic '${topic.name}', so shiftBy does ` +
        'not apply. Reset it to earliest, latest, a timestamp or an offset.',
      { group, topic: topic.name, partition },
    );
  }
}

function isSelected({ topic, partition }: OffsetFilter, at: TopicPartition): boolean {
  return (topic === undefined || at.topic === topic) && (partition === undefined || at.partition === partition);
}

function tooManyMoves(group: string, offsets: number): ServiceError {
  return new ServiceError(
    'TOO_LARGE',
    `The request would reset ${offsets} offsets of group '${group}'; the limit is ${offsetsPerCommitMax}. Reset some of its topics ` +
      'per request, by naming them in topics.',
    { group, offsets, offsetsMax: offsetsPerCommitMax },
  );
}
