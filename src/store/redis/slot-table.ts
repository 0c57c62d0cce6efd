// Which node of a Redis Cluster holds which of its 16384 hash slots, as the cluster told last.
import { createRequire } from 'node:module';
import type { RedisAddress } from '../../config/redis-url.ts';

// The package that ioredis has, too, which comes without types.
const calculateSlot: (key: string) => number = createRequire(import.meta.url)('cluster-key-slot');

const slotCount = 16_384;

/** The reply to CLUSTER SLOTS: the first node of each range is its primary, the others its replicas. */
export type SlotRanges = [first: number, last: number, ...nodes: [host: string | null, port: number, ...unknown[]][]][];

export class SlotTable {
  /** By slot: the address of its primary. */
  #primaryBySlot: (string | undefined)[] = new Array(slotCount).fill(undefined);
  #nodes = new Map<string, RedisAddress>();
  #primaries = new Set<string>();

  static slotOf(key: string): number {
    return calculateSlot(key);
  }

  /** The address of the primary of a slot; undefined if there is none. */
  primaryOf(slot: number): string | undefined {
    return this.#primaryBySlot[slot];
  }

  /** The addresses of all primaries that hold slots. */
  get primaries(): ReadonlySet<string> {
    return this.#primaries;
  }

  /** All nodes that were heard of, replicas too. */
  get nodes(): RedisAddress[] {
    return [...this.#nodes.values()];
  }

  addressOf(address: string): RedisAddress {
    const colon = address.lastIndexOf(':');
    return this.#nodes.get(address) ?? { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  }

  /** Takes over what the node at `asked` told. */
  replace(ranges: SlotRanges, asked: RedisAddress): void {
    const owners: (string | undefined)[] = new Array(slotCount).fill(undefined);
    this.#nodes = new Map();
    this.#primaries = new Set();
    for (const [first, last, ...nodes] of ranges) {
      const [primary] = nodes.map(([host, port]) => {
        // A node that does not know its own name means the one that it was reached by.
        const place = { host: host || asked.host, port };
        const address = `${place.host}:${place.port}`;
        this.#nodes.set(address, place);
        return address;
      });
      if (primary === undefined) continue;
      this.#primaries.add(primary);
      owners.fill(primary, first, last + 1);
    }
    this.#primaryBySlot = owners;
  }

  /**
   * Takes over one slot's new owner from a refusal `MOVED <slot> <host>:<port>`.
   * @param asked the address that it came from; a MOVED without a host means the same one
   */
  applyMoved(message: string, asked: string): void {
    const [, slot, host = '', port] = /^-?MOVED (\d{1,5}) (.*):(\d{1,5})/.exec(message) ?? [];
    if (slot === undefined || port === undefined || Number(slot) >= slotCount) return;
    this.#primaryBySlot[Number(slot)] = `${host || asked.slice(0, asked.lastIndexOf(':'))}:${port}`;
  }
}
