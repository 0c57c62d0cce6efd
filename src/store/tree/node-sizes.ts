// How large the data of nodes are, as far as this broker knows it. Reads of one client keep its order, so one that proves too large
// cannot be put off: how many share a call of the store, and are in flight at once, is decided before.
import { recentlyUsed } from '../../core/recently-used.ts';
import type { Transaction } from './node-codec.ts';
import type { Step } from './op-codec.ts';

/** Of so many nodes the size is remembered, those used last. */
const pathsMax = 10_000;
/** So many bytes of data weigh 1 in a call, so that a full one has some 8 MiB: about 100 ms of Redis and its connection. */
const bytesPerUnit = 64 * 1024;
/** A read with data weighs so much at least: a node may be larger than when it was seen last. */
const leastWeight = 2;

export class NodeSizes {
  readonly #sizes = recentlyUsed<number>(pathsMax);
  readonly #unknownWeight: number;

  /** @param maxNodeBytes what the data of a node may have: as much may one have that is not known */
  constructor(maxNodeBytes: number) {
    this.#unknownWeight = weightOf(maxNodeBytes);
  }

  /** The bytes of the data of a node; undefined if they are not known. */
  of(path: string): number | undefined {
    return this.#sizes.get(path);
  }

  /** The weight of a read of a node with its data, in a call. */
  readWeight(path: string): number {
    const size = this.of(path);
    return size === undefined ? this.#unknownWeight : weightOf(size);
  }

  /** Notes what a read has brought. */
  set(path: string, bytes: number): void {
    this.#sizes.set(path, bytes);
  }

  /** Notes a transaction that is sent: reads behind it may find its nodes as large as it makes them. */
  noteWrite(operations: readonly Step[]): void {
    for (const operation of operations) {
      if (!('data' in operation) || operation.data === undefined) continue;
      const { path, data } = operation;
      const known = this.#sizes.peek(path);
      if (known === undefined) continue;
      const bytes = Buffer.byteLength(data);
      if (known < bytes) this.#sizes.set(path, bytes);
    }
  }

  /** Notes what all brokers have written. */
  apply(transactions: readonly Transaction[]): void {
    for (const { events } of transactions) {
      for (const { path, stat } of events) if (this.#sizes.has(path)) this.#sizes.set(path, stat.dataLength);
    }
  }

  /** Forgets all: some transactions have been missed. */
  clear(): void {
    this.#sizes.clear();
  }
}

function weightOf(bytes: number): number {
  return Math.max(leastWeight, Math.ceil(bytes / bytesPerUnit));
}
