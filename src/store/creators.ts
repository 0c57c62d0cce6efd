// What is stored for each identity whose policy limits that: typed calls of lua/creators. docs/adr/014 says what counts, and when.
import type { CoordinationKeys } from './keys.ts';
import type { StoreConnection } from './redis/connection.ts';
import { integer, type ReplyValue, text } from './scripts.ts';

/** What counts against one identity. */
export interface CreatorTotals {
  name: string;
  nodes: number;
  /** Of its nodes. */
  bytes: number;
  partitions: number;
  /** Of the logs of its topics, as the controller has summed them last. */
  logBytes: number;
  /** Of both together; undefined if that is not limited. */
  bytesMax: number | undefined;
}

/** Of one creator: what the controller knows. A limit that is undefined does not exist. */
export interface CreatorUpdate {
  name: string;
  logBytes: number;
  limits: { nodes?: number | undefined; storedBytes?: number | undefined; partitions?: number | undefined };
}

const pageSize = 500;
const fieldsOfCreator = 6;

export class Creators {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;

  constructor(connection: StoreConnection, keys: CoordinationKeys) {
    this.#connection = connection;
    this.#keys = keys;
  }

  /** All creators, page by page. */
  async *all(): AsyncGenerator<CreatorTotals> {
    for (let first = 1; ; first += pageSize) {
      const reply = await this.#connection.call('creators/list', this.#keys.root, [first, pageSize]);
      for (let i = 0; i < reply.length; i += fieldsOfCreator) yield decode(reply.slice(i, i + fieldsOfCreator));
      if (reply.length < pageSize * fieldsOfCreator) return;
    }
  }

  /** What counts against one identity; undefined if nothing ever did. */
  async find(name: string): Promise<CreatorTotals | undefined> {
    const reply = await this.#connection.call('creators/find', this.#keys.root, [name]);
    return reply.length === 0 ? undefined : decode(reply);
  }

  async update(updates: readonly CreatorUpdate[]): Promise<void> {
    for (let i = 0; i < updates.length; i += pageSize) {
      const args = updates
        .slice(i, i + pageSize)
        .flatMap(({ name, logBytes, limits }) => [
          name,
          logBytes,
          limits.nodes ?? -1,
          limits.storedBytes ?? -1,
          limits.partitions ?? -1,
        ]);
      await this.#connection.call('creators/update', this.#keys.root, args);
    }
  }
}

function decode([name, nodes, bytes, partitions, logBytes, bytesMax]: ReplyValue[]): CreatorTotals {
  const max = integer(bytesMax);
  return {
    name: text(name),
    nodes: integer(nodes),
    bytes: integer(bytes),
    partitions: integer(partitions),
    logBytes: integer(logBytes),
    bytesMax: max < 0 ? undefined : max,
  };
}
