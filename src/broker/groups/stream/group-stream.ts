// A member of a group on one connection: it joins, gets and releases partitions, receives as many records as it gives credit
// for, and commits offsets. The sink encodes the frames.
//
// Only pongs renew the session of the member. If the connection is lost, the member stays until its session ends. If it
// reconnects in time with its member id, it continues from the committed offsets, so it skips no record.
import { setTimeout as pause } from 'node:timers/promises';
import type { TopicPartitions } from '../../../core/groups/assignors/assignor.ts';
import {
  type GroupMember,
  getOwn,
  heartbeatIntervalMs,
  memberSuperseded,
} from '../../../core/groups/group-document.ts';
import { hasCode, type ServiceError } from '../../../core/service-error.ts';
import { type GroupCoordinator, type JoinedResponse, joinedResponseOf } from '../group-coordinator.ts';
import type { GroupStateManager } from '../group-state-manager.ts';
import type { Join } from '../join-request.ts';
import {
  cursorsOf,
  hasSamePartitions,
  type MemberCursor,
  memberStuck,
  partitionsOf,
  releaseOverdue,
  withCommittedOffsets,
} from '../member-cursors.ts';
import type { JoinedMember } from '../membership-update.ts';
import type { GroupOffsets, OffsetToCommit } from '../offsets/group-offsets.ts';
import { type PartitionsChange, type Released, type StreamCursor, StreamPartitions } from './stream-partitions.ts';
import {
  type RecordSink,
  type StreamMember,
  type StreamReaderDependencies,
  StreamRecordReader,
} from './stream-record-reader.ts';

/** Sends frames and records to the member. */
export interface GroupStreamSink extends RecordSink {
  /** Whether the client may read a topic. Partitions of others, which a pattern may match, stay unread. */
  mayRead(topic: string): boolean;
  assigned(partitions: TopicPartitions[], memberEpoch: number): void;
  /** The member must release the partitions within `withinMs`; it gets no more records of them. */
  revoking(partitions: TopicPartitions[], withinMs: number, memberEpoch: number): void;
  revoked(partitions: TopicPartitions[], memberEpoch: number): void;
  /** Sends a ping; notePong() reports the pong. */
  ping(): void;
}

/** Codes of errors that end a stream: the member is gone, or it has a newer incarnation. */
const endCodes = ['UNKNOWN_MEMBER', 'UNKNOWN_GROUP', 'FENCED_INSTANCE_ID', 'MEMBER_SUPERSEDED'] as const;

/** Delay before a retry while the store is unavailable, ms. */
const retryMs = 500;

interface GroupStreamDependencies extends StreamReaderDependencies {
  coordinator: GroupCoordinator;
  states: GroupStateManager;
  offsets: GroupOffsets;
}

/** Opens streams, and ends an older stream of the same member on this broker. */
export class GroupStreams {
  readonly #parts: GroupStreamDependencies;
  /** The open streams of this broker, by group and member id. */
  readonly #open = new Map<string, GroupStream>();

  constructor(parts: GroupStreamDependencies) {
    this.#parts = parts;
  }

  /**
   * Joins as a member, or begins a new incarnation of one. An older stream of the member ends with MEMBER_SUPERSEDED: at once
   * if it is on this broker, else at its next report to the group.
   * @throws ServiceError as GroupCoordinator.joinOverSocket; MEMBER_SUPERSEDED if the member has a newer stream already
   */
  async open(group: string, request: Join, sink: GroupStreamSink): Promise<GroupStream> {
    const joinedAt = performance.now();
    let added: MemberCursor[] = [];
    const { member, unknownTopics, callEpoch, positions } = await this.#parts.coordinator.joinOverSocket(
      group,
      request,
      (document, joined) => {
        added = cursorsOf(document, joined, new Map()).added;
        return added;
      },
    );
    const { memberId } = member;
    const key = `${group}/${memberId}`;
    const assigned = withCommittedOffsets(added, positions);
    const joined = { group, member, unknownTopics, callEpoch, joinedAt, assigned };
    const stream = new GroupStream(joined, sink, this.#parts, () => {
      if (this.#open.get(key) === stream) this.#open.delete(key);
    });
    const other = this.#open.get(key);
    if (other && other.callEpoch > callEpoch) throw memberSuperseded(memberId);
    other?.end(memberSuperseded(memberId));
    this.#open.set(key, stream);
    return stream;
  }
}

