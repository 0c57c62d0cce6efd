// Caches the state of the last consume calls on one broker: where each member is and, for a moment, records prefetched for its
// next call while it processes the response. The cache is bounded in bytes and time; a call works without it.
import type { RecordLimits } from '../../../core/records/fetched-records.ts';
import type { CallState, ConsumeRequest } from './consume-call.ts';
import { lagOf, type MemberReader, prefetchedBytesOf } from './member-reader.ts';

/** Members in the cache, those of the latest calls. */
const membersMax = 10_000;
/** Prefetched bytes of all members together. */
const prefetchedBytesMax = 32 * 1024 * 1024;
/** Prefetched bytes of one member. */
const memberBytesMax = 4 * 1024 * 1024;
/** How long prefetched records are kept, ms. Nothing is prefetched for a member after a call that came later than that. */
const prefetchTtlMs = 1000;

interface LastCall {
  state: CallState;
  respondedAt: number;
  /** The number of lost connections to the store at that time. */
  connectionLosses: number;
  /** Its part of the bytes in the cache. */
  bytes: number;
  /** The prefetch in flight. */
  reading: Promise<void> | undefined;
  /** Whether the bounds of the logs were read after the response. */
  hasFreshBounds: boolean;
}

export class PrefetchCache {
  readonly #reader: MemberReader;
  readonly #connectionLosses: () => number;
  readonly #calls = new Map<string, LastCall>();
  #bytes = 0;
  #dropping: NodeJS.Timeout | undefined;

  /** @param connectionLosses how often a connection to the store was lost: records prefetched before that are not returned */
  constructor(reader: MemberReader, connectionLosses: () => number) {
    this.#reader = reader;
    this.#connectionLosses = connectionLosses;
  }

  /** Bytes that are prefetched, or reserved for a prefetch in flight. */
  get prefetchedBytes(): number {
    return this.#bytes;
  }

  /**
   * Removes and returns the state at which a call of the member can resume.
   * @returns `hasFreshBounds` = the bounds of its logs were read just now; `isPrompt` = the call comes soon after the last
   *   response. Undefined if nothing is cached, or the request does not match it
   */
  async take(
    key: string,
    { from, expectedSeq }: Pick<ConsumeRequest, 'from' | 'expectedSeq'>,
  ): Promise<{ state: CallState; hasFreshBounds: boolean; isPrompt: boolean } | undefined> {
    const last = this.#calls.get(key);
    // A late copy of an earlier call must not remove the state.
    if (!last || (expectedSeq !== undefined && expectedSeq !== last.state.lastSeq)) return undefined;
    this.#forget(key);
    if (from === 'committed') return undefined;
    const isPrompt = performance.now() - last.respondedAt < prefetchTtlMs;
    // If the prefetch fails, so would the call.
    await last.reading;
    if (!isPrompt || last.connectionLosses !== this.#connectionLosses()) drop(last);
    const { state, hasFreshBounds } = last;
    return { state, hasFreshBounds, isPrompt };
  }

  /** Caches the state after a call. @param mayPrefetch whether the next call is likely to come soon */
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
    // On failure the next call reads for itself and reports the error.
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
