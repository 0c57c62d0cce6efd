// Turns every error into an HTTP response: application/problem+json with a code of the catalogue. Only this file does so.

import { randomInt } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Logger } from 'pino';
import { ClientEventsLog } from '../../broker/client-events-log.ts';
import { withoutHandles } from '../../core/issues.ts';
import { jsonLine } from '../../core/json-line.ts';
import { required } from '../../core/required.ts';
import { ServiceError } from '../../core/service-error.ts';
import { mustKeepEventSource, sendProblemStream } from '../event-stream-messages.ts';
import { retryAfterSeconds } from '../limits.ts';
import { bodyTooLarge } from './bodies.ts';
import { percentEncodingProblem } from './request-head.ts';

/** The largest Retry-After while Redis loads its data, s: its own estimate is rough. */
const loadingRetrySecondsMax = 30;

/** Stands for a lost connection in the log; no client gets it. */
const gone = new ServiceError('BAD_REQUEST', 'The connection was lost before the response began.');

declare module 'fastify' {
  interface FastifyInstance {
    /** Limits the log lines about internal errors: a client that meets one may meet it with each request. */
    internalErrors: ClientEventsLog;
  }
}

/** The failure that a response reports. An error that is not of the catalogue is logged. */
export function failureOf(error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): ServiceError {
  const failure = isGone(error, reply) ? gone : toServiceError(error, request);
  logIfInternal(failure, error, request, 'Request failed with an internal error');
  return failure;
}

/**
 * Logs the cause of a failure that is not of the catalogue, under the id of its request.
 * @param message one of a few texts of the program; each has a limit of its own
 */
export function logIfInternal(failure: ServiceError, cause: unknown, request: FastifyRequest, message: string): void {
  if (failure.code !== 'INTERNAL' || !request.server.internalErrors.mayWrite(message)) return;
  request.log.error({ err: cause }, message);
}

/** Whether a streamed response could not begin because the client had closed the connection: not an internal error. */
function isGone(error: FastifyError | Error, reply: FastifyReply): boolean {
  return (error as FastifyError).code === 'ERR_STREAM_PREMATURE_CLOSE' && reply.raw.destroyed;
}

interface ErrorHandlerOptions {
  log: Logger;
  /** Responds to a refused WebSocket handshake by a socket that is closed with the reason; false if it cannot. */
  refuseSocket(request: FastifyRequest, reply: FastifyReply, problem: ServiceError): boolean;
}

async function installErrorHandler(app: FastifyInstance, { log, refuseSocket }: ErrorHandlerOptions): Promise<void> {
  app.decorate('internalErrors', new ClientEventsLog(log));
  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const failure = failureOf(error, request, reply);
    if (request.ws && refuseSocket(request, reply, failure)) return;
    return sendProblem(reply, failure);
  });
}

export const errorHandler = fp(installErrorHandler, { name: 'error-handler', fastify: '5.x' });

/**
 * Refuses a request without a route before its body is read and its session is renewed. Fastify's own responses to unknown methods
 * would not be problems.
 */
async function installNotFound(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', (request, reply, done) => {
    const problem = urlProblems.get(request.raw);
    if (problem) return done(problem);
    done(request.is404 || emptyParameter(request.params) !== undefined ? notFound(app, request, reply) : undefined);
  });
  // It also serves routes that call reply.callNotFound(), such as that of the files below /docs.
  app.setNotFoundHandler((request, reply) => sendProblem(reply, notFound(app, request, reply)));
}

export const notFoundHandler = fp(installNotFound, {
  name: 'not-found',
  fastify: '5.x',
  dependencies: ['error-handler'],
});

/** The problem of a request without a route: an unknown URL, or an unsupported method, for which it sets the header Allow. */
function notFound(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): ServiceError {
  const [path = ''] = request.url.split('?');
  const shown = withoutHandles(path);
  const methods = methodsAt(app, path);
  if (methods.length === 0 || methods.some((method) => method === request.method)) {
    return new ServiceError('NOT_FOUND', `There is nothing at ${shown}; ${whereElse(app, path)}.`);
  }
  reply.header('allow', methods.join(', '));
  const detail = `${shown} does not support ${request.method}; use ${methods.join(', ')}.`;
  return new ServiceError('METHOD_NOT_ALLOWED', detail);
}

function methodsAt(app: FastifyInstance, path: string) {
  const methods = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH'] as const;
  // `OPTIONS *` is about the server (RFC 9110, 9.3.7); the router would take it for `/`.
  if (!path.startsWith('/')) return [];
  return methods.filter((method) => {
    const route = app.findRoute({ url: path, method });
    return route !== null && emptyParameter(route.params) === undefined;
  });
}

/** The name of a path parameter that is empty, as the router accepts. Only the wildcard, a node's path, may be empty. */
function emptyParameter(params: unknown): string | undefined {
  const given = (params ?? {}) as Record<string, unknown>;
  for (const name in given) if (given[name] === '' && name !== '*') return name;
  return undefined;
}

