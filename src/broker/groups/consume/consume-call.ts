// One consume call of a member. The call is also a heartbeat. It states that the member has processed all records returned
// before, so it releases the partitions that are being revoked, also while it waits.

import {
  type GroupMember,
  heartbeatIntervalMs,
  heldBy,
  memberOf,
  requireGroup,
  type TopicPartition,
} from '../../../core/groups/group-document.ts';
import { consume } from '../../../core/groups/group-state.ts';
import { assignmentOf } from '../../../core/groups/member-reconciliation.ts';
import { callingMember } from '../../../core/groups/member-secret.ts';
import { required } from '../../../core/required.ts';
import { hasCode } from '../../../core/service-error.ts';
import type { GroupCommit } from '../../../store/groups/groups.ts';
import { type CommittedUpdate, renewalOf } from '../group-update.ts';
import {
  cursorKey,
  cursorsOf,
  initialOffset,
  knownPartition,
  mustCommitReset,
  noCommittedOffset,
  outOfRange,
  resetOffset,
  unknownOffset,
} from '../member-cursors.ts';
import type { ConsumeDependencies, ConsumeRequest, ConsumeResult, NextOffset } from './consume-request.ts';
import {
  type ConsumeCursor,
  type ConsumedRecords,
  type CursorRecords,
  dropUnreadable,
  isOutOfRange,
} from './member-reader.ts';
import { inOrder, repeatResponse } from './repeated-response.ts';

/** The state of the member after a call; valid until another call moves its positions. */
export interface CallState {
  callEpoch: number;
  /** The sequence of its last response. */
  lastSeq: number;
  member: GroupMember;
  cursors: Map<string, ConsumeCursor>;
}

/** Offsets in one commit. A member may have thousands of partitions, and each committed offset is a node of the tree. */
const offsetsPerCommit = 1000;

/** What a commit does besides renewing the session of the member. */
interface CommitOptions {
  /** Commits the positions of the last call as offsets. */
  commitsPrevious?: boolean;
  /** Discards the stored positions. */
  forgets?: boolean;
  /** The sequence that the last response must have; else the store moves nothing. */
  expectedSeq?: number | undefined;
}

export class ConsumeCall {
  readonly #group: string;
  readonly #memberId: string;
  readonly #request: ConsumeRequest;
  readonly #parts: ConsumeDependencies;
  /** The partitions of the member, by `topic:partition`. */
  #cursors = new Map<string, ConsumeCursor>();
  #member!: GroupMember;
  #zxid = 0;
  /** Only the call with the member's newest call epoch may move its positions. */
  #callEpoch: 'new' | number = 'new';
  /** The sequence of the member's last response. */
  #lastSeq = 0;
  /** The sequences of the member's last two responses, set if `expectedSeq` is not that of the last one. */
  #staleSeq: CommittedUpdate<unknown>['staleSeq'];
  /** Cursors that this call has moved. */
  readonly #movedCursors = new Set<ConsumeCursor>();
  #isSuperseded = false;
  #hasChanged = false;
  #wait: AbortController | undefined;

  constructor(group: string, memberId: string, request: ConsumeRequest, parts: ConsumeDependencies) {
    this.#group = group;
    this.#memberId = memberId;
    this.#request = request;
    this.#parts = parts;
  }

  /** Ends the wait for records. @param hasChanged whether the group may have changed */
  wake(hasChanged: boolean): void {
    if (hasChanged) this.#hasChanged = true;
    this.#wait?.abort();
  }

