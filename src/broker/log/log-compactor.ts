// Compacts the logs of `cleanup.policy=compact`, one pass over one log at a time (docs/adr/005). Which records go is decided in
// core/compaction; when a log has its turn, in log-maintainer.ts.
import { BatchLines } from '../../core/records/batch-lines.ts';
import { type CompactedBatch, compactBatches, NewestOffsets, olderTombstones } from '../../core/records/compaction.ts';
import type { LogMaintenance, LogScan } from '../../store/log/log-maintenance.ts';
import type { Metrics } from '../metrics.ts';
import { compressRecords, decompressBatch } from './batch-compression.ts';

export interface CompactorLimits {
  /** How much memory the newest offsets of keys may take; what does not fit is compacted by another pass. */
  keyBytesMax: number;
  /** About how much of the log one step reads, and changes. */
  stepBytes: number;
}

const usualLimits: CompactorLimits = { keyBytesMax: 32 * 1024 * 1024, stepBytes: 1024 * 1024 };

/** A log to compact, and under which leadership. */
export interface CompactionTask {
  topicId: string;
  partition: number;
  leaderEpoch: number;
  deleteRetentionMs: number;
  /** Whether batches are packed (batch-compression.ts). */
  isCompressed: boolean;
}

/** Just below an allocator's class, as the store rounds up to one; packed batches may hold more, as they pack better then. */
const mergedBytesMax = 32_000;
const compressedFromBytesMax = 128_000;

export interface CompactionResult {
  /** Whether there is more to compact than one pass could take in. */
  more: boolean;
  /** How long until tombstones may go, ms, if there are any. */
  tombstonesDueInMs: number | undefined;
}

/** What a pass needs of the store. */
type CompactionStore = Pick<LogMaintenance, 'scan' | 'compact'>;

export class LogCompactor {
  readonly #maintenance: CompactionStore;
  readonly #limits: CompactorLimits;
  readonly #removals;
  readonly #duration;

  constructor(keeping: CompactionStore, metrics: Metrics, limits: CompactorLimits = usualLimits) {
    this.#maintenance = keeping;
    this.#limits = limits;
    this.#removals = metrics.counter('records_compacted_total', 'Records that compaction by this broker removed.');
    this.#duration = metrics.histogram('compaction_duration_seconds', 'Time of one pass of compaction over one log.');
  }

  /**
   * Makes one pass over a log, if there is anything to do; ends early when `signal` is aborted.
   * @throws ServiceError UNKNOWN_TOPIC; STALE_LEADER_EPOCH if this broker was deposed as the partition's leader
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

  /** Notes the newest offset of each key, from an offset on, as far as there is room. */
  async #noteKeys({ topicId, partition }: CompactionTask, from: number, end: number, signal: AbortSignal) {
    const newest = new NewestOffsets(this.#limits.keyBytesMax);
    let upTo = from;
    while (upTo < end && !signal.aborted) {
      const { batches } = await this.#maintenance.scan(topicId, partition, upTo, end, this.#limits.stepBytes);
      // What was there was deleted meanwhile.
      if (batches.length === 0) return { newest, upTo: end };
      for (const batch of batches) {
        if (!newest.add(new BatchLines(await decompressBatch(batch)))) return { newest, upTo };
        upTo = batch.baseOffset + batch.count;
      }
    }
    return { newest, upTo };
  }

  /**
   * Goes over the log from its start up to an offset, and takes out what is superseded there.
   * @param runId of the Redis that the keys were noted from. @returns undefined if there is another one, which may have lost some of
   *   what supersedes others: then the pass stands on nothing
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
        // Only now it is known, as all of the compacted part was seen.
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
        // At the end of the pass the oldest moment is known; should it not come to that, the first one is noted now.
        const known = scan.tombstonesSince === 0 && cleaning.tombstonesSince > 0 ? cleaning.tombstonesSince : undefined;
        const step = { runId, generation, cleaned, tombstonesSince: known, removed, added };
        // The log's head was let go of meanwhile: what was read may be gone, so it is read again.
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
