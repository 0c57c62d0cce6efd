// Reads of nodes over HTTP, several at a time: the client's `tree` would send them one after the other without its socket.
import { isWeirError, type Stat, TreeNode } from '@weirkeeper/client';
import { api } from './session.ts';

/** The path of a node in a URL of the API. */
export function urlOf(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

/** A node with its data; undefined if it does not exist. */
export async function readNode(path: string, signal?: AbortSignal): Promise<TreeNode | undefined> {
  const read = api().request<ConstructorParameters<typeof TreeNode>[0]>({
    path: `/v1/nodes${urlOf(path)}?view=node`,
    signal,
  });
  return orUndefined(read.then((node) => new TreeNode(node)));
}

/** The stat of a node; undefined if it does not exist. */
export async function readStat(path: string, signal?: AbortSignal): Promise<Stat | undefined> {
  const read = api().request<{ stat: Stat }>({ path: `/v1/nodes${urlOf(path)}?view=stat`, signal });
  return orUndefined(read.then(({ stat }) => stat));
}

export interface ChildrenWithStats {
  children: { name: string; stat: Stat }[];
  /** Where the next page begins; absent on the last one. */
  next?: string;
  stat: Stat;
}

/** One page of the children of a node, with their stats. @throws WeirError NO_NODE */
export function readChildren(
  path: string,
  { limit, after, signal }: { limit: number; after: string | undefined; signal?: AbortSignal },
): Promise<ChildrenWithStats> {
  const place = after === undefined ? {} : { after };
  const query = new URLSearchParams({ view: 'children', stats: 'true', limit: String(limit), ...place });
  return api().request({ path: `/v1/nodes${urlOf(path)}?${query}`, signal });
}

async function orUndefined<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (isWeirError(error, 'NO_NODE')) return undefined;
    throw error;
  }
}
