// Reading as a member of a group. A consume call is also the member's heartbeat, and says that all that was given out
// before is dealt with; so what the member shall no longer have is let go of right there, also while the call waits.
//
// Where a member has read to (its positions) is in the store, so its next call may go through any broker. An answer may
// be lost on its way: a member that got none asks again from what is committed, so that nothing is passed over.
import type { Counter } from 'prom-client';
import type { TopicPartitions } from '../core/assignors/assignor.ts';
import { fairShares } from '../core/fair-share.ts';
import type { FetchedRecords } from '../core/fetched-records.ts';
import {
  existing,
  type GroupMember,
  heartbeatIntervalMs,
  heldBy,
  memberOf,
  type TopicPartition,
} from '../core/group-document.ts';
import { consume } from '../core/group-state.ts';
import { assignmentOf } from '../core/reconcile.ts';
import { hasCode } from '../core/service-error.ts';
import type { GroupCommit } from '../store/groups.ts';
import type { LogBounds, Logs } from '../store/logs.ts';
import {
  type Cursor,
  cursorKey,
  cursorsOf,
  knownPartition,
  noCommittedOffset,
  noOffset,
  outOfRange,
  resetOffset,
  topicOf,
} from './group-cursors.ts';
import type { GroupLedger } from './group-ledger.ts';
import type { Fetched, LogReader } from './log-reader.ts';
import type { Topics } from './topics.ts';

export interface ConsumeRequest {
  waitMs: number;
  maxRecords: number;
  /** The first record always comes, however large. */
  maxBytes: number;
  /** `previous`: what the last call gave out is committed now. */
  commit: 'manual' | 'previous';
  /** `committed`: forget the positions, commit nothing, and read on from what is committed. */
  from: 'position' | 'committed';
}

export interface Consumed {
  zxid: number;
  memberEpoch: number;
  assignment: TopicPartitions[];
  records: ConsumedRecords[];
}

/** Records of one partition, in order. */
export interface ConsumedRecords extends TopicPartition {
  records: FetchedRecords;
}

interface PlacedCursor extends Cursor {
  /** Whether the store has this offset as the member's position. */
  isStored: boolean;
}

type Read = ConsumedRecords & { cursor: PlacedCursor };

/** What the last call of a member through this broker has left: where it is, if no other has called meanwhile. */
interface LastCall {
  call: number;
  member: GroupMember;
  cursors: Map<string, PlacedCursor>;
}

/** Of how many members the last call is remembered, those of the latest. */
const lastCallsMax = 10_000;

export class GroupConsumer {
  readonly #ledger: GroupLedger;
  readonly #topics: Topics;
  readonly #reader: LogReader;
  readonly #logs: Logs;

  readonly #given: Counter<'via'>;
  /** By group and member, of those that had more to read. A call takes it, and leaves its own. */
  readonly #lastCalls = new Map<string, LastCall>();

  /** @param given counts the records, here `via` http */
  constructor(ledger: GroupLedger, topics: Topics, reader: LogReader, logs: Logs, given: Counter<'via'>) {
    this.#given = given;
    this.#ledger = ledger;
    this.#topics = topics;
    this.#reader = reader;
    this.#logs = logs;
  }

  /**
   * Records of all partitions that the member has, from its positions on. Waits until there are some, the assignment
   * changes, the time is over, or `signal` is aborted. A newer call of the same member ends an older one with no records.
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID; NO_COMMITTED_OFFSET and OFFSET_OUT_OF_RANGE
   *   for a member whose reset policy is `none`
   */
  async consume(group: string, memberId: string, request: ConsumeRequest, signal: AbortSignal): Promise<Consumed> {
    const key = `${group}/${memberId}`;
    const last = this.#lastCalls.get(key);
    this.#lastCalls.delete(key);
    const call = new ConsumeCall(group, memberId, request, this.#ledger, this.#topics, this.#reader, this.#logs);
    const stop = this.#ledger.watch(group, () => call.wake(true));
    const onAbort = () => call.wake(false);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const consumed = (last && (await call.goOn(last, signal))) ?? (await call.run(signal));
      for (const { records } of consumed.records) this.#given.inc({ via: 'http' }, records.count);
      if (call.left) this.#remember(key, call.left);
      return consumed;
    } finally {
      stop();
      signal.removeEventListener('abort', onAbort);
    }
  }

