// How connections end when the server stops (guarantee E5). While it leaves it serves on, so that a load balancer which has not
// noticed loses nothing, and each answer closes its connection. Then requests under way get their answers, and everything else
// is closed at once. Fastify and Node close only what is idle at that very moment, and not what has never asked anything.
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Broker } from '../../broker/broker.ts';
import { ServiceError } from '../../core/service-error.ts';

/** How long requests under way have; below the 10 s in which the server is to be gone. */
const graceMs = 6000;
/** How soon a connection is closed whose request has ended meanwhile. */
const checkMs = 50;

interface DrainOptions {
  broker: Pick<Broker, 'isLeaving'>;
  /** Emits `upgrade` for requests that are to become WebSockets. */
  webSockets: EventEmitter;
}

async function installDrain(app: FastifyInstance, { broker, webSockets }: DrainOptions): Promise<void> {
  const { server } = app;
  /** Opened, perhaps by a browser in advance, but never used: Node does not count these as idle. */
  const unused = new Set<Socket>();
  let isClosing = false;
  const used = ({ socket }: { socket: Socket }) => unused.delete(socket);
  server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  server.on('request', used);
  webSockets.on('upgrade', (request: IncomingMessage) => {
    used(request);
    // Nobody else takes upgrades any more, and Node leaves them alone: the connection would outlive the server.
    if (isClosing) request.socket.destroy();
  });

  // What still comes in on a connection that was not idle is refused as everything is, by a problem with a code.
  app.addHook('onRequest', (_request, reply, done) => {
    if (broker.isLeaving) reply.header('connection', 'close');
    if (!isClosing) return done();
    done(new ServiceError('STORE_UNAVAILABLE', 'The server is stopping; nothing was done. Ask another one.'));
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

export const drain = fp(installDrain, { name: 'drain', fastify: '5.x' });
