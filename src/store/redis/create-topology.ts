// Creates the topology for a target: a single Redis, a primary behind Sentinels, or a Redis Cluster.
import { parseRedisUrl } from '../../config/redis-url.ts';
import { ClusterTopology } from './cluster-topology.ts';
import { SinglePrimaryTopology } from './single-primary-topology.ts';
import type { StoreTarget } from './target.ts';
import type { Topology, TopologyKind, TopologyOptions } from './topology.ts';

export function topologyKindOf(target: StoreTarget): TopologyKind {
  return 'socketPath' in target ? 'standalone' : parseRedisUrl(target.url).topology;
}

/** @throws Error if the URL of the target is malformed */
export function createTopology(target: StoreTarget, options: TopologyOptions): Topology {
  if ('socketPath' in target) {
    const address = { path: target.socketPath };
    return new SinglePrimaryTopology(
      { topology: 'standalone', address, tls: false, db: 0 },
      {},
      undefined,
      {},
      options,
    );
  }
  const location = parseRedisUrl(target.url);
  const { username, password, db } = location;
  const credentials = { ...(username !== undefined && { username }), ...(password !== undefined && { password }), db };
  const tls = location.tls ? { ...target.tls } : undefined;
  if (location.topology === 'cluster') return new ClusterTopology(location.nodes, credentials, tls, options);
  const sentinel = { username: target.sentinelUsername, password: target.sentinelPassword };
  return new SinglePrimaryTopology(location, credentials, tls, sentinel, options);
}
