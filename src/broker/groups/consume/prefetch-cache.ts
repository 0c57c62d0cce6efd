// Caches the state after the last consume call of each member on this broker: its positions and, for a short time, records
// prefetched for its next call. The cache is bounded in members, bytes and time; a call works without it.
import type { CallState } from './consume-call.ts';
import type { ConsumeRequest } from './consume-request.ts';
import { type ConsumeLimits, lagOf, type MemberReader, prefetchedBytesOf } from './member-reader.ts';

/** Most members in the cache; the member with the oldest call is evicted. */
const membersMax = 10_000;
/** Most prefetched bytes of all members together. */
const prefetchedBytesMax = 32 * 1024 * 1024;
/** Most prefetched bytes of one member. */
const memberBytesMax = 4 * 1024 * 1024;
/** How long prefetched records stay cached, ms. A member whose calls come less often than that gets no prefetch. */
const prefetchTtlMs = 1000;

interface LastCall {
  state: CallState;
  respondedAt: number;
  /** The number of lost connections to the store at the time of the response. */
  connectionLosses: number;
  /** The prefetched or reserved bytes of this member. */
  bytes: number;
  /** The prefetch in flight. */
  reading: Promise<void> | undefined;
  /** Whether the bounds of the logs were read after the response, or a moment before. */
  hasFreshBounds: boolean;
}

export class PrefetchCache {
  readonly #reader: MemberReader;
  readonly #connectionLosses: () => number;
  readonly #calls = new Map<string, LastCall>();
  #bytes = 0;
  #dropping: NodeJS.Timeout | undefined;

  /** @param connectionLosses how often a connection to the store was lost; records prefetched before a loss are not returned */
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
   * @returns `hasFreshBounds` = the bounds of its logs were read after the last response, or a moment before; `isPrompt` = the call comes within
   *   `prefetchTtlMs` of the last response. Undefined if nothing is cached, or the request does not match the cached state
   */
  async take(
    key: string,
    { from, expectedSeq }: Pick<ConsumeRequest, 'from' | 'expectedSeq'>,
  ): Promise<{ state: CallState; hasFreshBounds: boolean; isPrompt: boolean } | undefined> {
    const last = this.#calls.get(key);
    // A late copy of an earlier call must not remove the state of a newer one.
    if (!last || (expectedSeq !== undefined && expectedSeq !== last.state.lastSeq)) return undefined;
    this.#forget(key);
    if (from === 'committed') return undefined;
    const isPrompt = performance.now() - last.respondedAt < prefetchTtlMs;
    // If the prefetch fails, the call fails with the same error: reading again would fail as well.
    await last.reading;
    if (!isPrompt || last.connectionLosses !== this.#connectionLosses()) drop(last);
    const { state, hasFreshBounds } = last;
    return { state, hasFreshBounds, isPrompt };
  }

  /** Caches the state after a call. @param mayPrefetch whether the next call is likely to come soon */
  put(key: string, state: CallState, { maxRecords, maxBytes, form }: ConsumeLimits, mayPrefetch: boolean): void {
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
    const [oldest = key] = this.#calls.keys();
    if (this.#calls.size > membersMax) this.#forget(oldest);
    this.#count(last, prefetchedBytesOf(state.cursors.values()));
    if (this.#bytes > prefetchedBytesMax) this.#drop(last);
    if (!this.#dropping) this.#dropping = setTimeout(() => this.#dropOld(), prefetchTtlMs).unref();
    const limits = { maxRecords, maxBytes: Math.min(maxBytes, memberBytesMax - last.bytes), form };
    const hasMore = [...state.cursors.values()].some((cursor) => lagOf(cursor) > 0);
    if (!mayPrefetch || !hasMore || limits.maxBytes <= 0 || this.#bytes + limits.maxBytes > prefetchedBytesMax) return;
    this.#count(last, last.bytes + limits.maxBytes);
    last.reading = this.#prefetch(key, last, limits);
    // On failure the next call reads for itself and reports the error.
    last.reading.catch(() => this.#drop(last));
  }

  async #prefetch(key: string, last: LastCall, limits: ConsumeLimits): Promise<void> {
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

/** Drops what a store that has lost its newest changes would contradict. */
function drop(last: LastCall): void {
  for (const cursor of last.state.cursors.values()) {
    cursor.prefetched = undefined;
    cursor.isCommitted = false;
  }
  last.hasFreshBounds = false;
}
