// Reads a subtree part by part, with the data of its nodes: for an export. Every part is of one moment, the whole is not.
import type { CreateMode } from '../../../schemas/common.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { ConcurrencyLimiter } from '../redis/concurrency-limiter.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { bytes, integer, text } from '../scripts.ts';
import { decodeStat } from './node-codec.ts';

export interface ReadNode {
  path: string;
  mode: CreateMode;
  /** Of mode ttl. */
  ttlMs: number | undefined;
  /** Empty for an ephemeral node, as is the type. */
  data: Buffer;
  contentType: string;
}

export interface SubtreePart {
  /** The part reflects every transaction up to this one. */
  zxid: number;
  /** Each before its children; names in byte order. */
  nodes: ReadNode[];
  /** How many subtrees of the service itself were left out. */
  reserved: number;
  hasMore: boolean;
}

/** Where a part begins. */
export interface SubtreePlace {
  /** The last path before it. */
  after: string;
  /** Whether the nodes below `after` are passed over. */
  passesOver: boolean;
}

/** A part of so many nodes takes about 2 ms of Redis. */
const partNodesMax = 500;
const partBytesMax = 1024 * 1024;

export class SubtreeReader {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;
  readonly #limiter: ConcurrencyLimiter;

  /** @param limiter by the number of nodes */
  constructor(connection: StoreConnection, keys: CoordinationKeys, limiter: ConcurrencyLimiter) {
    this.#connection = connection;
    this.#keys = keys;
    this.#limiter = limiter;
  }

  /**
   * Reads one part.
   * @param from undefined for the first part
   * @throws ServiceError NO_NODE (field `zxid`) if there is no node at the top, of the first part
   */
  async read(top: string, from: SubtreePlace | undefined): Promise<SubtreePart> {
    const args = [top, from?.after ?? '', from?.passesOver ? '1' : '0', partNodesMax, partBytesMax];
    const reply = await this.#limiter.run(
      () => this.#connection.call('nodes/export', this.#keys.root, args),
      partNodesMax,
    );
    const [zxid, more, reserved, ...rest] = reply;
    const nodes: ReadNode[] = [];
    for (let i = 0; i + 3 < rest.length; i += 4) {
      const { mode, ttlMs } = decodeStat(bytes(rest[i + 1]));
      nodes.push({ path: text(rest[i]), mode, ttlMs, contentType: text(rest[i + 2]), data: bytes(rest[i + 3]) });
    }
    return { zxid: integer(zxid), nodes, reserved: integer(reserved), hasMore: text(more) === '1' };
  }
}
