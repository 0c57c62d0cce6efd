// Bounds the bytes of nodes and records that one pipelined socket has requested and not received (guarantee S6): replies that are too
// large together would reach the time limit of the store. How large a read is shows only its result. So each counts as much as the large
// ones of late.
import type { PendingRequest } from './pending-request.ts';

type ReadOp = 'get' | 'fetch';

/** What a read counts as before there was any, and at least, bytes. */
const firstBytes = 128 * 1024;
const leastBytes = 1024;
/** What is left of the expected size after a smaller result: one large read among small ones is soon forgotten. */
const decay = 7 / 8;

export class ReadBudget {
  readonly #bytesMax: number;
  readonly #expected: Record<ReadOp, number> = { get: firstBytes, fetch: firstBytes };
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether a request may begin: it reads nothing that counts, or there is room for it. One read may always begin. */
  mayBegin(pending: PendingRequest): boolean {
    return this.#bytes === 0 || this.#bytes + this.#sizeOf(pending) <= this.#bytesMax;
  }

  begin(pending: PendingRequest): void {
    pending.expectedBytes = this.#sizeOf(pending);
    this.#bytes += pending.expectedBytes;
  }

  /** A request reads no more: it has its result, or waits for records. @returns whether there is more room now */
  end(pending: PendingRequest): boolean {
    const { op, response, expectedBytes } = pending;
    if (expectedBytes === 0) return false;
    this.#bytes -= expectedBytes;
    pending.expectedBytes = 0;
    if (isRead(op) && response !== undefined) {
      this.#expected[op] = Math.max(response.length, this.#expected[op] * decay, leastBytes);
    }
    return true;
  }

  #sizeOf({ request }: PendingRequest): number {
    if (request?.op === 'get') return this.#expected.get;
    return request?.op === 'fetch' ? Math.min(this.#expected.fetch, request.maxBytes) : 0;
  }
}

function isRead(op: PendingRequest['op']): op is ReadOp {
  return op === 'get' || op === 'fetch';
}
