// Compression of the batches of topics with `compression.type=gzip`. Compressed records are recognised by their first bytes, so a
// topic may have both kinds, and stored batches need not be rewritten when the setting changes. Compression runs in Node's thread
// pool, not on the event loop.
import { promisify } from 'node:util';
import { constants, gunzip, gzip } from 'node:zlib';
import { BatchLines, isCompressed, type StoredBatch } from '../../core/records/batch-lines.ts';
import { cutBatches } from '../../core/records/fetched-batches.ts';
import type { RecordLimits } from '../../core/records/taken-batches.ts';

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

/** The batch with its records as lines of JSON, decompressed if need be. */
export async function decompressBatch<B extends StoredBatch>(batch: B): Promise<B> {
  return isCompressed(batch.records) ? { ...batch, records: await gunzipAsync(batch.records) } : batch;
}

/** The batches, with those decompressed of which FetchedBatches takes only a part. */
export async function decompressCut(
  batches: readonly BatchLines[],
  from: number,
  limits: RecordLimits,
): Promise<readonly BatchLines[]> {
  const cut = new Set(cutBatches(batches, from, limits).filter((batch) => batch.isCompressed));
  if (cut.size === 0) return batches;
  return Promise.all(batches.map((batch) => (cut.has(batch) ? decompressLines(batch) : batch)));
}

async function decompressLines({ bytes, ...head }: BatchLines): Promise<BatchLines> {
  return new BatchLines({ ...head, records: await gunzipAsync(bytes) });
}
