// The spine of a broker: one connection follows every transaction of the tree, keeps the recent part in memory, and
// hands each transaction to the parts of the broker that live on it: watches, long polls, topic metadata, controller, groups.
import type { Logger } from 'pino';
import { hasCode, type ServiceError } from '../../core/service-error.ts';
import type { Events } from '../../store/tree/events.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';

/** What is kept in memory for watchers that resume: whichever is less; older history is read from the store. */
const ringTransactionsMax = 10_000;
const ringBytesMax = 8 * 1024 * 1024;
const retryMs = 200;

type Listener = (batch: Transaction[]) => void;
/** `history` = 'main': everything that was handed on may be lost; 'both': only the history on committed offsets has a gap. */
type GapListener = (history: 'main' | 'both', error: ServiceError) => void;

export class EventTail {
  readonly #events: Events;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<Listener>();
  readonly #gapListeners = new Set<GapListener>();
  /** Recent transactions, oldest first; `#ringFloor` is the zxid after which it holds everything. */
  #ring: Transaction[] = [];
  #ringBytes = 0;
  #ringFloor = 0;
  /** As #ringFloor, for who wants committed offsets, too. */
  #offsetsFloor = 0;
  #position = 0;
  /** Zxids beyond the position that clients have been told of: these must not get lost unnoticed either. */
  readonly #ahead = new Set<number>();
  #following: Promise<void> | undefined;

  constructor(events: Events, log: Logger) {
    this.#events = events;
    this.#log = log;
  }

  /** The newest zxid that this broker has heard of: all listeners have seen everything up to it. */
  get position(): number {
    return this.#position;
  }

  /** Begins to follow, from the newest transaction on. */
  async start(): Promise<void> {
    this.#restartAt(await this.#events.newestZxid());
    this.#following = this.#follow();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#following;
  }

  /** Hands every later batch to `listener`, in order and synchronously. @returns how to stop that */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Calls `listener` where the stream does not go on from what was handed on: the store has lost transactions (guarantee
   * N8), or this broker was cut off for longer than history is kept. What comes next comes after the gap.
   * @returns how to stop that
   */
  onGap(listener: GapListener): () => void {
    this.#gapListeners.add(listener);
    return () => this.#gapListeners.delete(listener);
  }

  /** Says that a client counts on `zxid`, though it may be newer than the position: its loss is a gap like any other. */
  noteSeen(zxid: number): void {
    if (zxid > this.#position) this.#ahead.add(zxid);
  }

  /**
   * Every transaction after `after` up to position, if memory still holds them all. What is returned is complete at this very
   * moment: a caller that subscribes in the same tick misses nothing.
   * @param history 'both' if transactions on committed offsets must not be missing
   */
  recent(after: number, history: 'main' | 'both' = 'main'): Transaction[] | undefined {
    if (after < this.#ringFloor || (history === 'both' && after < this.#offsetsFloor)) return undefined;
    let first = this.#ring.length;
    while (first > 0 && this.#ring[first - 1]!.zxid > after) first -= 1;
    return this.#ring.slice(first);
  }

  async #follow(): Promise<void> {
    const follower = {
      accept: (batch: Transaction[]) => this.#accept(batch),
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
          this.#log.error({ err: error }, 'The event stream cannot be followed; trying again');
          await new Promise((resolve) => setTimeout(resolve, retryMs));
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
    this.#log.warn({ history, position: this.#position, detail: error.message }, 'The event stream has a gap');
    if (history === 'main') this.#restartAt(Number(error.fields.zxid));
    else this.#offsetsFloor = this.#position;
    this.#notify(this.#gapListeners, (listener) => listener(history, error));
  }

  #accept(batch: Transaction[]): void {
    for (const transaction of batch) {
      this.#ring.push(transaction);
      this.#ringBytes += transaction.bytes;
    }
    let drop = 0;
    while (
      this.#ring.length - drop > 1 &&
      (this.#ring.length - drop > ringTransactionsMax || this.#ringBytes > ringBytesMax)
    ) {
      this.#ringBytes -= this.#ring[drop]!.bytes;
      this.#ringFloor = this.#ring[drop]!.zxid;
      drop += 1;
    }
    if (drop > 0) this.#ring.splice(0, drop);
    this.#position = batch.at(-1)!.zxid;
    for (const zxid of this.#ahead) if (zxid <= this.#position) this.#ahead.delete(zxid);
    this.#notify(this.#listeners, (listener) => listener(batch));
  }

  /** One part's fault must not cost the others their events. */
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
