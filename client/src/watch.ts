// Watches as async iterables: what happens between two steps of the reader waits in a bounded buffer; when that is full the server is
// asked to stop, and to go on from there later.
import { closedError, isWeirError, type WeirError } from './errors.ts';
import type { Link, LinkWatch } from './link.ts';
import { deferred, onAbort } from './time.ts';
import type { WatchEvent } from './wire.ts';

/** All changes of one transaction that the watch asked for. */
export interface Transaction {
  zxid: number;
  events: WatchEvent[];
  /** Only with `onCompacted: 'resync'`: changes before this are not known any more. Read again what matters. */
  resync?: true;
}

export interface WatchOptions {
  /**
   * node: the node is created, changed or deleted, or its list of children changes. children: only that list. recursive: the node and
   * everything below it. Default: node.
   */
  mode?: 'node' | 'children' | 'recursive';
  /** Include in the events the data as they were written, up to 16 KiB. */
  data?: boolean;
  /** Begin behind this transaction, such as the zxid of a read; default: now. */
  since?: number;
  /** What to do when changes since the last transaction are not kept any more; default: throw `COMPACTED`. */
  onCompacted?: 'throw' | 'resync';
  /** Ends the watch without an error. */
  signal?: AbortSignal;
}

/** The reader is this far behind, in events, when the server is asked to stop. */
const eventsMax = 4096;

/** A watch that runs. It ends when the loop over it does. */
export class Watch implements AsyncIterableIterator<Transaction> {
  readonly #link: Link;
  readonly #path: string;
  readonly #options: WatchOptions;
  #buffer: Transaction[] = [];
  #events = 0;
  #isPaused = false;
  #watch: LinkWatch | undefined;
  #failure: WeirError | undefined;
  #isDone = false;
  #zxid: number | undefined;
  #wake: (() => void) | undefined;
  readonly #began = deferred<number>();
  readonly #undo: () => void;

  constructor(link: Link, path: string, options: WatchOptions = {}) {
    this.#link = link;
    this.#path = path;
    this.#options = options;
    this.#undo = onAbort(options.signal, () => void this.return());
    if (!this.#isDone) this.#begin(options.since);
  }

  /** Resolves when the watch runs, with the transaction behind which it has begun: every change from then on is noticed. */
  get started(): Promise<number> {
    return this.#began.promise;
  }

  /** Up to this transaction everything was handed out, or did not concern the watch. */
  get zxid(): number | undefined {
    return this.#zxid;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Transaction, undefined>> {
    for (;;) {
      const transaction = this.#buffer.shift();
      if (transaction) {
        this.#events -= transaction.events.length;
        this.#zxid = transaction.zxid;
        if (this.#isPaused && this.#buffer.length === 0) {
          this.#isPaused = false;
          this.#watch?.resume();
        }
        return { done: false, value: transaction };
      }
      if (this.#failure) {
        const failure = this.#failure;
        void this.return();
        throw failure;
      }
      if (this.#isDone) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Ends the watch; a loop does it when it is left. */
  async return(): Promise<IteratorResult<Transaction, undefined>> {
    this.#isDone = true;
    this.#failure = undefined;
    this.#buffer = [];
    this.#undo?.();
    this.#watch?.end();
    this.#watch = undefined;
    this.#began.reject(this.#options.signal?.reason ?? closedError('The watch'));
    this.#wake?.();
    return { done: true, value: undefined };
  }

  #begin(since: number | undefined): void {
    const { mode = 'node', data = false } = this.#options;
    const isResync = since === undefined && this.#zxid !== undefined;
    this.#watch = this.#link.watch(
      { path: this.#path, mode, data, since },
      {
        began: (zxid) => {
          this.#zxid ??= zxid;
          this.#began.resolve(zxid);
          if (isResync) this.#push({ zxid, events: [], resync: true });
        },
        events: (zxid, events) => this.#push({ zxid, events }),
        reached: (zxid) => {
          if (this.#buffer.length === 0) this.#zxid = zxid;
        },
        failed: (error) => this.#failed(error),
      },
    );
  }

  #push(transaction: Transaction): void {
    if (this.#isDone) return;
    this.#buffer.push(transaction);
    this.#events += transaction.events.length;
    if (!this.#isPaused && this.#events >= eventsMax) {
      this.#isPaused = true;
      this.#watch?.pause();
    }
    this.#wake?.();
  }

  #failed(error: WeirError): void {
    this.#watch = undefined;
    if (this.#isDone) return;
    if (isWeirError(error, 'COMPACTED') && this.#options.onCompacted === 'resync') {
      this.#isPaused = false;
      this.#zxid ??= 0;
      this.#begin(undefined);
      return;
    }
    this.#failure = error;
    this.#began.reject(error);
    this.#wake?.();
  }
}
