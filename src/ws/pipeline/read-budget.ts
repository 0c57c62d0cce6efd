// Bounds the bytes of nodes and records that pipelined sockets have requested and not received (guarantee S6), each of them and all
// together: replies that are too large together would reach the time limit of the store. How large a read is shows only its result. So
// a read of a node counts as what is known of that node, and any other read as much as the large ones of late.
import { withoutTrailingSlash } from '../../core/tree/path.ts';
import type { PendingRequest } from './pending-request.ts';

type ReadOp = 'get' | 'fetch';

/** What a read counts as before there was any, and one of a node that is not known at least, bytes. */
const firstBytes = 128 * 1024;
/** What any other read counts as at least. */
const leastBytes = 1024;
/** What is left of the expected size after a smaller result: one large read among small ones is soon forgotten. */
const decay = 7 / 8;

/** What all sockets read at once. */
export class SharedReads {
  readonly #bytesMax: number;
  /** The bytes of the data of a node, if they are known. */
  readonly knownSize: (path: string) => number | undefined;
  #bytes = 0;
  readonly #waiting = new Set<() => void>();

  constructor(bytesMax: number, knownSize: (path: string) => number | undefined) {
    this.#bytesMax = bytesMax;
    this.knownSize = knownSize;
  }

  /** Whether one more read has room; one may always begin. If not, `wake` is called when there is more room. */
  hasRoom(bytes: number, wake: () => void): boolean {
    if (this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax) return true;
    this.#waiting.add(wake);
    return false;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake);
  }
}

/** What one socket reads at once. */
export class ReadBudget {
  readonly #bytesMax: number;
  readonly #shared: SharedReads;
  readonly #wake: () => void;
  readonly #expected: Record<ReadOp, number> = { get: firstBytes, fetch: firstBytes };
  #bytes = 0;
  #isClosed = false;

  /** @param wake called when a read may begin that had no room among those of all sockets */
  constructor(bytesMax: number, shared: SharedReads, wake: () => void) {
    this.#bytesMax = bytesMax;
    this.#shared = shared;
    this.#wake = wake;
  }

  /** Whether a request may begin: it reads nothing that counts, or there is room for it. One read may always begin. */
  mayBegin(pending: PendingRequest): boolean {
    const bytes = this.#sizeOf(pending);
    if (bytes === 0) return true;
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    return this.#shared.hasRoom(bytes, this.#wake);
  }

  begin(pending: PendingRequest): void {
    const bytes = this.#sizeOf(pending);
    pending.expectedBytes = bytes;
    this.#bytes += bytes;
    this.#shared.add(bytes);
  }

  /**
   * A request reads no more.
   * @param resultBytes the size of its result; undefined if it waits for records, or failed
   * @returns whether there is more room now
   */
  end(pending: PendingRequest, resultBytes: number | undefined): boolean {
    const { op, expectedBytes } = pending;
    if (expectedBytes === 0 || this.#isClosed) return false;
    pending.expectedBytes = 0;
    this.#bytes -= expectedBytes;
    if (isRead(op) && resultBytes !== undefined) {
      this.#expected[op] = Math.max(resultBytes, this.#expected[op] * decay, leastBytes);
    }
    this.#shared.release(expectedBytes);
    return true;
  }

  /** Gives back everything, as the socket is closed. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#shared.forget(this.#wake);
    this.#shared.release(this.#bytes);
  }

  #sizeOf({ request }: PendingRequest): number {
    if (request?.op === 'get') {
      const known = this.#shared.knownSize(withoutTrailingSlash(request.path));
      return known === undefined ? Math.max(this.#expected.get, firstBytes) : Math.max(known, leastBytes);
    }
    return request?.op === 'fetch' ? Math.min(this.#expected.fetch, request.maxBytes) : 0;
  }
}

function isRead(op: PendingRequest['op']): op is ReadOp {
  return op === 'get' || op === 'fetch';
}
