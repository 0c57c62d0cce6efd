// Responses that are sent before the body has arrived; most are refusals. "100 Continue" is sent only when the body is read. A client
// that sends a body which is not needed may finish it, within limits (lingering-close.ts).
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Metrics } from '../../broker/metrics.ts';
import type { ConnectionLimits } from '../limits.ts';
import type { LingeringClose } from '../lingering-close.ts';
import { hasStreamedBody } from '../route-config.ts';

/** Requests that wait for "100 Continue" and have not got it. */
const expecting = new WeakSet<IncomingMessage>();

interface EarlyResponsesOptions {
  lingering: LingeringClose;
  limits: ConnectionLimits['lingering'];
  metrics: Metrics;
}

async function installEarlyResponses(
  app: FastifyInstance,
  { lingering, limits, metrics }: EarlyResponsesOptions,
): Promise<void> {
  metrics.gauge(
    'connections_lingering',
    'Connections whose request body was read to the end after an early response.',
    () => lingering.size,
  );
  const { server } = app;
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    continueWhenRead(request, response);
    server.emit('request', request, response);
  });
  // Before Node's own listener, which closes the connection.
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const { headers } = request;
    // Without a body there is nothing that the response could come before.
    if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return;
    // A request forgets its socket when a reader of its body fails.
    const { socket } = request;
    response.prependListener('finish', () => {
      if (!request.complete) finishBody(request, response, socket);
    });
  });

  // A fault in the head is refused before the body is requested.
  app.addHook('preParsing', (request, _reply, payload, done) => done(headProblem(request), payload));

  app.addHook('onSend', (request, reply, payload, done) => {
    const { raw } = request;
    if (!raw.complete && reply.statusCode >= 400 && (expecting.has(raw) || !isShort(raw))) {
      reply.header('connection', 'close');
    }
    done(null, payload);
  });

  /** Whether the rest of a body is short enough to read, so that the connection can be reused. */
  function isShort({ headers }: IncomingMessage): boolean {
    return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) <= limits.bytes;
  }

  function finishBody(request: IncomingMessage, response: ServerResponse, socket: Socket): void {
    // Node calls destroySoon after the last response of a connection.
    socket.destroySoon = () => (request.complete ? socket.destroy() : lingering.close(socket));
    // Otherwise the connection is reused after this body, if the body ends soon.
    const timer = setTimeout(() => {
      if (!request.complete) lingering.close(socket);
    }, limits.ms);
    const onClose = () => clearTimeout(timer);
    const settle = () => {
      clearTimeout(timer);
      socket.off('close', onClose);
      Reflect.deleteProperty(socket, 'destroySoon');
    };
    request.once('end', settle);
    response.once('close', () => request.resume());
    socket.once('close', onClose);
  }
}

export const earlyResponses = fp(installEarlyResponses, {
  name: 'early-responses',
  fastify: '5.x',
  dependencies: ['body-type'],
});

function continueWhenRead(request: IncomingMessage, response: ServerResponse): void {
  expecting.add(request);
  const onListener = (event: string | symbol) => {
    if (event !== 'data' && event !== 'readable') return;
    request.off('newListener', onListener);
    if (!expecting.delete(request) || response.headersSent) return;
    response.writeContinue();
  };
  request.on('newListener', onListener);
}

function headProblem(request: FastifyRequest): Error | undefined {
  const { raw, headers } = request;
  // A stream has no limit: its lines or records have.
  const length = Number(headers['content-length'] ?? 0);
  if (length > 0 && length > request.routeOptions.bodyLimit && !hasStreamedBody(request)) {
    return new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
  }
  if (!expecting.has(raw)) return undefined;
  for (const [part, value] of [
    ['params', request.params],
    ['querystring', request.query],
  ] as const) {
    const validate = request.getValidationFunction(part) as ((value: unknown) => { error?: Error }) | undefined;
    const error = validate?.(value).error;
    if (error) return error;
  }
  return undefined;
}
