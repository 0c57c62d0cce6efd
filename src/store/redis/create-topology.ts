// Makes the topology that a target asks for: a single server, a primary behind Sentinels, or a Redis Cluster.
import { parseRedisUrl } from '../../config/redis-url.ts';
import { ClusterTopology } from './cluster-topology.ts';
import { SinglePrimaryTopology } from './single-primary-topology.ts';
import type { StoreTarget } from './target.ts';
import type { Topology, TopologyKind, TopologyOptions } from './topology.ts';

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
