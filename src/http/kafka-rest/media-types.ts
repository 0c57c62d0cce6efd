// The media types of the Kafka REST dialect: `application/vnd.kafka[.<format>].v2+json`. The format says how keys and values are
// written in JSON.
import type { FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import { ServiceError } from '../../core/service-error.ts';
import { jsonType } from '../media-types.ts';
import { KafkaRestError } from './errors.ts';

/** The type of metadata, and of every response. */
export const kafkaType = 'application/vnd.kafka.v2+json';

/** How keys and values are written: as JSON, or as bytes in base64. */
export type RecordFormat = 'json' | 'binary';

const responseTypes = [kafkaType, 'application/vnd.kafka+json', jsonType];
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

/** The type of a response, by Accept. @throws KafkaRestError 406 */
export function responseType(request: FastifyRequest): string {
  const { accept } = request.headers;
  const type = accept === undefined ? kafkaType : new Negotiator(request.raw).mediaType([...responseTypes]);
  if (type !== undefined) return type;
  throw new KafkaRestError(406, `Accept: ${accept} names no type of this response: ${responseTypes.join(', ')}.`);
}
