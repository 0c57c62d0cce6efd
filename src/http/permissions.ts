// What operations need that a route alone does not tell: checked where they are decoded.
import type { FastifyRequest } from 'fastify';
import type { TreeNode } from '../../schemas/nodes.ts';
import { errorOfWrite, permittedWrite } from '../access/node-operations.ts';
import { required } from '../core/required.ts';
import type { Namespace, Op, OpResult, WriteOptions } from '../store/tree/namespace.ts';

/**
 * Writes one node, where a creation with `parents` may make its ancestors.
 * @throws ServiceError FORBIDDEN if an ancestor does not exist that the caller may not make; otherwise as Namespace.writeOne
 */
export async function writePermitted(
  namespace: Namespace,
  request: FastifyRequest,
  op: Op,
  options: WriteOptions,
): Promise<{ zxid: number; replayed: boolean; result: OpResult }> {
  const { steps, ancestor } = permittedWrite<Op>(request, op);
  try {
    const { zxid, replayed, results } = await namespace.write(steps, options);
    return { zxid, replayed, result: required(results.at(-1), 'result of a write') };
  } catch (error) {
    throw errorOfWrite(request, ancestor, error);
  }
}

/** A tree without the nodes that the caller may not read. @param path that of `tree`, which it may read */
export function readableTree(request: FastifyRequest, path: string, tree: TreeNode): TreeNode {
  if (tree.children === undefined) return tree;
  const prefix = path === '/' ? '/' : `${path}/`;
  const children = tree.children
    .filter(({ name }) => request.may('read', 'nodes', prefix + name))
    .map((child) => readableTree(request, prefix + child.name, child));
  return { ...tree, children };
}
