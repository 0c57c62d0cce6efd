// Migrates layout 4 to 5: the root has the number of nodes, and that of the ephemeral ones.
import { decodeStat } from '../tree/node-codec.ts';
import type { StoredData } from './stored-data.ts';

export async function toLayout5(data: StoredData): Promise<void> {
  const [top] = await data.stats(['/']).catch(() => []);
  const counts = { nodes: top ? 1 : 0, ephemerals: 0 };
  if (top) await countBelow(data, '/', counts);
  const { root } = data.keys;
  await data.command(root, (client) =>
    client.hset(root, 'nodes', String(counts.nodes), 'ephemeral_nodes', String(counts.ephemerals)),
  );
}

/** Counts the nodes below a node; of each level above only one page of names is in memory. */
async function countBelow(
  data: StoredData,
  path: string,
  counts: { nodes: number; ephemerals: number },
): Promise<void> {
  const prefix = path === '/' ? '/' : `${path}/`;
  for await (const names of data.childPages(path)) {
    const paths = names.map((name) => prefix + name);
    const stats = await data.stats(paths);
    for (const [index, stored] of stats.entries()) {
      const { mode, numChildren } = decodeStat(stored);
      counts.nodes += 1;
      if (mode === 'ephemeral') counts.ephemerals += 1;
      if (numChildren > 0) await countBelow(data, paths[index] ?? prefix, counts);
    }
  }
}
