// Creates ioredis clients with the options that all of them share, and a connector that looks up the server's address before
// each attempt to connect. Connectors and the socket of a client are not promised by the documentation of ioredis, so package.json
// names one exact version.
import { connect as connectTcp, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';
import type { RedisAddress } from '../../config/redis-url.ts';
import { connectTimeoutMs, disconnectTimeoutMs, reconnectDelayMs, relocateEveryMs } from './time-limits.ts';

const baseOptions: RedisOptions = {
  // After a loss of the connection it is unknown whether a command was executed, so it must not be sent again unasked.
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  // Subscribers subscribe on each `ready` event, where they can handle a failure; the client would ignore it.
  autoResubscribe: false,
  // Autopipelining makes scripts slower: only one pipeline is in flight at a time.
  enableAutoPipelining: false,
  connectTimeout: connectTimeoutMs,
  disconnectTimeout: disconnectTimeoutMs,
  // Without this, ioredis waits a second or more before it asks a Redis again that loads its data.
  maxLoadingRetryTime: 50,
  retryStrategy: reconnectDelayMs,
  lazyConnect: true,
};

/** Creates a client that is not connected yet. The caller must listen to its `error` events. */
export function createClient(options: RedisOptions): Redis {
  return new Redis({ ...baseOptions, ...options, replyMapping: 'legacy' });
}

/**
 * Options of a client that looks up its server before each attempt to connect, as a failover gives it another one. The lookup is
 * repeated until it succeeds or the client is closed. A server that accepts the connection and never replies may hang: until it
 * replies, the lookup is repeated, and the connection is closed if another server has taken its place.
 * @param locate looks up the current address, or rejects
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
        const address = await locate().catch((error: unknown) => {
          emit('error', error as Error);
          return undefined;
        });
        // For ioredis this error is the end of the client, which is what its close asked for.
        if (!this.connecting) throw new Error('The client was closed while it looked up the address of Redis.');
        if (address) {
          this.stream = tls ? connectTls({ ...tls, ...address }) : connectTcp(address);
          this.stream.once('error', (error) => {
            this.firstError = error;
          });
          void disconnectIfReplaced(this.stream as Socket, address);
          return this.stream;
        }
        await delay(reconnectDelayMs(attempt));
      }
    }
  }

  async function disconnectIfReplaced(stream: Socket, { host, port }: RedisAddress): Promise<void> {
    const isSilent = () => !stream.destroyed && stream.bytesRead === 0;
    for (;;) {
      await delay(relocateEveryMs, undefined, { ref: false });
      if (!isSilent()) return;
      const current = await locate().catch(() => undefined);
      if (current && isSilent() && (current.host !== host || current.port !== port)) {
        stream.destroy(
          new Error(`${host}:${port} does not reply, and ${current.host}:${current.port} has replaced it.`),
        );
      }
    }
  }

  return { Connector: LocatingConnector, ...(tls && { tls }) };
}