  #remember(key: string, last: LastCall): void {
    this.#lastCalls.set(key, last);
    if (this.#lastCalls.size > lastCallsMax) this.#lastCalls.delete(this.#lastCalls.keys().next().value!);
  }
}

class ConsumeCall {
  readonly #group: string;
  readonly #memberId: string;
  readonly #request: ConsumeRequest;
  readonly #ledger: GroupLedger;
  readonly #topics: Topics;
  readonly #reader: LogReader;
  readonly #logs: Logs;
  /** By `topic:partition`, the partitions that the member has. */
  #cursors = new Map<string, PlacedCursor>();
  #member!: GroupMember;
  #zxid = 0;
  /** The number of this call; only the member's newest may move its positions. */
  #call: 'new' | number = 'new';
  #isSuperseded = false;
  #hasChanged = false;
  #hasMore = false;
  #wait: AbortController | undefined;

  constructor(
    group: string,
    memberId: string,
    request: ConsumeRequest,
    ledger: GroupLedger,
    topics: Topics,
    reader: LogReader,
    logs: Logs,
  ) {
    this.#group = group;
    this.#memberId = memberId;
    this.#request = request;
    this.#ledger = ledger;
    this.#topics = topics;
    this.#reader = reader;
    this.#logs = logs;
  }

  /** Ends the wait under way. @param hasChanged the group may have changed */
  wake(hasChanged: boolean): void {
    if (hasChanged) this.#hasChanged = true;
    this.#wait?.abort();
  }

