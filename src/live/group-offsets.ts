// What groups have committed, as one broker serves it: commits of members and of those who have none, resets, and how far
// a group is behind. Whether a member may commit is decided over the group's document, and holds only for that version.

import type { GroupDescription } from '../../schemas/groups.ts';
import { toTopicPartitions } from '../core/assignors/assignor.ts';
import {
  checkEmpty,
  checkName,
  emptyGroup,
  existing,
  type GroupDocument,
  heldBy,
  isEmpty,
  memberOf,
  own,
  type TopicPartition,
} from '../core/group-document.ts';
import { assignmentOf, checkCommitEpoch, groupStateName } from '../core/reconcile.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { CommittedOffset, CommittedOffsets, OffsetCommit } from '../store/committed-offsets.ts';
import type { Groups } from '../store/groups.ts';
import type { Logs } from '../store/logs.ts';
import { superseded } from './group-cursors.ts';
import type { GroupLedger } from './group-ledger.ts';
import type { LogReader } from './log-reader.ts';
import type { Metrics } from './metrics.ts';
import { checkPartition, type TopicInfo, type Topics } from './topics.ts';

/** The next offset to read, as a client commits it. */
export interface OffsetToCommit extends TopicPartition {
  offset: number;
  metadata?: string | undefined;
}

/** Who commits; nobody = an operator, which needs the group to be empty. */
export interface Committer {
  memberId: string;
  /** Without one, the member's present epoch is taken to be meant. */
  memberEpoch: number | undefined;
  /** The consume call, or the socket, that speaks for it; it must be the member's newest. */
  call?: number;
}

export type ResetTarget = 'earliest' | 'latest' | { timestamp: number } | { offset: number } | { shiftBy: number };

export interface ResetOffset extends TopicPartition {
  offset: number;
  /** What was committed before; null = nothing. */
  previous: number | null;
}

const attemptsMax = 20;

export class GroupOffsets {
  readonly #groups: Groups;
  readonly #offsets: CommittedOffsets;
  readonly #ledger: GroupLedger;
  readonly #topics: Topics;
  readonly #reader: LogReader;
  readonly #logs: Logs;
  readonly #committed;

