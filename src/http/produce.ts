// How records come in over HTTP, by the type of the body: JSON, a stream of NDJSON (produce-stream.ts), or one raw record.
import { isUtf8 } from 'node:buffer';
import type { FastifyRequest } from 'fastify';
import { producerStamp } from '../../schemas/producers.ts';
import { describeIssues, parseInput } from '../core/issues.ts';
import type { EncodedRecord } from '../core/record-fields.ts';
import { buildRecord, type EncodedRecords, parseRecords } from '../core/record-input.ts';
import { ServiceError } from '../core/service-error.ts';
import type { Identity, Produced } from '../live/log-writer.ts';
import type { Fence } from '../store/logs.ts';
import type { Idempotency } from '../store/namespace.ts';
import type { ProducerStamp } from '../store/producers.ts';

export const ndjsonType = 'application/x-ndjson';

const recordHeaderPrefix = 'weir-record-';

/** The type of a body without its parameters, in lower case; '' if the sender gave none. */
export function mediaTypeOf(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
}

/**
 * The records of a body that is there as a whole, and the producer that JSON may name beside them. @param key of a raw record
 * @throws ServiceError BAD_REQUEST
 */
export function readRecords(
  request: FastifyRequest,
  key: string | undefined,
): { records: EncodedRecords; producer?: ProducerStamp } {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const type = mediaTypeOf(request);
  if (type !== 'application/json') {
    return { records: { kind: 'each', records: [readRawRecord(request, type, body, key)] } };
  }
  if (key !== undefined) {
    throw new ServiceError('BAD_REQUEST', 'key goes with a raw record; in JSON each record has its own.');
  }
  const {
    records,
    rest: { producer, ...rest },
  } = parseRecords(body);
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new ServiceError('BAD_REQUEST', `The body has an unknown field '${unknown}'.`);
  return producer === undefined ? { records } : { records, producer: readStamp(producer) };
}

/**
 * What a repeat of the request is known by: its Idempotency-Key, or its producer, named in the body or in the header
 * `Weir-Producer: <id>:<epoch>:<sequence>`.
 * @throws ServiceError BAD_REQUEST
 */
export function identityOf(
  request: FastifyRequest,
  idempotency: Idempotency | undefined,
  inBody: ProducerStamp | undefined,
): Identity | undefined {
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

function stampOfHeader(header: string): ProducerStamp {
  const match = /^([^:]+):(\d{1,16}):(\d{1,16})$/.exec(header);
  if (!match) {
    throw new ServiceError('BAD_REQUEST', 'Weir-Producer must be <id>:<epoch>:<sequence>, such as dGhlIGlk:0:17.');
  }
  return readStamp({ id: match[1], epoch: Number(match[2]), sequence: Number(match[3]) });
}

function readStamp(given: unknown): ProducerStamp {
  const parsed = producerStamp.safeParse(given, parseInput);
  if (parsed.success) return parsed.data;
  throw new ServiceError('BAD_REQUEST', describeIssues(parsed.error, 'producer'));
}

/** Text stays text, so that it reads well in JSON; what is not known to be text stays bytes. */
function readRawRecord(request: FastifyRequest, type: string, body: Buffer, key: string | undefined): EncodedRecord {
  const isText = (type.startsWith('text/') || type === 'application/x-www-form-urlencoded') && isUtf8(body);
  const headers: [string, string][] = [];
  for (const [name, value] of Object.entries(request.headers)) {
    if (!name.startsWith(recordHeaderPrefix) || value === undefined) continue;
    const header = name.slice(recordHeaderPrefix.length);
    if (header === '') throw new ServiceError('BAD_REQUEST', 'The header Weir-Record- needs a name behind its dash.');
    for (const one of [value].flat()) headers.push([header, headerText(one)]);
  }
  return buildRecord({ value: isText ? body.toString() : body, key, headers });
}

/** HTTP gives the bytes of a header one character each; most senders mean UTF-8. */
function headerText(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  return isUtf8(bytes) ? bytes.toString() : value;
}

/** The fencing token of a request, `Weir-Fence: <name>=<integer>`. @throws ServiceError BAD_REQUEST */
export function fenceOf(request: FastifyRequest): Fence | undefined {
  const header = request.headers['weir-fence'];
  if (header === undefined) return undefined;
  const match = typeof header === 'string' ? /^([^=\s][^=]{0,254})=(\d{1,16})$/.exec(header) : null;
  const token = Number(match?.[2]);
  if (!match || !Number.isSafeInteger(token)) {
    throw new ServiceError(
      'BAD_REQUEST',
      'Weir-Fence must be <name>=<integer>, such as orders=42: one name of up to 255 characters and a number up to 2^53-1.',
    );
  }
  return { name: match[1]!, token };
}

/** [partition, offset] of each record, in the order of the request. Those of one partition are contiguous. */
export function offsetsOf({ partitions, results }: Produced): [partition: number, offset: number][] {
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
