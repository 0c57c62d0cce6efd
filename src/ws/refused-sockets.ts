// Refuses WebSockets in a way that browsers can show. Of an upgrade that fails with an HTTP response a page learns only the close
// code 1006. So the socket is accepted, sent an error frame, and closed with 4000 + the status of the problem. At most a few such
// sockets are open at a time, each for a short time; beyond that the refusal is an HTTP response.
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { problemCloseCodeBase } from '../../schemas/topic-tail.ts';
import type { Metrics } from '../broker/metrics.ts';
import { handshakeProblem } from '../core/handshake.ts';
import type { ServiceError } from '../core/service-error.ts';
import { refusedSocketLimits } from './limits.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Accepts a handshake, sends the problem, and closes the socket. @returns false if the refusal must be an HTTP response instead */
    refuseSocket(request: FastifyRequest, reply: FastifyReply, problem: ServiceError): boolean;
  }
}

interface RefusedSocketsOptions {
  /** Emits the `upgrade` events that the WebSocket plugin listens to. */
  webSockets: EventEmitter;
  metrics: Metrics;
}

async function installRefusedSockets(
  app: FastifyInstance,
  { webSockets, metrics }: RefusedSocketsOptions,
): Promise<void> {
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
  // Before the plugin's listener, which may refuse the handshake within the same call.
  webSockets.prependListener('upgrade', (request: IncomingMessage, _socket: unknown, head: Buffer) => {
    heads.set(request, head);
  });

  app.decorate('refuseSocket', (request, reply, problem) => {
    if (!request.ws || reply.sent) return false;
    refused.inc({ code: problem.code });
    const head = heads.get(request.raw);
    const { socket, headers } = request.raw;
    if (!head || !routes.has(request.routeOptions.url ?? '') || handshakeProblem(headers) !== undefined) return false;
    if (open >= refusedSocketLimits.openMax || socket.destroyed) return false;
    open += 1;
    socket.once('close', () => {
      open -= 1;
    });
    // The socket is closed in any case, even if the peer does not return the close frame.
    const timer = setTimeout(() => socket.destroy(), refusedSocketLimits.openMsMax).unref();
    socket.once('close', () => clearTimeout(timer));
    reply.hijack();
    app.websocketServer.handleUpgrade(request.raw, socket, head, (ws) => {
      ws.on('error', () => ws.terminate());
      ws.send(JSON.stringify({ ...problem.toProblem(), type: 'error' }));
      ws.close(problemCloseCodeBase + problem.status, problem.code);
    });
    return true;
  });
}

export const refusedSockets = fp(installRefusedSockets, {
  name: 'refused-sockets',
  fastify: '5.x',
  dependencies: ['@fastify/websocket'],
});
