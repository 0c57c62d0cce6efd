// Compression of the batches of topics with `compression.type=gzip`. Compressed records are recognised by their first bytes, so a
// topic may have both kinds, and stored batches need not be rewritten when the setting changes. Compression runs in Node's thread
// pool, not on the event loop.
import { promisify } from 'node:util';
import { constants, gunzip, gzip } from 'node:zlib';
import type { StoredBatch } from '../../core/records/batch-lines.ts';

const gzipAsync = promisify(gzip);
const gunzipAsync = promisify(gunzip);

/** The fastest level: higher ones cost several times the CPU time for few bytes less. */
const level = constants.Z_BEST_SPEED;
/** Records with fewer bytes are stored as they are: compression would save next to nothing. */
const compressedBytesMin = 256;

/** The records compressed, or as they are if that is not larger. */
export async function compressRecords(records: Buffer): Promise<Buffer> {
  if (records.length < compressedBytesMin) return records;
  const compressed = await gzipAsync(records, { level });
  return compressed.length < records.length ? compressed : records;
}

/** Whether records are compressed: they begin with gzip's magic number, and a line of JSON cannot. */
export function isCompressed(records: Buffer): boolean {
  return records[0] === 0x1f && records[1] === 0x8b;
}

/** The batch with its records as lines of JSON, decompressed if need be. */
export async function decompressBatch<B extends StoredBatch>(batch: B): Promise<B> {
  return isCompressed(batch.records) ? { ...batch, records: await gunzipAsync(batch.records) } : batch;
}
