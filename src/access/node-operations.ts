// The rights that operations on nodes need: the same over HTTP and on sockets.
import { ServiceError } from '../core/service-error.ts';
import { parentOf, pathProblem, sequentialPathProblem } from '../core/tree/path.ts';
import type { Kind, Verb } from './verbs.ts';

/** The node of an operation, as far as its rights depend on it. */
interface NodeOperation {
  op: keyof typeof verbOf;
  path: string;
  sequential?: boolean | undefined;
}

const verbOf = {
  create: 'write',
  put: 'write',
  set: 'write',
  delete: 'delete',
  'delete-recursive': 'delete',
  check: 'read',
} as const;

/**
 * The node for which rights are checked. Of a sequential create it is some node with the prefix, as the rules of a policy treat them all
 * alike.
 * @returns undefined if the path has a fault, which is reported before a missing right, as ZooKeeper's client checks paths before it sends
 *   a request
 */
export function nodeToCheck(path: string, isPrefix: boolean): string | undefined {
  if (isPrefix) return sequentialPathProblem(path) === undefined ? `${path}0000000000` : undefined;
  return pathProblem(path) === undefined ? path : undefined;
}

/**
 * Checks each operation of a transaction. Operations with a fault in the path are left to the store, which refuses the transaction.
 * @param caller throws ServiceError FORBIDDEN or AUTH_REQUIRED for what the caller may not do
 * @throws ServiceError the same, with the index of the operation in `failed`
 */
export function requireOperations(
  caller: { require(verb: Verb, kind: Kind, name: string): void },
  ops: readonly NodeOperation[],
): void {
  for (const [failed, { op, path, sequential }] of ops.entries()) {
    const node = nodeToCheck(path, op === 'create' && sequential === true);
    if (node === undefined) continue;
    try {
      caller.require(verbOf[op], 'nodes', node);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      throw new ServiceError(error.code, `ops.${failed}: ${error.message}`, { ...error.fields, failed });
    }
  }
}

/** Who asks for a creation. */
interface Creator {
  may(verb: Verb, kind: Kind, name: string): boolean;
  require(verb: Verb, kind: Kind, name: string): void;
}

/**
 * The transaction of one write. A creation with `parents` may make ancestors only where the caller may write: the nearest ancestor where
 * it may not must exist already, which becomes a part of the transaction. There is such a check in any case, at least of the root,
 * which exists: a repeat has as many operations as the first request, whatever a policy allows by then.
 */
export function permittedWrite<O extends { op: string; path: string; parents?: boolean | undefined }>(
  caller: Creator,
  op: O,
): { steps: (O | AncestorCheck)[]; ancestor: string | undefined } {
  if (op.parents !== true) return { steps: [op], ancestor: undefined };
  let ancestor = parentOf(op.path);
  while (ancestor !== '/' && caller.may('write', 'nodes', ancestor)) ancestor = parentOf(ancestor);
  return { steps: [{ op: 'check', path: ancestor, exists: true }, op], ancestor };
}

interface AncestorCheck {
  op: 'check';
  path: string;
  exists: true;
}

/** The transaction of several creations with `parents`: before each operation the check of its ancestor. */
export function permittedWrites<O extends { op: string; path: string; parents?: boolean | undefined }>(
  caller: Creator,
  ops: readonly O[],
) {
  const writes = ops.map((op) => permittedWrite(caller, { ...op, parents: true }));
  return {
    steps: writes.flatMap(({ steps }) => steps),
    /** The results of the operations, of those of the steps. */
    resultsOf: <R>(results: readonly R[]): R[] => results.filter((_, index) => index % 2 === 1),
    /** The error of the transaction, with the index of the operation in `failed`. */
    errorOf: (error: unknown): unknown => {
      if (!(error instanceof ServiceError) || typeof error.fields.failed !== 'number') return error;
      const { failed } = error.fields;
      const index = Math.floor(failed / 2);
      const ofOne = new ServiceError(
        error.code,
        error.message,
        { ...error.fields, failed: failed % 2 },
        { cause: error.cause },
      );
      const shown = errorOfWrite(caller, writes[index]?.ancestor, ofOne);
      if (!(shown instanceof ServiceError)) return shown;
      return new ServiceError(shown.code, shown.message, { ...shown.fields, failed: index }, { cause: shown.cause });
    },
  };
}

/**
 * The error of such a transaction, as that of one operation.
 * @returns FORBIDDEN or AUTH_REQUIRED if the ancestor does not exist
 */
export function errorOfWrite(caller: Creator, ancestor: string | undefined, error: unknown): unknown {
  if (!(error instanceof ServiceError) || error.fields.failed === undefined) return error;
  const { failed, ...fields } = error.fields;
  if (ancestor !== undefined && failed === 0 && error.code === 'NO_NODE') {
    try {
      caller.require('write', 'nodes', ancestor);
    } catch (refusal) {
      if (!(refusal instanceof ServiceError)) throw refusal;
      const marks = { zxid: fields.zxid, replayed: fields.replayed };
      return new ServiceError(refusal.code, refusal.message, { ...refusal.fields, ...marks });
    }
  }
  return new ServiceError(error.code, error.message, fields, { cause: error.cause });
}
