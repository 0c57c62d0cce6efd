// Whether the store's replicas have what was written: what a produce with acks=all waits for. It counts replicas; how
// many there must be is the topic's setting, and the caller's business. Each machine of the store has replicas of its own.
import type { Redis } from 'ioredis';
import { ServiceError } from '../core/service-error.ts';
import type { StoreConnection } from './connection.ts';
import type { Link } from './link.ts';
import { parseInfo, runOf } from './server-info.ts';
import { storeError } from './store-error.ts';

/** Longer than replicas ever take that keep up; with an append as usual this stays below 2 s (guarantee E3). */
const waitMsMax = 1500;
const answerMsMax = 1700;

interface Round {
  count: number;
  key: string;
  done: Promise<Confirmed>;
}

interface Confirmed {
  /** How many replicas have it. */
  count: number;
  /** The run of the Redis that was asked. */
  run: string;
}

export class Replication {
  readonly #connection: StoreConnection;
  readonly #shards = new WeakMap<Link, ShardReplication>();

  constructor(connection: StoreConnection) {
    this.#connection = connection;
  }

  /** How many replicas each Redis has at least, now, of those that hold these keys. */
  async connected(keys: readonly string[]): Promise<number> {
    const byLink = new Map<Link, string>();
    for (const key of keys) byLink.set(await this.#connection.linkOf(key), key);
    const counts = [...byLink.values()].map(async (key) => {
      const info = await this.#connection.command(false, (client) => client.info('replication'), key);
      return Number(parseInfo(info).get('connected_slaves') ?? 0);
    });
    return Math.min(...(await Promise.all(counts)));
  }

  /**
   * Waits until `count` replicas have everything that was written before this call, but not for long.
   * @param key one that may be overwritten (keys.ts: replicated), beside what was written
   * @param run the run of the Redis that it was written to
   * @returns how many have it, fewer than `count` if it took too long
   * @throws ServiceError STORE_UNAVAILABLE, also if another Redis has taken the place of that run: whether it has what was
   *   written is unknown
   */
  async confirm(key: string, count: number, run: string): Promise<number> {
    const link = await this.#connection.linkOf(key);
    let shard = this.#shards.get(link);
    if (!shard) {
      shard = new ShardReplication(link);
      this.#shards.set(link, shard);
    }
    const confirmed = await shard.confirm(key, count);
    if (confirmed.run === run) return confirmed.count;
    throw new ServiceError(
      'STORE_UNAVAILABLE',
      'The store has failed over, or was restarted, since this was written. Whether it has it still is unknown: retry with the ' +
        'same Idempotency-Key, or read it.',
    );
  }
}

/** The replicas of one Redis. */
class ShardReplication {
  readonly #link: Link;
  #client: Redis | undefined;
  /** The run that the client is connected to; undefined when it has to be asked for. */
  #run: string | undefined;
  #current: Promise<unknown> = Promise.resolve();
  #next: Round | undefined;

  constructor(link: Link) {
    this.#link = link;
  }

  confirm(key: string, count: number): Promise<Confirmed> {
    // Calls that come while a wait is under way share the next one.
    if (this.#next) {
      this.#next.count = Math.max(this.#next.count, count);
      return this.#next.done;
    }
    const round: Round = { count, key, done: this.#current.then(() => this.#ask(round)) };
    this.#next = round;
    this.#current = round.done.catch(() => undefined);
    return round.done;
  }

  async #ask(round: Round): Promise<Confirmed> {
    this.#next = undefined;
    // WAIT holds up its whole connection, so it has one of its own. It waits for that connection's last write; replicas
    // get writes in their order, so a small one now stands for all that came before.
    this.#client ??= this.#connect();
    try {
      this.#run ??= runOf(parseInfo(await this.#client.info('server')));
      const run = this.#run;
      await this.#client.set(round.key, '1', 'PX', waitMsMax);
      const count = await this.#client.wait(round.count, waitMsMax);
      // The connection was lost between these commands: they may have gone to two Redis.
      return { count, run: this.#run === run ? run : '' };
    } catch (error) {
      throw storeError(error, true);
    }
  }

  #connect(): Redis {
    const client = this.#link.dedicated({ enableOfflineQueue: true, socketTimeout: answerMsMax });
    client.on('close', () => {
      this.#run = undefined;
    });
    return client;
  }
}
