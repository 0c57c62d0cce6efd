// The event stream: every transaction of the tree in order. Reading a range of it, and following it live.
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { hasCode, type ServiceError } from '../core/service-error.ts';
import type { StoreConnection } from './connection.ts';
import type { CoordinationKeys } from './keys.ts';
import { decodeEvents, type NodeEvent, type Transaction } from './node-codec.ts';
import { integer } from './scripts.ts';

/** Which of the two histories: the main one, that on committed offsets, or both merged. */
export type History = 'main' | 'offsets' | 'both';

type Entry = [id: Buffer, fields: Buffer[]];

const blockMs = 2000;
const readCount = 500;
/** How much later than asked the store may answer a read that blocks, before the connection counts as dead. */
const answerGraceMs = 3000;

export class Events {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;
  readonly #log: Logger;

  constructor(connection: StoreConnection, keys: CoordinationKeys, log: Logger) {
    this.#connection = connection;
    this.#keys = keys;
    this.#log = log;
  }

  /**
   * Checks that a watcher may resume after `zxid`, nothing of its history being forgotten or lost since.
   * @param history 'both' for a watcher of committed offsets
   * @returns the newest zxid
   * @throws ServiceError COMPACTED with the fields `oldest` and `zxid`
   */
  async checkResume(zxid: number, history: 'main' | 'both' = 'main'): Promise<number> {
    return integer((await this.#connection.call('nodes/resume', this.#keys.root, [zxid, history]))[0]);
  }

  /** The newest zxid. */
  async newestZxid(): Promise<number> {
    return this.#connection.command(false, async (client) => Number((await client.hget(this.#keys.root, 'zxid')) ?? 0));
  }

  /**
   * A page of history: transactions after `after`, up to `upTo`, in order.
   * @returns `complete` = nothing up to `upTo` is left behind the page
   */
  async range(
    history: History,
    after: number,
    upTo: number,
    count: number,
  ): Promise<{ transactions: Transaction[]; complete: boolean }> {
    const read = (key: string) =>
      this.#connection.command(false, (client) =>
        client.xrangeBuffer(key, `(${after}`, `${upTo}`, 'COUNT', count),
      ) as Promise<Entry[]>;
    const [main, offsets] = await Promise.all([
      history === 'offsets' ? [] : read(this.#keys.events),
      history === 'main' ? [] : read(this.#keys.offsetEvents),
    ]);
    return merge([main, offsets], count);
  }

  /**
   * Follows both histories from `after` on, on a connection of its own, through losses of the connection, until `signal`
   * is aborted. Transactions come in order, each once; one batch is what one read gave.
   *
   * Wherever something could have been lost or forgotten between two batches, this is ruled out before the second one is
   * handed on: after a loss of the connection, and wherever a zxid is missing. Within an epoch they are dense over both
   * histories, so that is where a new epoch begins, or where trimming has overtaken the reader.
   * @param follower `accept` takes each batch; `positions` names all that must not have been lost, beginning with what
   *   was accepted last; `offsetsForgotten` is told that the history on committed offsets alone has a gap here
   * @throws ServiceError COMPACTED if the main history goes on without what was followed so far (field `zxid`: the newest)
   */
  async follow(
    after: number,
    follower: {
      accept(batch: Transaction[]): void;
      positions(): Iterable<number>;
      offsetsForgotten(error: ServiceError): void;
    },
    signal: AbortSignal,
  ): Promise<void> {
    const client = this.#connection.dedicated(blockMs + answerGraceMs, 'reject');
    const stop = () => client.disconnect();
    signal.addEventListener('abort', stop, { once: true });
    let position = after;
    let isSame = false;
    try {
      while (!signal.aborted) {
        try {
          // On a new connection the answer must not wait for an event: the check below is due at once.
          const batch = await this.#readNext(client, position, isSame);
          const newest = batch.at(-1)?.zxid ?? position;
          // The check comes after the read, so that nothing can be trimmed between the two unnoticed.
          if (!isSame || newest - position !== batch.length) {
            for (const zxid of follower.positions()) await this.#check(client, zxid, 'main');
            isSame = true;
            try {
              await this.#check(client, position, 'both');
            } catch (error) {
              if (!hasCode(error, 'COMPACTED')) throw error;
              follower.offsetsForgotten(error as ServiceError);
            }
          }
          if (signal.aborted || batch.length === 0) continue;
          position = newest;
          follower.accept(batch);
        } catch (error) {
          if (hasCode(error, 'COMPACTED')) throw error;
          isSame = false;
          this.#log.debug({ err: error }, 'The event stream could not be read; trying again');
          // The client reconnects by itself; meanwhile each read fails at once, and this keeps the loop from spinning.
          if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    } finally {
      signal.removeEventListener('abort', stop);
      client.disconnect();
    }
  }

  async #check(client: Redis, zxid: number, history: 'main' | 'both'): Promise<void> {
    await this.#connection.callOn(client, 'nodes/resume', this.#keys.root, [zxid, history]);
  }

  async #readNext(client: Redis, position: number, mayBlock: boolean): Promise<Transaction[]> {
    const from = `${position}-0`;
    const streams = ['STREAMS', this.#keys.events, this.#keys.offsetEvents, from, from] as const;
    const reply = (await (mayBlock
      ? client.xreadBuffer('COUNT', readCount, 'BLOCK', blockMs, ...streams)
      : client.xreadBuffer('COUNT', readCount, ...streams))) as unknown as [key: Buffer, entries: Entry[]][] | null;
    const pages = (reply ?? []).map(([, entries]) => entries);
    // A read that has blocked is answered with the stream that was written first, without the other half of the same
    // transaction (Redis 7.0).
    if (mayBlock && pages.length === 1 && pages[0]!.some(isHalf)) return this.#readNext(client, position, false);
    return merge(pages, readCount).transactions;
  }
}

/**
 * Merges pages of the streams by zxid; one transaction may have events in both. A page with `count` entries may have
 * more behind it, so nothing beyond the last entry of such a page is in order yet, and is left for the next read.
 */
function merge(pages: Entry[][], count: number): { transactions: Transaction[]; complete: boolean } {
  let horizon = Number.POSITIVE_INFINITY;
  for (const page of pages) if (page.length >= count) horizon = Math.min(horizon, zxidOf(page.at(-1)!));
  const byZxid = new Map<number, Transaction>();
  for (const page of pages) {
    for (const entry of page) {
      const zxid = zxidOf(entry);
      if (zxid > horizon) continue;
      const stored = entry[1][1]!;
      const events: NodeEvent[] = decodeEvents(stored);
      const same = byZxid.get(zxid);
      if (same) {
        // Committed offsets lie below what the main history tells of: children go before their parents, and come after.
        const [gone, others] = [events.filter(isDeletion), events.filter((event) => !isDeletion(event))];
        same.events = [...gone, ...same.events, ...others];
        same.bytes += stored.length;
      } else {
        byZxid.set(zxid, { zxid, events, bytes: stored.length });
      }
    }
  }
  const transactions = [...byZxid.values()].sort((a, b) => a.zxid - b.zxid);
  return { transactions, complete: horizon === Number.POSITIVE_INFINITY };
}

/** Whether the transaction has an entry in the other stream, too (lua/lib/txn.lua). */
function isHalf([, fields]: Entry): boolean {
  return fields.at(-2)?.toString('latin1') === 'half';
}

function isDeletion(event: NodeEvent): boolean {
  return event.kind === 'deleted';
}

function zxidOf(entry: Entry): number {
  return Number(entry[0].toString('latin1').split('-')[0]);
}
