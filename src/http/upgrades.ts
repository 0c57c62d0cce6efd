// Which routes a WebSocket may be opened on. The plugin would accept an upgrade anywhere, close it again, and log its URL,
// in which a session's handle may stand (guarantee E4): so others are refused before it sees them.
import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../core/service-error.ts';

/** Must be installed behind the WebSocket plugin, and before the routes. */
export function installUpgradeCheck(app: FastifyInstance): void {
  const socketRoutes = new Set<string>();
  app.addHook('onRoute', ({ url, websocket, wsHandler }) => {
    if (websocket || wsHandler) socketRoutes.add(url);
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const { url } = request.routeOptions;
    if (!request.ws || url === undefined) return done();
    if (!socketRoutes.has(url)) {
      return done(new ServiceError('BAD_REQUEST', 'This resource is no WebSocket: ask for it without Upgrade.'));
    }
    const version = request.headers['sec-websocket-version'];
    if (version === '13') return done();
    done(
      new ServiceError('BAD_REQUEST', `Sec-WebSocket-Version is ${version ?? 'missing'}; it must be 13 (RFC 6455).`),
    );
  });
}
