// Reads request bodies: uncompressed, as JSON in UTF-8 unless a route takes other types. Ambiguous requests are refused.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { readJson } from '../../core/json-input.ts';
import { required } from '../../core/required.ts';
import { ServiceError } from '../../core/service-error.ts';
import { bodyBytes } from '../limits.ts';
import { hasNoBody } from './body-type.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the body is stored as bytes with its Content-Type, even if it is empty. */
    takesBytes?: boolean;
    /** The headers that this route reads and most routes do not, for the OpenAPI document. */
    takesHeaders?: readonly ('Weir-Fence' | 'Weir-Producer')[];
  }
}

interface BodiesOptions {
  /** WEIR_MAX_BODY_BYTES: the largest limit that a route can have. */
  bodyBytesMax: number;
}

async function installBodies(app: FastifyInstance, { bodyBytesMax }: BodiesOptions): Promise<void> {
  app.addHook('onRoute', (route) => {
    route.bodyLimit = Math.min(route.bodyLimit ?? bodyBytes.little, bodyBytesMax);
  });

  // Fastify would also parse text/plain, and validation would then report a malformed object in place of the wrong type.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(['application/json', 'text/json'], { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    const parse = () => {
      let parsed: unknown;
      try {
        parsed = readJson(body, 'The body');
      } catch (error) {
        return done(error as Error);
      }
      done(null, parsed);
    };
    request.parseInTurn(body.length, parse, done);
  });
  // An empty body counts as none, whatever its type. A body of an unsupported type is refused after its first bytes.
  app.addContentTypeParser('*', (request, payload, done) => {
    // The request is refused at once: a client that waits for "100 Continue" must not have to send the body first.
    if (request.headers['transfer-encoding'] === undefined && !hasNoBody(request)) return done(notTaken(request));
    const finish = (error: Error | null) => {
      payload.off('data', onData).off('end', onEnd).off('error', finish);
      done(error, undefined);
    };
    const onData = () => {
      payload.pause();
      finish(notTaken(request));
    };
    const onEnd = () => finish(null);
    payload.on('data', onData).on('end', onEnd).on('error', finish);
  });

  app.addHook('onRequest', (request, reply, done) => {
    const coding = request.headers['content-encoding'];
    if (coding === undefined || coding === 'identity') return done();
    // A compressed body would be stored as it is, and later served without its Content-Encoding.
    reply.header('accept-encoding', 'identity');
    const detail = `A body with Content-Encoding: ${coding} is not supported; send the body uncompressed, without Content-Encoding.`;
    done(new ServiceError('UNSUPPORTED_MEDIA_TYPE', detail));
  });

  // A route that reads no body would ignore one, such as a condition in the body of a DELETE. So the request is refused.
  app.addHook('preValidation', (request, _reply, done) => {
    const { body } = request;
    if (body === undefined) return done();
    const { routeOptions } = request;
    if (routeOptions.schema?.body !== undefined || isEmpty(body)) return done();
    const route = `${request.method} ${routeOptions.url}`;
    done(new ServiceError('BAD_REQUEST', `${route} takes no body; send none, and give parameters in the query.`));
  });
}

export const bodies = fp(installBodies, { name: 'bodies', fastify: '5.x', dependencies: ['body-type'] });

function isEmpty(body: unknown): boolean {
  if (body === null) return true;
  return typeof body === 'object' && Object.keys(body).length === 0;
}

function notTaken(request: FastifyRequest): ServiceError {
  const type = request.headers['content-type'];
  const given = type === undefined ? 'The body has no Content-Type' : `The content type ${type} is not supported here`;
  const isForm = request.bodyType === 'application/x-www-form-urlencoded';
  const hint = isForm || type === undefined ? " (with curl: -H 'Content-Type: application/json')" : '';
  return new ServiceError('UNSUPPORTED_MEDIA_TYPE', `${given}; send application/json${hint}.`);
}

/** The problem of a body that is over the limit of its route. */
export function bodyTooLarge(request: FastifyRequest): ServiceError {
  const { bodyLimit: maxBytes, config } = request.routeOptions;
  const announced = request.headers['content-length'];
  const bytes = announced === undefined ? undefined : Number(announced);
  const size = bytes === undefined ? 'is over the limit' : `has ${bytes} bytes; the limit is`;
  const whose =
    maxBytes < required(request.server.initialConfig.bodyLimit, 'limit of bodies')
      ? 'of this request'
      : 'WEIR_MAX_BODY_BYTES';
  const remedy = config?.tooLargeRemedy ?? 'Send a smaller body.';
  return new ServiceError(
    'TOO_LARGE',
    `The body ${size} ${bytes === undefined ? 'of ' : ''}${maxBytes} (${readable(maxBytes)}, ${whose}). ${remedy}`,
    { ...(bytes !== undefined && { bytes }), maxBytes },
  );
}

/** Formats a number of bytes for people: `64 KiB`, `1.5 MiB`. */
export function readable(bytes: number): string {
  const [unit, name] = bytes < 1024 * 1024 ? [1024, 'KiB'] : [1024 * 1024, 'MiB'];
  return `${Number((bytes / unit).toFixed(1))} ${name}`;
}
