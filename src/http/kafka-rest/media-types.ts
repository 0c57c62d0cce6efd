// The media types of the Kafka REST dialect: `application/vnd.kafka[.<format>].v2+json`. The format says how keys and values are
// written in JSON.
import type { FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import { ServiceError } from '../../core/service-error.ts';
import { jsonType } from '../media-types.ts';
import { KafkaRestError } from './errors.ts';

/** The type of metadata, of the calls on consumer instances, and of every response but records. */
export const kafkaType = 'application/vnd.kafka.v2+json';

/** How keys and values are written: as JSON, or as bytes in base64. */
export type RecordFormat = 'json' | 'binary';

const schemaFormats = ['avro', 'jsonschema', 'protobuf'];

function typeOf(format: RecordFormat): string {
  return `application/vnd.kafka.${format}.v2+json`;
}

/**
 * The format of the records in a produce request, by its Content-Type.
 * @throws ServiceError UNSUPPORTED_MEDIA_TYPE
 */
export function producedFormat({ bodyType }: FastifyRequest): RecordFormat {
  if (bodyType === typeOf('json')) return 'json';
  if (bodyType === typeOf('binary')) return 'binary';
  const choice = `send ${typeOf('json')} or ${typeOf('binary')}`;
  const schema = schemaFormats.find((name) => bodyType === `application/vnd.kafka.${name}.v2+json`);
  if (schema !== undefined) {
    throw new ServiceError(
      'UNSUPPORTED_MEDIA_TYPE',
      `${bodyType} needs a schema registry, and this server has none; ${choice}.`,
    );
  }
  const given = bodyType === '' ? 'The request has no Content-Type' : `The Content-Type ${bodyType} is not supported`;
  throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', `${given}; ${choice}.`);
}

/** Whether the name of a format is one that needs a schema registry. */
export function needsSchemas(format: string): boolean {
  return schemaFormats.includes(format);
}

/** The type of a response without records, by Accept. @throws KafkaRestError 406 */
export function responseType(request: FastifyRequest): string {
  return accepted(request, [kafkaType, 'application/vnd.kafka+json', jsonType], 406);
}

/** The type of records for an instance that has this format. @throws KafkaRestError 40601 if Accept asks for another one */
export function recordsType(request: FastifyRequest, format: RecordFormat): string {
  return accepted(request, [typeOf(format), kafkaType, jsonType], 40601);
}

/** Checks that Accept allows the only type of a response. @throws KafkaRestError 406 */
export function requireAccepted(request: FastifyRequest, type: string): void {
  accepted(request, [type], 406);
}

function accepted(request: FastifyRequest, offers: readonly [string, ...string[]], errorCode: 406 | 40601): string {
  if (request.headers.accept === undefined) return offers[0];
  const type = new Negotiator(request.raw).mediaType([...offers]);
  if (type !== undefined) return type;
  throw new KafkaRestError(
    errorCode,
    `Accept: ${request.headers.accept} does not name a type that this call responds with: ${offers.join(', ')}.`,
  );
}
