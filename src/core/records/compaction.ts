/**
 * Compaction as pure functions: they find the records that a newer record of the same key supersedes, and build the batches
 * without them. broker/log/log-compactor.ts reads and writes the batches; docs/adr/005 explains why that is safe.
 */
import { required } from '../required.ts';
import { BatchLines, type StoredBatch } from './batch-lines.ts';

/** The output of compaction: a batch to be written back to the log. */
export interface CompactedBatch extends StoredBatch {
  /** The largest timestamp of its records, ms. */
  maxTimestamp: number;
  /** When the tombstones of the batch were first compacted, ms since the epoch; 0 = the batch has none. */
  tombstonesSince: number;
}

/** The input of compaction: a batch read from the log, decompressed. */
export interface BatchToCompact extends StoredBatch {
  tombstonesSince: number;
  /** Whether the batch was compacted before; if not, it is as it was appended. */
  isCompacted: boolean;
  /** Size of the records in the store, where they may be compressed, bytes. */
  storedBytes: number;
}

interface CompactionOptions {
  /** The log start offset; records before it are already deleted. */
  startOffset: number;
  /** The time by the clock of the store, ms since the epoch. */
  now: number;
  deleteRetentionMs: number;
  /** The maximum size of merged batches, bytes. */
  mergedBytesMax: number;
}

/** The changes of one step of compaction. */
interface CompactionStep {
  /** Batches to delete from those that were compacted before. */
  removed: BatchToCompact[];
  added: CompactedBatch[];
  /** When the oldest retained tombstones were first compacted, ms since the epoch; 0 = there are none. */
  tombstonesSince: number;
  removedRecords: number;
}

/** Records with more removed offsets than this between them are not put into one batch, as each removed offset takes a byte. */
const gapMax = 64;
/** Estimated memory of a map entry without its key, bytes. */
const entryBytes = 64;

