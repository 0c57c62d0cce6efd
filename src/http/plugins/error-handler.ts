// The one place where failures become HTTP answers: problem+json with a code of the catalogue.
import { randomInt } from 'node:crypto';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { withoutHandles } from '../../core/issues.ts';
import { ServiceError } from '../../core/service-error.ts';
import { retryAfterSeconds } from '../limits.ts';
import { bodyTooLarge } from './bodies.ts';
import { percentEncodingProblem } from './request-head.ts';

/** What Redis says of how long it will load is a guess. */
const loadingRetrySecondsMax = 30;

/** Nobody hears it; it is for the log. */
const gone = new ServiceError('BAD_REQUEST', 'The connection was lost before the answer began.');

/** Whether an answer that is a stream could not begin, as whoever asked had left by then: no fault of ours. */
function isGone(error: FastifyError | Error, reply: FastifyReply): boolean {
  return (error as FastifyError).code === 'ERR_STREAM_PREMATURE_CLOSE' && reply.raw.destroyed;
}

interface ErrorHandlerOptions {
  /** Responds to a refused WebSocket handshake by a socket that is closed with the reason; false if it cannot. */
  refuseSocket(request: FastifyRequest, reply: FastifyReply, problem: ServiceError): boolean;
}

async function installErrorHandler(app: FastifyInstance, { refuseSocket }: ErrorHandlerOptions): Promise<void> {
  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const failure = isGone(error, reply) ? gone : toServiceError(error, request);
    if (failure.code === 'INTERNAL') request.log.error({ err: error }, 'A request failed by a fault of ours');
    if (request.ws && refuseSocket(request, reply, failure)) return;
    return sendProblem(reply, failure);
  });
}

export const errorHandler = fp(installErrorHandler, { name: 'error-handler', fastify: '5.x' });

/**
 * Refuses what leads to no route, before its body is read and the session that comes with it is renewed; Fastify would also have words of its
 * own for methods that nobody uses.
 */
async function installNotFound(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', (request, reply, done) => {
    done(request.is404 || emptyParameter(request.params) !== undefined ? notFound(app, request, reply) : undefined);
  });
  // A route may find that there is nothing, as that of the files below /docs does.
  app.setNotFoundHandler((request, reply) => sendProblem(reply, notFound(app, request, reply)));
}

export const notFoundHandler = fp(installNotFound, {
  name: 'not-found',
  fastify: '5.x',
  dependencies: ['error-handler'],
});

/** What is wrong with a request that leads to no route: its URL, or, with the header Allow, its method. */
function notFound(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): ServiceError {
  const path = request.url.split('?')[0]!;
  const shown = withoutHandles(path);
  const methods = methodsAt(app, path);
  if (methods.length === 0 || methods.some((method) => method === request.method)) {
    return new ServiceError('NOT_FOUND', `There is nothing at ${shown}; ${whereElse(app, path)}.`);
  }
  reply.header('allow', methods.join(', '));
  const detail = `${shown} does not take ${request.method}, only ${methods.join(', ')}.`;
  return new ServiceError('METHOD_NOT_ALLOWED', detail);
}

function methodsAt(app: FastifyInstance, path: string) {
  const methods = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH'] as const;
  return methods.filter((method) => {
    const route = app.findRoute({ url: path, method });
    return route !== null && emptyParameter(route.params) === undefined;
  });
}

/** The router takes nothing for a name, too. The root of the tree is the one thing that has none. */
function emptyParameter(params: unknown): string | undefined {
  return Object.entries(params ?? {}).find(([name, value]) => value === '' && name !== '*')?.[0];
}

/** What is not listed under its own path, and where it is. */
const listedElsewhere = new Map([['/v1/brokers', 'GET /v1/cluster lists the brokers']]);

/** The root of the tree ends with a slash, and nothing else does: who mixes that up is told; and what a name must follow. */
function whereElse(app: FastifyInstance, path: string): string {
  const other = path.endsWith('/') ? path.slice(0, -1) : `${path}/`;
  if (other !== '' && methodsAt(app, other).length > 0) return `${withoutHandles(other)} is what you may mean`;
  const unnamed = emptyParameter(app.findRoute({ url: other, method: 'GET' })?.params);
  if (unnamed !== undefined) {
    const listed = listedElsewhere.get(path);
    return `${listed === undefined ? '' : `${listed}; `}${withoutHandles(other)}{${unnamed}} is what you may mean`;
  }
  return '/docs shows what there is, and /openapi.json lists it';
}

/** Answers a URL that cannot be read at all, before there is a route for it. */
export function refuseUrl(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const problem = percentEncodingProblem(request.url.split('?')[0]!);
  const detail = problem === undefined ? `The URL is not valid: ${error.message}.` : `The path of the URL ${problem}`;
  sendProblem(reply, new ServiceError('BAD_REQUEST', withoutHandles(detail)));
}

/** Answers with a problem. Fields of the case stand beside the standard ones; a zxid also goes into its header. */
function sendProblem(reply: FastifyReply, error: ServiceError): FastifyReply {
  if (error.code === 'LOADING') {
    reply.header('retry-after', Math.min(Math.max(1, Number(error.fields.secondsLeft)), loadingRetrySecondsMax));
  } else if (error.code === 'STORE_UNAVAILABLE' || error.code === 'TOO_MANY_REQUESTS') {
    reply.header('retry-after', randomInt(retryAfterSeconds.least, retryAfterSeconds.most + 1));
  }
  // The rest of the body would be taken for the next request.
  if (error.code === 'REQUEST_TIMEOUT') reply.header('connection', 'close');
  const { zxid } = error.fields;
  if (typeof zxid === 'number') reply.header('weir-zxid', zxid);
  return reply.code(error.status).type('application/problem+json').send(JSON.stringify(error.toProblem()));
}

/** Maps whatever was thrown to the catalogue; what cannot be mapped is INTERNAL, and its message stays inside. */
export function toServiceError(
  error: Error & { code?: string; statusCode?: number },
  request?: FastifyRequest,
): ServiceError {
  for (let e: unknown = error; e instanceof Error; e = e.cause) if (e instanceof ServiceError) return e;
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return bodyTooLarge(request!);
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ServiceError(
        'UNSUPPORTED_MEDIA_TYPE',
        `The Content-Type ${request?.headers['content-type']} is no media type, such as application/json.`,
      );
  }
  // What Fastify and its parsers refuse is the client's to mend, and their texts say what is wrong.
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new ServiceError('BAD_REQUEST', `${error.message}.`.replace(/\.\.$/, '.'));
  }
  return new ServiceError('INTERNAL', 'The service failed at this request; its log says more under the request id.', {
    ...(request && { requestId: request.id }),
  });
}
