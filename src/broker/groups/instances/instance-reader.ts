// What a consumer instance reads, where it stands, and what it commits: as a member of its group, or of partitions that it has assigned
// itself.
import { heldBy, memberOf, requireGroup, type TopicPartition } from '../../../core/groups/group-document.ts';
import { hasCode, ServiceError } from '../../../core/service-error.ts';
import type { Logs } from '../../../store/log/logs.ts';
import type { LogReader } from '../../log/log-reader.ts';
import { asRecords } from '../../log/read-forms.ts';
import { checkPartition, type TopicCache } from '../../metadata/topic-cache.ts';
import type { GroupConsumer } from '../consume/group-consumer.ts';
import { type ConsumeCursor, type ConsumedRecords, isOutOfRange, type MemberReader } from '../consume/member-reader.ts';
import type { GroupStateManager } from '../group-state-manager.ts';
import { renewalOf } from '../group-update.ts';
import {
  cursorKey,
  knownPartition,
  noCommittedOffset,
  outOfRange,
  resetOffset,
  unknownOffset,
} from '../member-cursors.ts';
import type { GroupOffsets, OffsetToCommit } from '../offsets/group-offsets.ts';
import {
  type ConsumerInstances,
  type Instance,
  type InstanceDocument,
  illegalState,
  isNoMember,
} from './consumer-instances.ts';

type Assigned = NonNullable<InstanceDocument['assigned']>;

/** A position to go to. */
export interface Seek extends TopicPartition {
  to: number | 'earliest' | 'latest' | { timestamp: number };
}

interface Poll {
  waitMs: number;
  maxRecords: number;
  maxBytes: number;
  /** Which topics the caller may read. */
  mayRead(topic: string): boolean;
  /** Joins the group again, after the member was removed. */
  rejoin(): Promise<void>;
  onWait(): void;
}

interface Parts {
  instances: ConsumerInstances;
  states: GroupStateManager;
  consumer: GroupConsumer;
  offsets: GroupOffsets;
  reader: MemberReader;
  logReader: LogReader;
  topics: TopicCache;
  logs: Logs;
}

export class InstanceReader {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Returns records as soon as there are as many bytes as the instance asks for, or the time is over. A newer poll ends this one.
   * @throws ServiceError FENCED_MEMBER_EPOCH without a subscription; NO_COMMITTED_OFFSET, OFFSET_OUT_OF_RANGE for the reset policy `none`
   */
  async poll(instance: Instance, poll: Poll, signal: AbortSignal): Promise<ConsumedRecords[]> {
    const { subscription, assigned } = instance.document;
    if (!subscription && !assigned) throw illegalState('has neither a subscription nor assigned partitions');
    const stop = this.#parts.instances.keepAlive(instance);
    try {
      if (subscription) return await this.#consume(instance.document, poll, signal);
      return await this.#readAssigned(instance, assigned ?? [], poll, signal);
    } finally {
      stop();
    }
  }

  /** The partitions that an instance has. */
  async assignment({ group, memberId, subscription, assigned = [] }: InstanceDocument): Promise<TopicPartition[]> {
    if (!subscription) return assigned.map(({ topic, partition }) => ({ topic, partition }));
    const { document } = await this.#parts.states.read(group);
    const member = document?.members[memberId];
    return member ? heldBy(member) : [];
  }

