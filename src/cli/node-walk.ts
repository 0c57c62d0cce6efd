// Walks through a subtree: each list of children has the stats of the children, so leaves cost no request.
import type { Stat } from '@weirkeeper/client';
import type { ChildrenPage } from './api.ts';
import type { Cli } from './cli.ts';
import { childPath, nodeRequest, pagesOf } from './requests.ts';

export interface WalkedNode {
  path: string;
  name: string;
  stat: Stat;
  /** 1 for the children of the node at which the walk began. */
  depth: number;
}

const pageLimit = 1000;

/** The children of a node with their stats, by name. */
export async function* childrenOf(
  cli: Cli,
  path: string,
): AsyncGenerator<{ name: string; stat: Stat }, void, undefined> {
  const page = (after: string | undefined) =>
    nodeRequest(path, { view: 'children', stats: true, limit: pageLimit, after });
  for await (const { children } of pagesOf<ChildrenPage>(cli, page)) {
    for (const child of children) if (typeof child !== 'string') yield child as { name: string; stat: Stat };
  }
}

/** Everything below a node, parents first. What is deleted meanwhile is left out. */
export async function* walk(
  cli: Cli,
  path: string,
  { depth = Number.POSITIVE_INFINITY, level = 1 }: { depth?: number; level?: number } = {},
): AsyncGenerator<WalkedNode, void, undefined> {
  if (level > depth) return;
  const { isWeirError } = await import('@weirkeeper/client');
  try {
    for await (const { name, stat } of childrenOf(cli, path)) {
      const child = childPath(path, name);
      yield { path: child, name, stat, depth: level };
      if (stat.numChildren > 0) yield* walk(cli, child, { depth, level: level + 1 });
    }
  } catch (error) {
    if (level === 1 || !isWeirError(error, 'NO_NODE')) throw error;
  }
}
