// Access control of the requests of a pipelined socket: what each needs is in the table of requests.
import type { FastifyRequest } from 'fastify';
import { nodeToCheck, requireOperations } from '../../access/node-operations.ts';
import { ServiceError } from '../../core/service-error.ts';
import { withoutTrailingSlash } from '../../core/tree/path.ts';
import { parseFence } from '../../store/log/fence-text.ts';
import type { ParsedRequest } from './pending-request.ts';
import { requestTable } from './request-table.ts';

/** Who asks: the client of the handshake. */
export type RequestAccess = Pick<FastifyRequest, 'require' | 'requireSubtree' | 'may'>;

/** Why the client may not make a request; undefined if it may. A fault in the path is left to the store. */
export function accessProblem(access: RequestAccess, request: ParsedRequest): ServiceError | undefined {
  try {
    requireAll(access, request);
    return undefined;
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

/** @throws ServiceError FORBIDDEN, AUTH_REQUIRED */
function requireAll(access: RequestAccess, request: ParsedRequest): void {
  const need = requestTable[request.op];
  if (need.needs === 'nothing') return;
  if (need.needs === 'each') {
    if (request.op !== 'multi') return;
    requireOperations(
      access,
      request.ops.map((op) => ({ ...op, path: pathOf(op) })),
    );
  } else if (need.on === 'topic') {
    if ('topic' in request) access.require(need.needs, 'topics', request.topic);
    if (request.op === 'produce' && request.fence !== undefined) requireFence(access, request.fence);
  } else if (need.on === 'group') {
    if (request.op !== 'commit') return;
    access.require(need.needs, 'groups', request.group);
    for (const topic of new Set(request.offsets.map((at) => at.topic))) access.require('read', 'topics', topic);
  } else if ('path' in request) {
    const path = nodeToCheck(
      pathOf(request),
      isPrefix(request.op, 'sequential' in request && request.sequential === true),
    );
    if (path === undefined) return;
    access.require(need.needs, 'nodes', path);
    if (request.op === 'delete' && request.recursive) access.requireSubtree('delete', path);
  }
}

/** The fence of a node tells whether the node exists. @throws ServiceError FORBIDDEN; otherwise as parseFence */
function requireFence(access: RequestAccess, fence: string): void {
  const { node } = parseFence(fence, 'produce.fence');
  if (node !== undefined) access.require('read', 'nodes', node);
}

/** The path as it reaches the store: of a prefix, a slash at the end counts. */
function pathOf({ op, path, sequential }: { op: string; path: string; sequential?: boolean | undefined }): string {
  return isPrefix(op, sequential) ? path : withoutTrailingSlash(path);
}

function isPrefix(op: string, sequential: boolean | undefined): boolean {
  return op === 'create' && sequential === true;
}
