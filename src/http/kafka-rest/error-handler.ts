// Sends every error of the dialect's routes, those of the plugins before them included, as the dialect's body.
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { jsonLine } from '../../core/json-line.ts';
import { failureOf, setFailureHeaders } from '../plugins/error-handler.ts';
import { KafkaRestError, statusAndCode } from './errors.ts';
import { kafkaType } from './media-types.ts';

/** The error handler of the dialect's routes. */
export function sendKafkaRestError(error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) {
  if (error instanceof KafkaRestError) return send(reply, error.status, error.errorCode, error.message);
  const failure = failureOf(error, request, reply);
  setFailureHeaders(reply, failure);
  const [status, code] = statusAndCode(failure);
  return send(reply, status, code, failure.message);
}

function send(reply: FastifyReply, status: number, code: number, message: string): FastifyReply {
  return reply
    .code(status)
    .type(kafkaType)
    .send(jsonLine({ error_code: code, message }));
}