/**
 * A hint for an unknown URL: the same with or without the slash at its end, with the name that must follow, or below /v1; or the health
 * checks.
 */
function whereElse(app: FastifyInstance, path: string): string {
  const other = path.endsWith('/') ? path.slice(0, -1) : `${path}/`;
  if (other !== '' && methodsAt(app, other).length > 0) return `you may mean ${withoutHandles(other)}`;
  const unnamed = emptyParameter(app.findRoute({ url: other, method: 'GET' })?.params);
  if (unnamed !== undefined) return `you may mean ${withoutHandles(other)}{${unnamed}}`;
  if (methodsAt(app, `/v1${path}`).length > 0) return `you may mean ${withoutHandles(`/v1${path}`)}`;
  if (/^\/health\b/.test(path)) return 'the health checks are /health/live and /health/ready';
  return '/docs describes all routes, and /openapi.json lists them';
}

/** A URL without a route. */
const noRoute = '/malformed-url';

/** What is wrong with the URLs of requests that have no route for it. */
const urlProblems = new WeakMap<IncomingMessage, ServiceError>();

/**
 * Refuses a URL that the router cannot read. The router would let it pass no hook, which set the headers of responses, count and log. So
 * the request is routed again, to no route, and the hook above refuses it.
 */
export function refuseUrl(error: Error, { raw, server, url }: FastifyRequest, reply: FastifyReply): void {
  const problem = percentEncodingProblem(url.replace(/\?.*/s, ''));
  const detail = problem === undefined ? `The URL is not valid: ${error.message}.` : `The path of the URL ${problem}`;
  urlProblems.set(raw, new ServiceError('BAD_REQUEST', withoutHandles(detail)));
  raw.url = noRoute;
  server.routing(raw, reply.raw);
}

/** Sends a problem, with the fields of the error beside the standard members; a zxid is also sent as Weir-Zxid. */
function sendProblem(reply: FastifyReply, error: ServiceError): FastifyReply {
  const retrySeconds = setFailureHeaders(reply, error);
  if (mustKeepEventSource(reply.request, error)) return sendProblemStream(reply, error, retrySeconds ?? 1);
  const { zxid } = error.fields;
  if (typeof zxid === 'number') reply.header('weir-zxid', zxid);
  return reply.code(error.status).type('application/problem+json').send(jsonLine(error.toProblem()));
}

/** Sets the headers that go with an error, whatever the form of its body. @returns the value of Retry-After, s, if it has one */
export function setFailureHeaders(reply: FastifyReply, error: ServiceError): number | undefined {
  const retrySeconds = retrySecondsAfter(error);
  if (retrySeconds !== undefined) reply.header('retry-after', retrySeconds);
  // Otherwise the rest of the body would be parsed as the next request.
  if (error.code === 'REQUEST_TIMEOUT') reply.header('connection', 'close');
  // RFC 9110, 15.5.2. Basic is accepted, too, but not offered: browsers would ask their user for a password.
  if (error.code === 'AUTH_REQUIRED') reply.header('www-authenticate', 'Bearer realm="weirkeeper"');
  return retrySeconds;
}

/** The value of Retry-After, s; undefined for errors that have none. */
function retrySecondsAfter({ code, fields }: ServiceError): number | undefined {
  if (typeof fields.retryAfterMs === 'number') return Math.max(1, Math.ceil(fields.retryAfterMs / 1000));
  if (code === 'LOADING') return Math.min(Math.max(1, Number(fields.secondsLeft)), loadingRetrySecondsMax);
  if (code !== 'STORE_UNAVAILABLE' && code !== 'TOO_MANY_REQUESTS') return undefined;
  return randomInt(retryAfterSeconds.least, retryAfterSeconds.most + 1);
}

/** Maps any error to a ServiceError of the catalogue. An unknown error becomes INTERNAL, and its message is not sent. */
export function toServiceError(
  error: Error & { code?: string; statusCode?: number },
  request?: FastifyRequest,
): ServiceError {
  for (let e: unknown = error; e instanceof Error; e = e.cause) if (e instanceof ServiceError) return e;
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return bodyTooLarge(required(request, 'request whose body is too large'));
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ServiceError(
        'UNSUPPORTED_MEDIA_TYPE',
        `The Content-Type ${request?.headers['content-type']} is not a media type; a valid one is application/json.`,
      );
  }
  // Errors of Fastify and its parsers with a status of 4xx are faults of the request, and their texts are safe to send.
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new ServiceError('BAD_REQUEST', `${error.message}.`.replace(/\.\.$/, '.'));
  }
  return new ServiceError(
    'INTERNAL',
    'The server failed while it handled this request. Its log has the cause under the request id.',
    {
      ...(request && { requestId: request.id }),
    },
  );
}
