// Refuses the requests of connections beyond the limits on their number (../connection-limits.ts), but for health and metrics.
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Logger } from 'pino';
import type { Metrics } from '../../broker/metrics.ts';
import { watchConnections } from '../connection-limits.ts';
import type { ConnectionLimits } from '../limits.ts';
import { atIntervals, type Refuse } from '../refusals.ts';
import { routeOf } from '../route-config.ts';
import { clientOfSocket } from './client.ts';
import type { Connections } from './connections.ts';
import { isPreflight } from './cors.ts';

interface ConnectionLimitOptions {
  connections: Pick<Connections, 'idleSince'>;
  connectionsMax: number;
  spare: ConnectionLimits['spare'];
  /** The part of them that one address may have while no other address has any: above 0, up to 1. */
  addressShare: number;
  /** Whether an address is that of a trusted proxy, for which only the total counts; undefined if no proxy is trusted. */
  trusts: ((address: string) => boolean) | undefined;
  refuse: Refuse;
  metrics: Metrics;
  log: Logger;
}

async function installConnectionLimit(
  app: FastifyInstance,
  { connections: inUse, connectionsMax, spare, addressShare, trusts, refuse, metrics, log }: ConnectionLimitOptions,
): Promise<void> {
  const dropped = metrics.counter('connections_dropped_total', 'Connections dropped at the limit on their number.', [
    'reason',
  ]);
  const warn = atIntervals((reason: string, client: string, since: number) => {
    const { open } = connections;
    const detail = { reason, client, dropped: since, open, connectionsMax };
    log.warn(detail, 'Connections dropped: a limit is reached. See WEIR_MAX_CONNECTIONS and WEIR_ADDRESS_SHARE');
  });
  const connections = watchConnections(app, {
    max: connectionsMax,
    spare,
    share: addressShare,
    trusts,
    idleSince: (socket) => inUse.idleSince(socket),
    onDrop: (reason, client) => {
      dropped.inc({ reason });
      warn(reason, client);
    },
  });
  metrics.gauge('connections_open', 'Open connections of clients.', () => connections.open);
  app.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw;
    const reason = connections.problemOf(socket);
    if (!reason || routeOf(request) === 'always') return done();
    reply.header('connection', 'close');
    // A page reads why its request is refused only if it could send one.
    if (isPreflight(request)) return done();
    done(refuse('connections', reason, clientOfSocket(socket), connections.limit));
  });
}

export const connectionLimit = fp(installConnectionLimit, {
  name: 'connection-limit',
  fastify: '5.x',
  dependencies: ['route-config', 'cors'],
});
