// Whether the store's replicas have what was written: what a produce with acks=all waits for. It counts replicas; how
// many there must be is the topic's setting, and the caller's business.
import type { Redis } from 'ioredis';
import type { StoreConnection } from './connection.ts';

/** Longer than replicas ever take that keep up; with an append as usual this stays below 2 s (guarantee E3). */
const waitMsMax = 1500;
const answerMsMax = 1700;

interface Round {
  count: number;
  key: string;
  done: Promise<number>;
}

export class Replication {
  readonly #connection: StoreConnection;
  #client: Redis | undefined;
  #current: Promise<unknown> = Promise.resolve();
  #next: Round | undefined;

  constructor(connection: StoreConnection) {
    this.#connection = connection;
  }

  /** How many replicas are connected to the store now. */
  async connected(): Promise<number> {
    const info = await this.#connection.command(false, (client) => client.info('replication'));
    return Number(/^connected_slaves:(\d+)/m.exec(info)?.[1] ?? 0);
  }

  /**
   * Waits until `count` replicas have everything that was written before this call, but not for long.
   * @param key one that may be overwritten (keys.ts: replicated), beside what was written
   * @returns how many have it, fewer than `count` if it took too long
   * @throws ServiceError STORE_UNAVAILABLE
   */
  confirm(key: string, count: number): Promise<number> {
    // Calls that come while a wait is under way share the next one.
    if (this.#next) {
      this.#next.count = Math.max(this.#next.count, count);
      return this.#next.done;
    }
    const round: Round = { count, key, done: this.#current.then(() => this.#run(round)) };
    this.#next = round;
    this.#current = round.done.catch(() => undefined);
    return round.done;
  }

  async #run(round: Round): Promise<number> {
    this.#next = undefined;
    // WAIT holds up its whole connection, so it has one of its own. It waits for that connection's last write; replicas
    // get writes in their order, so a small one now stands for all that came before.
    this.#client ??= this.#connection.dedicated(answerMsMax);
    const client = this.#client;
    return this.#connection.command(true, async () => {
      await client.set(round.key, '1', 'PX', waitMsMax);
      return client.wait(round.count, waitMsMax);
    });
  }
}
