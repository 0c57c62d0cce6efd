// Estimates how much work a request is; a usual one is 1. So a few large requests count as many small ones in admission control
// (plugins/admission.ts). The estimate uses what the request asks for, before the request is validated.
import type { FastifyRequest } from 'fastify';
import { fetchBytesDefault } from '../../schemas/records.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether it reads records or history, at most `maxBytes` of them. */
    readsRecords?: boolean;
    /** How many partitions, members or offsets the response describes; undefined if that is not known before. */
    itemsOf?: (request: FastifyRequest) => number | undefined;
  }
}

/** Each of these amounts is about the work of one usual request: half a millisecond of the broker and the store together. */
const operationsPerUnit = 20;
const namesPerUnit = 250;
const statsPerUnit = 50;
const itemsPerUnit = 15;
/** How many nodes a list is taken to have if the request does not set `limit`. */
const listedUsual = 1000;
const jsonBytesPerUnit = 16 * 1024;
const rawBytesPerUnit = 64 * 1024;
const readBytesPerUnit = 48 * 1024;
/** A fixed estimate: how many nodes there are is known only when they are deleted. */
const recursiveDeleteWeight = 100;

/**
 * The weight of a request, a whole number of at least 1.
 * @param bodyBytes the length of its body
 */
export function weightOf(request: FastifyRequest, bodyBytes: number): number {
  const { body, method, query } = request;
  // A body that is not parsed yet holds records as JSON, or is the value of one record.
  const bytesPerUnit = isJson(request) ? jsonBytesPerUnit : rawBytesPerUnit;
  const asked = (query ?? {}) as Record<string, unknown>;
  // The Kafka REST dialect has another name for it.
  const { limit, maxBytes = asked.max_bytes, recursive, stats, view } = asked;
  const { readsRecords, itemsOf } = request.routeConfig;
  let weight = 1 + bodyBytes / bytesPerUnit + operationsIn(body) / operationsPerUnit;
  weight +=
    number(limit ?? (view === 'tree' || view === 'children' ? listedUsual : 0)) /
    (view === 'tree' || isSet(stats) ? statsPerUnit : namesPerUnit);
  weight += number(maxBytes ?? (readsRecords ? fetchBytesDefault : 0)) / readBytesPerUnit;
  weight += (itemsOf?.(request) ?? 0) / itemsPerUnit;
  if (method === 'DELETE' && isSet(recursive)) weight += recursiveDeleteWeight;
  return Math.floor(weight);
}

/** The weight of one batch of a stream of records, by the bytes of their lines. */
export function batchWeight(bytes: number): number {
  return 1 + Math.floor(bytes / jsonBytesPerUnit);
}

function isJson({ headers }: FastifyRequest): boolean {
  return headers['content-type']?.includes('json') ?? false;
}

/** The operations of a multi, offsets of a commit or partitions of a topic: the longest list in the body, or its number of partitions. */
function operationsIn(body: unknown): number {
  if (typeof body !== 'object' || body === null || Buffer.isBuffer(body)) return 0;
  let operations = 'partitions' in body ? number(body.partitions) : 0;
  for (const value of Object.values(body)) if (Array.isArray(value)) operations = Math.max(operations, value.length);
  return operations;
}

function isSet(flag: unknown): boolean {
  return flag !== undefined && flag !== 'false';
}

/** 0 for a value that is not a positive number: validation refuses it later. */
function number(sent: unknown): number {
  const value = Number(sent ?? 0);
  return value > 0 && Number.isFinite(value) ? value : 0;
}
