// Which node of a Redis Cluster is the primary of each of the 16384 hash slots, as the cluster last reported it.
import { createRequire } from 'node:module';
import type { RedisAddress } from '../../config/redis-url.ts';

// The package that ioredis itself uses. It has no types.
const calculateSlot: (key: string) => number = createRequire(import.meta.url)('cluster-key-slot');

const slotCount = 16_384;

/** The reply to CLUSTER SLOTS: the first node of each range is its primary, the others its replicas. */
export type SlotRanges = [first: number, last: number, ...nodes: [host: string | null, port: number, ...unknown[]][]][];

export class SlotTable {
  /** By slot, the address `<host>:<port>` of its primary. */
  #primaryBySlot: (string | undefined)[] = new Array(slotCount).fill(undefined);
  #nodes = new Map<string, RedisAddress>();
  #primaries = new Set<string>();
  #changes = 0;

  static slotOf(key: string): number {
    return calculateSlot(key);
  }

  /** The address of the primary of a slot; undefined if it has none. */
  primaryOf(slot: number): string | undefined {
    return this.#primaryBySlot[slot];
  }

  /** How often slots came to other primaries. */
  get changes(): number {
    return this.#changes;
  }

  /** The addresses of all primaries that have slots. */
  get primaries(): ReadonlySet<string> {
    return this.#primaries;
  }

  /** All known nodes, with the replicas. */
  get nodes(): RedisAddress[] {
    return [...this.#nodes.values()];
  }

  /** Host and port of an address `<host>:<port>`. */
  addressOf(address: string): RedisAddress {
    const colon = address.lastIndexOf(':');
    return this.#nodes.get(address) ?? { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  }

  /** Replaces the table by a reply to CLUSTER SLOTS. @param source the node that replied */
  replace(ranges: SlotRanges, source: RedisAddress): void {
    const primaryBySlot: (string | undefined)[] = new Array(slotCount).fill(undefined);
    this.#nodes = new Map();
    this.#primaries = new Set();
    for (const [first, last, ...nodes] of ranges) {
      const [primary] = nodes.map(([host, port]) => {
        // A node that does not know its own host name reports none: it is the one that replied.
        const node = { host: host || source.host, port };
        const address = `${node.host}:${node.port}`;
        this.#nodes.set(address, node);
        return address;
      });
      if (primary === undefined) continue;
      this.#primaries.add(primary);
      primaryBySlot.fill(primary, first, last + 1);
    }
    if (primaryBySlot.some((primary, slot) => primary !== this.#primaryBySlot[slot])) this.#changes += 1;
    this.#primaryBySlot = primaryBySlot;
  }

  /**
   * Applies a refusal `MOVED <slot> <host>:<port>` to its slot.
   * @param source the address of the node that sent it; a MOVED without a host means that host
   */
  applyMoved(message: string, source: string): void {
    const [, slot, host = '', port] = /^-?MOVED (\d{1,5}) (.*):(\d{1,5})/.exec(message) ?? [];
    if (slot === undefined || port === undefined || Number(slot) >= slotCount) return;
    this.#changes += 1;
    this.#primaryBySlot[Number(slot)] = `${host || source.slice(0, source.lastIndexOf(':'))}:${port}`;
  }
}
