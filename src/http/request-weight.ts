// How much work a request is, where a usual one is 1: so that few large requests count as many small ones (admission.ts). It is an
// estimate by what the request asks for, made before that is checked.
import type { FastifyRequest } from 'fastify';
import { fetchBytesDefault } from '../../schemas/records.ts';
import type { EncodedRecord } from '../core/records/record-fields.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** It reads records, of `maxBytes` at most. */
    readsRecords?: boolean;
    /** How many partitions, members or offsets the response is about, as far as that is known before. */
    itemsOf?: (request: FastifyRequest) => number | undefined;
  }
}

/** So much of each is about as much work as a usual request, half a millisecond of the broker and the store together. */
const operationsPerUnit = 20;
const namesPerUnit = 250;
const statsPerUnit = 50;
const itemsPerUnit = 15;
/** Of nodes, where the request does not say. */
const listedUsual = 1000;
const jsonBytesPerUnit = 16 * 1024;
const rawBytesPerUnit = 64 * 1024;
const readBytesPerUnit = 48 * 1024;
/** How many nodes there are is known only when they are deleted. */
const recursiveDeleteWeight = 100;

/** @param bodyBytes how long its body is */
export function weightOf(request: FastifyRequest, bodyBytes: number): number {
  const { body, method, query } = request;
  // A body that is still bytes is records, which are JSON, or one record.
  const bytesPerUnit = isJson(request) ? jsonBytesPerUnit : rawBytesPerUnit;
  const { limit, maxBytes, recursive, stats, view } = (query ?? {}) as Record<string, unknown>;
  const { readsRecords, itemsOf } = request.routeOptions.config;
  let weight = 1 + bodyBytes / bytesPerUnit + operationsIn(body) / operationsPerUnit;
  weight +=
    number(limit ?? (view === 'tree' || view === 'children' ? listedUsual : 0)) /
    (view === 'tree' || isSet(stats) ? statsPerUnit : namesPerUnit);
  weight += number(maxBytes ?? (readsRecords ? fetchBytesDefault : 0)) / readBytesPerUnit;
  weight += (itemsOf?.(request) ?? 0) / itemsPerUnit;
  if (method === 'DELETE' && isSet(recursive)) weight += recursiveDeleteWeight;
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

function isSet(flag: unknown): boolean {
  return flag !== undefined && flag !== 'false';
}

/** 0 for what is no number: it is refused later on. */
function number(given: unknown): number {
  const value = Number(given ?? 0);
  return value > 0 && Number.isFinite(value) ? value : 0;
}