export class GroupStream {
  readonly #group: string;
  readonly #memberId: string;
  /** The store treats the stream as one long consume call: a newer call epoch of the member ends it. */
  readonly callEpoch: number;
  readonly #sink: GroupStreamSink;
  readonly #parts: GroupStreamDependencies;
  readonly #onEnd: () => void;
  #member: GroupMember;
  readonly #unknownTopics: string[];
  readonly #partitions = new StreamPartitions();
  readonly #records: StreamRecordReader;
  /** Until this time, by the clock of this broker, the session cannot have expired. No records are sent after it. */
  #leaseEnd: number;
  #lastFrameAt = performance.now();
  /** A ping was sent and its pong has not arrived. */
  #isPingPending = false;
  /** The pong has arrived: the next report renews the session. */
  #mustRenew = false;
  /** Whether the group must be read again, as it may have changed; at first too, as the change may come before the stream runs. */
  #mustRefresh = true;
  /** The owned partitions must be reported to the group. */
  #mustReport = false;
  /** The error with which the stream ends. */
  #failure: ServiceError | undefined;
  #wake = (): void => undefined;

  constructor(
    as: JoinedMember & { group: string; callEpoch: number; joinedAt: number; assigned: readonly MemberCursor[] },
    sink: GroupStreamSink,
    parts: GroupStreamDependencies,
    onEnd: () => void,
  ) {
    this.#group = as.group;
    this.#member = as.member;
    this.#unknownTopics = as.unknownTopics;
    this.#memberId = as.member.memberId;
    this.callEpoch = as.callEpoch;
    this.#leaseEnd = as.joinedAt + as.member.sessionTimeoutMs;
    this.#sink = sink;
    this.#parts = parts;
    this.#onEnd = onEnd;
    const reading: StreamMember = {
      group: as.group,
      member: () => this.#member,
      isLeaseValid: () => !this.#failure && performance.now() < this.#leaseEnd,
      commit: (offsets) => this.commit(offsets),
      changed: () => {
        this.#mustReport = true;
      },
      wake: () => this.#wake(),
    };
    this.#records = new StreamRecordReader(reading, sink, parts);
    // The `joined` frame names these partitions, so no `assigned` frame follows for them.
    for (const cursor of as.assigned) this.#read(this.#partitions.add(cursor));
    // This connection does not use the partitions that an older one had to release, so the first report releases them.
    this.#mustReport = as.member.pendingRevocation.length > 0;
  }

