// One consume call of a member, step by step. A consume call is also the member's heartbeat, and says that all that was
// given out before is dealt with; so what the member shall no longer have is let go of right there, also while it waits.
import type { TopicPartitions } from '../../../core/groups/assignors/assignor.ts';
import {
  comparePartitions,
  type GroupDocument,
  type GroupMember,
  heartbeatIntervalMs,
  heldBy,
  memberOf,
  requireGroup,
  type TopicPartition,
} from '../../../core/groups/group-document.ts';
import { consume } from '../../../core/groups/group-state.ts';
import { assignmentOf } from '../../../core/groups/member-reconciliation.ts';
import { checkCredential, type MemberCredential } from '../../../core/groups/member-secret.ts';
import { hasCode, ServiceError } from '../../../core/service-error.ts';
import type { GroupCommit } from '../../../store/groups/groups.ts';
import type { Logs } from '../../../store/log/logs.ts';
import type { GroupStateManager } from '../group-state-manager.ts';
import type { CommittedUpdate } from '../group-update.ts';
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
import {
  type ConsumeCursor,
  type ConsumedRecords,
  type CursorRecords,
  isOutOfRange,
  type MemberReader,
} from './member-reader.ts';

export interface ConsumeRequest {
  waitMs: number;
  maxRecords: number;
  /** The first record always comes, however large. */
  maxBytes: number;
  /** `previous`: what the last call gave out is committed now. */
  commit: 'manual' | 'previous';
  /** `committed`: forget the positions, commit nothing, and read on from what is committed. */
  from: 'position' | 'committed';
  /** What the caller was given last, by the `next` of that answer, 0 = nothing yet; undefined = it does not say. */
  expectedSeq: number | undefined;
  /** What the caller presents to speak for the member. */
  credential: MemberCredential;
  /** Called when the call begins to wait for records. */
  onWait?(): void;
}

export interface ConsumeResult {
  zxid: number;
  /** The `after` of the next call. */
  lastSeq: number;
  memberEpoch: number;
  assignment: TopicPartitions[];
  /** Where the member is by this call, in the partitions in which it has moved. */
  partitions: NextOffset[];
  records: ConsumedRecords[];
}

export interface NextOffset extends TopicPartition {
  /** What to commit once all records before it are dealt with. */
  nextOffset: number;
}

/** What a call of a member has left: where it is, if no other call has moved it meanwhile. */
export interface CallState {
  callEpoch: number;
  /** The number of what it was given last. */
  lastSeq: number;
  member: GroupMember;
  cursors: Map<string, ConsumeCursor>;
}

/** How many places one commit takes: a member may have thousands of partitions, and each is a node of the tree. */
const offsetsPerCommit = 1000;

/** What the calls of all members lean on. */
export interface ConsumeDependencies {
  states: GroupStateManager;
  reader: MemberReader;
  logs: Logs;
}

/** What a commit of a call does besides keeping the member alive. */
interface CommitOptions {
  commitsPrevious?: boolean;
  forgets?: boolean;
  expectedSeq?: number | undefined;
}

export class ConsumeCall {
  readonly #group: string;
  readonly #memberId: string;
  readonly #request: ConsumeRequest;
  readonly #parts: ConsumeDependencies;
  /** By `topic:partition`, the partitions that the member has. */
  #cursors = new Map<string, ConsumeCursor>();
  #member!: GroupMember;
  #zxid = 0;
  /** The number of this call; only the member's newest may move its positions. */
  #callEpoch: 'new' | number = 'new';
  /** The number of what the member was given last. */
  #lastSeq = 0;
  /** What the member was given last, and before that, if that is not what the caller says. */
  #staleSeq: CommittedUpdate<unknown>['staleSeq'];
  /** The cursors that this call has moved. */
  readonly #moved = new Set<ConsumeCursor>();
  #isSuperseded = false;
  #hasChanged = false;
  #wait: AbortController | undefined;

  constructor(group: string, memberId: string, request: ConsumeRequest, parts: ConsumeDependencies) {
    this.#group = group;
    this.#memberId = memberId;
    this.#request = request;
    this.#parts = parts;
  }

