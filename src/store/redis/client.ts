// How a client of Redis is made: the options that all share, and connections that look for their Redis each time anew.
import { connect as connectTcp, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';
import type { RedisAddress } from '../../config/redis-url.ts';
import { connectTimeoutMs, disconnectTimeoutMs, reconnectDelayMs, relocateEveryMs } from './time-limits.ts';

const baseOptions: RedisOptions = {
  // A command that was cut off must not be sent again behind the caller's back: its fate is unknown.
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  // Who subscribes does so at each connection; the client's own subscription would be a promise that nobody hears.
  autoResubscribe: false,
  // Autopipelining makes scripts slower: only one pipeline is in flight at a time.
  enableAutoPipelining: false,
  connectTimeout: connectTimeoutMs,
  disconnectTimeout: disconnectTimeoutMs,
  // Without this, a store that is still loading is asked again only after a second or more.
  maxLoadingRetryTime: 50,
  retryStrategy: reconnectDelayMs,
  lazyConnect: true,
};

/** A client that is not connected yet. Its user listens to its errors. */
export function createClient(options: RedisOptions): Redis {
  return new Redis({ ...baseOptions, ...options, replyMapping: 'legacy' });
}

/**
 * The option of a client whose Redis is looked for at each attempt to connect: after a failover it is another one. It goes
 * on looking until it finds one or the client is closed. One that hangs takes the connection and says nothing: until it does, it is
 * looked whether another one has taken its place.
 * @param locate says where it is now, or rejects
 */
export function locatingConnector(
  locate: () => Promise<RedisAddress>,
  tls: ConnectionOptions | undefined,
): Pick<RedisOptions, 'Connector' | 'tls'> {
  class LocatingConnector extends AbstractConnector {
    constructor() {
      super(disconnectTimeoutMs);
    }

    async connect(emit: (type: string, error: Error) => void) {
      this.connecting = true;
      for (let attempt = 1; ; attempt++) {
        const found = await locate().catch((error: unknown) => {
          emit('error', error as Error);
          return undefined;
        });
        // It was closed meanwhile. For the client this is the end, as it should be.
        if (!this.connecting) throw new Error('The connection was closed while its Redis was looked for.');
        if (found) {
          this.stream = tls ? connectTls({ ...tls, ...found }) : connectTcp(found);
          this.stream.once('error', (error) => {
            this.firstError = error;
          });
          void leaveIfReplaced(this.stream as Socket, found);
          return this.stream;
        }
        await pause(reconnectDelayMs(attempt));
      }
    }
  }

  async function leaveIfReplaced(stream: Socket, { host, port }: RedisAddress): Promise<void> {
    const isUndecided = () => !stream.destroyed && stream.bytesRead === 0;
    for (;;) {
      await pause(relocateEveryMs, undefined, { ref: false });
      if (!isUndecided()) return;
      const now = await locate().catch(() => undefined);
      if (now && isUndecided() && (now.host !== host || now.port !== port)) {
        stream.destroy(new Error('Another Redis has taken the place of this one, which says nothing.'));
      }
    }
  }

  return { Connector: LocatingConnector, ...(tls && { tls }) };
}
