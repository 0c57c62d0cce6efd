// Sends every error of the dialect's routes, those of the plugins before them included, as the dialect's body.
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { jsonLine } from '../../core/json-line.ts';
import { failureOf, setFailureHeaders } from '../plugins/error-handler.ts';
import { KafkaRestError, statusAndCode } from './errors.ts';

type ErrorHandler = (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) => FastifyReply;

/** The error handler of routes of the dialect. @param type the type of their errors */
export function kafkaRestErrors(type: string): ErrorHandler {
  return (error, request, reply) => {
    const [status, code, message] = reportOf(error, request, reply);
    return reply
      .code(status)
      .type(type)
      .send(jsonLine({ error_code: code, message }));
  };
}

function reportOf(
  error: FastifyError | Error,
  request: FastifyRequest,
  reply: FastifyReply,
): [status: number, code: number, message: string] {
  if (error instanceof KafkaRestError) return [error.status, error.errorCode, error.message];
  const failure = failureOf(error, request, reply);
  setFailureHeaders(reply, failure);
  return [...statusAndCode(failure), failure.message];
}
