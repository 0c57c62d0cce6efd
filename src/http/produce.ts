// Reads the records of a produce request by its media type: JSON, one raw record, or NDJSON (produce-stream.ts).
import { isUtf8 } from 'node:buffer';
import type { FastifyRequest } from 'fastify';
import { producerStamp } from '../../schemas/producers.ts';
import type { DeduplicationKey, ProduceResult } from '../broker/log/log-writer.ts';
import { describeIssues, parseOptions } from '../core/issues.ts';
import type { EncodedRecord } from '../core/records/record-fields.ts';
import {
  buildRecord,
  encodedValueBytesMin,
  parseRecordsInSteps,
  parseValueInSteps,
  type RequestRecords,
} from '../core/records/record-input.ts';
import { ServiceError } from '../core/service-error.ts';
import { pathProblem } from '../core/tree/path.ts';
import type { IdempotencyKey } from '../store/idempotency.ts';
import type { Fence } from '../store/log/logs.ts';
import type { ProducerSequence } from '../store/log/producers.ts';
import { inSteps } from './in-steps.ts';
import { jsonType, mediaTypeOf } from './media-types.ts';
import { recordHeaderPrefix } from './plugins/idempotency.ts';

/**
 * The records of a body that is there as a whole, and the producer that JSON may name beside them.
 * @param key of a raw record
 * @param checkBytes refuses a raw record by the size that it will have at least
 * @throws ServiceError BAD_REQUEST, UNSUPPORTED_MEDIA_TYPE
 */
export async function readRecords(
  request: FastifyRequest,
  key: string | undefined,
  checkBytes: (bytes: number) => void,
): Promise<{ records: RequestRecords; producer?: ProducerSequence }> {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const type = mediaTypeOf(request);
  if (type !== jsonType) {
    const record = isJsonValue(type)
      ? await inSteps(parseValueInSteps(body, { key, headers: recordHeaders(request) }))
      : readRawRecord(request, type, body, key, checkBytes);
    return { records: { kind: 'separate', records: [record] } };
  }
  if (key !== undefined) {
    throw new ServiceError('BAD_REQUEST', 'key goes with a raw record; in JSON each record has its own.');
  }
  const {
    records,
    rest: { producer },
  } = await inSteps(parseRecordsInSteps(body));
  return producer === undefined ? { records } : { records, producer: readStamp(producer) };
}

const choices =
  'application/json ({"records":[{"key":"k","value":1}]}), application/x-ndjson (a record on each line), or any other type, ' +
  'such as text/plain, application/octet-stream or application/cloudevents+json, whose body is the value of one record';

/** Refuses a missing or ambiguous media type. @throws ServiceError UNSUPPORTED_MEDIA_TYPE */
export function checkRecordType(request: FastifyRequest): void {
  const type = mediaTypeOf(request);
  if (type === '') {
    throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', `The request has no Content-Type; give ${choices}.`);
  }
  if (!type.startsWith('application/vnd.kafka.')) return;
  throw new ServiceError(
    'UNSUPPORTED_MEDIA_TYPE',
    `${type} is a type of the Kafka REST dialect, which is not served below /v1; here give ${choices}.`,
  );
}

/** Whether a type says that the body is one JSON value (RFC 6839). */
function isJsonValue(type: string): boolean {
  return type.endsWith('+json');
}

/**
 * What a repeat of the request is known by: its Idempotency-Key, or its producer, named in the body or in the header
 * `Weir-Producer: <id>:<epoch>:<sequence>`.
 * @throws ServiceError BAD_REQUEST
 */
export function deduplicationKeyOf(
  request: FastifyRequest,
  idempotency: IdempotencyKey | undefined,
  inBody: ProducerSequence | undefined,
): DeduplicationKey | undefined {
  const header = request.headers['weir-producer'];
  if (header !== undefined && inBody) {
    throw new ServiceError('BAD_REQUEST', 'Give the producer in the body or as Weir-Producer, not both.');
  }
  const stamp = header === undefined ? inBody : stampOfHeader(String(header));
  if (idempotency && stamp) {
    throw new ServiceError('BAD_REQUEST', 'Give an Idempotency-Key or a producer, not both: each makes a repeat safe.');
  }
  if (stamp) return { kind: 'producer', stamp };
  return idempotency && { kind: 'key', ...idempotency };
}

function stampOfHeader(header: string): ProducerSequence {
  const match = /^([^:]+):(\d{1,16}):(\d{1,16})$/.exec(header);
  if (!match) {
    throw new ServiceError('BAD_REQUEST', 'Weir-Producer must be <id>:<epoch>:<sequence>, such as dGhlIGlk:0:17.');
  }
  return readStamp({ id: match[1], epoch: Number(match[2]), sequence: Number(match[3]) });
}

