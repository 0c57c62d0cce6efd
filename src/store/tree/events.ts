// The event stream: every transaction of the tree in order. Reading a range of it, and following it live.
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { hasCode, type ServiceError } from '../../core/service-error.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { decodeReply, integer, type ReplyValue } from '../scripts.ts';
import { decodeEvents, type NodeEvent, type Transaction } from './node-codec.ts';

/** Which of the two histories: the main one, that on committed offsets, or both merged. */
export type History = 'main' | 'offsets' | 'both';

type Entry = [id: Buffer, fields: Buffer[]];

/** Entries of one stream; `more` = there may be others behind them. */
interface Page {
  entries: Entry[];
  more: boolean;
}

const blockMs = 2000;
const readCount = 500;
/** How much later than asked the store may answer a read that blocks, before the connection counts as dead. */
const replyGraceMs = 3000;

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
    const { newest, problems } = await this.checkResumeAll([zxid], history);
    if (problems[0]) throw problems[0];
    return newest;
  }

  /**
   * As checkResume, of many zxids at one moment.
   * @returns `problems` = of each zxid undefined, or COMPACTED
   */
  async checkResumeAll(
    zxids: readonly number[],
    history: 'main' | 'both',
  ): Promise<{ newest: number; problems: (ServiceError | undefined)[] }> {
    const reply = await this.#connection.call('nodes/resume', this.#keys.root, [history, ...zxids]);
    return decodeResume(reply);
  }

  /** The newest zxid. */
  async newestZxid(): Promise<number> {
    return this.#connection.command(false, async (client) => Number((await client.hget(this.#keys.root, 'zxid')) ?? 0));
  }

  /**
   * A page of history: transactions after `after`, up to `upTo`, in order.
   * @param bytes with which the page ends: the last transaction may go beyond it
   * @returns `complete` = nothing up to `upTo` is left behind the page
   */
  async range(
    history: History,
    after: number,
    upTo: number,
    count: number,
    bytes = Number.MAX_SAFE_INTEGER,
  ): Promise<{ transactions: Transaction[]; complete: boolean }> {
    const read = async (stream: 'main' | 'offsets') =>
      decodePage(await this.#connection.call('nodes/history', this.#keys.root, [stream, after, upTo, count, bytes]));
    return merge(
      await Promise.all([
        ...(history === 'offsets' ? [] : [read('main')]),
        ...(history === 'main' ? [] : [read('offsets')]),
      ]),
    );
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
    const client = this.#connection.createDedicatedClient(blockMs + replyGraceMs, 'reject');
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
            await this.#check(client, [...follower.positions()], 'main');
            isSame = true;
            try {
              await this.#check(client, [position], 'both');
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

  async #check(client: Redis, zxids: number[], history: 'main' | 'both'): Promise<void> {
    const reply = await this.#connection.callOn(client, 'nodes/resume', this.#keys.root, [history, ...zxids]);
    const problem = decodeResume(reply).problems.find((each) => each !== undefined);
    if (problem) throw problem;
  }

  async #readNext(client: Redis, position: number, mayBlock: boolean): Promise<Transaction[]> {
    const from = `${position}-0`;
    const streams = ['STREAMS', this.#keys.events, this.#keys.offsetEvents, from, from] as const;
    const reply = (await (mayBlock
      ? client.xreadBuffer('COUNT', readCount, 'BLOCK', blockMs, ...streams)
      : client.xreadBuffer('COUNT', readCount, ...streams))) as unknown as [key: Buffer, entries: Entry[]][] | null;
    const pages = (reply ?? []).map(([, entries]) => ({ entries, more: entries.length >= readCount }));
    // A read that has blocked is answered with the stream that was written first, without the other half of the same
    // transaction (Redis 7.0).
    if (mayBlock && pages.length === 1 && pages[0]!.entries.some(isInBothStreams))
      return this.#readNext(client, position, false);
    return merge(pages).transactions;
  }
}

/** What nodes/resume says of each zxid. */
function decodeResume([newest, ...answers]: ReplyValue[]): { newest: number; problems: (ServiceError | undefined)[] } {
  const problems = answers.map((answer) => {
    try {
      decodeReply('nodes/resume', answer);
      return undefined;
    } catch (error) {
      if (hasCode(error, 'COMPACTED')) return error as ServiceError;
      throw error;
    }
  });
  return { newest: integer(newest), problems };
}

function decodePage([more, ...rest]: ReplyValue[]): Page {
  const entries: Entry[] = [];
  for (let i = 0; i < rest.length; i += 2) entries.push([rest[i] as Buffer, rest[i + 1] as Buffer[]]);
  return { entries, more: integer(more) === 1 };
}

/**
 * Merges pages of the streams by zxid; one transaction may have events in both. Nothing beyond the last entry of a page that
 * may have more behind it is in order yet: it is left for the next read.
 */
function merge(pages: Page[]): { transactions: Transaction[]; complete: boolean } {
  let horizon = Number.POSITIVE_INFINITY;
  for (const { entries, more } of pages) if (more) horizon = Math.min(horizon, zxidOf(entries.at(-1)!));
  const byZxid = new Map<number, Transaction>();
  for (const { entries } of pages) {
    for (const entry of entries) {
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
function isInBothStreams([, fields]: Entry): boolean {
  return fields.at(-2)?.toString('latin1') === 'half';
}

function isDeletion(event: NodeEvent): boolean {
  return event.kind === 'deleted';
}

function zxidOf(entry: Entry): number {
  return Number(entry[0].toString('latin1').split('-')[0]);
}
