// The set of Redis connections of a broker: which server holds a key, and how to react when it refuses a command. There is one
// implementation for a single primary (with or without Sentinel), and one for Redis Cluster.
import type { Redis, RedisOptions } from 'ioredis';
import type { ManagedConnection } from './managed-connection.ts';

export type TopologyKind = 'standalone' | 'sentinel' | 'cluster';

export interface Shard {
  /** `<host>:<port>`, for log lines and the operator. */
  address: string;
  connection: ManagedConnection;
}

export interface Topology {
  readonly kind: TopologyKind;
  /** The connection to the server of the coordination keys. Only this one runs the hooks of StoreConnection.onOpen(). */
  readonly coordinationConnection: ManagedConnection;
  /** How often a key came to be on another server. */
  readonly changes: number;
  /** The connection to the server that holds a key, open or not; undefined while that server is unknown. */
  connectionOf(key: string): ManagedConnection | undefined;
  /** All servers that hold a part of the data. */
  shards(): Shard[];
  /**
   * Reacts to an error reply: reconnects, or refreshes what is known of the cluster.
   * @returns after how many ms the command may be sent again, as it did nothing; undefined if it must not be repeated
   */
  handleRefusal(error: Error, key: string, connection: ManagedConnection): number | undefined;
  /** Begins to connect. */
  start(): void;
  close(): void;
}

export interface TopologyOptions {
  /** How long a connection that leads to a former primary may still get replies, ms. */
  retireAfterMs: number;
  createConnection(options: {
    /** Whether it is the connection to the coordination keys. */
    isCoordination: boolean;
    createClient(options: RedisOptions): Redis;
  }): ManagedConnection;
  /** Called when a key may have another server than before. */
  onChange(): void;
  /** Any key of the coordination slot. */
  coordinationKey: string;
}
