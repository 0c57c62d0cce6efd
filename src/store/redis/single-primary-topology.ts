// The topology of one Redis that holds all data: at a fixed address, or the primary that the Sentinels name.
import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import type { RedisLocation } from '../../config/redis-url.ts';
import { createClient, locatingConnector } from './client.ts';
import type { ManagedConnection } from './managed-connection.ts';
import { SentinelClient } from './sentinel-client.ts';
import type { Shard, Topology, TopologyOptions } from './topology.ts';

export class SinglePrimaryTopology implements Topology {
  readonly kind: 'standalone' | 'sentinel';
  readonly coordinationConnection: ManagedConnection;
  /** A change of the primary is the loss of a connection. */
  readonly changes = 0;

  /**
   * @param credentials user, password and database number for Redis
   * @param sentinelCredentials user and password for the Sentinels
   */
  constructor(
    location: Extract<RedisLocation, { topology: 'standalone' | 'sentinel' }>,
    credentials: RedisOptions,
    tls: ConnectionOptions | undefined,
    sentinelCredentials: { username?: string | undefined; password?: string | undefined },
    { createConnection }: TopologyOptions,
  ) {
    this.kind = location.topology;
    let address: RedisOptions;
    if (location.topology === 'standalone') {
      address = { ...location.address, ...(tls && { tls }) };
    } else {
      const sentinels = new SentinelClient({ ...location, ...sentinelCredentials, tls });
      address = locatingConnector(() => sentinels.findPrimary(), tls);
    }
    this.coordinationConnection = createConnection({
      isCoordination: true,
      createClient: (options) => createClient({ ...credentials, ...address, ...options }),
    });
  }

  connectionOf(): ManagedConnection {
    return this.coordinationConnection;
  }

  shards(): Shard[] {
    return [{ address: this.coordinationConnection.address, connection: this.coordinationConnection }];
  }

  handleRefusal(error: Error, _key: string, connection: ManagedConnection): number | undefined {
    // READONLY: the server has become a replica, so the primary is elsewhere. UNOPENED: its data was deleted, and it must be
    // opened again (lua/lib/require-open.lua). Both refuse a script before its first write.
    if (!/^-?(READONLY|UNOPENED)\b/.test(error.message)) return undefined;
    connection.reconnect();
    return 0;
  }

  start(): void {
    this.coordinationConnection.connect();
  }

  close(): void {
    this.coordinationConnection.close();
  }
}
