/**
 * The newest batches of logs in memory, of a bounded size. Of each log it has a run of batches without gaps, up to the end of the
 * log as this broker last saw it. Appends of this broker and reads that reach the end extend the run.
 *
 * A batch in the stream of a log never changes. So one that was there is still there if the log has not lost it since: the log
 * is the same one, on the same run of the same Redis, and has neither removed nor compacted the batch, nor ends before it. That
 * is checked against what a call of the store shows of the log (LogState), before batches are given out.
 */
import type { StoredBatch } from '../../core/records/batch-lines.ts';
import { BatchRoom } from '../../core/records/batch-room.ts';
import type { RecordLimits } from '../../core/records/taken-batches.ts';
import { required } from '../../core/required.ts';
import type { LogState } from '../../store/log/logs.ts';

/** Bytes of a batch: an entry, its objects, and its place in the run. */
const entryBytes = 256;
/** Small batches are copied into blocks of this size, as their own buffers may be parts of much larger ones. */
const blockBytes = 64 * 1024;
/** Batches from this size on have a block of their own. */
const ownBlockBytesMin = 16 * 1024;

/** Memory that is freed at once, with all batches in it: the oldest block first. */
interface Block {
  bytes: Buffer;
  used: number;
  /** Bytes of the buffer that it keeps in memory, and of its entries. */
  size: number;
  entries: { run: Run; batch: StoredBatch }[];
}

/** The batches of one log. */
interface Run {
  key: string;
  state: LogState;
  /** In the order of their offsets, from `first` on; those before it are gone. */
  batches: (StoredBatch | undefined)[];
  first: number;
  end: number;
}

interface CachedRead {
  batches: StoredBatch[];
  /** Whether they reach the end of the log. */
  isComplete: boolean;
}

export class BatchCache {
  readonly #bytesMax: number;
  readonly #runs = new Map<string, Run>();
  readonly #blocks = new Set<Block>();
  /** The block that small batches are copied into. */
  #open: Block | undefined;
  #bytes = 0;

  /** @param bytesMax 0 = nothing is kept */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes of memory that it holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What was last seen of a log, if it has the batch that holds an offset. */
  stateFor(key: string, offset: number): LogState | undefined {
    const run = this.#runs.get(key);
    return run && offset >= startOf(run) && offset < run.end ? run.state : undefined;
  }

  /** Notes what a call has shown of a log; undefined: the log does not exist. Drops the batches that the log may not have. */
  note(key: string, state: LogState | undefined): void {
    const run = this.#runs.get(key);
    if (!run) return;
    if (!state || !isSameLog(run.state, state)) {
      this.#drop(run);
    } else if (state.calledAt > run.state.calledAt) {
      // Else the replies came in another order than their calls were made, and the newer one counts.
      run.state = state;
      if (state.endOffset < run.end) this.#drop(run);
      else this.#dropBefore(run, Math.max(state.logStartOffset, state.compactedUpTo));
    }
  }

