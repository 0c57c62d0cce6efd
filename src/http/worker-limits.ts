// The part of a server's limits that each of its workers has (docs/adr/011). Connections reach the workers in turn, so what clients
// hold by connections is divided: together the workers never exceed the limit, nor one address its share.
import type { AdmissionLimits, ConnectionLimits } from './limits.ts';

const MiB = 1024 * 1024;

/**
 * Bytes with which a worker can still serve its largest requests, however many workers there are: four of the largest responses, four
 * slow readers, four of the largest commits. Beyond 4, 8 and 4 workers the server may hold more than a single process would. For
 * request bodies http/limits.ts has such a rule already (bodiesBytesMax).
 */
const leastBytes = { responses: 64 * MiB, readers: 32 * MiB, reservedBodies: 4 * MiB };

/**
 * What one of `workers` may take of the limits of their server. Not divided: the work in progress (`requestsMax`, `reservedMax`), which
 * follows from what one process can do, waiting times, and the limits of a single connection.
 */
export function limitsOfWorker(
  { admission, connections }: { admission: AdmissionLimits; connections: ConnectionLimits },
  workers: number,
): { admission: AdmissionLimits; connections: ConnectionLimits } {
  const part = (whole: number, least = 1) => Math.max(Math.min(whole, least), Math.floor(whole / workers));
  const { spare, lingering, heldResults } = connections;
  return {
    admission: {
      ...admission,
      requestsWaitingMax: part(admission.requestsWaitingMax),
      unknownHandlesMax: part(admission.unknownHandlesMax),
      // A rate may have any part: a client gains its next request later.
      unknownHandlesPerSecond: admission.unknownHandlesPerSecond / workers,
      waitsMax: part(admission.waitsMax),
      uploadsMax: part(admission.uploadsMax),
      socketsMax: part(admission.socketsMax),
      watchesMax: part(admission.watchesMax),
      bodiesBytesMax: part(admission.bodiesBytesMax),
      reservedBodiesBytesMax: part(admission.reservedBodiesBytesMax, leastBytes.reservedBodies),
      responsesBytesMax: part(admission.responsesBytesMax, leastBytes.responses),
      readersBytesMax: part(admission.readersBytesMax, leastBytes.readers),
      largeReadsWaitingMax: part(admission.largeReadsWaitingMax),
    },
    connections: {
      ...connections,
      spare: { total: part(spare.total), ofClient: part(spare.ofClient) },
      lingering: { ...lingering, connections: part(lingering.connections) },
      heldResults: { ...heldResults, bytesMax: part(heldResults.bytesMax, heldResults.streamBytesMax) },
    },
  };
}
