// Measures whether a create costs more as the tree grows. A store is filled to 1,000, 100,000 and 1,000,000 nodes, once below one
// parent and once below many. At each size its creates take turns with creates in a twin, which always has 1,000 nodes.
import { median, percent, shown, table } from '../lib/measure.ts';
import { TreeSite } from '../lib/tree-site.ts';
import type { Scale } from '../lib/workload.ts';
import { measureHugeParent } from './huge-parent.ts';

const twinNodes = 1000;
const warmUpRounds = 3;
const shapes = [
  { name: 'below one parent', parents: 1 },
  { name: 'below 1,000 parents', parents: 1000 },
];

/** @returns Markdown tables */
export async function measureSize(scale: Scale): Promise<string[]> {
  const sizes = [twinNodes, scale.nodes / 10, scale.nodes];
  const rows: string[][] = [];
  const tables: string[] = [];
  for (const shape of shapes) {
    // Started and warmed up together, so that they differ only in size.
    const site = await TreeSite.open(shape);
    const twin = await TreeSite.open(shape);
    try {
      await twin.fill(twinNodes);
      rows.push(...(await grow(site, twin, sizes, scale)));
      if (shape.parents === 1) tables.push(await measureHugeParent(site, scale));
    } finally {
      await Promise.all([site.close(), twin.close()]);
    }
  }
  const head = [
    '',
    'nodes',
    'filled, creates/s',
    'create over HTTP, µs',
    'in its twin of 1,000',
    'cost, of that',
    'create, Redis µs',
    'in its twin of 1,000',
    'cost, of that',
    'Redis bytes/node',
    'server heap MB',
    'server RSS MB',
  ];
  return [table('A create as the tree grows', head, rows), ...tables];
}

async function grow(site: TreeSite, twin: TreeSite, sizes: number[], scale: Scale): Promise<string[][]> {
  const rows: string[][] = [];
  const emptyBytes = await site.redis.usedMemoryBytes();
  for (const size of sizes) {
    const filledPerSecond = await site.fill(size);
    const overHttp = await compare(site, twin, (each) => each.createOverHttpUs(), scale);
    const straight = await compare(site, twin, (each) => each.createStraightUs(), scale);
    // In both, as a garbage collection also discards compiled code.
    const [{ heapUsed, rss }] = await Promise.all([site.server.memory(), twin.server.memory()]);
    const bytes = (await site.redis.usedMemoryBytes()) - emptyBytes;
    rows.push([
      site.shape.name,
      size.toLocaleString('en'),
      shown(filledPerSecond),
      ...overHttp,
      ...straight,
      shown(bytes / size),
      shown(heapUsed / 1e6),
      shown(rss / 1e6),
    ]);
  }
  return rows;
}

/** Measures both in turns; the one that begins changes each time. @returns cells: the tree, its twin, and the ratio */
async function compare(
  here: TreeSite,
  there: TreeSite,
  measure: (site: TreeSite) => Promise<number>,
  scale: Scale,
): Promise<string[]> {
  const values = new Map<TreeSite, number[]>([
    [here, []],
    [there, []],
  ]);
  for (let i = 0; i < warmUpRounds; i++) for (const site of [here, there]) await measure(site);
  for (let i = 0; i < scale.rounds; i++) {
    for (const site of i % 2 === 0 ? [here, there] : [there, here]) values.get(site)!.push(await measure(site));
  }
  const [ofHere, ofThere] = [values.get(here)!, values.get(there)!];
  const ratio = median(ofHere.map((value, i) => value / ofThere[i]!));
  return [shown(median(ofHere)), shown(median(ofThere)), percent(ratio)];
}