  /** What the next call of the member may go on from, if there is more to read. */
  get left(): LastCall | undefined {
    if (!this.#hasMore || this.#isSuperseded || this.#call === 'new') return undefined;
    return { call: this.#call, member: this.#member, cursors: this.#cursors };
  }

  /**
   * Goes on where the member's last call has left records unread. It reads first, and then does in one step of the store
   * what `run` does in two: it lets go, commits what came before, and moves on; the store refuses that if the member has
   * made another call meanwhile.
   * @returns undefined if it must begin like any call
   */
  async goOn({ call, member, cursors }: LastCall, signal: AbortSignal): Promise<Consumed | undefined> {
    if (this.#request.from === 'committed') return undefined;
    this.#call = call;
    this.#member = member;
    this.#cursors = cursors;
    try {
      const read = await this.#fetch(await this.#bounds());
      if (read.length > 0 && !signal.aborted) {
        await this.#begin();
        const kept = this.#isSuperseded ? [] : this.#keptOf(read);
        if (kept.length > 0) return this.#answer(kept);
      }
    } catch (error) {
      // By what is remembered; the store may know better.
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
    }
    this.#call = 'new';
    this.#cursors = new Map();
    this.#isSuperseded = false;
    this.#hasMore = false;
    return undefined;
  }

  async run(signal: AbortSignal): Promise<Consumed> {
    const deadline = performance.now() + this.#request.waitMs;
    await this.#begin();
    const told = JSON.stringify(assignmentOf(this.#member));
    let heardAt = performance.now();
    // Who has gone away must not be given anything more.
    while (!this.#isSuperseded && !signal.aborted) {
      await this.#placeCursors();
      const bounds = await this.#bounds();
      const records = await this.#fetch(bounds);
      const isOver = performance.now() >= deadline;
      const isMoved = [...this.#cursors.values()].some((cursor) => !cursor.isStored);
      const intervalMs = heartbeatIntervalMs(this.#member.sessionTimeoutMs);
      if (isMoved || this.#hasChanged || performance.now() - heardAt >= intervalMs) {
        this.#hasChanged = false;
        await this.#commit({});
        heardAt = performance.now();
      }
      const kept = this.#keptOf(records);
      if (kept.length > 0 || isOver) return this.#answer(kept);
      // A new partition has to be looked at before there is anything to wait for.
      if (this.#hasChanged || [...this.#cursors.values()].some((cursor) => !bounds.has(cursor))) continue;
      // An abort that came while nothing was waited for has woken nobody.
      if (signal.aborted || JSON.stringify(assignmentOf(this.#member)) !== told) break;
      await this.#waitForMore(bounds, Math.min(deadline - performance.now(), intervalMs));
    }
    return this.#answer([]);
  }

  /** The first commit of the call: it takes back or commits what came before. */
  async #begin(): Promise<void> {
    const { commit, from } = this.#request;
    await this.#commit({
      commitsPrevious: from === 'position' && commit === 'previous',
      forgets: from === 'committed',
    });
  }

  /** Keeps the member alive, lets go of what it shall not have, stores its positions, and learns what it has. */
  async #commit(what: { commitsPrevious?: boolean; forgets?: boolean; pins?: PlacedCursor[] }): Promise<void> {
    const decided = await this.#ledger.decide(this.#group, (stored) => {
      const document = existing(this.#group, stored);
      const next = consume(document, this.#memberId);
      const member = memberOf(next, this.#memberId);
      const before = heldBy(memberOf(document, this.#memberId));
      const { kept, wanted } = cursorsOf(document, member, this.#cursors);
      const commit: GroupCommit['consume'] = {
        memberId: this.#memberId,
        call: this.#call,
        set: [...kept.values()].filter(({ isStored, offset }) => !isStored && offset !== noOffset),
        commit: what.commitsPrevious ? before.map((at) => knownPartition(document, at)) : (what.pins ?? []),
      };
      const renew = { sessionId: member.sessionId, ttlMs: member.sessionTimeoutMs };
      const forget = what.forgets ? before : [];
      return {
        document: next,
        commit: { keeps: true, renew, forget, wanted, consume: commit },
        result: { member, kept, wanted },
      };
    });
    const { member, kept, wanted } = decided.result;
    this.#member = member;
    if (decided.refused) {
      this.#isSuperseded = true;
      return;
    }
    this.#zxid = decided.zxid;
    if (this.#call === 'new') this.#call = decided.call;
    for (const cursor of kept.values()) cursor.isStored = cursor.offset !== noOffset;
    this.#cursors = kept;
    for (const [index, { position, committed }] of decided.positions.entries()) {
      const cursor = { ...wanted[index]!, offset: position ?? committed ?? noOffset, isStored: position !== undefined };
      this.#cursors.set(cursorKey(cursor), cursor);
    }
  }

  /** Finds where to begin in partitions for which there is neither a position nor a committed offset. */
  async #placeCursors(): Promise<void> {
    const unplaced = [...this.#cursors.values()].filter(({ offset }) => offset === noOffset);
    if (unplaced.length === 0) return;
    const { reset } = this.#member;
    const bounds = await this.#logs.bounds(unplaced);
    for (const [index, cursor] of unplaced.entries()) {
      if (reset === 'none') throw noCommittedOffset(this.#group, cursor);
      cursor.offset = resetOffset(reset, bounds[index]);
    }
    if (reset !== 'latest') return;
    // The place is committed at once: else what is appended from here on would be passed over by whoever must find it
    // again, this member after a lost answer, or the next owner.
    await this.#commit({});
    await this.#commit({ pins: unplaced.filter((cursor) => this.#cursors.get(cursorKey(cursor)) === cursor) });
    await this.#placeCursors();
  }

  /**
   * The bounds of each log that the member reads, undefined for one that is gone. A cursor outside of them is placed by
   * the reset policy.
   */
  async #bounds(): Promise<Map<PlacedCursor, LogBounds | undefined>> {
    const cursors = [...this.#cursors.values()];
    const found = await this.#logs.bounds(cursors);
    const bounds = new Map<PlacedCursor, LogBounds | undefined>();
    for (const [index, cursor] of cursors.entries()) {
      const log = found[index];
      bounds.set(cursor, log);
      if (!log || (cursor.offset >= log.logStartOffset && cursor.offset <= log.endOffset)) continue;
      if (this.#member.reset === 'none') throw outOfRange(this.#group, cursor, log);
      cursor.offset = resetOffset(this.#member.reset, log);
      cursor.isStored = false;
    }
    return bounds;
  }

  /**
   * Reads what there is, of all partitions at once: each gives as many records as every other, as far as it has them, and
   * the bytes go with the records. If there are more partitions than records to give, chance says which ones have a turn.
   */
  async #fetch(bounds: Map<PlacedCursor, LogBounds | undefined>): Promise<Read[]> {
    const behind = [...bounds].flatMap(([cursor, log]) => {
      const lag = (log?.endOffset ?? 0) - cursor.offset;
      return lag > 0 ? [{ cursor, lag }] : [];
    });
    const start = Math.floor(Math.random() * behind.length);
    const turns = [...behind.slice(start), ...behind.slice(0, start)];
    const { maxRecords, maxBytes } = this.#request;
    const lags = turns.map(({ lag }) => lag);
    const shares = fairShares(lags, maxRecords);
    const all = shares.reduce((sum, share) => sum + share, 0);
    const read = await Promise.all(
      turns.map(async ({ cursor }, i) => {
        const share = shares[i]!;
        if (share === 0) return undefined;
        return this.#fetchFrom(cursor, share, Math.max(1, Math.floor((maxBytes * share) / all)));
      }),
    );
    let bytes = 0;
    const given: Read[] = [];
    for (const [i, fetched] of read.entries()) {
      const { cursor } = turns[i]!;
      // Records that are larger than the share of their partition wait for the next call, but for the first one of all.
      if (!fetched || (given.length > 0 && bytes + fetched.records.bytes > maxBytes)) continue;
      const { topic, partition } = cursor;
      const { records, nextOffset } = fetched;
      bytes += records.bytes;
      if (records.count > 0) given.push({ topic, partition, records, cursor });
      if (nextOffset === cursor.offset) continue;
      cursor.offset = nextOffset;
      cursor.isStored = false;
    }
    this.#hasMore = turns.some(({ cursor }) => cursor.offset < (bounds.get(cursor)?.endOffset ?? 0));
    return given;
  }

  /** Records of one partition; undefined if there are none any more. */
  async #fetchFrom(cursor: PlacedCursor, maxRecords: number, maxBytes: number): Promise<Fetched | undefined> {
    const { partition, offset } = cursor;
    try {
      const topic = await topicOf(this.#topics, cursor);
      return topic && (await this.#reader.fetch({ topic, partition, offset, maxRecords, maxBytes }));
    } catch (error) {
      // Retention or a deletion was faster; the next round sees the log as it is then.
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE') && !hasCode(error, 'UNKNOWN_TOPIC')) throw error;
      return undefined;
    }
  }

  /** Without what was taken from the member meanwhile: that is another's to read. */
  #keptOf(read: Read[]): Read[] {
    return read.filter(({ cursor }) => this.#cursors.get(cursorKey(cursor)) === cursor);
  }

  async #waitForMore(bounds: Map<PlacedCursor, LogBounds | undefined>, timeoutMs: number): Promise<void> {
    if (timeoutMs <= 0) return;
    const logs = [...bounds].flatMap(([{ topicId, partition }, log]) =>
      log ? [{ topicId, partition, endOffset: log.endOffset }] : [],
    );
    this.#wait = new AbortController();
    await this.#reader.waitForAppend(logs, timeoutMs, this.#wait.signal);
    this.#wait = undefined;
  }

  #answer(records: Read[]): Consumed {
    return {
      zxid: this.#zxid,
      memberEpoch: this.#member.memberEpoch,
      assignment: assignmentOf(this.#member),
      records: this.#isSuperseded ? [] : records,
    };
  }
}
