// One watch from its beginning to its end: how far it has come, and what its sink was told. When it goes on is the
// business of watch-hub.ts.
import type { WatchMode } from '../../../schemas/watch.ts';
import type { ServiceError } from '../../core/service-error.ts';
import { historyOf, type MatchedEvents, type Subscription } from './watch-match.ts';

export interface WatchRequest {
  path: string;
  mode: WatchMode;
  /** Events carry the data as it was written. */
  data?: boolean | undefined;
  /** End after the first events. */
  once?: boolean | undefined;
  /** Replay every transaction after this zxid; absent: from now on. */
  since?: number | undefined;
}

/** Where a watch writes to. First comes watching, then events any number of times; failed is the last, at any moment. */
export interface WatchSink {
  /** The watch stands: everything after `zxid` will be told. */
  watching(zxid: number): void;
  /** One whole transaction; `events` is the JSON of their array. */
  events(zxid: number, events: string): void;
  /** Nothing more will come. ServiceError: INVALID_PATH, COMPACTED, STORE_UNAVAILABLE; anything else is a fault of ours. */
  failed(error: unknown): void;
}

/** The connection that watches write to. What it is sent is in the order of zxids, but for watches that are catching up. */
export interface WatchConnection {
  /** Undefined if it has room for more, else settles when it has, or is gone. */
  room(): Promise<void> | undefined;
  /** Too much waits for it beyond the transaction that it is being sent: it is to be cut off, and closes its watches. */
  cutOff(): void;
  /** Runs `write`; all that it sends may go out as one. */
  cork(write: () => void): void;
}

/** A watch as its owner holds it. */
export interface WatchHandle {
  /** Everything up to this zxid that concerns the watch was written to the sink; undefined before `watching`. */
  readonly position: number | undefined;
  /** Ends it; the sink hears no more. */
  close(): void;
}

/** starting → unsynced (reads history) → synced (fed by the event tail) → ended. */
export type WatchState = 'starting' | 'unsynced' | 'synced' | 'ended';

export interface WatcherOwner {
  /** Everything up to this zxid was sent to the synced watches of the same reader. */
  readonly sentUpTo: number;
  sent(watch: Watcher, events: number): void;
  ended(watch: Watcher): void;
}

export class Watcher implements WatchHandle {
  readonly request: WatchRequest;
  readonly subscription: Subscription;
  readonly history: 'main' | 'both';
  readonly sink: WatchSink;
  readonly #owner: WatcherOwner;
  #state: WatchState = 'starting';
  #reached = 0;
  #hasBegun = false;

  constructor(request: WatchRequest, sink: WatchSink, owner: WatcherOwner) {
    this.request = request;
    this.subscription = { path: request.path, interest: request.mode, data: request.data ?? false };
    this.history = historyOf(request.path);
    this.sink = sink;
    this.#owner = owner;
  }

  get state(): WatchState {
    return this.#state;
  }

  /** The transaction up to which it was told everything, as far as it knows by itself. */
  get reached(): number {
    return this.#reached;
  }

  get position(): number | undefined {
    if (!this.#hasBegun) return undefined;
    // A synced watch hears only what concerns it, but it has been told everything that its reader was sent.
    return this.#state === 'synced' ? Math.max(this.#reached, this.#owner.sentUpTo) : this.#reached;
  }

  close(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#owner.ended(this);
  }

  begin(zxid: number): void {
    if (this.#state !== 'starting') return;
    this.#state = 'unsynced';
    this.#hasBegun = true;
    this.#reached = zxid;
    this.sink.watching(zxid);
  }

  becomeSynced(): void {
    this.#state = 'synced';
  }

  /** History up to `zxid` holds nothing more for the watch. */
  advance(zxid: number): void {
    if (zxid > this.#reached) this.#reached = zxid;
  }

  /** Tells it of a transaction, unless it has been told already. */
  send(zxid: number, told: MatchedEvents): void {
    if (this.#state === 'ended' || zxid <= this.#reached) return;
    this.#reached = zxid;
    this.#owner.sent(this, told.count);
    this.sink.events(zxid, told.json());
    if (this.request.once) this.close();
  }

  failAfterGap(error: ServiceError): void {
    // Who has been told nothing yet has nothing to lose: it will see the store as it is now.
    if (this.#state !== 'starting') this.fail(error);
  }

  fail(error: unknown): void {
    if (this.#state === 'ended') return;
    this.close();
    this.sink.failed(error);
  }
}