  /** Assigns partitions to an instance in place of those that it has assigned itself. @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION */
  async assign(instance: Instance, partitions: readonly TopicPartition[]): Promise<void> {
    const known = await Promise.all(
      partitions.map(async ({ topic, partition }) => {
        const found = await this.#parts.topics.get(topic);
        checkPartition(found, partition);
        return { topic, topicId: found.topicId, partition };
      }),
    );
    await this.#parts.instances.change(instance, ({ subscription, assigned = [] }) => {
      if (subscription) throw illegalState('is subscribed to topics; delete its subscription first');
      const before = new Map(assigned.map((at) => [`${at.topicId}:${at.partition}`, at.offset]));
      return {
        assigned: known.map((at) => ({ ...at, offset: before.get(`${at.topicId}:${at.partition}`) ?? unknownOffset })),
      };
    });
  }

  /** Moves an instance to other positions in partitions that it has. @throws ServiceError FENCED_MEMBER_EPOCH if it has not */
  async seek(instance: Instance, seeks: readonly Seek[]): Promise<void> {
    const positions = await Promise.all(
      seeks.map(async ({ topic, partition, to }) => ({
        topic,
        partition,
        offset: await this.#offsetOf(topic, partition, to),
      })),
    );
    const { group, memberId, subscription } = instance.document;
    if (subscription) {
      // A new call epoch ends a poll that runs, which would store its own positions.
      await this.#parts.states.update(group, (stored) => {
        const member = memberOf(requireGroup(group, stored), memberId);
        checkHeld(heldBy(member), positions);
        const consume = { memberId, callEpoch: 'new' as const, set: positions };
        return { commit: { allowOom: true, sessionsToRenew: renewalOf(member), consume }, result: undefined };
      });
      return;
    }
    await this.#parts.instances.change(instance, ({ assigned = [] }) => {
      checkHeld(assigned, positions);
      const next = new Map(positions.map((at) => [cursorKey(at), at.offset]));
      return { assigned: assigned.map((at) => ({ ...at, offset: next.get(cursorKey(at)) ?? at.offset })) };
    });
  }

  /**
   * Commits offsets, or without any those of everything that was polled.
   * @param offsets the next offset to read of each partition
   * @throws ServiceError as GroupOffsets.commit()
   */
  async commit(instance: InstanceDocument, offsets?: readonly OffsetToCommit[]): Promise<void> {
    const { group, memberId, subscription } = instance;
    const committed = offsets ?? (await this.#positions(instance));
    if (committed.length === 0) return;
    const by = subscription && { memberId, memberEpoch: undefined };
    await this.#parts.offsets.commit(group, by, committed);
  }

  /** Deletes an instance. As a consumer of Kafka that closes, one that commits by itself commits what was polled. */
  async close(instance: Instance): Promise<void> {
    if (instance.document.autoCommit) await this.commit(instance.document).catch(ignoreRefusal);
    await this.#parts.instances.delete(instance);
  }

  /** The committed offsets of the group of an instance, of all partitions. */
  async committed({ group }: InstanceDocument) {
    try {
      return (await this.#parts.offsets.list(group, {})).offsets;
    } catch (error) {
      if (hasCode(error, 'UNKNOWN_GROUP')) return [];
      throw error;
    }
  }

  /** Where an instance has polled to. */
  async #positions({ group, memberId, subscription, assigned = [] }: InstanceDocument): Promise<OffsetToCommit[]> {
    if (!subscription) return assigned.filter(({ offset }) => offset !== unknownOffset);
    const { positions } = await this.#parts.states.update(group, (stored) => {
      const document = requireGroup(group, stored);
      const member = memberOf(document, memberId);
      const positionsToRead = heldBy(member).map((at) => knownPartition(document, at));
      return { commit: { allowOom: true, sessionsToRenew: renewalOf(member), positionsToRead }, result: undefined };
    });
    return positions.flatMap(({ topic, partition, position }) =>
      position === undefined ? [] : [{ topic, partition, offset: position }],
    );
  }

  async #consume(instance: InstanceDocument, poll: Poll, signal: AbortSignal): Promise<ConsumedRecords[]> {
    const { group, memberId, minBytes } = instance;
    const deadline = performance.now() + poll.waitMs;
    const all: ConsumedRecords[] = [];
    let bytes = 0;
    let hasRejoined = false;
    for (;;) {
      const left = Math.max(0, deadline - performance.now());
      // Only the first call of a poll may commit: the records of the others have not been returned yet.
      const commit = instance.autoCommit && all.length === 0 ? 'previous' : 'manual';
      const request = {
        waitMs: left,
        maxRecords: poll.maxRecords,
        maxBytes: Math.max(1, poll.maxBytes - bytes),
        form: asRecords,
        hasOwnEncoding: true,
        commit,
        from: 'position',
        expectedSeq: undefined,
        credential: undefined,
        mayRead: poll.mayRead,
        onWait: poll.onWait,
      } as const;
      try {
        const { records, isSuperseded } = await this.#parts.consumer.consume(group, memberId, request, signal);
        all.push(...records);
        for (const { records: some } of records) bytes += some.bytes;
        if (bytes >= Math.min(minBytes, poll.maxBytes) || isSuperseded || signal.aborted) return all;
      } catch (error) {
        if (all.length > 0) return all;
        if (hasRejoined || !isNoMember(error)) throw error;
        hasRejoined = true;
        await poll.rejoin();
        continue;
      }
      if (performance.now() >= deadline) return all;
    }
  }

  async #readAssigned(
    instance: Instance,
    assigned: Assigned,
    poll: Poll,
    signal: AbortSignal,
  ): Promise<ConsumedRecords[]> {
    const { document } = instance;
    const { group, reset, autoCommit, minBytes } = document;
    const deadline = performance.now() + poll.waitMs;
    // Another consumer of the group may have committed further: that is its own business, as it is with Kafka.
    if (autoCommit) await this.commit(document).catch(ignoreRefusal);
    const cursors = await this.#cursorsOf(document, assigned);
    const readable = cursors.filter(({ topic }) => poll.mayRead(topic));
    const all: ConsumedRecords[] = [];
    let bytes = 0;
    for (;;) {
      await this.#parts.reader.refreshBounds(readable);
      for (const cursor of readable) {
        const { log } = cursor;
        if (!log || log === 'missing') continue;
        if (cursor.offset === unknownOffset) {
          if (reset === 'none') throw noCommittedOffset(group, cursor);
          cursor.offset = resetOffset(reset, log);
        } else if (isOutOfRange(cursor)) {
          if (reset === 'none') throw outOfRange(group, cursor, log);
          cursor.offset = resetOffset(reset, log);
          cursor.prefetched = undefined;
        }
      }
      const limits = { maxRecords: poll.maxRecords, maxBytes: Math.max(1, poll.maxBytes - bytes), form: asRecords };
      for (const { records } of await this.#parts.reader.takeRecords(readable, limits)) {
        all.push(records);
        bytes += records.records.bytes;
      }
      const left = deadline - performance.now();
      if (bytes >= Math.min(minBytes, poll.maxBytes) || left <= 0 || signal.aborted) break;
      poll.onWait();
      await this.#parts.reader.waitForMore(readable, left, signal);
    }
    const next = cursors.map(({ topic, topicId, partition, offset }) => ({ topic, topicId, partition, offset }));
    const isMoved = next.some(({ offset }, i) => offset !== assigned[i]?.offset);
    // A client that has gone, or another call that was faster, keeps its own positions.
    if (signal.aborted || (isMoved && !(await this.#parts.instances.tryChange(instance, { assigned: next }))))
      return [];
    return all;
  }

  async #cursorsOf(document: InstanceDocument, assigned: Assigned): Promise<ConsumeCursor[]> {
    const isUnplaced = assigned.some(({ offset }) => offset === unknownOffset);
    const committed = new Map(
      (isUnplaced ? await this.committed(document) : []).map((at) => [cursorKey(at), at.offset]),
    );
    return assigned.map((at) => ({
      ...at,
      offset: at.offset === unknownOffset ? (committed.get(cursorKey(at)) ?? unknownOffset) : at.offset,
      epoch: 0,
      isNewPartition: false,
      isStored: true,
    }));
  }

  async #offsetOf(topicName: string, partition: number, to: Seek['to']): Promise<number> {
    const { topics, logs, logReader } = this.#parts;
    if (typeof to === 'number') return to;
    return topics.withTopic(topicName, async (topic) => {
      checkPartition(topic, partition);
      if (typeof to === 'object') return (await logReader.offsetAt(topic, partition, to.timestamp)).offset;
      const [bounds] = await logs.bounds([{ topicId: topic.topicId, partition }]);
      return resetOffset(to, bounds);
    });
  }
}

function checkHeld(held: readonly TopicPartition[], wanted: readonly TopicPartition[]): void {
  const keys = new Set(held.map(cursorKey));
  const missing = wanted.find((at) => !keys.has(cursorKey(at)));
  if (missing) throw illegalState(`does not have partition ${missing.partition} of topic ${missing.topic}`);
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof ServiceError) || error.code === 'STORE_UNAVAILABLE') throw error;
}
