// Reads the records of a produce request by its media type: JSON, one raw record, or NDJSON (produce-stream.ts).
import { isUtf8 } from 'node:buffer';
import type { FastifyRequest } from 'fastify';
import { producerStamp } from '../../schemas/producers.ts';
import type { Acks, ProduceRequest } from '../broker/log/log-writer.ts';
import type { Actor } from '../core/actor.ts';
import { describeIssues, parseOptions } from '../core/issues.ts';
import type { EncodedRecord } from '../core/records/record-fields.ts';
import {
  buildRecord,
  encodedValueBytesMin,
  parseRecordsInSteps,
  parseValueInSteps,
} from '../core/records/record-input.ts';
import { ServiceError } from '../core/service-error.ts';
import { parseFence } from '../store/log/fence-text.ts';
import type { DeduplicationKey } from '../store/log/logs.ts';
import { jsonType, ndjsonType } from './media-types.ts';
import { idempotencyOf, recordHeaderPrefix } from './plugins/idempotency.ts';

/** The parameters of a produce request, from its path and query. */
export interface ProduceParameters {
  topic: string;
  /** The partition of all records, if the request names one. */
  partition: number | undefined;
  acks: Acks;
  /** The key of a raw record. */
  key: string | undefined;
  /** Whether the response has the offset of each record. */
  offsets: boolean;
  /** When a stream gets its results. */
  results: 'live' | 'end' | undefined;
}

/** A produce request without its records. */
export type ProduceHead = Omit<ProduceRequest, 'records'>;

/**
 * Reads what a produce request says besides its records. To be called before the body is parsed, which may change the bytes that a
 * fingerprint is made of.
 * @param type the media type of the body, as `request.bodyType`
 * @throws ServiceError BAD_REQUEST, INVALID_PATH, UNSUPPORTED_MEDIA_TYPE, FORBIDDEN
 */
export function readProduceHead(request: FastifyRequest, type: string, parameters: ProduceParameters): ProduceHead {
  const { topic, partition, acks } = parameters;
  const header = request.headers['weir-fence'];
  const fence = header === undefined ? undefined : parseFence(headerText(String(header)), 'Weir-Fence');
  // A refusal of the store tells whether the node exists.
  if (fence?.node !== undefined) request.require('read', 'nodes', fence.node);
  checkRecordType(type);
  checkParameters(type, parameters);
  return { topic, partition, acks, fence, deduplicationKey: deduplicationKeyOf(request) };
}

/** Refuses parameters that a body of this type does not take. @throws ServiceError BAD_REQUEST */
function checkParameters(type: string, { key, results }: ProduceParameters): void {
  if (type !== ndjsonType && results !== undefined) {
    throw new ServiceError('BAD_REQUEST', 'results goes with NDJSON; any other body is read to its end anyway.');
  }
  if (key === undefined || (type !== ndjsonType && type !== jsonType)) return;
  const format = type === ndjsonType ? 'NDJSON' : 'JSON';
  throw new ServiceError('BAD_REQUEST', `key goes with a raw record; in ${format} each record has its own.`);
}

/**
 * Reads the records of a body that is there as a whole, and the producer that JSON may name beside them.
 * @param type the media type of the body
 * @param key of a raw record
 * @param checkBytes refuses a raw record by the size that it will have at least
 * @throws ServiceError BAD_REQUEST, and what `checkBytes` throws
 */
export async function readProduceRequest(
  request: FastifyRequest,
  head: ProduceHead,
  { type, key, checkBytes }: { type: string; key: string | undefined; checkBytes(bytes: number): void },
): Promise<ProduceRequest> {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  if (type !== jsonType) {
    const record = isJsonValue(type)
      ? await request.inSteps(parseValueInSteps(body, { key, headers: recordHeaders(request) }))
      : readRawRecord(request, type, body, key, checkBytes);
    return { ...head, records: { kind: 'separate', records: [record] } };
  }
  const {
    records,
    rest: { producer },
  } = await request.inSteps(parseRecordsInSteps(body));
  return { ...head, records, deduplicationKey: withProducer(request, head.deduplicationKey, producer) };
}

const choices =
  'application/json ({"records":[{"key":"k","value":1}]}), application/x-ndjson (a record on each line), or any other type, ' +
  'such as text/plain, application/octet-stream or application/cloudevents+json, whose body is the value of one record';

/** Refuses a missing or ambiguous media type. @throws ServiceError UNSUPPORTED_MEDIA_TYPE */
function checkRecordType(type: string): void {
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
 * What identifies the request and its repeats by its headers: its Idempotency-Key, or `Weir-Producer: <id>:<epoch>:<sequence>`.
 * @throws ServiceError BAD_REQUEST
 */
function deduplicationKeyOf(request: FastifyRequest): DeduplicationKey | undefined {
  const idempotency = idempotencyOf(request);
  const key: DeduplicationKey | undefined = idempotency && { kind: 'key', ...idempotency };
  const header = request.headers['weir-producer'];
  if (header === undefined) return key;
  const match = /^([^:]+):(\d{1,16}):(\d{1,16})$/.exec(String(header));
  if (!match) {
    throw new ServiceError('BAD_REQUEST', 'Weir-Producer must be <id>:<epoch>:<sequence>, such as dGhlIGlk:0:17.');
  }
  return withProducer(request, key, { id: match[1], epoch: Number(match[2]), sequence: Number(match[3]) });
}

/**
 * Adds a producer that the request names to what identified it so far.
 * @param actor who sends it
 * @param producer not validated yet; undefined = none is named
 * @throws ServiceError BAD_REQUEST if it is malformed, or the request is identified already
 */
function withProducer(
  { actsAs }: Pick<Actor, 'actsAs'>,
  key: DeduplicationKey | undefined,
  producer: unknown,
): DeduplicationKey | undefined {
  if (producer === undefined) return key;
  const parsed = producerStamp.safeParse(producer, parseOptions);
  if (!parsed.success) throw new ServiceError('BAD_REQUEST', describeIssues(parsed.error, 'producer'));
  if (!key) return { kind: 'producer', ...parsed.data, actsAs };
  throw new ServiceError(
    'BAD_REQUEST',
    key.kind === 'producer'
      ? 'Give the producer in the body or as Weir-Producer, not both.'
      : 'Give an Idempotency-Key or a producer, not both: each makes a repeat safe.',
  );
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