/** The newest offset of each key in a part of a log, in bounded memory. */
export class NewestOffsets {
  readonly #offsets = new Map<string, number>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get size(): number {
    return this.#offsets.size;
  }

  /** Adds the records of a batch. @returns false if they exceed the memory limit; then none of them is added */
  add(batch: BatchLines): boolean {
    const keys: [key: string, offset: number][] = [];
    let bytes = this.#bytes;
    for (let index = 0; index < batch.count; index += 1) {
      if (batch.isRemoved(index)) continue;
      const { key } = batch.keyOf(index);
      if (key === undefined) continue;
      if (!this.#offsets.has(key)) bytes += key.length + entryBytes;
      keys.push([key, batch.baseOffset + index]);
    }
    // A batch always fits into an empty map, so that compaction always makes progress.
    if (bytes > this.#bytesMax && this.#offsets.size > 0) return false;
    for (const [key, offset] of keys) this.#offsets.set(key, offset);
    this.#bytes = bytes;
    return true;
  }

  /** Whether a record of the key with a higher offset than `offset` was added. */
  supersedes(key: string, offset: number): boolean {
    const newest = this.#offsets.get(key);
    return newest !== undefined && newest > offset;
  }
}

/** Compacts consecutive batches. @param found the batches, in the order of their offsets */
export function compactBatches(
  found: readonly BatchToCompact[],
  newest: NewestOffsets,
  options: CompactionOptions,
): CompactionStep {
  const { mergedBytesMax } = options;
  const cleaning: CompactionStep = { removed: [], added: [], tombstonesSince: 0, removedRecords: 0 };
  let open: RetainedRecord[] = [];
  let openBytes = 0;
  /** The batches, compacted before, whose records are in `open`. */
  let sources: BatchToCompact[] = [];
  let openIsNew = false;

  const close = () => {
    const merged = mergeRecords(open, mergedBytesMax);
    // If no batch has changed, writing them again is useful only if merging makes them fewer.
    if (openIsNew || merged.length < sources.length) {
      cleaning.removed.push(...sources);
      cleaning.added.push(...merged);
    }
    [open, openBytes, sources, openIsNew] = [[], 0, [], false];
  };

  for (const batch of found) {
    const { retained, removedRecords } = retainedRecords(batch, newest, options);
    cleaning.removedRecords += removedRecords;
    for (const one of retained) {
      cleaning.tombstonesSince = olderTombstones(cleaning.tombstonesSince, one.tombstonesSince);
      openBytes += one.line.length + 1;
    }
    const isChanged = !batch.isCompacted || removedRecords > 0;
    // A large unchanged batch is not merged with its neighbours.
    if (!isChanged && batch.records.length >= mergedBytesMax / 2) {
      close();
      continue;
    }
    open.push(...retained);
    if (batch.isCompacted) sources.push(batch);
    openIsNew ||= isChanged;
    if (openBytes >= mergedBytesMax) close();
  }
  close();
  return cleaning;
}

/** The earlier of two times at which tombstones were first compacted, ms since the epoch; 0 = no tombstones. */
export function olderTombstones(a: number, b: number): number {
  return a === 0 || b === 0 ? a + b : Math.min(a, b);
}

/** A record that compaction retains. */
interface RetainedRecord {
  offset: number;
  line: Buffer;
  timestamp: number;
  hasOwnTimestamp: boolean;
  tombstonesSince: number;
}

function retainedRecords(
  found: BatchToCompact,
  newest: NewestOffsets,
  { startOffset, now, deleteRetentionMs }: CompactionOptions,
): { retained: RetainedRecord[]; removedRecords: number } {
  const batch = new BatchLines(found);
  const retained: RetainedRecord[] = [];
  let removedRecords = 0;
  for (let index = 0; index < batch.count; index += 1) {
    if (batch.isRemoved(index)) continue;
    const offset = batch.baseOffset + index;
    const { key, isTombstone } = batch.keyOf(index);
    const isMarked = isTombstone && key !== undefined;
    const isOver = isMarked && found.isCompacted && now - found.tombstonesSince >= deleteRetentionMs;
    if (offset < startOffset || (key !== undefined && newest.supersedes(key, offset)) || isOver) {
      removedRecords += 1;
      continue;
    }
    retained.push({
      offset,
      line: batch.bytes.subarray(batch.startOf(index), batch.endOf(index)),
      timestamp: batch.timestampOf(index),
      hasOwnTimestamp: batch.hasOwnTimestamp(index),
      tombstonesSince: isMarked ? (found.isCompacted ? found.tombstonesSince : now) : 0,
    });
  }
  return { retained, removedRecords };
}

/** Builds as few batches as the limits allow. */
function mergeRecords(retained: readonly RetainedRecord[], mergedBytesMax: number): CompactedBatch[] {
  const batches: CompactedBatch[] = [];
  let first = 0;
  let [bytes, since, previous] = [0, 0, 0];
  for (const [index, { offset, line, tombstonesSince }] of retained.entries()) {
    const gap = index > first ? offset - previous : 0;
    previous = offset;
    // A batch stores one time for all its tombstones, so tombstones with different times need different batches.
    const fits = tombstonesSince === 0 || since === 0 || tombstonesSince === since;
    if (index > first && (bytes + line.length > mergedBytesMax || gap > gapMax || !fits)) {
      batches.push(makeBatch(retained.slice(first, index)));
      [first, bytes, since] = [index, 0, 0];
    }
    bytes += line.length + 1;
    since ||= tombstonesSince;
  }
  if (first < retained.length) batches.push(makeBatch(retained.slice(first)));
  return batches;
}

function makeBatch(retained: readonly RetainedRecord[]): CompactedBatch {
  const [first, last] = [required(retained[0], 'record in a batch'), required(retained.at(-1), 'record in a batch')];
  const baseOffset = first.offset;
  // Records whose timestamp differs from that of the batch store it in a field of their own.
  const timestamp = (retained.find(({ hasOwnTimestamp }) => !hasOwnTimestamp) ?? first).timestamp;
  const parts: (Buffer | string)[] = [];
  let next = baseOffset;
  let [maxTimestamp, tombstonesSince] = [0, 0];
  for (const record of retained) {
    if (record.offset > baseOffset) parts.push('\n'.repeat(record.offset - next + 1));
    next = record.offset + 1;
    if (record.hasOwnTimestamp || record.timestamp === timestamp) parts.push(record.line);
    else if (record.line.length === 2) parts.push(`{"timestamp":${record.timestamp}}`);
    else parts.push(`{"timestamp":${record.timestamp},`, record.line.subarray(1));
    maxTimestamp = Math.max(maxTimestamp, record.timestamp);
    tombstonesSince ||= record.tombstonesSince;
  }
  const records = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  const count = last.offset - baseOffset + 1;
  return { baseOffset, count, timestamp, records, maxTimestamp, tombstonesSince };
}
