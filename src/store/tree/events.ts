// The event stream: every transaction on the tree, in order. Reads a range of it, and tails it.

import { setTimeout as delay, setImmediate as endOfTurn } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { required } from '../../core/required.ts';
import { hasCode, type ServiceError } from '../../core/service-error.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { decodeReply, integer, type ReplyValue } from '../scripts.ts';
import { decodeEntry, type NodeEvent, type Transaction } from './node-codec.ts';

/** Transactions on committed offsets have a stream of their own: the main history, that of committed offsets, or both merged. */
type History = 'main' | 'offsets' | 'both';

type Entry = [id: Buffer, fields: Buffer[]];

/** Consecutive entries of one stream, of which each may hold several transactions; `more` = others may follow. */
interface Page {
  entries: Entry[];
  more: boolean;
}

const blockMs = 2000;
const readRetryMs = 50;
const readCount = 128;
/** How long after its time-out a blocking read may be without a reply before the connection counts as dead, ms. */
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
   * Checks that a watcher can resume after `zxid`: no later transaction was trimmed or lost.
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
   * As checkResume(), of several zxids at one moment.
   * @returns `problems` = for each zxid undefined, or the error COMPACTED
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
   * Reads a page of history: transactions after `after`, up to `upTo`, in order.
   * @param count the most transactions
   * @param bytes the size at which the page ends; its last transaction may exceed it
   * @returns `complete` = no transaction up to `upTo` follows the page
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
    const pages = await Promise.all([
      ...(history === 'offsets' ? [] : [read('main')]),
      ...(history === 'main' ? [] : [read('offsets')]),
    ]);
    const { transactions, complete } = merge(pages, after);
    // An entry is read as a whole, and may have more transactions than the page.
    const end = pageEnd(transactions, upTo, count, bytes);
    const isWhole = (transactions[end]?.zxid ?? Number.POSITIVE_INFINITY) > upTo;
    return { transactions: transactions.slice(0, end), complete: complete && isWhole };
  }

  /**
   * Reads a page of history backwards: transactions before `before`, the newest first.
   * @param count the most transactions
   * @param bytes the size at which the page ends; its last transaction may exceed it
   * @returns `complete` = no older transaction is retained
   */
  async rangeBefore(
    history: 'main' | 'both',
    before: number,
    count: number,
    bytes: number,
  ): Promise<{ transactions: Transaction[]; complete: boolean }> {
    const read = async (stream: 'main' | 'offsets') =>
      decodePage(await this.#connection.call('nodes/history-before', this.#keys.root, [stream, before, count, bytes]));
    const pages = await Promise.all([read('main'), ...(history === 'both' ? [read('offsets')] : [])]);
    const lists = pages.map(({ entries }) => entries.flatMap(decodedEntry));
    // Older transactions than the oldest of a page with more may be missing from it.
    const horizon = Math.max(
      ...pages.map(({ more }, index) => (more ? Math.min(...(lists[index] ?? []).map(({ zxid }) => zxid)) : 0)),
    );
    const found = mergeLists(lists)
      .filter(({ zxid }) => zxid < before && zxid >= horizon)
      .reverse();
    const end = pageEnd(found, Number.POSITIVE_INFINITY, count, bytes);
    return { transactions: found.slice(0, end), complete: horizon === 0 && end === found.length };
  }

  /**
   * Tails both histories from `after` on, on a connection of its own that reconnects, until `signal` is aborted. Transactions come in
   * order, each once; one batch is the result of one read.
   *
   * Before a batch is passed on, a gap before it is ruled out if there could be one: after a loss of the connection, and where a zxid is
   * missing. Within an epoch the zxids of both histories together are consecutive, so a missing one means a new epoch, or that the
   * stream was trimmed beyond the reader.
   * @param follower `accept` takes each batch; `advance` takes a zxid up to which there are no more transactions: that of an epoch
   *   that has begun without any, which every read reflects; `complete` is called when all transactions up to a time have been accepted (by the
   *   clock of `performance`, ms); `positions` returns the zxids that must still be resumable, beginning with the last
   *   accepted one; `offsetsForgotten` is called if only the history of committed offsets has a gap
   * @throws ServiceError COMPACTED if the main history has a gap (field `zxid`: the newest)
   */
  async follow(
    after: number,
    follower: {
      accept(batch: Transaction[]): void;
      advance(zxid: number): void;
      complete(at: number): void;
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
          // On a new connection the read must not block, so that the check below comes at once.
          const askedAt = performance.now();
          const mayBlock = isSame;
          const { transactions: batch, complete } = await this.#readNext(client, position, mayBlock);
          const newest = batch.at(-1)?.zxid ?? position;
          let begun = position;
          // The check comes after the read: a trim between a check and a later read would go unnoticed.
          // An epoch may also begin after this connection was made, by the one that prepares the store: no entry tells of it.
          const mayHaveGap = !isSame || newest - position !== batch.length;
          if (mayHaveGap || batch.length === 0) {
            begun = await this.#check(client, [...follower.positions()], 'main');
            isSame = true;
          }
          if (mayHaveGap) {
            try {
              await this.#check(client, [position], 'both');
            } catch (error) {
              if (!hasCode(error, 'COMPACTED')) throw error;
              follower.offsetsForgotten(error as ServiceError);
            }
          }
          if (batch.length === 0 && begun > position) {
            // All transactions up to the one that the check has seen were in the streams by then.
            const { transactions: missed } = await this.#readNext(client, position, false);
            if (missed.length > 0 || signal.aborted) continue;
            position = begun;
            follower.advance(begun);
          }
          if (batch.length === 0) {
            // Redis has waited in vain from after the request until the time-out.
            follower.complete(mayBlock ? askedAt + blockMs : askedAt);
            continue;
          }
          // The reply to the writer may have arrived in the same turn, behind this batch: it does not wait for all watchers.
          await endOfTurn();
          if (signal.aborted) continue;
          position = newest;
          follower.accept(batch);
          if (complete) follower.complete(askedAt);
        } catch (error) {
          if (hasCode(error, 'COMPACTED')) throw error;
          isSame = false;
          this.#log.debug({ err: error }, 'Reading the event stream failed; retrying');
          // The client reconnects by itself. Until then each read fails at once, so the loop must pause.
          await delay(readRetryMs, undefined, { signal }).catch(() => undefined);
        }
      }
    } finally {
      signal.removeEventListener('abort', stop);
      client.disconnect();
    }
  }

  /** @returns the newest zxid @throws ServiceError COMPACTED if a watcher cannot resume after one of the zxids */
  async #check(client: Redis, zxids: number[], history: 'main' | 'both'): Promise<number> {
    const reply = await this.#connection.callOn(client, 'nodes/resume', this.#keys.root, [history, ...zxids]);
    const { newest, problems } = decodeResume(reply);
    const problem = problems.find((each) => each !== undefined);
    if (problem) throw problem;
    return newest;
  }

  /** @returns `complete` = no transactions follow yet */
  async #readNext(
    client: Redis,
    position: number,
    mayBlock: boolean,
  ): Promise<{ transactions: Transaction[]; complete: boolean }> {
    const from = `${position}-0`;
    const streams = ['STREAMS', this.#keys.events, this.#keys.offsetEvents, from, from] as const;
    const reply = (await (mayBlock
      ? client.xreadBuffer('COUNT', readCount, 'BLOCK', blockMs, ...streams)
      : client.xreadBuffer('COUNT', readCount, ...streams))) as unknown as [key: Buffer, entries: Entry[]][] | null;
    const pages = (reply ?? []).map(([, entries]) => ({ entries, more: entries.length >= readCount }));
    // A read that has blocked returns only the stream that was written first, without what the same script has written to the
    // other one (Redis 7.0).
    const [first, second] = pages;
    if (mayBlock && !second && first?.entries.some(hasOtherHalf)) return this.#readNext(client, position, false);
    return merge(pages, position);
  }
}

