// Reads batches of logs: those near the end from the memory of this broker, if it has them, else from the store. What calls of the
// store show of logs keeps that memory up to date, and says whether it may be used.
//
// A read from memory never differs from one from the store. It is checked against what a call showed of the log that was made after
// the reader asked: its bounds are the end of what is returned, and batches that the log may have lost are dropped. If there was no
// such call, one is made, which reads the bounds only. A reader that waits asks once, so an append of this broker that comes later
// wakes it and gives it the records, without another call.
import type { StoredBatch } from '../../core/records/batch-lines.ts';
import type { RecordLimits } from '../../core/records/taken-batches.ts';
import type { LogBounds, Logs } from '../../store/log/logs.ts';
import type { Metrics } from '../metrics.ts';
import { BatchCache } from './batch-cache.ts';

interface BatchRead extends LogBounds {
  /** The requested offset, as a number. */
  offset: number;
  /** Whether no batch follows. */
  isComplete: boolean;
  batches: StoredBatch[];
}

interface BatchRequest {
  topicId: string;
  partition: number;
  offset: number | 'earliest' | 'latest';
  limits: RecordLimits;
  /** Whether the last batch may not exceed the limits either, unless it is the first. */
  withinLimits: boolean;
  /** When the reader asked, as performance.now(). */
  askedAt: number;
}

export class BatchSource {
  readonly #logs: Logs;
  readonly #cache: BatchCache;
  readonly #hits;
  readonly #misses;

  /**
   * @param bytesMax of batches in memory; 0 = none
   * @param onAppend called when this broker has appended to a log, with its new end offset
   */
  constructor(
    logs: Logs,
    bytesMax: number,
    metrics: Metrics,
    onAppend: (topicId: string, partition: number, endOffset: number) => void,
  ) {
    this.#logs = logs;
    this.#cache = new BatchCache(bytesMax);
    this.#hits = metrics.counter(
      'batch_cache_hits_total',
      'Reads of logs that were served from the memory of this broker.',
    );
    this.#misses = metrics.counter(
      'batch_cache_misses_total',
      'Reads of logs that returned records and were served by the store.',
    );
    metrics.gauge('batch_cache_bytes', 'Bytes of recent batches of logs in memory.', () => this.#cache.bytes);
    logs.observe({
      onState: ({ topicId, partition }, state) => this.#cache.note(logKey(topicId, partition), state),
      onBatches: ({ topicId, partition }, state, batches, wereAppended) => {
        this.#cache.add(logKey(topicId, partition), batches, state);
        if (wereAppended) onAppend(topicId, partition, state.endOffset);
      },
    });
  }

  /**
   * Reads whole batches from the one that holds the offset on, until a limit is reached; at least one, if there is any.
   * @throws ServiceError UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE (fields `logStartOffset`, `endOffset`)
   */
  async read(request: BatchRequest): Promise<BatchRead> {
    const { topicId, partition, offset, limits, withinLimits } = request;
    const cached = typeof offset === 'number' ? await this.#readCached(request, offset) : undefined;
    if (cached) {
      this.#hits.inc();
      return cached;
    }
    const read = await this.#logs.read(topicId, partition, offset, limits, withinLimits);
    if (read.batches.length > 0) this.#misses.inc();
    return read;
  }

  async #readCached(
    { topicId, partition, limits, withinLimits, askedAt }: BatchRequest,
    offset: number,
  ): Promise<BatchRead | undefined> {
    const key = logKey(topicId, partition);
    const known = this.#cache.stateFor(key, offset);
    if (!known) return undefined;
    const isCurrent = () => this.#cache.stateFor(key, offset)?.serverRun === this.#logs.serverRunOf(topicId, partition);
    if (known.calledAt < askedAt || !isCurrent()) {
      await this.#logs.bounds([{ topicId, partition }]);
      if (!isCurrent()) return undefined;
    }
    const state = this.#cache.stateFor(key, offset);
    // The store refuses an offset that was deleted.
    if (!state || state.calledAt < askedAt || offset < state.logStartOffset) return undefined;
    const read = this.#cache.read(key, offset, limits, withinLimits);
    const { logStartOffset, endOffset } = state;
    return read && { ...read, offset, logStartOffset, endOffset };
  }
}

/** The key of a log in maps of this process. */
export function logKey(topicId: string, partition: number): string {
  return `${topicId}:${partition}`;
}
