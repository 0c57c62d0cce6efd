// A member of a group on one connection: it joins, is told which partitions it gets and must let go of, is given their
// records as far as it takes them, and commits. How frames travel is the sink's affair.
//
// The member lives by its peer's signs of life alone: each one that was asked for renews its session, nothing else does. A
// connection that is lost leaves the member its session; who comes back in time under the same member id goes on from what
// is committed, so that nothing is passed over.
import { setTimeout as pause } from 'node:timers/promises';
import type { TopicPartitions } from '../../../core/groups/assignors/assignor.ts';
import {
  type GroupMember,
  getOwn,
  heartbeatIntervalMs,
  memberSuperseded,
} from '../../../core/groups/group-document.ts';
import { hasCode, type ServiceError } from '../../../core/service-error.ts';
import { type GroupCoordinator, type MemberResponse, memberResponseOf } from '../group-coordinator.ts';
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
import type { GroupOffsets, OffsetToCommit } from '../offsets/group-offsets.ts';
import { type PartitionsChange, type Released, type StreamCursor, StreamPartitions } from './stream-partitions.ts';
import {
  type RecordSink,
  type StreamMember,
  type StreamReaderDependencies,
  StreamRecordReader,
} from './stream-record-reader.ts';

/** Where the news and the records of a member go. */
export interface GroupStreamSink extends RecordSink {
  assigned(partitions: TopicPartitions[], memberEpoch: number): void;
  /** The member is to say within the time that it has let go of them; no records of them follow. */
  revoking(partitions: TopicPartitions[], withinMs: number, memberEpoch: number): void;
  revoked(partitions: TopicPartitions[], memberEpoch: number): void;
  /** Asks the peer for a sign of life, which is told to the stream by `heard`. */
  ping(): void;
}

/** What says that there is no such member any more, or that it is another's. */
const endCodes = ['UNKNOWN_MEMBER', 'UNKNOWN_GROUP', 'FENCED_INSTANCE_ID', 'MEMBER_SUPERSEDED'] as const;

/** How soon a stream tries again what the store could not answer, ms. */
const retryMs = 500;

export interface GroupStreamDependencies extends StreamReaderDependencies {
  coordinator: GroupCoordinator;
  states: GroupStateManager;
  offsets: GroupOffsets;
}

/** Opens streams of members. */
export class GroupStreams {
  readonly #parts: GroupStreamDependencies;
  /** Those of this broker, by group and member id. */
  readonly #open = new Map<string, GroupStream>();

  constructor(parts: GroupStreamDependencies) {
    this.#parts = parts;
  }

  /**
   * Joins as a member, or comes back as one; an earlier stream of the same member ends with MEMBER_SUPERSEDED, through another
   * broker at its next heartbeat.
   * @throws ServiceError as GroupCoordinator.join
   */
  async open(group: string, request: Join, sink: GroupStreamSink): Promise<GroupStream> {
    const joinedAt = performance.now();
    let wanted: MemberCursor[] = [];
    const { member, callEpoch, positions } = await this.#parts.coordinator.joinOverSocket(
      group,
      request,
      (document, joined) => {
        wanted = cursorsOf(document, joined, new Map()).wanted;
        return wanted;
      },
    );
    const { memberId } = member;
    const key = `${group}/${memberId}`;
    const joined = { group, member, callEpoch, joinedAt, given: withCommittedOffsets(wanted, positions) };
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
  /** The consume call that the stream is to the store: a newer one ends it. */
  readonly callEpoch: number;
  readonly #sink: GroupStreamSink;
  readonly #parts: GroupStreamDependencies;
  readonly #onEnd: () => void;
  #member: GroupMember;
  readonly #holdings = new StreamPartitions();
  readonly #records: StreamRecordReader;
  /** Until then, by this broker's clock, the session lives for sure: beyond it nothing is given out. */
  #leaseEnd: number;
  #lastFrameAt = performance.now();
  /** A sign of life has been asked for. */
  #isPingPending = false;
  /** It has come, and the session is to be renewed. */
  #mustRenew = false;
  /** The group may have changed. What happened before the stream runs is looked at first. */
  #mustRefresh = true;
  /** The member has something to say to the group. */
  #mustReport = false;
  /** Why it is over. */
  #failure: ServiceError | undefined;
  #wake = (): void => undefined;

  constructor(
    as: { group: string; member: GroupMember; callEpoch: number; joinedAt: number; given: readonly MemberCursor[] },
    sink: GroupStreamSink,
    parts: GroupStreamDependencies,
    onEnd: () => void,
  ) {
    this.#group = as.group;
    this.#member = as.member;
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
    // The answer to joining tells the member of these.
    for (const cursor of as.given) this.#records.add(this.#holdings.give(cursor));
    // What an earlier connection of the member was to let go of, this one does not use: only now is that sure.
    this.#mustReport = as.member.pendingRevocation.length > 0;
  }

