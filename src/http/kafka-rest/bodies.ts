// The small JSON bodies of the dialect. One that is not JSON is 400, and one of another shape 422.
import { buffer } from 'node:stream/consumers';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { describeIssues, parseOptions } from '../../core/issues.ts';
import { readJson } from '../../core/json-input.ts';
import { ServiceError } from '../../core/service-error.ts';
import { bodyBytes } from '../limits.ts';
import { KafkaRestError } from './errors.ts';

/** Makes the bodies of routes reach their handlers as bytes, whatever their type says: clients send several types with JSON. */
export function takesBytes(app: Pick<FastifyInstance, 'removeAllContentTypeParsers' | 'addContentTypeParser'>): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
}

/** The body of a request; undefined if it is empty. @throws ServiceError BAD_REQUEST; KafkaRestError 422 */
export function bodyOf<T>({ body }: Pick<FastifyRequest, 'body'>, schema: z.ZodType<T>): T | undefined {
  if (!Buffer.isBuffer(body) || body.length === 0) return undefined;
  const parsed = schema.safeParse(readJson(body, 'The body'), parseOptions);
  if (parsed.success) return parsed.data;
  throw new KafkaRestError(422, describeIssues(parsed.error, 'body'));
}

/**
 * The body of a GET, which Fastify does not read.
 * @throws as bodyOf(); ServiceError TOO_LARGE for one without a length, or a long one
 */
export async function bodyOfGet<T>(request: FastifyRequest, schema: z.ZodType<T>): Promise<T | undefined> {
  const { raw, headers } = request;
  const length = headers['content-length'];
  if (length === undefined && headers['transfer-encoding'] === undefined) return undefined;
  if (length === undefined || Number(length) > bodyBytes.little) {
    throw new ServiceError('TOO_LARGE', `The body of a GET must have a Content-Length of at most ${bodyBytes.little}.`);
  }
  return bodyOf({ body: await buffer(raw) }, schema);
}
