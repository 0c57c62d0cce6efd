// Lists and describes groups: their members, the owner of each partition, and their lag.

import { agedPartitionsMax, type GroupDescription } from '../../../schemas/groups.ts';
import { readableChildren } from '../../access/readable-children.ts';
import { compareText } from '../../core/groups/assignors/assignment.ts';
import { toTopicPartitions } from '../../core/groups/assignors/assignor.ts';
import { type GroupDocument, heldBy, isEmpty, requireGroup } from '../../core/groups/group-document.ts';
import { assignmentOf, groupStateName } from '../../core/groups/member-reconciliation.ts';
import { required } from '../../core/required.ts';
import type { CommittedOffset, CommittedOffsets } from '../../store/groups/committed-offsets.ts';
import type { Groups } from '../../store/groups/groups.ts';
import type { Logs } from '../../store/log/logs.ts';
import type { LogId } from '../../store/log/producers.ts';
import type { TopicCache } from '../metadata/topic-cache.ts';
import type { GroupFigures } from './group-figures.ts';
import { lagWithoutCommit, recordsBehind, StartingPoints } from './group-lag.ts';
import type { GroupStateManager } from './group-state-manager.ts';
import { cursorKey } from './member-cursors.ts';
import { ofPresentTopics } from './topics-view.ts';

interface GroupsPage {
  /** The name after which it begins. */
  after?: string | undefined;
  limit: number;
}

/** So many topics of a group are listed. */
const topicsOfGroupMax = 100;

export class GroupDirectory {
  readonly #groups: Groups;
  readonly #offsets: CommittedOffsets;
  readonly #logs: Logs;
  readonly #states: GroupStateManager;
  readonly #topics: TopicCache;
  readonly #figures: GroupFigures;

  constructor(
    store: { groups: Groups; committedOffsets: CommittedOffsets; logs: Logs },
    states: GroupStateManager,
    topics: TopicCache,
    figures: GroupFigures,
  ) {
    this.#groups = store.groups;
    this.#offsets = store.committedOffsets;
    this.#logs = store.logs;
    this.#states = states;
    this.#topics = topics;
    this.#figures = figures;
  }

  /**
   * A page of the groups, by name.
   * @param isSummary whether it has their topics and lag
   * @param mayUse whether the caller may see a group
   * @throws ServiceError TOO_LARGE if too many that it may not see are behind each other
   */
  async page(page: GroupsPage, isSummary: boolean, mayUse: (group: string) => boolean) {
    const [{ zxid, groups, next }, figures] = await Promise.all([
      this.documents(page, mayUse),
      isSummary ? this.#figures.read() : undefined,
    ]);
    const summaryOf = (group: string, document: GroupDocument) => {
      const { topics = [], lag } = figures?.byGroup.get(group) ?? {};
      const all = new Set(topics);
      for (const member of Object.values(document.members)) for (const topic of member.topics) all.add(topic);
      return { topics: [...all].sort().slice(0, topicsOfGroupMax), lag: lag?.sum ?? null, maxLag: lag?.max ?? null };
    };
    return {
      zxid,
      groups: groups.map(({ group, document }) => ({
        groupId: group,
        state: groupStateName(document),
        members: Object.keys(document.members).length,
        ...(isSummary && summaryOf(group, document)),
      })),
      next,
    };
  }