function readStamp(given: unknown): ProducerSequence {
  const parsed = producerStamp.safeParse(given, parseOptions);
  if (parsed.success) return parsed.data;
  throw new ServiceError('BAD_REQUEST', describeIssues(parsed.error, 'producer'));
}

/** A value of a text type becomes a JSON string; any other becomes base64. */
function readRawRecord(
  request: FastifyRequest,
  type: string,
  body: Buffer,
  key: string | undefined,
  checkBytes: (bytes: number) => void,
): EncodedRecord {
  const isText = (type.startsWith('text/') || type === 'application/x-www-form-urlencoded') && isUtf8(body);
  checkBytes(encodedValueBytesMin(body, isText));
  return buildRecord({ value: isText ? body.toString() : body, key, headers: recordHeaders(request) });
}

/** The headers of a raw record, `Weir-Record-<name>`. @throws ServiceError BAD_REQUEST */
function recordHeaders(request: FastifyRequest): [name: string, value: string][] {
  const headers: [string, string][] = [];
  for (const [name, value] of Object.entries(request.headers)) {
    if (!name.startsWith(recordHeaderPrefix) || value === undefined) continue;
    const header = name.slice(recordHeaderPrefix.length);
    if (header === '') throw new ServiceError('BAD_REQUEST', 'The header Weir-Record- needs a name behind its dash.');
    for (const one of [value].flat()) headers.push([header, headerText(one)]);
  }
  return headers;
}

/** Node decodes headers as Latin-1; most clients send UTF-8. */
function headerText(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  return isUtf8(bytes) ? bytes.toString() : value;
}

/**
 * The fencing token of a request: `Weir-Fence: <name>=<integer>`, or `/path@<czxid>`, the path as in a URL.
 * @throws ServiceError BAD_REQUEST, INVALID_PATH
 */
export function parseFence(request: FastifyRequest): Fence | undefined {
  const header = request.headers['weir-fence'];
  if (header === undefined) return undefined;
  const named = typeof header === 'string' ? /^([^=\s/][^=]{0,254})=(\d+)$/.exec(header) : null;
  // A name that begins with / could lock out the holders of the node of that path: their fence is /path@<czxid>.
  if (named) return { name: headerText(named[1]!), token: fenceToken(named[2]!) };
  const ofNode = typeof header === 'string' ? /^(\/.*)@(\d+)$/.exec(header) : null;
  if (!ofNode) {
    throw new ServiceError(
      'BAD_REQUEST',
      `Weir-Fence is '${String(header).slice(0, 300)}'; it must be <name>=<integer>, such as orders=42, with a name of up to 255 ` +
        'characters that does not begin with /, or /path@<czxid>, such as /locks/orders@42.',
    );
  }
  const node = nodeOfFence(ofNode[1]!);
  return { name: node, token: fenceToken(ofNode[2]!), node };
}

function fenceToken(digits: string): number {
  const token = Number(digits);
  if (Number.isSafeInteger(token)) return token;
  throw new ServiceError(
    'BAD_REQUEST',
    `The token ${digits.slice(0, 300)} of Weir-Fence is above ${Number.MAX_SAFE_INTEGER} (2^53-1), beyond which numbers are not exact ` +
      'everywhere. The czxid of a node is a good token; a time in nanoseconds is none.',
  );
}

/** The path of a node, given as in a URL: percent-encoded, or as UTF-8. */
function nodeOfFence(text: string): string {
  let path: string;
  try {
    path = decodeURIComponent(headerText(text));
  } catch {
    throw new ServiceError(
      'BAD_REQUEST',
      `The path ${text.slice(0, 300)} in Weir-Fence has a broken percent-encoding.`,
    );
  }
  const bytes = Buffer.byteLength(path);
  const problem =
    pathProblem(path) ??
    (bytes > fencePathBytesMax
      ? `it has ${bytes} bytes, and the path of a fence at most ${fencePathBytesMax}`
      : undefined);
  if (problem) throw new ServiceError('INVALID_PATH', `Weir-Fence ${path.slice(0, 300)}: ${problem}.`, { path });
  return path;
}

const fencePathBytesMax = 1024;

/** [partition, offset] of each record, in the order of the request. Those of one partition are contiguous. */
export function offsetsOf({ partitions, results }: ProduceResult): [partition: number, offset: number][] {
  const next = new Map(results.map(({ partition, baseOffset }) => [partition, baseOffset]));
  const offsets: [number, number][] = [];
  for (const partition of partitions) {
    const offset = next.get(partition);
    if (offset === undefined) continue;
    offsets.push([partition, offset]);
    next.set(partition, offset + 1);
  }
  return offsets;
}
