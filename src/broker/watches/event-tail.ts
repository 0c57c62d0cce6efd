// Follows the event stream on one connection, keeps the recent transactions in memory, and passes each transaction to its
// listeners in order: watches, long polls, topic metadata, controller, groups. A gap in the stream is reported, never skipped.
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { hasCode, type ServiceError } from '../../core/service-error.ts';
import type { Events } from '../../store/tree/events.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';

/** How much is kept in memory for watchers that resume, whichever limit comes first; older history is read from the store. */
const ringTransactionsMax = 10_000;
const ringBytesMax = 8 * 1024 * 1024;
const retryMs = 200;

type Listener = (batch: Transaction[]) => void;
/** `history` = 'main': any transaction may be missing; 'both': only transactions on committed offsets may be missing. */
type GapListener = (history: 'main' | 'both', error: ServiceError) => void;

export class EventTail {
  readonly #events: Events;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<Listener>();
  readonly #gapListeners = new Set<GapListener>();
  /** Recent transactions, oldest first: all with a zxid above `#ringFloor`. */
  #ring: Transaction[] = [];
  #ringBytes = 0;
  #ringFloor = 0;
  /** As #ringFloor, for transactions on committed offsets. */
  #offsetsFloor = 0;
  #position = 0;
  #completeAt = 0;
  /** Zxids beyond the position that clients have seen: their loss is a gap, too. */
  readonly #ahead = new Set<number>();
  #following: Promise<void> | undefined;

  constructor(events: Events, log: Logger) {
    this.#events = events;
    this.#log = log;
  }

  /** The newest zxid that this broker has received: all listeners have been passed everything up to it. */
  get position(): number {
    return this.#position;
  }

  /** When the store had nothing that this broker has not received, as far as it knows: by the clock of `performance`, ms. */
  get completeAt(): number {
    return this.#completeAt;
  }

  /** Begins to follow the stream behind its newest transaction. */
  async start(): Promise<void> {
    this.#completeAt = performance.now();
    this.#restartAt(await this.#events.newestZxid());
    this.#following = this.#follow();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#following;
  }

  /** Passes every later batch to `listener`, in order and synchronously; an empty one if only the position has changed. @returns a function that ends this */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Calls `listener` when transactions are missing behind the last batch: the store has lost some (guarantee N8), or this
   * broker was disconnected for longer than history is kept. Later batches come after the gap.
   * @returns a function that ends this
   */
  onGap(listener: GapListener): () => void {
    this.#gapListeners.add(listener);
    return () => this.#gapListeners.delete(listener);
  }

  /** Notes that a client has seen `zxid`, which may be newer than the position: its loss is a gap then, too. */
  noteSeen(zxid: number): void {
    if (zxid > this.#position) this.#ahead.add(zxid);
  }

  /** Waits until this broker has received a transaction, for at most `timeoutMs`. @returns whether it has */
  received(zxid: number, timeoutMs: number): Promise<boolean> {
    if (this.#position >= zxid) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (isReceived: boolean) => {
        clearTimeout(timer);
        unsubscribe();
        resolve(isReceived);
      };
      const timer = setTimeout(end, timeoutMs, false);
      const unsubscribe = this.subscribe(() => {
        if (this.#position >= zxid) end(true);
      });
    });
  }

  /**
   * Every transaction after zxid `after` up to the position, oldest first. A caller that subscribes in the same tick misses
   * nothing.
   * @param history 'both' if transactions on committed offsets must not be missing
   * @returns undefined if memory does not hold them all
   */
  recent(after: number, history: 'main' | 'both' = 'main'): Transaction[] | undefined {
    if (after < this.#ringFloor || (history === 'both' && after < this.#offsetsFloor)) return undefined;
    return this.#ring.slice(this.#ring.findLastIndex(({ zxid }) => zxid <= after) + 1);
  }

  async #follow(): Promise<void> {
    const follower = {
      accept: (batch: Transaction[]) => this.#accept(batch),
      advance: (zxid: number) => this.#advance(zxid),
      complete: (at: number) => {
        this.#completeAt = at;
      },
      positions: () => [this.#position, ...this.#ahead],
      offsetsForgotten: (error: ServiceError) => this.#gap('both', error),
    };
    while (!this.#abort.signal.aborted) {
      try {
        await this.#events.follow(this.#position, follower, this.#abort.signal);
      } catch (error) {
        if (hasCode(error, 'COMPACTED')) {
          this.#gap('main', error as ServiceError);
        } else {
          this.#log.error({ err: error }, 'The event stream could not be read; the broker tries again');
          await pause(retryMs, undefined, { signal: this.#abort.signal }).catch(() => undefined);
        }
      }
    }
  }

  #restartAt(position: number): void {
    this.#position = position;
    this.#ring = [];
    this.#ringBytes = 0;
    this.#ringFloor = position;
    this.#offsetsFloor = position;
    this.#ahead.clear();
  }

  #gap(history: 'main' | 'both', error: ServiceError): void {
    this.#log.warn(
      { history, position: this.#position, detail: error.message },
      'The event stream has a gap: transactions were lost or trimmed before this broker read them',
    );
    if (history === 'main') this.#restartAt(Number(error.fields.zxid));
    else this.#offsetsFloor = this.#position;
    this.#notify(this.#gapListeners, (listener) => listener(history, error));
  }

  #accept(batch: Transaction[]): void {
    for (const transaction of batch) {
      this.#ring.push(transaction);
      this.#ringBytes += transaction.bytes;
    }
    let dropped = 0;
    for (const { zxid, bytes } of this.#ring) {
      const left = this.#ring.length - dropped;
      if (left === 1 || (left <= ringTransactionsMax && this.#ringBytes <= ringBytesMax)) break;
      this.#ringBytes -= bytes;
      this.#ringFloor = zxid;
      dropped += 1;
    }
    if (dropped > 0) this.#ring.splice(0, dropped);
    this.#position = batch.at(-1)?.zxid ?? this.#position;
    for (const zxid of this.#ahead) if (zxid <= this.#position) this.#ahead.delete(zxid);
    this.#notify(this.#listeners, (listener) => listener(batch));
  }

  /** Takes the begin of an epoch without transactions: whoever waits for its zxid waits no longer. */
  #advance(zxid: number): void {
    this.#position = zxid;
    for (const seen of this.#ahead) if (seen <= zxid) this.#ahead.delete(seen);
    this.#notify(this.#listeners, (listener) => listener([]));
  }

  /** A listener that throws must not keep the others from their events. */
  #notify<L>(listeners: Set<L>, call: (listener: L) => void): void {
    for (const listener of listeners) {
      try {
        call(listener);
      } catch (error) {
        this.#log.error({ err: error }, 'A listener of the event stream failed');
      }
    }
  }
}
