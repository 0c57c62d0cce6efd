// Requests with the header Upgrade. WebSocket is the only protocol that is offered, on some routes. Any other, such as the h2c of Java's
// HTTP client, is ignored, and the request is served in HTTP/1.1 with its body (RFC 9110, 7.8). The WebSocket plugin would accept an
// upgrade on any route, close it again and log its URL, which may contain a session handle (guarantee E4): others are refused before.
import { EventEmitter } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { handshakeProblem } from '../../core/handshake.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Connections } from './connections.ts';

/**
 * Takes all upgrades of the server: Node emits every one of them once there is a listener.
 * @returns an emitter of `upgrade` for WebSockets only, once no other response of their connection is in flight
 */
export function sortUpgrades(server: Server, connections: Connections): EventEmitter {
  const webSockets = new EventEmitter();
  // Node's own, which has been there since the server was made; with TLS it takes the sockets above it.
  const event = 'setSecureContext' in server ? 'secureConnection' : 'connection';
  const serveConnection = server.listeners(event)[0] as (this: Server, socket: Socket) => void;
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // Node has removed its own error listener. A client that leaves meanwhile is no error.
    const onError = () => socket.destroy();
    socket.on('error', onError);
    connections.whenIdle(socket, () => {
      if (socket.destroyed) return;
      socket.off('error', onError);
      if (isWebSocketUpgrade(request)) {
        request.headers.upgrade = 'websocket';
        connections.upgraded(socket);
        webSockets.emit('upgrade', request, socket, head);
      } else {
        // The parser has stopped after the head. It starts again, on a head without the offer.
        socket.unshift(Buffer.concat([headWithoutUpgrade(request), head]));
        serveConnection.call(server, socket);
      }
    });
  });
  return webSockets;
}

/** For Node's `shouldUpgradeCallback`, where there is one. */
export function isWebSocketUpgrade({ method, headers, httpVersionMinor }: IncomingMessage): boolean {
  return method === 'GET' && httpVersionMinor > 0 && tokensIn(headers.upgrade).includes('websocket');
}

function headWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = rawHeaders.slice(i, i + 2);
    switch (name.toLowerCase()) {
      case 'upgrade':
      case 'http2-settings':
        continue;
      case 'connection': {
        const kept = tokensIn(value).filter((token) => token !== 'upgrade' && token !== 'http2-settings');
        if (kept.length > 0) lines.push(`${name}: ${kept.join(', ')}`);
        continue;
      }
      default:
        lines.push(`${name}: ${value}`);
    }
  }
  // Node gives the bytes of a head one character each.
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

function tokensIn(header = ''): string[] {
  return header.split(',').map((token) => token.trim().toLowerCase());
}

async function installUpgradeCheck(app: FastifyInstance): Promise<void> {
  const socketRoutes = new Set<string>();
  app.addHook('onRoute', ({ url, websocket, wsHandler }) => {
    if (websocket || wsHandler) socketRoutes.add(url);
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const { url } = request.routeConfig;
    if (url === undefined) return done();
    if (!request.ws) return done(lostUpgrade(request.raw, socketRoutes.has(url)));
    if (!socketRoutes.has(url)) {
      const detail = `${url} takes no WebSocket; ${[...socketRoutes].join(', ')} do. For a plain request leave out Upgrade.`;
      return done(new ServiceError('BAD_REQUEST', detail));
    }
    const problem = handshakeProblem(request.headers);
    done(problem === undefined ? undefined : new ServiceError('BAD_REQUEST', problem));
  });
}

export const upgradeCheck = fp(installUpgradeCheck, {
  name: 'upgrade-check',
  fastify: '5.x',
  dependencies: ['@fastify/websocket'],
});

/** The problem of a handshake without Upgrade: a proxy does not pass on Upgrade and Connection unless it is configured to. */
function lostUpgrade({ headers }: IncomingMessage, takesSockets: boolean): ServiceError | undefined {
  if (!takesSockets || headers['sec-websocket-key'] === undefined) return undefined;
  const detail =
    'This is a WebSocket handshake without the header Upgrade: a proxy between may have removed it. It must pass on Upgrade and Connection (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade").';
  return new ServiceError('BAD_REQUEST', detail);
}