  constructor(
    store: { groups: Groups; committedOffsets: CommittedOffsets; logs: Logs },
    ledger: GroupLedger,
    topics: Topics,
    reader: LogReader,
    metrics: Metrics,
  ) {
    this.#groups = store.groups;
    this.#offsets = store.committedOffsets;
    this.#logs = store.logs;
    this.#ledger = ledger;
    this.#topics = topics;
    this.#reader = reader;
    this.#committed = metrics.counter(
      'group_offset_commits_total',
      'Offsets that clients committed through this broker.',
    );
  }

  /**
   * Commits offsets, for a member those of partitions that it has. They may be lower than what was committed: who asks for
   * that gets it.
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION; with a member UNKNOWN_GROUP, UNKNOWN_MEMBER,
   *   FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH, STALE_MEMBER_EPOCH, with its call FENCED; without one GROUP_NOT_EMPTY
   */
  async commit(
    group: string,
    by: Committer | undefined,
    offsets: readonly OffsetToCommit[],
  ): Promise<{ zxid: number }> {
    checkName('group', group);
    const commits = await Promise.all(offsets.map((offset) => this.#known(offset)));
    const zxid = await this.#write(group, commits, (document) => {
      if (!by) {
        if (document) checkEmpty(group, document);
        return { makes: document ? undefined : emptyGroup() };
      }
      const member = memberOf(existing(group, document), by.memberId);
      checkCommitEpoch(member, by.memberEpoch ?? member.memberEpoch, offsets);
      const caller = by.call === undefined ? undefined : { memberId: member.memberId, call: by.call };
      return { sessionId: member.sessionId, caller };
    });
    this.#committed.inc(offsets.length);
    return { zxid };
  }

  /**
   * What a group has committed, for topics that exist.
   * @throws ServiceError UNKNOWN_GROUP; NO_COMMITTED_OFFSET if one partition is asked for and has none
   */
  async list(
    group: string,
    only: { topic?: string | undefined; partition?: number | undefined },
  ): Promise<{ zxid: number; offsets: CommittedOffset[] }> {
    existing(group, (await this.#ledger.read(group)).document);
    const { zxid, offsets: all } = await this.#offsets.list(group);
    const offsets = (await this.#ofPresentTopics(all)).filter(
      ({ topic, partition }) =>
        (only.topic === undefined || topic === only.topic) &&
        (only.partition === undefined || partition === only.partition),
    );
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
   * Takes commits back: all, those of a topic, or that of a partition. A topic that members subscribe to keeps its own.
   * @throws ServiceError UNKNOWN_GROUP, GROUP_NOT_EMPTY
   */
  async delete(
    group: string,
    only: { topic?: string | undefined; partition?: number | undefined },
  ): Promise<{ zxid: number }> {
    const { offsets: all } = await this.#offsets.list(group);
    const going = all.filter(
      ({ topic, partition }) =>
        (only.topic === undefined || topic === only.topic) &&
        (only.partition === undefined || partition === only.partition),
    );
    const commits = going.map(({ topic, topicId, partition }) => ({ topic, topicId, partition, offset: undefined }));
    const zxid = await this.#write(group, commits, (document) => {
      const { members } = existing(group, document);
      const topics = new Set(Object.values(members).flatMap((member) => member.topics));
      const inUse = only.topic === undefined ? topics.size > 0 : topics.has(only.topic);
      if (inUse) checkEmpty(group, existing(group, document));
      return {};
    });
    return { zxid };
  }

  /**
   * Moves the committed offsets of an empty group; a target outside a log is put to its nearest end.
   * @param topics undefined = those that have committed offsets; with topics, a group that does not exist begins with this
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_TOPIC, GROUP_NOT_EMPTY; NO_COMMITTED_OFFSET for a shift from nothing
   */
  async reset(
    group: string,
    to: ResetTarget,
    topics: readonly string[] | undefined,
    dryRun: boolean,
  ): Promise<{ zxid: number; offsets: ResetOffset[] }> {
    checkName('group', group);
    const { zxid: readAt, document } = await this.#ledger.read(group);
    if (topics === undefined || document) checkEmpty(group, existing(group, document));
    const { offsets: all } = await this.#offsets.list(group);
    const committed = await this.#ofPresentTopics(all);
    const moves: (OffsetCommit & ResetOffset)[] = [];
    for (const topic of await this.#infos(topics ?? committed.map((offset) => offset.topic))) {
      // Without named topics only what has an offset is moved, not the partitions that nobody has read.
      const partitions = Array.from({ length: topic.partitionCount }, (_, partition) => partition);
      for (const partition of partitions) {
        const before = committed.find((offset) => offset.topic === topic.name && offset.partition === partition);
        if (topics === undefined && !before) continue;
        const offset = await this.#resetOffset(group, topic, partition, to, before?.offset);
        moves.push({ topic: topic.name, topicId: topic.topicId, partition, offset, previous: before?.offset ?? null });
      }
    }
    const offsets = moves.map(({ topic, partition, offset, previous }) => ({ topic, partition, offset, previous }));
    if (dryRun) return { zxid: readAt, offsets };
    const zxid = await this.#write(group, moves, (current) => {
      if (current) checkEmpty(group, current);
      return { makes: current ? undefined : emptyGroup() };
    });
    return { zxid, offsets };
  }

  /** A page of the groups, by name, after the name `after`. */
  async page(after: string | undefined, limit: number) {
    const { zxid, groups, next } = await this.#groups.list(after, limit);
    return {
      zxid,
      groups: groups.map(({ group, document }) => ({
        groupId: group,
        state: groupStateName(document),
        members: Object.keys(document.members).length,
      })),
      next,
    };
  }

  /** A group with its members, and how far it is in each partition. @throws ServiceError UNKNOWN_GROUP */
  async describe(group: string): Promise<{ zxid: number; description: GroupDescription }> {
    const { zxid, document: read } = await this.#ledger.read(group);
    const document = existing(group, read);
    const committed = await this.#ofPresentTopics((await this.#offsets.list(group)).offsets);
    const owners = new Map<string, string>();
    for (const member of Object.values(document.members)) {
      for (const at of heldBy(member)) owners.set(keyOf(at), member.memberId);
    }
    const offsets = new Map(committed.map((offset) => [keyOf(offset), offset.offset]));
    const partitions = this.#partitionsOf(document, committed);
    const bounds = await this.#logs.bounds(partitions);
    return {
      zxid,
      description: {
        groupId: group,
        state: groupStateName(document),
        groupEpoch: document.groupEpoch,
        assignor: document.assignor,
        members: describeMembers(document),
        partitions: partitions.map((at, index) => {
          const offset = offsets.get(keyOf(at));
          const endOffset = bounds[index]?.endOffset ?? 0;
          return {
            topic: at.topic,
            partition: at.partition,
            owner: owners.get(keyOf(at)) ?? null,
            committed: offset ?? null,
            endOffset,
            lag: offset === undefined ? null : Math.max(0, endOffset - offset),
          };
        }),
      },
    };
  }

  /** Every partition that members subscribe to, and every one with a committed offset, in order. */
  #partitionsOf(document: GroupDocument, committed: readonly CommittedOffset[]) {
    const counts = new Map<string, { topicId: string; partitions: Set<number> }>();
    const add = (topic: string, topicId: string, partition: number) => {
      const entry = counts.get(topic) ?? { topicId, partitions: new Set<number>() };
      entry.partitions.add(partition);
      counts.set(topic, entry);
    };
    if (!isEmpty(document)) {
      for (const [topic, { topicId, partitionCount }] of Object.entries(document.topics)) {
        for (let partition = 0; partition < partitionCount; partition += 1) add(topic, topicId, partition);
      }
    }
    for (const { topic, topicId, partition } of committed) add(topic, topicId, partition);
    const sorted = toTopicPartitions(new Map([...counts].map(([topic, entry]) => [topic, [...entry.partitions]])));
    return sorted.flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, topicId: counts.get(topic)!.topicId, partition })),
    );
  }

  /** Writes commits for as long as it takes until the group is as `judge` saw it. `judge` throws if they may not be. */
  async #write(
    group: string,
    commits: readonly OffsetCommit[],
    judge: (document: GroupDocument | undefined) => {
      makes?: GroupDocument | undefined;
      sessionId?: string;
      caller?: { memberId: string; call: number } | undefined;
    },
  ): Promise<number> {
    let snapshot = this.#ledger.remembered(group);
    let isNewest = false;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      if (!snapshot) {
        snapshot = await this.#ledger.read(group);
        isNewest = true;
      }
      let judged: ReturnType<typeof judge>;
      try {
        judged = judge(snapshot.document);
      } catch (error) {
        if (isNewest) throw error;
        snapshot = undefined;
        continue;
      }
      const outcome = await this.#offsets.commit(group, snapshot.version, commits, judged);
      if (outcome.outcome === 'applied') return outcome.zxid;
      if (outcome.outcome === 'superseded') throw superseded(judged.caller!.memberId);
      snapshot = undefined;
    }
    throw new ServiceError(
      'TOO_MANY_REQUESTS',
      `Group '${group}' changes faster than this commit could be judged; nothing was done. Try again.`,
      { group },
    );
  }

  async #known({ topic: name, partition, offset, metadata }: OffsetToCommit): Promise<OffsetCommit> {
    return this.#topics.using(name, async (topic) => {
      checkPartition(topic, partition);
      return { topic: name, topicId: topic.topicId, partition, offset, metadata };
    });
  }

  async #infos(names: readonly string[]): Promise<TopicInfo[]> {
    return Promise.all([...new Set(names)].sort().map((name) => this.#topics.get(name)));
  }

  /** Without commits for earlier topics of the same name. */
  async #ofPresentTopics(offsets: readonly CommittedOffset[]): Promise<CommittedOffset[]> {
    const ids = new Map<string, string>();
    for (const name of new Set(offsets.map(({ topic }) => topic))) {
      try {
        ids.set(name, (await this.#topics.get(name)).topicId);
      } catch (error) {
        if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
      }
    }
    return offsets.filter(({ topic, topicId }) => ids.get(topic) === topicId);
  }

  async #resetOffset(
    group: string,
    topic: TopicInfo,
    partition: number,
    to: ResetTarget,
    before: number | undefined,
  ): Promise<number> {
    const [bounds] = await this.#logs.bounds([{ topicId: topic.topicId, partition }]);
    const { logStartOffset, endOffset } = bounds ?? { logStartOffset: 0, endOffset: 0 };
    const within = (offset: number) => Math.min(Math.max(offset, logStartOffset), endOffset);
    if (to === 'earliest') return logStartOffset;
    if (to === 'latest') return endOffset;
    if ('offset' in to) return within(to.offset);
    if ('timestamp' in to) return within((await this.#reader.offsetAt(topic, partition, to.timestamp)).offset);
    if (before !== undefined) return within(before + to.shiftBy);
    throw new ServiceError(
      'NO_COMMITTED_OFFSET',
      `Group '${group}' has committed no offset for partition ${partition} of topic '${topic.name}', so there is nothing ` +
        'to shift; reset it to earliest, latest, a timestamp or an offset.',
      { group, topic: topic.name, partition },
    );
  }
}

function describeMembers(document: GroupDocument): GroupDescription['members'] {
  const ids = Object.keys(document.members).sort();
  return ids.map((memberId) => {
    const member = own(document.members, memberId)!;
    const { instanceId, clientId, subscription, pendingRevocation } = member;
    return {
      memberId,
      memberEpoch: member.memberEpoch,
      state: member.state,
      ...(instanceId !== undefined && { instanceId }),
      ...(clientId !== undefined && { clientId }),
      ...(member.isAway && { away: true }),
      topics: member.topics,
      ...('pattern' in subscription && { pattern: subscription.pattern }),
      assignment: assignmentOf(member),
      revoking: pendingRevocation.map(({ topic, partitions }) => ({ topic, partitions })),
      sessionTimeoutMs: member.sessionTimeoutMs,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      reset: member.reset,
    };
  });
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}:${partition}`;
}
