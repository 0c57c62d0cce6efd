// What the rest of the store needs to know of an engine (which Redis serves a key now, and what to make of its refusals), and
// which engine a target asks for.
import type { Redis, RedisOptions } from 'ioredis';
import { parseRedisUrl } from '../../config/redis-url.ts';
import { ClusterTopology } from './cluster-topology.ts';
import type { ManagedConnection } from './managed-connection.ts';
import { SinglePrimaryTopology } from './single-primary-topology.ts';
import type { StoreTarget } from './target.ts';

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

export function topologyKindOf(target: StoreTarget): TopologyKind {
  return 'socketPath' in target ? 'standalone' : parseRedisUrl(target.url).engine;
}

/** @throws Error if the target's URL is none */
export function createTopology(target: StoreTarget, options: TopologyOptions): Topology {
  if ('socketPath' in target) {
    const place = { path: target.socketPath };
    return new SinglePrimaryTopology({ engine: 'standalone', place, tls: false, db: 0 }, {}, undefined, {}, options);
  }
  const location = parseRedisUrl(target.url);
  const { username, password, db } = location;
  const access = { ...(username !== undefined && { username }), ...(password !== undefined && { password }), db };
  const tls = location.tls ? { ...target.tls } : undefined;
  if (location.engine === 'cluster') return new ClusterTopology(location.nodes, access, tls, options);
  const sentinel = { username: target.sentinelUsername, password: target.sentinelPassword };
  return new SinglePrimaryTopology(location, access, tls, sentinel, options);
}
