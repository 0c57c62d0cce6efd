// The limits of one transaction on the tree. Its script blocks Redis, so its work is bounded, and so are the bytes of its data and
// of its event; bench/README.md has the times at these limits.
import { ServiceError } from '../../core/service-error.ts';
import type { Step } from './op-codec.ts';

/** Operations that write. A check costs less than half of one, so that all operations of a multi may be checks: schemas/nodes.ts. */
const writesMax = 4000;
const checksPerWrite = 2.5;
/** The bytes of paths, data and event together. lua/lib/ops.lua has the same limit for recursive deletions. */
const transactionBytesMax = 4 * 1024 * 1024;

/** The largest size of an event besides path, content type and data; and how much of the data it has (lua/lib/events.lua). */
const eventHeadBytes = 96;
const eventDataBytesMax = 16_384;

/**
 * Refuses a transaction beyond the limits before it is sent.
 * @param maxNodeBytes the largest data of a node: a transaction that writes one such node is accepted
 * @throws ServiceError TOO_LARGE
 */
export function checkTransaction(operations: readonly Step[], maxNodeBytes: number): void {
  const writes = operations.filter(({ op }) => op !== 'check').length;
  const checks = operations.length - writes;
  if (writes + checks / checksPerWrite > writesMax) {
    throw new ServiceError(
      'TOO_LARGE',
      `The transaction has ${writes} operations that write and ${checks} checks; the limit is ${writesMax} that write,` +
        ` and ${checksPerWrite} checks count as one of them. Send several transactions.`,
      { operations: operations.length, maxWrites: writesMax },
    );
  }
  const bytes = transactionBytes(operations);
  const max = Math.max(transactionBytesMax, writes === 1 ? maxNodeBytes + 4 * eventDataBytesMax : 0);
  if (bytes > max) {
    throw new ServiceError(
      'TOO_LARGE',
      `The transaction has ${bytes} bytes of paths, data and the event for watchers; the limit is ${max}. Send several transactions, or ` +
        'store large data elsewhere and its address here.',
      { bytes, maxBytes: max },
    );
  }
}

/** The bytes of paths and data, and of the event as far as they are known from the request. */
export function transactionBytes(operations: readonly Step[]): number {
  let bytes = 0;
  for (const operation of operations) {
    if (operation.op === 'check') continue;
    bytes += eventHeadBytes + 2 * Buffer.byteLength(operation.path);
    if (!('data' in operation) || operation.data === undefined) continue;
    const { data, contentType = '' } = operation;
    const length = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
    bytes += length + Math.min(length, eventDataBytesMax) + contentType.length;
  }
  return bytes;
}