  /**
   * A page of the documents of groups, by name, without those that the caller may not see, whose documents beyond the first page are not read.
   * @throws ServiceError TOO_LARGE as page()
   */
  async documents(page: GroupsPage, mayUse: (group: string) => boolean) {
    const first = await this.#groups.list(page.after, page.limit);
    const visible = first.groups.filter(({ group }) => mayUse(group));
    if (first.next === undefined || visible.length === first.groups.length) return { ...first, groups: visible };
    const { children, next } = await readableChildren(
      async ({ after, limit }) => {
        const versions = await this.#groups.versions(after, limit);
        return { children: versions.groups.map(({ group: name }) => ({ name })), next: versions.next };
      },
      page,
      mayUse,
    );
    const groups = await Promise.all(
      children.map(async ({ name: group }) => {
        const document =
          visible.find((one) => one.group === group)?.document ?? (await this.#groups.get(group)).document;
        return document ? [{ group, document }] : [];
      }),
    );
    return { zxid: first.zxid, groups: groups.flat(), next };
  }

  /**
   * Describes a group with its members and its lag in each partition.
   * @param withAges whether to look into the logs for how long the lag has been waiting
   * @throws ServiceError UNKNOWN_GROUP
   */
  async describe(group: string, withAges = false): Promise<{ zxid: number; description: GroupDescription }> {
    const { zxid, document: read } = await this.#states.read(group);
    const document = requireGroup(group, read);
    const committed = await ofPresentTopics(this.#topics, (await this.#offsets.list(group)).offsets);
    const owners = new Map<string, string>();
    for (const member of Object.values(document.members)) {
      for (const at of heldBy(member)) owners.set(cursorKey(at), member.memberId);
    }
    const offsets = new Map(committed.map((offset) => [cursorKey(offset), offset.offset]));
    const partitions = this.#partitionsOf(document, committed);
    const logs = await this.#logs.boundsOfReachable(partitions);
    const startingPoints = new StartingPoints(document);
    const described = partitions.map((at, index): GroupDescription['partitions'][number] => {
      const offset = offsets.get(cursorKey(at));
      const log = logs[index];
      const known = {
        topic: at.topic,
        partition: at.partition,
        owner: owners.get(cursorKey(at)) ?? null,
        committed: offset ?? null,
      };
      const from = startingPoints.of(at);
      const lagFrom = offset === undefined ? (from ?? null) : 'committed';
      if (log === 'away') return { ...known, endOffset: null, lag: null, lagFrom, error: 'STORE_UNAVAILABLE' };
      if (!log) return { ...known, endOffset: 0, lag: lagFrom && 0, lagFrom };
      const { endOffset } = log;
      if (offset !== undefined) return { ...known, endOffset, lag: recordsBehind(log, offset), lagFrom };
      return { ...known, endOffset, lag: from ? lagWithoutCommit(from, log) : null, lagFrom };
    });
    if (withAges) {
      const ages = await this.#agesOf(partitions.map((at, index) => ({ ...at, ...required(described[index], 'lag') })));
      for (const [index, partition] of described.entries()) partition.lagMs = ages.get(index) ?? null;
    }
    return {
      zxid,
      description: {
        groupId: group,
        state: groupStateName(document),
        groupEpoch: document.groupEpoch,
        assignor: document.assignor,
        ...(document.leftOut !== undefined && { partitionsLeftOut: document.leftOut }),
        members: describeMembers(document),
        partitions: described,
      },
    };
  }

  /** How long the lag of each partition has been waiting, ms, by its index; without those that are not known. */
  async #agesOf(partitions: readonly (LogId & { committed: number | null; lag: number | null })[]) {
    const ages = new Map<number, number>();
    const behind: { index: number; lag: number; at: LogId & { offset: number } }[] = [];
    for (const [index, { topicId, partition, committed, lag }] of partitions.entries()) {
      if (lag === 0) ages.set(index, 0);
      else if (lag !== null) behind.push({ index, lag, at: { topicId, partition, offset: committed ?? 0 } });
    }
    const most = behind.sort((a, b) => b.lag - a.lag).slice(0, agedPartitionsMax);
    const looks = most.map(async ({ index, at }) => {
      const ms = await this.#logs.ageAt(at).catch(() => undefined);
      if (ms !== undefined) ages.set(index, ms);
    });
    await Promise.all(looks);
    return ages;
  }

  /** All partitions to which members subscribe or that have a committed offset, sorted. */
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
      partitions.map((partition) => ({
        topic,
        topicId: required(counts.get(topic), 'topic that was counted').topicId,
        partition,
      })),
    );
  }
}

function describeMembers(document: GroupDocument): GroupDescription['members'] {
  const sorted = Object.entries(document.members).sort(([a], [b]) => compareText(a, b));
  return sorted.map(([memberId, member]) => {
    const { instanceId, clientId, address, joinedAt, subscription, pendingRevocation } = member;
    return {
      memberId,
      memberEpoch: member.memberEpoch,
      state: member.state,
      ...(instanceId !== undefined && { instanceId }),
      ...(clientId !== undefined && { clientId }),
      ...(address !== undefined && { address }),
      ...(joinedAt !== undefined && { joinedAt }),
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
