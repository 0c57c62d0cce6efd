// How the rest of the store sees the set of Redis servers: which connection serves a key, and what a refusal means.
import type { Redis, RedisOptions } from 'ioredis';
import type { ManagedConnection } from './managed-connection.ts';

export type TopologyKind = 'standalone' | 'sentinel' | 'cluster';

export interface Topology {
  readonly kind: TopologyKind;
  /** The way to the coordination keys. What has to be done before anybody uses them is done each time it opens. */
  readonly coordinationConnection: ManagedConnection;
  /** The way to the Redis that holds a key; undefined while it is not known. It need not be open. */
  connectionOf(key: string): ManagedConnection | undefined;
  /** The ways to all machines that hold a part of the data, each with its address for people. */
  shards(): { place: string; link: ManagedConnection }[];
  /**
   * Takes note of an error that a Redis answered with.
   * @returns the ms after which the same command may be sent again, as nothing was done; undefined if it may not be
   */
  handleRefusal(error: Error, key: string, link: ManagedConnection): number | undefined;
  /** Begins to connect. */
  start(): void;
  close(): void;
}

/** What an engine is made with. */
export interface TopologyOptions {
  /** @param coordinates whether the coordination keys are reached over it */
  makeConnection(link: { coordinates: boolean; make(options: RedisOptions): Redis }): ManagedConnection;
  /** Where keys are has changed. */
  onChange(): void;
  /** A key of the coordination slot. */
  coordinationKey: string;
}
