// Batches of topics with `compression.type=gzip`, as they lie in the store. Packed records tell themselves from lines by their
// first bytes, so a topic may have both, and changing the setting asks for no rewriting. The work is done beside the event
// loop.
import { promisify } from 'node:util';
import { constants, gunzip, gzip } from 'node:zlib';
import type { StoredBatch } from '../../core/records/batch-lines.ts';

const gzipped = promisify(gzip);
const gunzipped = promisify(gunzip);

/** Fast: what higher levels save in memory they cost several times in CPU. */
const level = constants.Z_BEST_SPEED;
/** Fewer bytes than this hardly become less. */
const compressedBytesMin = 256;

/** The records, or what they were packed into if that is smaller. */
export async function compressRecords(records: Buffer): Promise<Buffer> {
  if (records.length < compressedBytesMin) return records;
  const packed = await gzipped(records, { level });
  return packed.length < records.length ? packed : records;
}

/** Gzip's magic; a line is empty or begins with a brace. */
export function isCompressed(records: Buffer): boolean {
  return records[0] === 0x1f && records[1] === 0x8b;
}

/** The batch with its records as lines. */
export async function decompressBatch<B extends StoredBatch>(batch: B): Promise<B> {
  return isCompressed(batch.records) ? { ...batch, records: await gunzipped(batch.records) } : batch;
}
