// The reserved nodes, read once and then followed: what is new, changed or gone is marked for a moment.
import type { WatchTransaction } from '@weirkeeper/client';
import { useEffect, useRef, useState } from 'preact/hooks';
import { watchClient } from '../live/session.ts';
import { followPath } from '../live/watch.ts';
import type { SeenNode } from './kafka-tree.ts';

export type Mark = 'new' | 'changed' | 'gone';

export interface FollowedNodes {
  nodes: ReadonlyMap<string, SeenNode>;
  /** By path; also of nodes that are gone, for as long as they are marked. */
  marks: ReadonlyMap<string, Mark>;
  /** A subtree has more nodes than are followed. */
  isCut: boolean;
  error: unknown;
}

/** In the order in which the page shows them. */
export const roots = [
  '/controller',
  '/controller_epoch',
  '/brokers',
  '/consumers',
  '/cluster',
  '/config',
  '/admin',
] as const;
/** The offsets of so many groups are followed: their changes come only to those who watch them. */
const followedGroupsMax = 20;
/** More could not be looked at, and the page is for learning: the tree page shows any number. */
const nodesMax = 1500;
const markMs = 2500;
const flushMs = 60;

export function useFollowed(): FollowedNodes {
  const [state, setState] = useState<FollowedNodes>({
    nodes: new Map(),
    marks: new Map(),
    isCut: false,
    error: undefined,
  });
  const nodes = useRef(new Map<string, SeenNode>());
  const marks = useRef(new Map<string, Mark>());
  const isCut = useRef(false);
  useEffect(() => {
    const timers = new Set<ReturnType<typeof setTimeout>>();
    let flushing: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const flush = (error?: unknown) => {
      flushing ??= setTimeout(() => {
        flushing = undefined;
        setState({ nodes: new Map(nodes.current), marks: new Map(marks.current), isCut: isCut.current, error });
      }, flushMs);
    };
    const mark = (path: string, kind: Mark) => {
      marks.current.set(path, kind);
      const timer = setTimeout(() => {
        timers.delete(timer);
        if (marks.current.get(path) === kind) marks.current.delete(path);
        if (kind === 'gone' && !isPresent(path)) nodes.current.delete(path);
        flush();
      }, markMs);
      timers.add(timer);
    };
    const gone = new Set<string>();
    const isPresent = (path: string) => nodes.current.has(path) && !gone.has(path);
    const put = (node: SeenNode) => {
      if (!nodes.current.has(node.path) && nodes.current.size >= nodesMax) {
        isCut.current = true;
        return;
      }
      gone.delete(node.path);
      nodes.current.set(node.path, node);
      const [, root, group] = node.path.split('/');
      if (root === 'consumers' && group !== undefined) followOffsets(group);
    };
    const apply = ({ events }: WatchTransaction) => {
      for (const { type, path, data = '', stat } of events) {
        if (type === 'deleted') {
          if (!nodes.current.has(path)) continue;
          gone.add(path);
          mark(path, 'gone');
        } else if (type !== 'children' && stat) {
          put({ path, data, isEphemeral: stat.ephemeralOwner !== null });
          mark(path, type === 'created' ? 'new' : 'changed');
        }
      }
      flush();
    };
    const read = async (root: string) => {
      try {
        const found = await readSubtree(root);
        if (isOver) return;
        const paths = new Set(found.map(({ path }) => path));
        for (const path of [...nodes.current.keys()])
          if ((path === root || path.startsWith(`${root}/`)) && !paths.has(path)) nodes.current.delete(path);
        for (const node of found) put(node);
        flush();
      } catch (error) {
        if (!isOver) flush(error);
      }
    };
    const follow = (root: string) =>
      followPath(
        root,
        { mode: 'recursive', data: true },
        { transaction: apply, resync: () => void read(root), failed: (error) => flush(error) },
      );
    const ends = new Map<string, () => void>();
    const followOffsets = (group: string) => {
      const path = `/consumers/${group}/offsets`;
      if (ends.has(path) || ends.size >= roots.length + followedGroupsMax) return;
      // Its place is taken before the watch may call back.
      ends.set(path, () => {});
      ends.set(path, follow(path));
    };
    for (const root of roots) ends.set(root, follow(root));
    return () => {
      isOver = true;
      clearTimeout(flushing);
      for (const timer of timers) clearTimeout(timer);
      for (const end of ends.values()) end();
    };
  }, []);
  return state;
}

/** The nodes of a subtree with their data, breadth first. On the socket of the watches, requests need not wait for each other. */
async function readSubtree(root: string): Promise<SeenNode[]> {
  const found: SeenNode[] = [];
  let level = [root];
  while (level.length > 0 && found.length < nodesMax) {
    const read = await Promise.all(level.slice(0, nodesMax - found.length).map(readNode));
    found.push(...read.flatMap(({ node }) => (node ? [node] : [])));
    level = read.flatMap(({ children }) => children);
  }
  return found;
}

async function readNode(path: string): Promise<{ node: SeenNode | undefined; children: string[] }> {
  const { tree } = watchClient();
  const node = await tree.get(path);
  if (!node) return { node: undefined, children: [] };
  const { stat } = node;
  const seen = { path, data: node.text, isEphemeral: stat.ephemeralOwner !== null };
  if (stat.numChildren === 0) return { node: seen, children: [] };
  const { names } = await tree.children(path, { limit: nodesMax });
  return { node: seen, children: names.map((name) => `${path}/${name}`) };
}
