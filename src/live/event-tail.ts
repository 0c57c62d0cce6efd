// The spine of a broker: one connection follows every transaction of the tree, keeps the recent part in memory, and
// hands each transaction to the parts of the broker that live on it: watches, long polls, topic metadata, controller, groups.
import type { Logger } from 'pino';
import type { Events } from '../store/events.ts';
import type { Transaction } from '../store/node-codec.ts';

/** What is kept in memory for watchers that resume: whichever is less; older history is read from the store. */
const ringTransactionsMax = 10_000;
const ringBytesMax = 8 * 1024 * 1024;

type Listener = (batch: Transaction[]) => void;

export class EventTail {
  readonly #events: Events;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<Listener>();
  /** Recent transactions, oldest first; `#ringFloor` is the zxid after which it holds everything. */
  #ring: Transaction[] = [];
  #ringBytes = 0;
  #ringFloor = 0;
  #position = 0;
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
    this.#position = await this.#events.newestZxid();
    this.#ringFloor = this.#position;
    this.#following = this.#events.follow(this.#position, (batch) => this.#accept(batch), this.#abort.signal);
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
   * Every transaction after `after` up to position, if memory still holds them all. What is returned is complete at this very
   * moment: a caller that subscribes in the same tick misses nothing.
   */
  recent(after: number): Transaction[] | undefined {
    if (after < this.#ringFloor) return undefined;
    let first = this.#ring.length;
    while (first > 0 && this.#ring[first - 1]!.zxid > after) first -= 1;
    return this.#ring.slice(first);
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
    for (const listener of this.#listeners) {
      try {
        listener(batch);
      } catch (error) {
        // One part's fault must not cost the others their events.
        this.#log.error({ err: error }, 'A listener of the event stream failed');
      }
    }
  }
}
