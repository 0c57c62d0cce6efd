// Responses of the type application/vnd.weir.batches, for fetches and consume calls.
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { asBatches, asStoredBatches, type ReadForm } from '../broker/log/read-forms.ts';
import type { FetchedBatches } from '../core/records/fetched-batches.ts';
import { takesGzip } from './media-types.ts';

/** The form in which batches are read for a client: compressed ones as they are only if it takes gzip. */
export function batchesForm(request: FastifyRequest): ReadForm<FetchedBatches> {
  return takesGzip(request) ? asStoredBatches : asBatches;
}

/** The body of a fetch. */
export function batchesText(batches: FetchedBatches, partition: number): Buffer {
  return Buffer.concat(batches.parts(`"partition":${partition}`));
}

/** For the OpenAPI description. */
export const batchesResponse = {
  schema: z.unknown().meta({
    description:
      'For each batch one line of JSON with partition, baseOffset, count, timestamp, bytes and, if the batch is compressed, encoding; then so many bytes: its records, one a line, as they are stored; then a line feed. The record of line i has the offset baseOffset + i; an empty line is an offset whose record compaction has removed. A record without timestamp has that of its batch. The topic is named where the records are of several.',
    override: { type: 'string', format: 'binary' },
  }),
};
