// The JSON bodies of version 3, but those with records.
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { bodyOf } from '../bodies.ts';
import { KafkaRestError } from '../errors.ts';

/** The body of a request. @throws as bodyOf(); KafkaRestError 422 if it is empty, as Confluent has it */
export function requiredJson<T>(request: FastifyRequest, schema: z.ZodType<T>): T {
  const body = bodyOf(request, schema);
  if (body === undefined) throw new KafkaRestError(422, 'The body is empty; this call needs JSON.');
  return body;
}
