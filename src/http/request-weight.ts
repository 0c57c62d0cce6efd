// How much work a request is, where a usual one is 1: so that few large requests count as many small ones (admission.ts). It is an
// estimate by what the request asks for, made before that is checked.
import type { FastifyRequest } from 'fastify';
import type { EncodedRecord } from '../core/records/record-fields.ts';

/** So much of each is about as much work as a usual request, for the broker or for the store. */
const operationsPerUnit = 20;
const listedPerUnit = 250;
/** Of nodes, where the request does not say. */
const listedUsual = 1000;
const jsonBytesPerUnit = 16 * 1024;
const rawBytesPerUnit = 64 * 1024;
const readBytesPerUnit = 256 * 1024;
/** How many nodes there are is known only when they are deleted. */
const recursiveDeleteWeight = 100;

/** @param bodyBytes how long its body is */
export function weightOf(request: FastifyRequest, bodyBytes: number): number {
  const { body, method, query } = request;
  // A body that is still bytes is records, which are JSON, or one record.
  const bytesPerUnit = isJson(request) ? jsonBytesPerUnit : rawBytesPerUnit;
  const { limit, maxBytes, recursive, view } = (query ?? {}) as Record<string, unknown>;
  let weight = 1 + bodyBytes / bytesPerUnit + operationsIn(body) / operationsPerUnit;
  weight +=
    number(limit ?? (view === 'tree' || view === 'children' ? listedUsual : 0)) / listedPerUnit +
    number(maxBytes) / readBytesPerUnit;
  if (method === 'DELETE' && recursive !== undefined && recursive !== 'false') weight += recursiveDeleteWeight;
  return Math.floor(weight);
}

/** The weight of a batch of a stream of records. */
export function batchWeight(records: readonly EncodedRecord[]): number {
  let bytes = 0;
  for (const { line } of records) bytes += line.length;
  return 1 + Math.floor(bytes / jsonBytesPerUnit);
}

function isJson({ headers }: FastifyRequest): boolean {
  return headers['content-type']?.includes('json') ?? false;
}

/** The operations of a multi, the offsets of a commit, the partitions of a topic: the longest list in the body, or a number of partitions. */
function operationsIn(body: unknown): number {
  if (typeof body !== 'object' || body === null || Buffer.isBuffer(body)) return 0;
  let operations = 'partitions' in body ? number(body.partitions) : 0;
  for (const value of Object.values(body)) if (Array.isArray(value)) operations = Math.max(operations, value.length);
  return operations;
}

/** 0 for what is no number: it is refused later on. */
function number(given: unknown): number {
  const value = Number(given ?? 0);
  return value > 0 && Number.isFinite(value) ? value : 0;
}
