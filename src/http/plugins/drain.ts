// Ends connections when the server stops (guarantee E5). At first the server still serves requests, and each response closes its
// connection: so a load balancer that has not noticed the stop loses no request. Then requests in flight are completed and all other
// connections are closed. Fastify and Node close only connections that are idle at that moment, and none that never sent a request.
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Broker } from '../../broker/broker.ts';
import { ServiceError } from '../../core/service-error.ts';
import { connectionBelow } from '../tls-sockets.ts';
import { isPreflight } from './cors.ts';

/** Time for requests in flight, ms. It is below the 10 s within which the process must exit. */
const graceMs = 6000;
/** Interval at which connections that have become idle are closed, ms. */
const checkMs = 50;

interface DrainOptions {
  broker: Pick<Broker, 'isLeaving'>;
  /** Emits `upgrade` for requests that are to become WebSockets. */
  webSockets: EventEmitter;
}

async function installDrain(app: FastifyInstance, { broker, webSockets }: DrainOptions): Promise<void> {
  const { server } = app;
  /** Connections that have sent no request yet, as browsers open them in advance. Node does not count them as idle. */
  const unused = new Set<Socket>();
  let isClosing = false;
  const used = ({ socket }: { socket: Socket }) => unused.delete(connectionBelow(socket));
  server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  server.on('request', used);
  webSockets.on('upgrade', (request: IncomingMessage) => {
    used(request);
    // While closing, the WebSocket plugin ignores upgrades and Node does not close their connections: they would stay open.
    if (isClosing) request.socket.destroy();
  });

  // A connection that was not idle may bring a further request: it is refused with a problem.
  app.addHook('onRequest', (request, reply, done) => {
    if (broker.isLeaving) reply.header('connection', 'close');
    // A page reads the refusal of its request only if it could send one.
    if (!isClosing || isPreflight(request)) return done();
    done(
      new ServiceError(
        'STORE_UNAVAILABLE',
        'The server is stopping; nothing was done. Send the request to another broker.',
      ),
    );
  });

  app.addHook('preClose', async () => {
    isClosing = true;
    const deadline = performance.now() + graceMs;
    const timer = setInterval(() => {
      for (const socket of unused) socket.destroy();
      if (performance.now() < deadline) server.closeIdleConnections();
      else server.closeAllConnections();
    }, checkMs);
    server.once('close', () => clearInterval(timer));
  });
}

export const drain = fp(installDrain, { name: 'drain', fastify: '5.x', dependencies: ['cors'] });
