// How many whole batches a read takes within its limits: the rule of lua/logs/read.lua, for batches that are read in another way.
import type { StoredBatch } from './batch-lines.ts';
import type { RecordLimits } from './taken-batches.ts';

export class BatchRoom {
  readonly batches: StoredBatch[] = [];
  readonly #offset: number;
  readonly #withinLimits: boolean;
  #recordsLeft: number;
  #bytesLeft: number;
  #isFull = false;

  /**
   * @param offset of the first record that is wanted
   * @param withinLimits whether the last batch may not exceed the limits either, unless it is the first
   */
  constructor(offset: number, { maxRecords, maxBytes }: RecordLimits, withinLimits: boolean) {
    this.#offset = offset;
    this.#withinLimits = withinLimits;
    this.#recordsLeft = maxRecords;
    this.#bytesLeft = maxBytes;
  }

  get recordsLeft(): number {
    return this.#recordsLeft;
  }

  get bytesLeft(): number {
    return this.#bytesLeft;
  }

  /** Whether no further batch is taken. */
  get isFull(): boolean {
    return this.#isFull || this.#recordsLeft <= 0 || this.#bytesLeft <= 0;
  }

  /** The offset behind the batches that were taken. */
  get nextOffset(): number {
    const last = this.batches.at(-1);
    return last ? last.baseOffset + last.count : this.#offset;
  }

  /** Takes a batch that follows those before it, if there is room. */
  take(batch: StoredBatch): void {
    const { baseOffset, count, records } = batch;
    const exceeds = count > this.#recordsLeft || records.length > this.#bytesLeft;
    if (this.isFull || (this.#withinLimits && this.batches.length > 0 && exceeds)) {
      this.#isFull = true;
      return;
    }
    this.batches.push(batch);
    this.#recordsLeft -= baseOffset + count - Math.max(baseOffset, this.#offset);
    this.#bytesLeft -= records.length;
  }
}
