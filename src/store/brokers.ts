// The live brokers: typed calls of lua/brokers. What a broker reports is kept in its session, so that it ends with it.
import type { CoordinationKeys } from './keys.ts';
import type { StoreConnection } from './redis/connection.ts';
import { bytes, integer, text } from './scripts.ts';

interface StoredBroker {
  id: number;
  /** The data of its node (core/cluster/cluster-nodes.ts). */
  data: Buffer;
  czxid: number;
  /** What it has reported of itself last; undefined if it has not yet. */
  report: string | undefined;
}

export class Brokers {
  readonly #connection: StoreConnection;
  readonly #root: string;

  constructor(connection: StoreConnection, keys: CoordinationKeys) {
    this.#connection = connection;
    this.#root = keys.root;
  }

  /** All live brokers, and the data of the controller's node if there is a controller; read in one call. */
  async list(): Promise<{ zxid: number; controller: Buffer | undefined; brokers: StoredBroker[] }> {
    const [zxid, controller, ...rest] = await this.#connection.call('brokers/list', this.#root, []);
    const brokers: StoredBroker[] = [];
    for (let i = 0; i + 3 < rest.length; i += 4) {
      brokers.push({
        id: integer(rest[i]),
        data: bytes(rest[i + 1]),
        czxid: integer(rest[i + 2]),
        report: text(rest[i + 3]) || undefined,
      });
    }
    brokers.sort((a, b) => a.id - b.id);
    const data = bytes(controller);
    return { zxid: integer(zxid), controller: data.length > 0 ? data : undefined, brokers };
  }
}
