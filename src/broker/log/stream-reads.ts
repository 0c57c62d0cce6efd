// The parts of an endless read that topic tails and the streams of groups share: the sizes of its messages, the credit of its
// reader, and the wait for room.
import type { FetchedRecords } from '../../core/records/fetched-records.ts';
import type { FetchResult } from './log-reader.ts';

/** Most records in one message. */
const streamRecordsMax = 500;
/** Most bytes of records in one message; the first record is sent however large it is. */
export const streamBytesMax = 256 * 1024;
/** Longest wait for an append, ms. The log reader itself finds appends whose notification was lost, much sooner. */
export const appendWaitMs = 300_000;

/** What a reader takes: nothing is read for it beyond its credit. */
export interface StreamSink {
  /** Undefined if a record can be sent now; else a promise that resolves when that may have changed or the sink is closed. */
  room(): Promise<void> | undefined;
  /** How many records the reader takes now. */
  credit(): number;
}

/** The read position in one partition. */
export interface StreamPosition {
  /** Of the next record. */
  offset: number;
  /** Whether the last read reached the end of the log. */
  isAtEnd: boolean;
  /** When it was last read, as performance.now(). */
  readAt?: number;
}

/**
 * How many records to request. At the end of the log all readers send the same request, so that they share one read. Records
 * beyond the credit are dropped and read again later.
 */
export function recordsToRequest({ isAtEnd }: StreamPosition, credit: number): number {
  return isAtEnd ? streamRecordsMax : Math.min(streamRecordsMax, credit);
}

/** Returns the fetched records for which there is credit, and advances the position past them. */
export function takeWithinCredit(at: StreamPosition, fetched: FetchResult, credit: number): FetchedRecords {
  const records = fetched.records.first(credit);
  const isCut = records.count < fetched.records.count;
  at.offset = isCut ? records.nextOffset : fetched.nextOffset;
  at.isAtEnd = !isCut && fetched.nextOffset >= fetched.endOffset;
  return records;
}

/** The wait of one reader for room in its sink: at most one at a time. */
export class RoomWait {
  #wait: Promise<void> | undefined;
  /** When a wait for room ended last, as performance.now(). */
  #endedAt = Number.NEGATIVE_INFINITY;

  /**
   * Notes that a position is read now.
   * @returns since when its reader has asked for these records: since its last read, but not while it had no room
   */
  noteRead(at: StreamPosition): number {
    const now = performance.now();
    const askedAt = Math.max(at.readAt ?? now, this.#endedAt);
    at.readAt = now;
    return askedAt;
  }

  /** Whether the sink has room. If not, `wake` is called when that may have changed. */
  hasRoom(sink: StreamSink, wake: () => void): boolean {
    if (this.#wait !== undefined) return false;
    this.#wait = sink.room();
    void this.#wait?.then(() => {
      this.#wait = undefined;
      this.#endedAt = performance.now();
      wake();
    });
    return this.#wait === undefined;
  }
}
