// A Redis Cluster of processes: primaries that share the hash slots, and a replica for each.
import type { RedisReply } from '../src/embedded-redis/redis-command.ts';
import { SlotTable } from '../src/store/redis/slot-table.ts';
import type { Certificates } from './certificates.ts';
import { type RedisNode, startRedisNode } from './redis-node.ts';
import { eventually, freePort, type Scope } from './scope.ts';

const slotCount = 16_384;

export interface ClusterNode extends RedisNode {
  id: string;
}

export interface ClusterSetup {
  url: string;
  nodes: ClusterNode[];
  /** The nodes that hold slots now, each by its own view. */
  primaries(): Promise<ClusterNode[]>;
  replicaOf(primary: ClusterNode): Promise<ClusterNode>;
  /** Waits until each node reports the cluster state `ok`, and each replica follows its primary. */
  isWhole(): Promise<void>;
  /** The primary that holds the slot of a key now, as most nodes see it. */
  ownerOf(key: string): Promise<ClusterNode>;
  /** Waits until another node than `old` holds the slot of a key. */
  failedOverFrom(old: ClusterNode, key: string, withinMs?: number): Promise<ClusterNode>;
  /** Begins to move the slot of a key: it is migrating from here on. */
  beginMove(key: string, from: ClusterNode, to: ClusterNode): Promise<void>;
  /** Moves all keys of that slot, a few at a time, and gives the slot to `to`. */
  finishMove(key: string, from: ClusterNode, to: ClusterNode): Promise<void>;
}

/**
 * Starts a cluster and waits until all its nodes report the state `ok`.
 * @param replicas one for each primary, or none
 * @param settings further lines of the configuration of each node
 * @param tls the certificates, if all connections use TLS
 */
export async function startRedisCluster(
  scope: Scope,
  primaries: number,
  replicas: boolean,
  settings: string[] = [],
  tls?: Certificates,
): Promise<ClusterSetup> {
  const count = replicas ? 2 * primaries : primaries;
  const nodes: ClusterNode[] = await Promise.all(
    Array.from({ length: count }, async () => {
      const busPort = await freePort();
      const own = [
        'cluster-enabled yes',
        `cluster-port ${busPort}`,
        'cluster-node-timeout 1500',
        'cluster-replica-validity-factor 0',
        'cluster-migration-barrier 10',
        'appendonly yes',
        'appendfsync no',
      ];
      const node = await startRedisNode(scope, [...own, ...settings], { tls });
      return { ...node, busPort, id: String(await node.ask('CLUSTER', 'MYID')) };
    }),
  );
  const [first] = nodes as [ClusterNode];
  const width = Math.ceil(slotCount / primaries);
  for (const [index, node] of nodes.entries()) {
    // A different epoch for each node, so that the nodes do not have to resolve a collision.
    await node.ask('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
    if (index >= primaries) continue;
    const last = Math.min(slotCount, (index + 1) * width) - 1;
    await node.ask('CLUSTER', 'ADDSLOTSRANGE', String(index * width), String(last));
  }
  for (const node of nodes) {
    const { port, busPort } = node as ClusterNode & { busPort: number };
    await first.ask('CLUSTER', 'MEET', '127.0.0.1', String(port), String(busPort));
  }
  const eachNode = (holds: (node: ClusterNode) => Promise<boolean>, what: string) =>
    eventually(async () => (await Promise.all(nodes.map(holds))).every(Boolean), what, 30_000);
  const clusterInfo = async (node: ClusterNode) => String(await node.ask('CLUSTER', 'INFO'));
  await eachNode(
    async (node) => (await clusterInfo(node)).includes(`cluster_known_nodes:${count}`),
    'all nodes know each other',
  );
  for (const [index, node] of nodes.entries()) {
    if (index >= primaries) await node.ask('CLUSTER', 'REPLICATE', nodes[index - primaries]!.id);
  }
  const isFollowed = async (node: ClusterNode) => {
    if ((await node.info('role')) === 'slave') return (await node.info('master_link_status')) === 'up';
    return !replicas || (await node.info('connected_slaves')) === '1';
  };
  const isWhole = async () => {
    await eachNode(
      async (node) => (await clusterInfo(node)).includes('cluster_state:ok'),
      'all nodes report the cluster state ok',
    );
    await eachNode(isFollowed, 'each replica follows its primary');
  };
  await isWhole();
  if (replicas) await eachNode(async (node) => (await replicaCount(node)) === primaries, 'all nodes know the replicas');

  const ownerOf = async (key: string) => {
    const slot = SlotTable.slotOf(key);
    const votes = new Map<string, number>();
    for (const node of nodes) {
      const ranges = (await node.ask('CLUSTER', 'SLOTS').catch(() => [])) as RedisReply[][];
      const range = ranges.find(([from, to]) => Number(from) <= slot && slot <= Number(to));
      const id = String((range?.[2] as RedisReply[] | undefined)?.[2]);
      votes.set(id, (votes.get(id) ?? 0) + 1);
    }
    const [best] = [...votes].sort(([, a], [, b]) => b - a);
    return nodes.find(({ id }) => id === best?.[0])!;
  };
  return {
    url: `redis+cluster://${nodes.map(({ host, port }) => `${host}:${port}`).join(',')}`,
    nodes,
    primaries: async () => {
      const roles = await Promise.all(nodes.map((node) => node.info('role')));
      return nodes.filter((_, index) => roles[index] === 'master');
    },
    replicaOf: async (primary) => {
      const lines = String(await primary.ask('CLUSTER', 'NODES')).split('\n');
      return nodes.find(({ id }) => lines.some((line) => line.startsWith(id) && line.includes(`slave ${primary.id}`)))!;
    },
    isWhole,
    ownerOf,
    failedOverFrom: (old, key, withinMs = 30_000) =>
      eventually(
        async () => {
          const owner = await ownerOf(key);
          return owner && owner !== old ? owner : undefined;
        },
        'another node has the slot',
        withinMs,
      ),
    beginMove: async (key, from, to) => {
      const slot = String(SlotTable.slotOf(key));
      await to.ask('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
      await from.ask('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
    },
    finishMove: async (key, from, to) => {
      const slot = String(SlotTable.slotOf(key));
      for (;;) {
        const keys = (await from.ask('CLUSTER', 'GETKEYSINSLOT', slot, '2')) as string[];
        if (keys.length === 0) break;
        await from.ask('MIGRATE', to.host, String(to.port), '', '0', '5000', 'KEYS', ...keys);
      }
      for (const node of [to, from]) await node.ask('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
      for (const node of nodes) {
        if (node !== to && node !== from)
          await node.ask('CLUSTER', 'SETSLOT', slot, 'NODE', to.id).catch(() => undefined);
      }
    },
  };
}

async function replicaCount(node: ClusterNode): Promise<number> {
  return String(await node.ask('CLUSTER', 'NODES'))
    .split('\n')
    .filter((line) => / (myself,)?slave /.test(line)).length;
}
