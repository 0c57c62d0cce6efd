// What a read takes of some batches, within limits, in whatever form it is shown.
import type { BatchLines } from './batch-lines.ts';

export interface RecordLimits {
  maxRecords: number;
  /** The first record is included even if it is larger. */
  maxBytes: number;
  /** No record from this offset on is included. */
  end?: number;
}

/** What was taken. */
interface Taken {
  /** How many records, or of whole batches offsets. */
  count: number;
  /** Bytes of the records without their offsets; or of the batches, as they are sent. */
  bytes: number;
  /** Offset for the next read: that of the first record or batch beyond the limits, else the end of the last batch. */
  nextOffset: number;
  /** Whether anything was left out because of the limits. */
  isCut: boolean;
}

export abstract class TakenBatches implements Taken {
  readonly count: number;
  readonly bytes: number;
  readonly nextOffset: number;
  readonly isCut: boolean;
  /** The whole batches of which something was taken. */
  readonly batches: readonly BatchLines[];

  protected constructor(batches: readonly BatchLines[], { count, bytes, nextOffset, isCut }: Taken) {
    this.batches = batches;
    this.count = count;
    this.bytes = bytes;
    this.nextOffset = nextOffset;
    this.isCut = isCut;
  }

  /** Offset of the first record that was taken; undefined if there is none. */
  abstract get firstOffset(): number | undefined;
}