  /** Ends the wait under way. @param hasChanged the group may have changed */
  wake(hasChanged: boolean): void {
    if (hasChanged) this.#hasChanged = true;
    this.#wait?.abort();
  }

  /** What the next call of the member may go on from. */
  get state(): CallState | undefined {
    if (this.#isSuperseded || this.#callEpoch === 'new') return undefined;
    return { callEpoch: this.#callEpoch, lastSeq: this.#lastSeq, member: this.#member, cursors: this.#cursors };
  }

  /**
   * Goes on where an earlier call of the member is. It takes records first, and then does in one step of the store what
   * `run` does in two: it lets go, commits what came before, and moves on; the store refuses that if the member has made
   * another call meanwhile.
   * @param hasFreshBounds the logs were looked at just now
   * @returns undefined if it must begin like any call
   */
  async resume(state: CallState, hasFreshBounds: boolean, signal: AbortSignal): Promise<ConsumeResult | undefined> {
    const { callEpoch, lastSeq, member, cursors } = state;
    if ([...cursors.values()].some(({ offset }) => offset === unknownOffset)) return undefined;
    this.#callEpoch = callEpoch;
    this.#lastSeq = lastSeq;
    this.#member = member;
    this.#cursors = cursors;
    try {
      if (!hasFreshBounds) await this.#parts.reader.look(cursors.values());
      this.#resetOutOfRange();
      const taken = await this.#parts.reader.take(cursors.values(), this.#request);
      if (taken.length > 0 && !signal.aborted) {
        await Promise.all([this.#begin(), encodeRecords(taken)]);
        const kept = this.#isSuperseded || this.#staleSeq ? [] : this.#stillOwned(taken);
        if (kept.length > 0) return this.#answer(kept);
      }
    } catch (error) {
      // By what is remembered; the store may know better.
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
    }
    this.#callEpoch = 'new';
    this.#cursors = new Map();
    this.#moved.clear();
    this.#isSuperseded = false;
    this.#staleSeq = undefined;
    return undefined;
  }

  async run(signal: AbortSignal): Promise<ConsumeResult> {
    const deadline = performance.now() + this.#request.waitMs;
    await this.#begin();
    if (this.#staleSeq) return this.#repeat(this.#staleSeq);
    const told = JSON.stringify(assignmentOf(this.#member));
    let heardAt = performance.now();
    // Who has gone away must not be given anything more.
    while (!this.#isSuperseded && !signal.aborted) {
      await this.#resolveStartOffsets();
      await this.#parts.reader.look(this.#cursors.values());
      this.#resetOutOfRange();
      const taken = await this.#parts.reader.take(this.#cursors.values(), this.#request);
      const isOver = performance.now() >= deadline;
      const isMoved = [...this.#cursors.values()].some((cursor) => !cursor.isStored);
      const intervalMs = heartbeatIntervalMs(this.#member.sessionTimeoutMs);
      if (isMoved || this.#hasChanged || performance.now() - heardAt >= intervalMs) {
        this.#hasChanged = false;
        await Promise.all([this.#commitAll({}), encodeRecords(taken)]);
        heardAt = performance.now();
      }
      const kept = this.#stillOwned(taken);
      if (kept.length > 0 || isOver) return this.#answer(kept);
      // A new partition has to be looked at before there is anything to wait for.
      if (this.#hasChanged || [...this.#cursors.values()].some(({ log }) => log === undefined)) continue;
      // An abort that came while nothing was waited for has woken nobody.
      if (signal.aborted || JSON.stringify(assignmentOf(this.#member)) !== told) break;
      await this.#waitForMore(Math.min(deadline - performance.now(), intervalMs));
    }
    return this.#answer([]);
  }

  /**
   * The answer to a call that was made before, as nobody has gone on from its answer: the same records, as far as the
   * member has the partitions and the logs have the records. Nothing is committed, let go of or moved on, whichever of
   * the two calls it was that came late.
   */
  async #repeat({ lastSeq, prevSeq }: { lastSeq: number; prevSeq: number }): Promise<ConsumeResult> {
    const expectedSeq = this.#request.expectedSeq!;
    if (expectedSeq !== prevSeq) throw stalePosition(this.#memberId, expectedSeq, lastSeq);
    const decided = await this.#parts.states.update(this.#group, (stored) => {
      const document = requireGroup(this.#group, stored);
      const member = this.#memberIn(document);
      const wanted = heldBy(member).map((at) => knownPartition(document, at));
      const consume: GroupCommit['consume'] = {
        memberId: this.#memberId,
        expectedSeq,
        isRepeat: true,
      };
      const renew = { sessionId: member.sessionId, ttlMs: member.sessionTimeoutMs };
      return { commit: { allowOom: true, renew, wanted, consume }, result: { member, wanted } };
    });
    if (decided.staleSeq) throw stalePosition(this.#memberId, expectedSeq, decided.staleSeq.lastSeq);
    const { member, wanted } = decided.result;
    const reads = decided.positions.map(async ({ start, position }, i) =>
      start === undefined ? undefined : this.#parts.reader.range(wanted[i]!, start, position!),
    );
    const records = inOrder((await Promise.all(reads)).filter((read) => read !== undefined));
    const partitions = decided.positions.flatMap(({ topic, partition, start, position }) =>
      start === undefined ? [] : [{ topic, partition, nextOffset: position! }],
    );
    return {
      zxid: decided.zxid,
      lastSeq: decided.lastSeq,
      memberEpoch: member.memberEpoch,
      assignment: assignmentOf(member),
      partitions: partitions.sort(comparePartitions),
      records,
    };
  }

  /** @throws ServiceError UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED */
  #memberIn(document: GroupDocument): GroupMember {
    const member = memberOf(document, this.#memberId);
    checkCredential(member, this.#request.credential);
    return member;
  }

  /** As #commit, until all places are committed that the reset policy has found. */
  async #commitAll(what: CommitOptions): Promise<void> {
    await this.#commit(what);
    const hasPlaces = () => [...this.#cursors.values()].some(({ place }) => place !== undefined);
    while (!this.#isSuperseded && !this.#staleSeq && hasPlaces()) await this.#commit({});
  }

  /** The first commit of the call: it takes back or commits what came before. */
  async #begin(): Promise<void> {
    const { commit, from, expectedSeq } = this.#request;
    await this.#commitAll({
      expectedSeq,
      commitsPrevious: from === 'position' && commit === 'previous',
      forgets: from === 'committed',
    });
  }

  /** Keeps the member alive, lets go of what it shall not have, stores its positions, and learns what it has. */
  async #commit(what: CommitOptions): Promise<void> {
    const decided = await this.#parts.states.update(this.#group, (stored) => {
      const document = requireGroup(this.#group, stored);
      const before = heldBy(this.#memberIn(document));
      const next = consume(document, this.#memberId);
      const member = memberOf(next, this.#memberId);
      const { kept, wanted } = cursorsOf(document, member, this.#cursors);
      const places = [...kept.values()].filter(({ place }) => place !== undefined).slice(0, offsetsPerCommit);
      const hasPlace = (at: TopicPartition) => kept.get(cursorKey(at))?.place !== undefined;
      const previous = what.commitsPrevious ? before.filter((at) => !hasPlace(at)) : [];
      const commit: GroupCommit['consume'] = {
        memberId: this.#memberId,
        callEpoch: this.#callEpoch,
        ...(what.expectedSeq !== undefined && { expectedSeq: what.expectedSeq }),
        set: [...kept.values()].filter(({ isStored, offset }) => !isStored && offset !== unknownOffset),
        commit: [...previous.map((at) => knownPartition(document, at)), ...places],
      };
      const renew = { sessionId: member.sessionId, ttlMs: member.sessionTimeoutMs };
      const forget = what.forgets ? before : [];
      return {
        document: next,
        commit: { allowOom: true, renew, forget, wanted, consume: commit },
        result: { member, kept, wanted, places },
      };
    });
    const { member, kept, wanted, places } = decided.result;
    this.#member = member;
    if (decided.refused) {
      this.#isSuperseded = true;
      return;
    }
    this.#staleSeq = decided.staleSeq;
    if (decided.staleSeq) return;
    this.#zxid = decided.zxid;
    this.#lastSeq = decided.lastSeq;
    if (this.#callEpoch === 'new') this.#callEpoch = decided.callEpoch;
    for (const cursor of kept.values()) {
      if (!cursor.isStored) this.#moved.add(cursor);
      cursor.isStored = cursor.offset !== unknownOffset;
      cursor.start = undefined;
    }
    for (const cursor of places) cursor.place = undefined;
    this.#cursors = kept;
    for (const [index, { position, committed }] of decided.positions.entries()) {
      const cursor = {
        ...wanted[index]!,
        offset: position ?? committed ?? unknownOffset,
        isStored: position !== undefined,
      };
      this.#cursors.set(cursorKey(cursor), cursor);
    }
  }

  /** Finds where to begin in partitions for which there is neither a position nor a committed offset. */
  async #resolveStartOffsets(): Promise<void> {
    const unplaced = [...this.#cursors.values()].filter(({ offset }) => offset === unknownOffset);
    if (unplaced.length === 0) return;
    const { reset } = this.#member;
    const bounds = await this.#parts.logs.bounds(unplaced);
    for (const [index, cursor] of unplaced.entries()) {
      if (reset === 'none') throw noCommittedOffset(this.#group, cursor);
      cursor.offset = initialOffset(reset, cursor, bounds[index]);
      const { offset } = cursor;
      if (mustCommitReset(reset, unknownOffset, offset)) cursor.place = { offset, isBack: false };
    }
  }

  /** Places cursors that are outside of their logs by the reset policy. @throws ServiceError OFFSET_OUT_OF_RANGE for `none` */
  #resetOutOfRange(): void {
    for (const cursor of this.#cursors.values()) {
      const { log } = cursor;
      if (!isOutOfRange(cursor) || !log || log === 'gone') continue;
      if (this.#member.reset === 'none') throw outOfRange(this.#group, cursor, log);
      const { offset: before } = cursor;
      const offset = resetOffset(this.#member.reset, log);
      if (mustCommitReset(this.#member.reset, before, offset)) cursor.place = { offset, isBack: before > offset };
      cursor.offset = offset;
      cursor.prefetched = undefined;
      cursor.isStored = false;
    }
  }

  /** Without what was taken from the member meanwhile: that is another's to read. */
  #stillOwned(taken: CursorRecords[]): ConsumedRecords[] {
    const kept = taken.filter(({ cursor }) => this.#cursors.get(cursorKey(cursor)) === cursor);
    return kept.map(({ records }) => records);
  }

  async #waitForMore(timeoutMs: number): Promise<void> {
    if (timeoutMs <= 0) return;
    this.#request.onWait?.();
    this.#wait = new AbortController();
    await this.#parts.reader.waitForMore(this.#cursors.values(), timeoutMs, this.#wait.signal);
    this.#wait = undefined;
  }

  #answer(records: ConsumedRecords[]): ConsumeResult {
    return {
      zxid: this.#zxid,
      lastSeq: this.#lastSeq,
      memberEpoch: this.#member.memberEpoch,
      assignment: assignmentOf(this.#member),
      partitions: this.#isSuperseded ? [] : this.#nextOffsets(),
      records: this.#isSuperseded ? [] : inOrder(records),
    };
  }

  #nextOffsets(): NextOffset[] {
    const moved = [...this.#cursors.values()].filter(
      (cursor) => this.#moved.has(cursor) && cursor.offset !== unknownOffset,
    );
    return moved
      .map(({ topic, partition, offset }) => ({ topic, partition, nextOffset: offset }))
      .sort(comparePartitions);
  }
}

/** By topic and partition, whoever had a turn first: so a call that is sent again has the same answer. */
function inOrder(records: ConsumedRecords[]): ConsumedRecords[] {
  return records.toSorted(comparePartitions);
}

/** Puts the texts of records together while the store is at work: a commit waits for the disk, and those take as long. */
async function encodeRecords(taken: CursorRecords[]): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  for (const { records } of taken) records.json();
}

function stalePosition(memberId: string, expectedSeq: number, lastSeq: number): ServiceError {
  return new ServiceError(
    'STALE_POSITION',
    `The call goes on after ${expectedSeq}, but member '${memberId}' was given ${lastSeq} last: it is an old one that came late, ` +
      'or there is another caller. Nothing was done. Ask with from=committed for what is not committed yet.',
    { memberId, after: expectedSeq, given: lastSeq },
  );
}
