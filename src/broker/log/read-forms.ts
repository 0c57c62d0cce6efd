// The forms in which records are read for a response: one by one, or in their batches. A reader that takes batches may take those of
// `compression.type=gzip` as they are stored.
import type { BatchLines } from '../../core/records/batch-lines.ts';
import { FetchedBatches } from '../../core/records/fetched-batches.ts';
import { FetchedRecords } from '../../core/records/fetched-records.ts';
import type { RecordLimits } from '../../core/records/taken-batches.ts';

export type FetchedContent = FetchedRecords | FetchedBatches;

export interface ReadForm<C extends FetchedContent> {
  name: string;
  /** Whether batches that are compressed in the store may stay so. */
  takesCompressed: boolean;
  /** Whether only whole batches are read where the limits allow it. */
  takesWhole: boolean;
  /** What a read without any batch returns. */
  none: C;
  /** The part of some batches that a read returns. A batch that is cut is not compressed (decompressCut). */
  take(batches: readonly BatchLines[], from: number, limits: RecordLimits): C;
}

export const asRecords: ReadForm<FetchedRecords> = {
  name: 'records',
  takesCompressed: false,
  takesWhole: false,
  none: FetchedRecords.none,
  take: (batches, from, limits) => new FetchedRecords(batches, from, limits),
};

export const asBatches: ReadForm<FetchedBatches> = {
  name: 'batches',
  takesCompressed: false,
  takesWhole: true,
  none: FetchedBatches.none,
  take: (batches, from, limits) => new FetchedBatches(batches, from, limits),
};

export const asStoredBatches: ReadForm<FetchedBatches> = { ...asBatches, name: 'stored', takesCompressed: true };
