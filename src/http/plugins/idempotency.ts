// Reads the Idempotency-Key header, and computes the fingerprint of the request. A repeat must have the same key and fingerprint.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { ownKey } from '../../access/own-key.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { IdempotencyKey } from '../../store/idempotency.ts';
import { requireSecretKey } from '../../store/sealed-response.ts';

/** The headers that are part of the fingerprint. */
const telling = ['content-type', 'if-match', 'if-none-match', 'weir-session'];
/**
 * Headers that count only if they are sent. They were added in a later version: so a request without them has the fingerprint that
 * earlier versions stored, and its repeat is recognised after an update.
 */
const tellingIfSent = ['weir-member', 'weir-fence'];

/** Headers of a request that become headers of the record, if the body is the value of one record (produce.ts). */
export const recordHeaderPrefix = 'weir-record-';

/**
 * Returns the key of a request with the fingerprint of its method, URL, conditions, session, fence, type and body; undefined if the
 * request has no key.
 * @param options `secret`: the response holds a secret, which is stored encrypted under the key (store/sealed-response.ts)
 * @throws ServiceError BAD_REQUEST for a key that is empty or too long, or too short for a secret
 */
export function idempotencyOf(request: FastifyRequest, options: { secret?: boolean } = {}): IdempotencyKey | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || key.length < 1 || key.length > 255) {
    throw new ServiceError('BAD_REQUEST', 'Idempotency-Key must be one value of 1 to 255 characters.');
  }
  if (options.secret) requireSecretKey('Idempotency-Key', key);
  const body = request.body;
  // A streamed body has not arrived yet: produce-stream.ts completes the fingerprint while it reads.
  const bytes = Buffer.isBuffer(body) ? body : body instanceof Readable ? '' : JSON.stringify(body ?? null);
  const fingerprint = createHash('sha256')
    .update(`${request.method} ${request.url}\n${telling.map((name) => request.headers[name] ?? '').join('\n')}\n`)
    .update(
      [...tellingIfSent, ...recordHeaderNames(request)]
        .map((name) => (name in request.headers ? `${name}: ${request.headers[name]}\n` : ''))
        .join(''),
    )
    .update(bytes)
    .digest('base64url');
  return { key: ownKey(request.caller.identity, key), fingerprint };
}

function recordHeaderNames({ headers }: FastifyRequest): string[] {
  return Object.keys(headers)
    .filter((name) => name.startsWith(recordHeaderPrefix))
    .sort();
}
