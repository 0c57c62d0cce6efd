// Compacts logs with `cleanup.policy=compact`, one pass over one log at a time (docs/adr/005). core/records/compaction.ts decides
// which records are removed, log-maintainer.ts when a log is compacted.
import { BatchLines } from '../../core/records/batch-lines.ts';
import { type CompactedBatch, compactBatches, NewestOffsets, olderTombstones } from '../../core/records/compaction.ts';
import type { LogMaintenance, LogScan } from '../../store/log/log-maintenance.ts';
import type { Metrics } from '../metrics.ts';
import { compressRecords, decompressBatch } from './batch-compression.ts';

interface CompactorLimits {
  /** The memory for the newest offsets of keys; keys that do not fit are compacted by another pass. */
  keyBytesMax: number;
  /** About how many bytes of the log one step reads and changes. */
  stepBytes: number;
}

const defaultLimits: CompactorLimits = { keyBytesMax: 32 * 1024 * 1024, stepBytes: 1024 * 1024 };

/** A log to compact, and the leader epoch of this broker. */
interface CompactionTask {
  topicId: string;
  partition: number;
  leaderEpoch: number;
  deleteRetentionMs: number;
  /** Whether batches are stored compressed (batch-compression.ts). */
  isCompressed: boolean;
}

/**
 * The largest batch that compaction makes of small ones, in bytes of lines: just below a size class of Redis' allocator, which
 * rounds up. Batches that are stored compressed may be larger before compression, as they compress better then.
 */
const mergedBytesMax = 32_000;
const compressedFromBytesMax = 128_000;

interface CompactionResult {
  /** Whether there is more to compact than one pass could do. */
  more: boolean;
  /** The time until tombstones may be removed, in ms; undefined if there are none. */
  tombstonesDueInMs: number | undefined;
}

/** The part of the store that a pass needs. */
type CompactionStore = Pick<LogMaintenance, 'scan' | 'compact'>;

export class LogCompactor {
  readonly #maintenance: CompactionStore;
  readonly #limits: CompactorLimits;
  readonly #removals;
  readonly #duration;

  constructor(maintenance: CompactionStore, metrics: Metrics, limits: CompactorLimits = defaultLimits) {
    this.#maintenance = maintenance;
    this.#limits = limits;
    this.#removals = metrics.counter('records_compacted_total', 'Records that compaction by this broker removed.');
    this.#duration = metrics.histogram('compaction_duration_seconds', 'Time of one pass of compaction over one log.');
  }

  /**
   * Makes one pass over a log, unless there is nothing to do; ends early when `signal` is aborted.
   * @throws ServiceError UNKNOWN_TOPIC; STALE_LEADER_EPOCH if this broker does not lead the partition any more
   */
  async compact(task: CompactionTask, signal: AbortSignal): Promise<CompactionResult> {
    const { topicId, partition, deleteRetentionMs } = task;
    const found = await this.#maintenance.scan(topicId, partition, 0, 0, 0);
    const begin = Math.max(found.cleaned, found.logStartOffset);
    const areTombstonesDue = found.tombstonesSince > 0 && found.now - found.tombstonesSince >= deleteRetentionMs;
    if (begin >= found.endOffset && !areTombstonesDue) return { more: false, tombstonesDueInMs: dueIn(task, found) };
    const end = this.#duration.startTimer();
    try {
      const { newest, upTo } = await this.#noteKeys(task, begin, found.endOffset, signal);
      const last = await this.#clean(task, found.runId, newest, Math.max(upTo, begin), signal);
      if (!last) return { more: true, tombstonesDueInMs: undefined };
      return { more: upTo < found.endOffset, tombstonesDueInMs: dueIn(task, last) };
    } finally {
      end();
    }
  }

  /** Notes the newest offset of each key, from an offset on, as far as memory allows. */
  async #noteKeys({ topicId, partition }: CompactionTask, from: number, end: number, signal: AbortSignal) {
    const newest = new NewestOffsets(this.#limits.keyBytesMax);
    let upTo = from;
    while (upTo < end && !signal.aborted) {
      const { batches } = await this.#maintenance.scan(topicId, partition, upTo, end, this.#limits.stepBytes);
      // The rest of the log was deleted meanwhile.
      if (batches.length === 0) return { newest, upTo: end };
      for (const batch of batches) {
        if (!newest.add(new BatchLines(await decompressBatch(batch)))) return { newest, upTo };
        upTo = batch.baseOffset + batch.count;
      }
    }
    return { newest, upTo };
  }

  /**
   * Removes superseded records from the start of the log up to an offset.
   * @param runId the run id of the Redis from which the keys were noted
   * @returns undefined if another Redis has taken over: it may have lost newer records, so that what was noted may be wrong
   */
  async #clean(
    task: CompactionTask,
    runId: string,
    newest: NewestOffsets,
    upTo: number,
    signal: AbortSignal,
  ): Promise<LogScan | undefined> {
    const { topicId, partition, leaderEpoch, deleteRetentionMs } = task;
    let offset = 0;
    let tombstonesSince = 0;
    for (;;) {
      const scan = await this.#maintenance.scan(topicId, partition, offset, upTo, this.#limits.stepBytes);
      const { batches, logStartOffset: startOffset, now, generation } = scan;
      const last = batches.at(-1);
      if (scan.runId !== runId) return undefined;
      if (signal.aborted) return scan;
      if (!last) {
        // The age of the oldest tombstone is known only now that all of the compacted part was read.
        const step = { runId, generation, cleaned: scan.cleaned, tombstonesSince, removed: [], added: [] };
        const isKnown = scan.tombstonesSince === tombstonesSince;
        if (!isKnown && (await this.#maintenance.compact(topicId, partition, leaderEpoch, step)) === undefined)
          continue;
        return { ...scan, tombstonesSince };
      }
      const cleaning = compactBatches(await Promise.all(batches.map(decompressBatch)), newest, {
        startOffset,
        now,
        deleteRetentionMs,
        mergedBytesMax: task.isCompressed ? compressedFromBytesMax : mergedBytesMax,
      });
      const end = last.baseOffset + last.count;
      const cleaned = last.isCompacted ? scan.cleaned : end;
      const { removed } = cleaning;
      const added = task.isCompressed ? await Promise.all(cleaning.added.map(compressed)) : cleaning.added;
      if (removed.length > 0 || added.length > 0 || cleaned > scan.cleaned) {
        // The oldest tombstone is known at the end of the pass; the first one is noted now, in case the pass does not get there.
        const known = scan.tombstonesSince === 0 && cleaning.tombstonesSince > 0 ? cleaning.tombstonesSince : undefined;
        const step = { runId, generation, cleaned, tombstonesSince: known, removed, added };
        // Retention has removed the start of the log meanwhile: the batches that were read may be gone, so they are read again.
        if ((await this.#maintenance.compact(topicId, partition, leaderEpoch, step)) === undefined) continue;
        this.#removals.inc(cleaning.removedRecords);
      }
      tombstonesSince = olderTombstones(tombstonesSince, cleaning.tombstonesSince);
      offset = end;
    }
  }
}

async function compressed(batch: CompactedBatch): Promise<CompactedBatch> {
  return { ...batch, records: await compressRecords(batch.records) };
}

function dueIn({ deleteRetentionMs }: CompactionTask, { tombstonesSince, now }: LogScan): number | undefined {
  return tombstonesSince === 0 ? undefined : Math.max(0, tombstonesSince + deleteRetentionMs - now);
}