/** Decodes the reply of nodes/resume. */
function decodeResume([newest, ...replies]: ReplyValue[]): { newest: number; problems: (ServiceError | undefined)[] } {
  const problems = replies.map((reply) => {
    try {
      decodeReply('nodes/resume', reply);
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

function decodedEntry([, [, value]]: Entry): Transaction[] {
  return decodeEntry(required(value, 'data of an entry'), 0);
}

/** How many transactions a page takes: none after `upTo`, at most `count`, and none once those before it have `bytes` in all. */
function pageEnd(transactions: readonly Transaction[], upTo: number, count: number, bytes: number): number {
  let [end, size] = [0, 0];
  for (const one of transactions) {
    if (end === count || size >= bytes || one.zxid > upTo) break;
    size += one.bytes;
    end += 1;
  }
  return end;
}

/**
 * Merges the transactions after `after` of pages of both streams by zxid; one may have events in both. If more entries may follow
 * a page, transactions beyond its last entry are left for the next read, as others may belong before them.
 */
function merge(pages: Page[], after: number): { transactions: Transaction[]; complete: boolean } {
  let horizon = Number.POSITIVE_INFINITY;
  for (const { entries, more } of pages)
    if (more) horizon = Math.min(horizon, zxidOf(required(entries.at(-1), 'entry in a page with more')));
  const lists = pages.map(({ entries }) =>
    entries.flatMap(([, [, value]]) => decodeEntry(required(value, 'data of an entry'), after)),
  );
  const [only, other] = lists;
  const merged = only && !other ? only : mergeLists(lists);
  const transactions = horizon === Number.POSITIVE_INFINITY ? merged : merged.filter(({ zxid }) => zxid <= horizon);
  return { transactions, complete: horizon === Number.POSITIVE_INFINITY };
}

/** Joins the transactions of both streams in the order of their zxids, and the two halves of those that have events in both. */
function mergeLists(lists: readonly Transaction[][]): Transaction[] {
  const byZxid = new Map<number, Transaction>();
  for (const transaction of lists.flat()) {
    const same = byZxid.get(transaction.zxid);
    if (!same) {
      byZxid.set(transaction.zxid, transaction);
      continue;
    }
    // Committed offsets are below nodes of the main history: their deletions come before those of the parents, and their
    // creations after.
    const { events, bytes } = transaction;
    const [gone, others] = [events.filter(isDeletion), events.filter((event) => !isDeletion(event))];
    same.events = [...gone, ...same.events, ...others];
    same.bytes += bytes;
  }
  return [...byZxid.values()].sort((a, b) => a.zxid - b.zxid);
}

/** Whether the same script has written an entry to the other stream, too (lua/lib/events.lua). */
function hasOtherHalf([, fields]: Entry): boolean {
  return fields.at(-2)?.toString('latin1') === 'half';
}

function isDeletion(event: NodeEvent): boolean {
  return event.kind === 'deleted';
}

function zxidOf(entry: Entry): number {
  return Number(entry[0].toString('latin1').split('-')[0]);
}
