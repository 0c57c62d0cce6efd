// The event stream: every transaction of the tree in order. Reading a range of it, and following it live.
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { StoreConnection } from './connection.ts';
import type { CoordinationKeys } from './keys.ts';
import { decodeEvents, type NodeEvent, type Transaction } from './node-codec.ts';
import { integer } from './scripts.ts';

/** Which of the two histories: the main one, that on committed offsets, or both merged. */
export type History = 'main' | 'offsets' | 'both';

type Entry = [id: Buffer, fields: Buffer[]];

const blockMs = 2000;
const readCount = 500;

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
   * Checks that a watcher may resume after `zxid`, nothing of the main history being forgotten or lost since.
   * @returns the newest zxid
   * @throws ServiceError COMPACTED with the fields `oldest` and `zxid`
   */
  async checkResume(zxid: number): Promise<number> {
    return integer((await this.#connection.call('nodes/resume', this.#keys.root, [zxid]))[0]);
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
   */
  async follow(after: number, onTransactions: (batch: Transaction[]) => void, signal: AbortSignal): Promise<void> {
    const client = this.#connection.dedicated();
    const stop = () => client.disconnect();
    signal.addEventListener('abort', stop, { once: true });
    let position = after;
    try {
      while (!signal.aborted) {
        const batch = await this.#readNext(client, position);
        if (signal.aborted || batch.length === 0) continue;
        position = batch.at(-1)!.zxid;
        onTransactions(batch);
      }
    } finally {
      signal.removeEventListener('abort', stop);
      client.disconnect();
    }
  }

  async #readNext(client: Redis, position: number): Promise<Transaction[]> {
    try {
      const from = `${position}-0`;
      const reply = (await client.xreadBuffer(
        'COUNT',
        readCount,
        'BLOCK',
        blockMs,
        'STREAMS',
        this.#keys.events,
        this.#keys.offsetEvents,
        from,
        from,
      )) as unknown as [key: Buffer, entries: Entry[]][] | null;
      return merge(
        (reply ?? []).map(([, entries]) => entries),
        readCount,
      ).transactions;
    } catch (error) {
      this.#log.debug({ err: error }, 'The event stream could not be read; trying again');
      // The client reconnects by itself; this only keeps the loop from spinning meanwhile.
      await new Promise((resolve) => setTimeout(resolve, 50));
      return [];
    }
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
        same.events.push(...events);
        same.bytes += stored.length;
      } else {
        byZxid.set(zxid, { zxid, events, bytes: stored.length });
      }
    }
  }
  const transactions = [...byZxid.values()].sort((a, b) => a.zxid - b.zxid);
  return { transactions, complete: horizon === Number.POSITIVE_INFINITY };
}

function zxidOf(entry: Entry): number {
  return Number(entry[0].toString('latin1').split('-')[0]);
}
