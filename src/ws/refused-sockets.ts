// What becomes of a socket that is refused before it is one. A browser shows its page nothing of an upgrade that was refused, but
// 1006: so the socket is accepted, told why in an error frame, and closed with 4000 + the status of the problem. Few of these are
// open at a time, and none for long; beyond that the answer is an ordinary HTTP response.
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { problemCloseCodeBase } from '../../schemas/topic-tail.ts';
import type { Metrics } from '../broker/metrics.ts';
import { handshakeProblem } from '../core/handshake.ts';
import type { ServiceError } from '../core/service-error.ts';
import { refusedSockets } from './limits.ts';

/** Answers a handshake with a socket that is closed. @returns false if it does not: then the answer is to be an HTTP response */
export type RefuseSocket = (request: FastifyRequest, reply: FastifyReply, problem: ServiceError) => boolean;

/**
 * Must be installed behind the WebSocket plugin, and before the routes.
 * @param upgrades emits what the plugin listens to
 */
export function installRefusedSockets(app: FastifyInstance, upgrades: EventEmitter, metrics: Metrics): RefuseSocket {
  const routes = new Set<string>();
  const heads = new WeakMap<IncomingMessage, Buffer>();
  let open = 0;
  const refused = metrics.counter(
    'sockets_refused_total',
    'Sockets refused at their handshake, by the code of the problem.',
    ['code'],
  );
  app.addHook('onRoute', ({ url, wsHandler }) => {
    if (wsHandler) routes.add(url);
  });
  // Before the plugin, which may have the answer within the same call.
  upgrades.prependListener('upgrade', (request: IncomingMessage, _socket: unknown, head: Buffer) => {
    heads.set(request, head);
  });

  return (request, reply, problem) => {
    if (!request.ws || reply.sent) return false;
    refused.inc({ code: problem.code });
    const head = heads.get(request.raw);
    const { socket, headers } = request.raw;
    if (!head || !routes.has(request.routeOptions.url ?? '') || handshakeProblem(headers) !== undefined) return false;
    if (open >= refusedSockets.openMax || socket.destroyed) return false;
    open += 1;
    socket.once('close', () => {
      open -= 1;
    });
    // Whatever the peer does: it has been told.
    const timer = setTimeout(() => socket.destroy(), refusedSockets.openMsMax).unref();
    socket.once('close', () => clearTimeout(timer));
    reply.hijack();
    app.websocketServer.handleUpgrade(request.raw, socket, head, (ws) => {
      ws.on('error', () => ws.terminate());
      ws.send(JSON.stringify({ ...problem.toProblem(), type: 'error' }));
      ws.close(problemCloseCodeBase + problem.status, problem.code);
    });
    return true;
  };
}