  /** The state from which the next call can resume; undefined if this call is superseded. */
  get state(): CallState | undefined {
    if (this.#isSuperseded || this.#callEpoch === 'new') return undefined;
    return { callEpoch: this.#callEpoch, lastSeq: this.#lastSeq, member: this.#member, cursors: this.#cursors };
  }

  /**
   * Resumes from the state of the member's last call. It takes records first and then makes one commit, which releases
   * partitions, commits offsets and moves the positions; run() needs two. The store refuses the commit if the member has made
   * another call meanwhile.
   * @param hasFreshBounds whether the bounds of the logs were read just now
   * @returns undefined if there is nothing to return yet: the caller must call run()
   */
  async resume(state: CallState, hasFreshBounds: boolean, signal: AbortSignal): Promise<ConsumeResult | undefined> {
    const { callEpoch, lastSeq, member, cursors } = state;
    if ([...cursors.values()].some(({ offset }) => offset === unknownOffset)) return undefined;
    this.#callEpoch = callEpoch;
    this.#lastSeq = lastSeq;
    this.#member = member;
    this.#cursors = cursors;
    try {
      for (const cursor of cursors.values()) dropUnreadable(cursor, this.#request.form);
      if (!hasFreshBounds) await this.#parts.reader.refreshBounds(cursors.values());
      this.#resetOutOfRange();
      const taken = await this.#parts.reader.takeRecords(this.#readable(), this.#request);
      if (taken.length > 0 && !signal.aborted) {
        await Promise.all([this.#begin(), this.#encode(taken)]);
        const owned = this.#isSuperseded || this.#staleSeq ? [] : this.#stillOwned(taken);
        if (owned.length > 0) return this.#result(owned);
      }
    } catch (error) {
      // The cached state may be old: run() reads it from the store.
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
    }
    this.#callEpoch = 'new';
    this.#cursors = new Map();
    this.#movedCursors.clear();
    this.#isSuperseded = false;
    this.#staleSeq = undefined;
    return undefined;
  }

  /**
   * Reads the positions from the store, and returns records as soon as there are any, the assignment changes, `waitMs` is over
   * or `signal` is aborted.
   * @throws ServiceError as GroupConsumer.consume
   */
  async run(signal: AbortSignal): Promise<ConsumeResult> {
    const deadline = performance.now() + this.#request.waitMs;
    await this.#begin();
    if (this.#staleSeq) return repeatResponse(this.#group, this.#memberId, this.#request, this.#parts, this.#staleSeq);
    const initialAssignment = JSON.stringify(assignmentOf(this.#member));
    let renewedAt = performance.now();
    // A call whose client has disconnected must not move the positions.
    while (!this.#isSuperseded && !signal.aborted) {
      await this.#resolveStartOffsets();
      await this.#parts.reader.refreshBounds(this.#cursors.values());
      this.#resetOutOfRange();
      const taken = await this.#parts.reader.takeRecords(this.#readable(), this.#request);
      const isOver = performance.now() >= deadline;
      const isMoved = [...this.#cursors.values()].some((cursor) => !cursor.isStored);
      const intervalMs = heartbeatIntervalMs(this.#member.sessionTimeoutMs);
      if (isMoved || this.#hasChanged || performance.now() - renewedAt >= intervalMs) {
        this.#hasChanged = false;
        await Promise.all([this.#commitAll({}), this.#encode(taken)]);
        renewedAt = performance.now();
      }
      const owned = this.#stillOwned(taken);
      if (owned.length > 0 || isOver) return this.#result(owned);
      // The bounds of a new partition must be read before the call can wait for records.
      if (this.#hasChanged || [...this.#cursors.values()].some(({ log }) => log === undefined)) continue;
      // The signal may have been aborted before there was a wait to end.
      if (signal.aborted || JSON.stringify(assignmentOf(this.#member)) !== initialAssignment) break;
      await this.#waitForMore(Math.min(deadline - performance.now(), intervalMs));
    }
    return this.#result([]);
  }

  /** Commits, and then commits the offsets that the reset policy has chosen, some at a time. */
  async #commitAll(what: CommitOptions): Promise<void> {
    await this.#commit(what);
    const hasResets = () => [...this.#cursors.values()].some(({ resetTo }) => resetTo !== undefined);
    while (!this.#isSuperseded && !this.#staleSeq && hasResets()) await this.#commit({});
  }

  /** The first commit of the call: it discards or commits the earlier positions. */
  async #begin(): Promise<void> {
    const { commit, from, expectedSeq } = this.#request;
    await this.#commitAll({
      expectedSeq,
      commitsPrevious: from === 'position' && commit === 'previous',
      forgets: from === 'committed',
    });
  }

  /** The cursors of topics that the caller may read. A pattern may have matched others. */
  #readable(): ConsumeCursor[] {
    const { mayRead } = this.#request;
    const all = [...this.#cursors.values()];
    return mayRead ? all.filter(({ topic }) => mayRead(topic)) : all;
  }

  /** Renews the member's session, releases what it must release, stores its positions, and takes over its assignment. */
  async #commit(what: CommitOptions): Promise<void> {
    const outcome = await this.#parts.states.update(this.#group, (stored) => {
      const document = requireGroup(this.#group, stored);
      const before = heldBy(callingMember(document, this.#memberId, this.#request.credential));
      const next = consume(document, this.#memberId);
      const member = memberOf(next, this.#memberId);
      const { valid, added } = cursorsOf(document, member, this.#cursors);
      const resets = [...valid.values()].filter(({ resetTo }) => resetTo !== undefined).slice(0, offsetsPerCommit);
      const isReset = (at: TopicPartition) => valid.get(cursorKey(at))?.resetTo !== undefined;
      const isCommitted = (at: TopicPartition) => valid.get(cursorKey(at))?.isCommitted === true;
      const previous = what.commitsPrevious ? before.filter((at) => !isReset(at) && !isCommitted(at)) : [];
      const commit: GroupCommit['consume'] = {
        memberId: this.#memberId,
        callEpoch: this.#callEpoch,
        ...(what.expectedSeq !== undefined && { expectedSeq: what.expectedSeq }),
        set: [...valid.values()].filter(({ isStored, offset }) => !isStored && offset !== unknownOffset),
        commit: [...previous.map((at) => knownPartition(document, at)), ...resets],
      };
      const positionsToClear = what.forgets ? before : [];
      return {
        document: next,
        commit: {
          allowOom: true,
          sessionsToRenew: renewalOf(member),
          positionsToClear,
          positionsToRead: added,
          consume: commit,
        },
        result: { member, valid, added, resets, previous },
      };
    });
    const { member, valid, added, resets, previous } = outcome.result;
    this.#member = member;
    if (outcome.refused) {
      this.#isSuperseded = true;
      return;
    }
    this.#staleSeq = outcome.staleSeq;
    if (outcome.staleSeq) return;
    this.#zxid = outcome.zxid;
    this.#lastSeq = outcome.lastSeq;
    if (this.#callEpoch === 'new') this.#callEpoch = outcome.callEpoch;
    for (const at of previous) {
      const cursor = valid.get(cursorKey(at));
      if (cursor) cursor.isCommitted = true;
    }
    for (const cursor of valid.values()) {
      if (!cursor.isStored) {
        this.#movedCursors.add(cursor);
        cursor.isCommitted = false;
      }
      cursor.isStored = cursor.offset !== unknownOffset;
      cursor.start = undefined;
    }
    for (const cursor of resets) cursor.resetTo = undefined;
    this.#cursors = valid;
    for (const [index, { position, committed }] of outcome.positions.entries()) {
      const cursor = {
        ...required(added[index], 'partition of a position'),
        offset: position ?? committed ?? unknownOffset,
        isStored: position !== undefined,
      };
      this.#cursors.set(cursorKey(cursor), cursor);
    }
  }

  /** Chooses the offset for partitions that have neither a position nor a committed offset. */
  async #resolveStartOffsets(): Promise<void> {
    const unplaced = [...this.#cursors.values()].filter(({ offset }) => offset === unknownOffset);
    if (unplaced.length === 0) return;
    const { reset } = this.#member;
    const bounds = await this.#parts.logs.bounds(unplaced);
    for (const [index, cursor] of unplaced.entries()) {
      if (reset === 'none') throw noCommittedOffset(this.#group, cursor);
      cursor.offset = initialOffset(reset, cursor, bounds[index]);
      const { offset } = cursor;
      if (mustCommitReset(reset, unknownOffset, offset)) cursor.resetTo = { offset, isBack: false };
    }
  }

  /** Applies the reset policy to cursors outside of their logs. @throws ServiceError OFFSET_OUT_OF_RANGE for `none` */
  #resetOutOfRange(): void {
    for (const cursor of this.#cursors.values()) {
      const { log } = cursor;
      if (!isOutOfRange(cursor) || !log || log === 'missing') continue;
      if (this.#member.reset === 'none') throw outOfRange(this.#group, cursor, log);
      const { offset: before } = cursor;
      const offset = resetOffset(this.#member.reset, log);
      if (mustCommitReset(this.#member.reset, before, offset)) cursor.resetTo = { offset, isBack: before > offset };
      cursor.offset = offset;
      cursor.prefetched = undefined;
      cursor.isStored = false;
    }
  }

  /** The taken records without those of partitions that the member has lost meanwhile: another member reads them. */
  #stillOwned(taken: CursorRecords[]): ConsumedRecords[] {
    const owned = taken.filter(({ cursor }) => this.#cursors.get(cursorKey(cursor)) === cursor);
    return owned.map(({ records }) => records);
  }

  async #waitForMore(timeoutMs: number): Promise<void> {
    if (timeoutMs <= 0) return;
    this.#request.onWait?.();
    this.#wait = new AbortController();
    await this.#parts.reader.waitForMore(this.#readable(), timeoutMs, this.#wait.signal);
    this.#wait = undefined;
  }

  #result(records: ConsumedRecords[]): ConsumeResult {
    return {
      zxid: this.#zxid,
      lastSeq: this.#lastSeq,
      memberEpoch: this.#member.memberEpoch,
      assignment: assignmentOf(this.#member),
      partitions: this.#isSuperseded ? [] : this.#nextOffsets(),
      records: this.#isSuperseded ? [] : inOrder(records),
      ...(this.#isSuperseded && { isSuperseded: true }),
    };
  }

  /** Encodes the records while the store commits: a commit takes about as long, as it waits for the disk. */
  async #encode(taken: CursorRecords[]): Promise<void> {
    if (this.#request.hasOwnEncoding) return;
    await new Promise((resolve) => setImmediate(resolve));
    for (const { records } of taken) records.parts();
  }

  #nextOffsets(): NextOffset[] {
    const moved = [...this.#cursors.values()].filter(
      (cursor) => this.#movedCursors.has(cursor) && cursor.offset !== unknownOffset,
    );
    return inOrder(moved.map(({ topic, partition, offset }) => ({ topic, partition, nextOffset: offset })));
  }
}
