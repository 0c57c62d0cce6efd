// Media types of request bodies, and the choice of the type of a response by Accept.
import type { FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';

export const jsonType = 'application/json';
export const ndjsonType = 'application/x-ndjson';
/** Batches as the log has them (core/records/fetched-batches.ts). */
export const batchesType = 'application/vnd.weir.batches';

/** Aliases of the two types. */
const sameAs = new Map([
  ['text/json', jsonType],
  ['application/ndjson', ndjsonType],
  ['application/jsonl', ndjsonType],
  ['application/x-jsonlines', ndjsonType],
]);

/** All names of NDJSON, the default first. */
export const ndjsonTypes = [ndjsonType, ...[...sameAs].flatMap(([name, type]) => (type === ndjsonType ? [name] : []))];

/** The media type in a Content-Type, without its parameters, in lower case and by the name that is used here; '' if there is none. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const type = contentType.replace(/;.*/s, '').trim().toLowerCase();
  return sameAs.get(type) ?? type;
}

/** The one of `offers` that the client likes best, by the qualities in Accept; the first if it likes none. */
export function preferredType(request: FastifyRequest, offers: readonly [string, ...string[]]): string {
  if (request.headers.accept === undefined) return offers[0];
  return new Negotiator(request.raw).mediaType([...offers]) ?? offers[0];
}

/** Whether the client takes gzip (Accept-Encoding). */
export function takesGzip(request: FastifyRequest): boolean {
  return new Negotiator(request.raw).encodings(['gzip']).length > 0;
}
