// What a broker remembers of the last consume calls of members: where they are and, for a moment, what was read ahead for
// the next one while the member is at work on the answer. It is bounded in bytes and in time, and never needed.
import type { RecordLimits } from '../../../core/records/fetched-records.ts';
import type { CallState, ConsumeRequest } from './consume-call.ts';
import { lagOf, type MemberReader, prefetchedBytesOf } from './member-reader.ts';

/** Of how many members the last call is remembered, those of the latest. */
const membersMax = 10_000;
/** What may be ahead for all members together. */
const prefetchedBytesMax = 32 * 1024 * 1024;
/** What is read ahead for one member. */
const memberBytesMax = 4 * 1024 * 1024;
/** How long it is kept. A member that comes later than that once is not read ahead for. */
const prefetchTtlMs = 1000;

interface LastCall {
  state: CallState;
  respondedAt: number;
  /** How many connections to the store had been lost by then. */
  connectionLosses: number;
  /** What it counts for in the sum. */
  bytes: number;
  /** Of what is read ahead, while it is under way. */
  reading: Promise<void> | undefined;
  /** The logs were looked at after the answer. */
  hasFreshBounds: boolean;
}

export class PrefetchCache {
  readonly #reader: MemberReader;
  readonly #connectionLosses: () => number;
  readonly #calls = new Map<string, LastCall>();
  #bytes = 0;
  #dropping: NodeJS.Timeout | undefined;

  /** @param connectionLosses how often a connection to the store was lost: what was read before that is not given out any more */
  constructor(reader: MemberReader, connectionLosses: () => number) {
    this.#reader = reader;
    this.#connectionLosses = connectionLosses;
  }

  /** What is held in memory of what was read ahead, or reserved for it. */
  get prefetchedBytes(): number {
    return this.#bytes;
  }

  /**
   * What a call of the member may go on from. It is the caller's, and not remembered any more.
   * @returns `hasFreshBounds` = its logs were looked at just now; `isPrompt` = it comes soon after the last answer. Undefined if there
   *   is nothing to go on from, or the call says that it does not
   */
  async take(
    key: string,
    { from, expectedSeq }: Pick<ConsumeRequest, 'from' | 'expectedSeq'>,
  ): Promise<{ state: CallState; hasFreshBounds: boolean; isPrompt: boolean } | undefined> {
    const last = this.#calls.get(key);
    // A late copy of an earlier call takes nothing away from the next.
    if (!last || (expectedSeq !== undefined && expectedSeq !== last.state.lastSeq)) return undefined;
    this.#forget(key);
    if (from === 'committed') return undefined;
    const isPrompt = performance.now() - last.respondedAt < prefetchTtlMs;
    // If it fails now, so would the call.
    await last.reading;
    if (!isPrompt || last.connectionLosses !== this.#connectionLosses()) drop(last);
    const { state, hasFreshBounds } = last;
    return { state, hasFreshBounds, isPrompt };
  }

  /** Remembers where a member is. @param mayPrefetch if it has more to read, the next call is likely to come soon */
  put(key: string, state: CallState, { maxRecords, maxBytes }: RecordLimits, mayPrefetch: boolean): void {
    const respondedAt = performance.now();
    const last: LastCall = {
      state,
      respondedAt,
      connectionLosses: this.#connectionLosses(),
      bytes: 0,
      reading: undefined,
      hasFreshBounds: false,
    };
    this.#forget(key);
    this.#calls.set(key, last);
    if (this.#calls.size > membersMax) this.#forget(this.#calls.keys().next().value!);
    this.#count(last, prefetchedBytesOf(state.cursors.values()));
    if (this.#bytes > prefetchedBytesMax) this.#drop(last);
    if (!this.#dropping) this.#dropping = setTimeout(() => this.#dropOld(), prefetchTtlMs).unref();
    const limits = { maxRecords, maxBytes: Math.min(maxBytes, memberBytesMax) };
    const hasMore = [...state.cursors.values()].some((cursor) => lagOf(cursor) > 0);
    if (!mayPrefetch || !hasMore || this.#bytes + limits.maxBytes > prefetchedBytesMax) return;
    this.#count(last, last.bytes + limits.maxBytes);
    last.reading = this.#prefetch(key, last, limits);
    // Else the next call reads for itself, and says what is wrong.
    last.reading.catch(() => this.#drop(last));
  }

  async #prefetch(key: string, last: LastCall, limits: RecordLimits): Promise<void> {
    const cursors = [...last.state.cursors.values()];
    try {
      await this.#reader.prefetch(cursors, limits);
      last.hasFreshBounds = true;
    } finally {
      last.reading = undefined;
    }
    if (this.#calls.get(key) !== last) return;
    this.#count(last, prefetchedBytesOf(cursors));
    if (this.#bytes > prefetchedBytesMax || performance.now() - last.respondedAt >= prefetchTtlMs) this.#drop(last);
  }

  #dropOld(): void {
    this.#dropping = undefined;
    const now = performance.now();
    for (const last of this.#calls.values()) {
      if (now - last.respondedAt >= prefetchTtlMs) {
        this.#drop(last);
      } else {
        this.#dropping = setTimeout(() => this.#dropOld(), last.respondedAt + prefetchTtlMs - now).unref();
        return;
      }
    }
  }

  #forget(key: string): void {
    const last = this.#calls.get(key);
    if (last) this.#count(last, 0);
    this.#calls.delete(key);
  }

  #drop(last: LastCall): void {
    drop(last);
    this.#count(last, 0);
  }

  #count(last: LastCall, bytes: number): void {
    this.#bytes += bytes - last.bytes;
    last.bytes = bytes;
  }
}

function drop(last: LastCall): void {
  for (const cursor of last.state.cursors.values()) cursor.prefetched = undefined;
  last.hasFreshBounds = false;
}
