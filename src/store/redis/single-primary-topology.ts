// One Redis holds everything: a standalone one at a fixed address, or the primary that Sentinels name.
import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import type { RedisLocation } from '../../config/redis-url.ts';
import { createClient, locatingConnector } from './client.ts';
import type { ManagedConnection } from './managed-connection.ts';
import { SentinelClient } from './sentinel-client.ts';
import type { Topology, TopologyOptions } from './topology.ts';

export class SinglePrimaryTopology implements Topology {
  readonly kind: 'standalone' | 'sentinel';
  readonly coordinationConnection: ManagedConnection;

  /**
   * @param access user, password and database, for the Redis
   * @param sentinel user and password for the Sentinels, if these are asked
   */
  constructor(
    location: Extract<RedisLocation, { engine: 'standalone' | 'sentinel' }>,
    access: RedisOptions,
    tls: ConnectionOptions | undefined,
    sentinel: { username?: string | undefined; password?: string | undefined },
    { makeConnection: makeLink }: TopologyOptions,
  ) {
    this.kind = location.engine;
    let where: RedisOptions;
    if (location.engine === 'standalone') {
      where = { ...location.place, ...(tls && { tls }) };
    } else {
      const sentinels = new SentinelClient({ ...location, ...sentinel, tls });
      where = locatingConnector(() => sentinels.findPrimary(), tls);
    }
    this.coordinationConnection = makeLink({
      coordinates: true,
      make: (options) => createClient({ ...access, ...where, ...options }),
    });
  }

  connectionOf(): ManagedConnection {
    return this.coordinationConnection;
  }

  shards(): { place: string; link: ManagedConnection }[] {
    return [{ place: this.coordinationConnection.address, link: this.coordinationConnection }];
  }

  handleRefusal(error: Error, _key: string, link: ManagedConnection): number | undefined {
    // It has become a replica: the primary is elsewhere now, or will be. Or it was emptied. Scripts that write are refused as a
    // whole.
    if (!/^-?(READONLY|UNOPENED)\b/.test(error.message)) return undefined;
    link.reconnect();
    return 0;
  }

  start(): void {
    this.coordinationConnection.connect();
  }

  close(): void {
    this.coordinationConnection.close();
  }
}