  /** What the member is told when it has joined. */
  get answer(): MemberResponse {
    return memberResponseOf(this.#member);
  }

  /** A static member keeps its partitions when it closes the connection, as in Kafka. */
  get isStatic(): boolean {
    return this.#member.instanceId !== undefined;
  }

  /**
   * Serves the member until `signal` is aborted; to be called once. While the store is away it waits, and then goes on.
   * @throws ServiceError when it is over: MEMBER_SUPERSEDED by a newer connection, FENCED_MEMBER_EPOCH if the member did not let go
   *   in time, or takes nothing and says nothing for its rebalance timeout while records wait for it; UNKNOWN_MEMBER,
   *   UNKNOWN_GROUP, FENCED_INSTANCE_ID; NO_COMMITTED_OFFSET, OFFSET_OUT_OF_RANGE for the reset policy `none`
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
      this.#holdings.endWaits();
      this.#onEnd();
    }
  }

  /** Ends it from outside: `run` throws the error. */
  end(error: ServiceError): void {
    this.#failure = error;
    this.#wake();
  }

  /** The peer has given a sign of life. */
  notePong(): void {
    if (!this.#isPingPending) return;
    this.#isPingPending = false;
    this.#mustRenew = true;
    this.#wake();
  }

  /** The client itself has said something: it is not stuck. */
  noteFrame(): void {
    this.#lastFrameAt = performance.now();
    this.#wake();
  }

  /** The member has let go of partitions that are being revoked. @throws ServiceError as StreamPartitions.release */
  released(released: Released): void {
    this.#holdings.release(released, this.#member.memberEpoch);
    this.#mustReport = true;
    this.#wake();
  }

  /**
   * @param memberEpoch at which the member had the partitions, as far as it knows; its present one by default
   * @throws ServiceError as GroupOffsets.commit
   */
  async commit(offsets: readonly OffsetToCommit[], memberEpoch = this.#member.memberEpoch): Promise<void> {
    const committer = { memberId: this.#memberId, memberEpoch, callEpoch: this.callEpoch };
    await this.#parts.offsets.commit(this.#group, committer, offsets);
  }

  /** Takes the member out, unless it is out, or a newer connection speaks for it. @throws ServiceError STORE_UNAVAILABLE */
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

  /** Whether the client has given no sign of its own for so long that it may be stuck, as in Kafka without polls. */
  #isSilent(): boolean {
    return this.#records.isHeldBack && performance.now() - this.#lastFrameAt > this.#member.rebalanceTimeoutMs;
  }

  /** Takes the member out if records wait for it indeed: another one is to have them. */
  async #endIfStuck(): Promise<void> {
    if (!(await this.#records.hasMore()) || !this.#isSilent()) return;
    this.end(memberStuck(this.#member));
    await this.leave();
  }

  /** Does the next thing there is to do, or waits for one. */
  async #step(signal: AbortSignal): Promise<void> {
    if (this.#failure) throw this.#failure;
    try {
      if (this.#mustReport || this.#mustRenew) return await this.#report();
      if (this.#mustRefresh) return await this.#refresh();
      const giving = this.#records.step(signal);
      if (giving) return await giving;
    } catch (error) {
      if (!hasCode(error, 'STORE_UNAVAILABLE') && !hasCode(error, 'TOO_MANY_REQUESTS')) throw error;
      // The member could do no more than to come back.
      this.#mustReport = true;
      return pause(retryMs, undefined, { signal }).catch(() => undefined);
    }
    // Since the looks above nobody else has run, so nothing is slept over.
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Sees whether the group's change concerns this member; one read serves all members of the group on this broker. */
  async #refresh(): Promise<void> {
    // Before the look, as it may change again meanwhile.
    this.#mustRefresh = false;
    const { document } = await this.#parts.states.refresh(this.#group);
    const member = document && getOwn(document.members, this.#memberId);
    if (member === this.#member) return;
    if (!member || !hasSamePartitions(member, this.#member)) this.#mustReport = true;
  }

  /** Says what the member may still be using, renews its session if its peer lives, and learns what it has now. */
  async #report(): Promise<void> {
    const renews = this.#mustRenew;
    const startedAt = performance.now();
    this.#mustReport = false;
    this.#mustRenew = false;
    try {
      let [kept, wanted]: [ReadonlyMap<string, StreamCursor>, MemberCursor[]] = [new Map(), []];
      const caller = { memberId: this.#memberId, callEpoch: this.callEpoch };
      const { member, positions } = await this.#parts.coordinator.reportOwned(this.#group, caller, {
        owned: () => this.#holdings.owned(),
        renews,
        wanted: (document, next) => {
          ({ kept, wanted } = cursorsOf(document, next, this.#holdings.cursors));
          return wanted;
        },
      });
      if (renews) this.#leaseEnd = startedAt + member.sessionTimeoutMs;
      this.#take(member, kept, withCommittedOffsets(wanted, positions));
    } catch (error) {
      if (renews) this.#mustRenew = true;
      // With its session alive it can only have been fenced, or taken out by hand.
      if (hasCode(error, 'UNKNOWN_MEMBER') && this.#holdings.isUnreleased && performance.now() < this.#leaseEnd)
        throw releaseOverdue(this.#member);
      throw error;
    }
  }

  /** Takes over what the group has decided, and tells the member. */
  #take(member: GroupMember, kept: ReadonlyMap<string, StreamCursor>, given: readonly MemberCursor[]): void {
    this.#member = member;
    const change = this.#holdings.take(member, kept, given);
    this.#records.drop();
    for (const cursor of change.assigned) this.#records.add(cursor);
    this.#tell(change);
  }

  #tell({ revoking, revoked, assigned }: PartitionsChange): void {
    const { memberEpoch, rebalanceTimeoutMs } = this.#member;
    if (revoking.length > 0) this.#sink.revoking(partitionsOf(revoking), rebalanceTimeoutMs, memberEpoch);
    if (revoked.length > 0) this.#sink.revoked(partitionsOf(revoked), memberEpoch);
    if (assigned.length > 0) this.#sink.assigned(partitionsOf(assigned), memberEpoch);
  }
}
