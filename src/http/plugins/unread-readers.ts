// Limits the bytes in memory that clients of sockets and event streams have not read yet, of all of them together (core/unread-bytes.ts).
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Logger } from 'pino';
import type { Metrics } from '../../broker/metrics.ts';
import { SharedLimit } from '../../core/shared-limit.ts';
import { UnreadBytes, type UnreadBytesOfReader } from '../../core/unread-bytes.ts';
import { atIntervals } from '../refusals.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** The bytes that clients of sockets and event streams have not read yet. */
    unreadReaders: SharedLimit;
  }
  interface FastifyRequest {
    /**
     * Counts the bytes that its socket or event stream has in memory because the client has not read them yet.
     * @param cut closes the connection at once; called when the limit is exceeded
     */
    countUnread(cut: () => void): UnreadBytesOfReader;
  }
}

interface UnreadReadersOptions {
  /** How many bytes may be unread. */
  bytesMax: number;
  /** The part of them that one client may have while no other client has any: above 0, up to 1. */
  addressShare: number;
  metrics: Metrics;
  log: Logger;
}

async function installUnreadReaders(
  app: FastifyInstance,
  { bytesMax, addressShare, metrics, log }: UnreadReadersOptions,
): Promise<void> {
  const limit = new SharedLimit(bytesMax, addressShare);
  app.decorate('unreadReaders', limit);
  metrics.gauge(
    'reader_bytes_unread',
    'Bytes in memory that clients of sockets and event streams have not read yet.',
    () => limit.used,
  );
  const cuts = metrics.counter(
    'readers_cut_total',
    'Sockets and event streams closed at the limit on unread bytes of all of them together.',
  );
  const warn = atIntervals((client: string, since: number) =>
    log.warn(
      { client, cut: since, bytes: limit.used, bytesMax: limit.max },
      'Sockets or event streams closed: too many unread bytes in memory. See "Limits and defaults" in operations.md',
    ),
  );
  const unread = new UnreadBytes(limit, (client) => {
    cuts.inc();
    warn(client);
  });
  app.decorateRequest('countUnread', function countUnread(this: FastifyRequest, cut: () => void) {
    return unread.of(this.clientKey, cut);
  });
}

export const unreadReaders = fp(installUnreadReaders, {
  name: 'unread-readers',
  fastify: '5.x',
  dependencies: ['client'],
});
