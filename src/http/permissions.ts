// What operations need that a route alone does not tell: checked where they are decoded.
import type { FastifyRequest } from 'fastify';
import type { TreeNode } from '../../schemas/nodes.ts';
import { ServiceError } from '../core/service-error.ts';
import { parentOf } from '../core/tree/path.ts';
import type { Namespace, Op, OpResult, WriteOptions } from '../store/tree/namespace.ts';

/**
 * Checks the topics that a subscription, commit or reset names: each tells whether its topic exists, and a lag tells how much is in it.
 * What a pattern matches is filtered where records are read.
 * @throws ServiceError FORBIDDEN
 */
export function requireTopics(
  request: FastifyRequest,
  { topics = [] }: { topics?: readonly string[] | undefined },
): void {
  for (const topic of topics) request.require('read', 'topics', topic);
}

/**
 * Writes one node. A creation with `parents` may make ancestors only where the caller may write: the nearest ancestor where it may not
 * must exist already, which becomes a part of the transaction.
 * @throws ServiceError FORBIDDEN if that ancestor does not exist; otherwise as Namespace.writeOne
 */
export async function writePermitted(
  namespace: Namespace,
  request: FastifyRequest,
  op: Op,
  options: WriteOptions,
): Promise<{ zxid: number; replayed: boolean; result: OpResult }> {
  const ancestor = ancestorThatMustExist(request, op);
  if (ancestor === undefined) return namespace.writeOne(op, options);
  try {
    const { zxid, replayed, results } = await namespace.write(
      [{ op: 'check', path: ancestor, exists: true }, op],
      options,
    );
    const result = results.at(-1);
    if (!result) throw new Error('The transaction has no result');
    return { zxid, replayed, result };
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    const { failed, ...fields } = error.fields;
    if (failed === 0 && error.code === 'NO_NODE') request.require('write', 'nodes', ancestor);
    throw new ServiceError(error.code, error.message, fields, { cause: error.cause });
  }
}

/** @returns undefined if the caller may write all ancestors but the root, which always exists */
function ancestorThatMustExist(request: FastifyRequest, op: Op): string | undefined {
  if ((op.op !== 'create' && op.op !== 'put') || op.parents !== true) return undefined;
  for (let path = parentOf(op.path); path !== '/'; path = parentOf(path)) {
    if (!request.may('write', 'nodes', path)) return path;
  }
  return undefined;
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
