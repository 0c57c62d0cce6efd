// Builds the nested form of a subtree, as clients get it.
import type { TreeNode } from '../../../schemas/nodes.ts';
import { required } from '../../core/required.ts';
import { nameOf } from '../../core/tree/path.ts';
import { bytes, type ReplyValue, text } from '../scripts.ts';
import { decodeStat } from './node-codec.ts';

/** Builds the nested tree from the script's list of paths and stats, in which parents come before their children. */
export function nest(path: string, rest: ReplyValue[]): { tree: TreeNode; truncated: boolean } {
  const byPath = new Map<string, TreeNode>();
  for (let i = 0; i < rest.length; i += 2) {
    const at = text(rest[i]);
    const node: TreeNode = { name: at === path ? at : nameOf(at), stat: decodeStat(bytes(rest[i + 1])) };
    byPath.set(at, node);
    if (at === path) continue;
    const parent = required(byPath.get(at.slice(0, at.lastIndexOf('/')) || '/'), 'parent before its children');
    parent.children ??= [];
    parent.children.push(node);
  }
  let truncated = false;
  for (const node of byPath.values()) {
    if ((node.children?.length ?? 0) < node.stat.numChildren) {
      node.truncated = true;
      truncated = true;
    }
  }
  return { tree: required(byPath.get(path), 'node at the top'), truncated };
}