  /** The content of the first frame to the member. */
  get response(): JoinedResponse {
    return joinedResponseOf({ member: this.#member, unknownTopics: this.#unknownTopics });
  }

  /** A static member keeps its partitions when its connection closes, as in Kafka. */
  get isStatic(): boolean {
    return this.#member.instanceId !== undefined;
  }

  /**
   * Serves the member until `signal` is aborted. Must be called once. While the store is unavailable, it waits.
   * @throws ServiceError when the stream ends: MEMBER_SUPERSEDED by a newer connection; FENCED_MEMBER_EPOCH if the member did
   *   not release in time, or gave no credit and sent no frame for its rebalance timeout while it had records to read;
   *   UNKNOWN_MEMBER, UNKNOWN_GROUP, FENCED_INSTANCE_ID; NO_COMMITTED_OFFSET, OFFSET_OUT_OF_RANGE for the reset policy `none`
   */
  async run(signal: AbortSignal): Promise<void> {
    const wake = () => this.#wake();
    const stopWatching = this.#parts.states.watch(this.#group, () => {
      this.#mustRefresh = true;
      wake();
    });
    const ticks = setInterval(() => this.#tick(), heartbeatIntervalMs(this.#member.sessionTimeoutMs));
    signal.addEventListener('abort', wake, { once: true });
    try {
      while (!signal.aborted) await this.#step(signal);
    } finally {
      clearInterval(ticks);
      stopWatching();
      this.#partitions.endWaits();
      this.#onEnd();
    }
  }

  /** Ends the stream: run() throws the error. */
  end(error: ServiceError): void {
    this.#failure = error;
    this.#wake();
  }

  /** A pong has arrived. */
  notePong(): void {
    if (!this.#isPingPending) return;
    this.#isPingPending = false;
    this.#mustRenew = true;
    this.#wake();
  }

  /** The client has sent a frame, so it is not stuck. */
  noteFrame(): void {
    this.#lastFrameAt = performance.now();
    this.#wake();
  }

  /** Notes that the member has released partitions. @throws ServiceError as StreamPartitions.release */
  released(released: Released): void {
    this.#partitions.release(released, this.#member.memberEpoch);
    this.#mustReport = true;
    this.#wake();
  }

  /**
   * Commits offsets for the member.
   * @param memberEpoch the epoch at which the member had the partitions; default: its current one
   * @throws ServiceError as GroupOffsets.commit
   */
  async commit(offsets: readonly OffsetToCommit[], memberEpoch = this.#member.memberEpoch): Promise<void> {
    const committer = { memberId: this.#memberId, memberEpoch, callEpoch: this.callEpoch };
    await this.#parts.offsets.commit(this.#group, committer, offsets);
  }

  /** Removes the member from the group, unless it is gone or has a newer connection. @throws ServiceError STORE_UNAVAILABLE */
  async leave(): Promise<void> {
    try {
      await this.#parts.coordinator.leave(this.#group, this.#memberId, { callEpoch: this.callEpoch });
    } catch (error) {
      if (!endCodes.some((code) => hasCode(error, code))) throw error;
    }
  }

  #tick(): void {
    this.#isPingPending = true;
    this.#sink.ping();
    if (this.#isSilent()) this.#endIfStuck().catch(() => undefined);
  }

  /**
   * Whether the client gave no credit and sent no frame for longer than its rebalance timeout. It may be stuck, like a Kafka
   * consumer that exceeds max.poll.interval.ms.
   */
  #isSilent(): boolean {
    return this.#records.isHeldBack && performance.now() - this.#lastFrameAt > this.#member.rebalanceTimeoutMs;
  }

  /** Removes a silent member that has records to read, so that another member gets them. */
  async #endIfStuck(): Promise<void> {
    if (!(await this.#records.hasMore()) || !this.#isSilent()) return;
    this.end(memberStuck(this.#member));
    await this.leave();
  }

  /** Does the next piece of work, or waits for one. */
  async #step(signal: AbortSignal): Promise<void> {
    if (this.#failure) throw this.#failure;
    try {
      if (this.#mustReport || this.#mustRenew) return await this.#report();
      if (this.#mustRefresh) return await this.#refresh();
      const reading = this.#records.step(signal);
      if (reading) return await reading;
    } catch (error) {
      if (!hasCode(error, 'STORE_UNAVAILABLE') && !hasCode(error, 'TOO_MANY_REQUESTS')) throw error;
      // The stream stays open: a reconnect of the member would fail as well.
      this.#mustReport = true;
      return pause(retryMs, undefined, { signal }).catch(() => undefined);
    }
    // No other code has run since the checks above, so no wake-up is lost.
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Reads the group, and reports if the partitions of this member have changed. All members on this broker share one read. */
  async #refresh(): Promise<void> {
    // Cleared before the read, as the group may change during it.
    this.#mustRefresh = false;
    const { document } = await this.#parts.states.refresh(this.#group);
    const member = document && getOwn(document.members, this.#memberId);
    if (member === this.#member) return;
    if (!member || !hasSamePartitions(member, this.#member)) this.#mustReport = true;
  }

  /**
   * Reports the partitions that the member may still be using, renews its session if a pong has arrived, and takes over its
   * assignment.
   */
  async #report(): Promise<void> {
    const renews = this.#mustRenew;
    const startedAt = performance.now();
    this.#mustReport = false;
    this.#mustRenew = false;
    try {
      let [valid, added]: [ReadonlyMap<string, StreamCursor>, MemberCursor[]] = [new Map(), []];
      const caller = { memberId: this.#memberId, callEpoch: this.callEpoch };
      const { member, positions } = await this.#parts.coordinator.reportOwned(this.#group, caller, {
        owned: () => this.#partitions.owned(),
        renews,
        positionsToRead: (document, next) => {
          ({ valid, added } = cursorsOf(document, next, this.#partitions.cursors));
          return added;
        },
      });
      if (renews) this.#leaseEnd = startedAt + member.sessionTimeoutMs;
      this.#take(member, valid, withCommittedOffsets(added, positions));
    } catch (error) {
      if (renews) this.#mustRenew = true;
      // The session cannot have expired, so the member was fenced, or an operator removed it.
      if (hasCode(error, 'UNKNOWN_MEMBER') && this.#partitions.isUnreleased && performance.now() < this.#leaseEnd)
        throw releaseOverdue(this.#member);
      throw error;
    }
  }

  /** Takes over the assignment, and sends the frames with its changes. */
  #take(member: GroupMember, valid: ReadonlyMap<string, StreamCursor>, assigned: readonly MemberCursor[]): void {
    this.#member = member;
    const change = this.#partitions.apply(member, valid, assigned);
    this.#records.drop();
    for (const cursor of change.assigned) this.#read(cursor);
    this.#send(change);
  }

  #read(cursor: StreamCursor): void {
    if (this.#sink.mayRead(cursor.topic)) this.#records.add(cursor);
  }

  #send({ revoking, revoked, assigned }: PartitionsChange): void {
    const { memberEpoch, rebalanceTimeoutMs } = this.#member;
    if (revoking.length > 0) this.#sink.revoking(partitionsOf(revoking), rebalanceTimeoutMs, memberEpoch);
    if (revoked.length > 0) this.#sink.revoked(partitionsOf(revoked), memberEpoch);
    if (assigned.length > 0) this.#sink.assigned(partitionsOf(assigned), memberEpoch);
  }
}