  /**
   * Adds consecutive batches that a log has, if they continue its run, or are the last ones of the log. Then the
   * run begins with them.
   * @param state what the call that read or appended them has shown of the log
   */
  add(key: string, batches: readonly StoredBatch[], state: LogState): void {
    this.note(key, state);
    // Compacted batches are stored elsewhere, with gaps between them, and may be replaced.
    const appended = batches.filter(({ baseOffset }) => baseOffset >= state.compactedUpTo);
    const [first, last] = [appended[0], appended.at(-1)];
    if (!first || !last || this.#bytesMax === 0) return;
    let run = this.#runs.get(key);
    const runEnd = run?.end;
    if (run && !appended.some(({ baseOffset }) => baseOffset === runEnd)) {
      // What it has is newer than these batches, or there is a gap between.
      if (last.baseOffset + last.count <= run.end) return;
      this.#drop(run);
      run = undefined;
    }
    if (!run) {
      if (last.baseOffset + last.count !== state.endOffset) return;
      run = { key, state, batches: [], first: 0, end: first.baseOffset };
      this.#runs.set(key, run);
    }
    for (const batch of appended) if (batch.baseOffset === run.end) this.#append(run, batch);
    for (const block of this.#blocks) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#free(block);
    }
  }

  /**
   * The batches from the one that holds an offset on, until a limit is reached.
   * @param withinLimits whether the last batch may not exceed the limits either, unless it is the first
   * @returns undefined if it does not have all of them
   */
  read(key: string, offset: number, limits: RecordLimits, withinLimits: boolean): CachedRead | undefined {
    const run = this.#runs.get(key);
    if (!run || offset < startOf(run) || offset >= run.end) return undefined;
    const room = new BatchRoom(offset, limits, withinLimits);
    for (let at = indexOf(run, offset); at < run.batches.length && !room.isFull; at += 1)
      room.take(required(run.batches[at], 'batch in a run'));
    const { batches, nextOffset } = room;
    const isComplete = nextOffset === run.state.endOffset;
    return isComplete || room.isFull ? { batches, isComplete } : undefined;
  }

  #append(run: Run, batch: StoredBatch): void {
    const { block, records } = this.#place(batch.records);
    const kept = { ...batch, records };
    run.batches.push(kept);
    run.end = batch.baseOffset + batch.count;
    block.entries.push({ run, batch: kept });
    block.size += entryBytes;
    this.#bytes += entryBytes;
  }

  /** Finds a place for the records of a batch: copied, unless their buffer has little else in it. */
  #place(records: Buffer): { block: Block; records: Buffer } {
    if (records.length >= ownBlockBytesMin) {
      const isWhole = records.buffer.byteLength <= 2 * records.length;
      const bytes = isWhole ? records : copyOf(records);
      const block = this.#addBlock(bytes, bytes.buffer.byteLength);
      return { block, records: bytes };
    }
    let block = this.#open;
    if (!block || block.used + records.length > blockBytes) {
      block = this.#addBlock(Buffer.allocUnsafeSlow(blockBytes), blockBytes);
      this.#open = block;
    }
    const at = block.used;
    block.used += records.copy(block.bytes, at);
    return { block, records: block.bytes.subarray(at, block.used) };
  }

  #addBlock(bytes: Buffer, size: number): Block {
    const block = { bytes, used: 0, size, entries: [] };
    this.#blocks.add(block);
    this.#bytes += size;
    return block;
  }

  #free(block: Block): void {
    this.#blocks.delete(block);
    if (this.#open === block) this.#open = undefined;
    this.#bytes -= block.size;
    // Older batches of the run may be in other blocks, as large ones have blocks of their own: a run has no gaps.
    for (const { run, batch } of block.entries) {
      if (run.batches.length > 0) this.#dropBefore(run, batch.baseOffset + 1);
    }
  }

  /** Drops the batches that begin before an offset. */
  #dropBefore(run: Run, offset: number): void {
    while (run.first < run.batches.length && startOf(run) < offset) {
      run.batches[run.first] = undefined;
      run.first += 1;
    }
    if (run.first === run.batches.length) this.#drop(run);
    else if (run.first > run.batches.length / 2) {
      run.batches = run.batches.slice(run.first);
      run.first = 0;
    }
  }

  #drop(run: Run): void {
    if (this.#runs.get(run.key) === run) this.#runs.delete(run.key);
    run.batches = [];
    run.first = 0;
  }
}

/** The offset from which on a run has all batches. */
function startOf(run: Run): number {
  return run.batches[run.first]?.baseOffset ?? run.end;
}

/** The index of the last batch that begins at or before an offset. */
function indexOf(run: Run, offset: number): number {
  let [low, high] = [run.first, run.batches.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (required(run.batches[middle], 'batch in a run').baseOffset <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

function isSameLog(a: LogState, b: LogState): boolean {
  return a.createdAt === b.createdAt && a.serverRun === b.serverRun;
}

function copyOf(records: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(records.length);
  records.copy(copy);
  return copy;
}
