// A migration's access to the stored data before the store is open: its keys, commands and scripts on them, and iterators over all
// topics and partitions that read in pages.
import type { Redis } from 'ioredis';
import { decodeTopic, topicPath, topicsPath } from '../../core/cluster/cluster-nodes.ts';
import { type CoordinationKeys, coordinationKeys, type PartitionKeys, partitionKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import type { ReplyValue } from '../scripts.ts';

const pageSize = 500;

interface StoredTopic {
  name: string;
  topicId: string;
  partitionCount: number;
}

export class StoredData {
  readonly keys: CoordinationKeys;
  readonly #connection: StoreConnection;
  readonly #prefix: string;
  readonly #lockLost: AbortSignal;

  /** @param lockLost aborted when another broker may have taken over: nothing may be changed from then on */
  constructor(connection: StoreConnection, prefix: string, lockLost: AbortSignal) {
    this.keys = coordinationKeys(prefix);
    this.#connection = connection;
    this.#prefix = prefix;
    this.#lockLost = lockLost;
  }

  /** Runs plain commands on the keys of one slot, of which `key` is one. */
  command<T>(key: string, command: (client: Redis) => Promise<T>): Promise<T> {
    this.#lockLost.throwIfAborted();
    return this.#connection.commandWhileOpening(key, command);
  }

  /** Runs a script. @returns what follows OK in its reply */
  call(name: string, key: string, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    this.#lockLost.throwIfAborted();
    return this.#connection.callWhileOpening(name, key, args);
  }

  /** The coordination keys that match a pattern, each at least once; keys that are created meanwhile may be missing. */
  async *coordinationKeys(pattern: string): AsyncGenerator<string> {
    let cursor = '0';
    do {
      const at = cursor;
      const [next, found] = await this.command(this.keys.root, (client) =>
        client.scan(at, 'MATCH', pattern, 'COUNT', pageSize),
      );
      yield* found;
      cursor = next;
    } while (cursor !== '0');
  }

  /** The names of a node's children, in order. */
  async *children(path: string): AsyncGenerator<string> {
    for await (const names of this.childPages(path)) yield* names;
  }

  /** The names of a node's children, in order and in pages. */
  async *childPages(path: string): AsyncGenerator<string[]> {
    for (let after = '-'; ; ) {
      const key = this.keys.children(path);
      const names = await this.command(key, (client) => client.zrange(key, after, '+', 'BYLEX', 'LIMIT', 0, pageSize));
      yield names;
      if (names.length < pageSize) return;
      after = `(${names.at(-1)}`;
    }
  }

  /** The data of a node; undefined if the node does not exist. */
  async node(path: string): Promise<Buffer | undefined> {
    const key = this.keys.node(path);
    return (await this.command(key, (client) => client.hgetBuffer(key, 'data'))) ?? undefined;
  }

  /** The stored stats of nodes. @throws Error if one does not exist */
  async stats(paths: readonly string[]): Promise<Buffer[]> {
    if (paths.length === 0) return [];
    const replies = await this.command(this.keys.root, (client) => {
      const pipeline = client.pipeline();
      for (const path of paths) pipeline.hgetBuffer(this.keys.node(path), 'stat');
      return pipeline.exec();
    });
    return (replies ?? []).map(([error, stat], index) => {
      if (error) throw error;
      if (!Buffer.isBuffer(stat))
        throw new Error(`Node ${paths[index]} is in the list of its parent, and does not exist`);
      return stat;
    });
  }

  async *topics(): AsyncGenerator<StoredTopic> {
    for await (const name of this.children(topicsPath)) {
      const data = await this.node(topicPath(name));
      if (data === undefined) continue;
      const { topicId, replicas } = decodeTopic(data);
      yield { name, topicId, partitionCount: replicas.length };
    }
  }

  /** The keys of every partition's log. Each log has a hash slot of its own. */
  async *partitions(): AsyncGenerator<{ topic: string; partition: number; keys: PartitionKeys }> {
    for await (const { name, topicId, partitionCount } of this.topics()) {
      for (let partition = 0; partition < partitionCount; partition++) {
        yield { topic: name, partition, keys: partitionKeys(this.#prefix, topicId, partition) };
      }
    }
  }
}
