// One watcher from its start to its end: its state, its position, and what it sends to its sink. No transaction is sent twice or
// out of order. Matching and pacing are not done here (watch-match.ts, watch-queue.ts).
import type { WatchMode } from '../../../schemas/watch.ts';
import type { ServiceError } from '../../core/service-error.ts';
import { historyOf, type MatchedEvents, type Subscription } from './watch-match.ts';

export interface WatchRequest {
  path: string;
  mode: WatchMode;
  /** Events carry the data that was written. */
  data?: boolean | undefined;
  /** End after the first events. */
  once?: boolean | undefined;
  /** Send every transaction after this zxid; absent: after now. */
  since?: number | undefined;
  /** Which nodes the client may read; absent: all. It is asked for each event, as a policy may change. */
  mayRead?: ((path: string) => boolean) | undefined;
}

/** What a watcher writes to: `watching` once, then `events` any number of times. `failed` may come at any time, and is the last. */
export interface WatchSink {
  /** The watcher is set: every transaction after `zxid` will be sent. */
  watching(zxid: number): void;
  /** The events of one whole transaction. */
  events(matched: MatchedEvents): void;
  /** The watcher has ended. ServiceError: INVALID_PATH, COMPACTED, STORE_UNAVAILABLE; anything else is a defect of the server. */
  failed(error: unknown): void;
}

/** The connection that the sinks of several watchers write to. What synced watchers send to it is in the order of zxids. */
export interface WatchConnection {
  /** Undefined if the connection takes more; else a promise that settles when it does, or is closed. */
  room(): Promise<void> | undefined;
  /** Closes the connection and its watchers: more is queued for this slow reader than is allowed. */
  cutOff(): void;
  /** Runs `write`; what it sends may be written to the network at once. */
  cork(write: () => void): void;
}

/** A watcher as the connection that requested it sees it. */
export interface WatchHandle {
  /** All matched events up to this zxid were written to the sink; undefined before `watching`. */
  readonly position: number | undefined;
  /** Ends the watcher; nothing more is written to the sink. */
  close(): void;
}

/** starting → unsynced (sends history) → synced (is sent what the event tail receives) → ended. */
type WatchState = 'starting' | 'unsynced' | 'synced' | 'ended';

export interface WatcherOwner {
  /** Everything up to this zxid was sent to the synced watchers of the same connection. */
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
    this.subscription = {
      path: request.path,
      interest: request.mode,
      data: request.data ?? false,
      mayRead: request.mayRead,
    };
    this.history = historyOf(request.path);
    this.sink = sink;
    this.#owner = owner;
  }

  get state(): WatchState {
    return this.#state;
  }

  /** The zxid of the last transaction that it has sent, or of the history that it has passed. */
  get reached(): number {
    return this.#reached;
  }

  get position(): number | undefined {
    if (!this.#hasBegun) return undefined;
    // A synced watcher is passed only transactions with matched events; the others have been passed over for it by its queue.
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

  /** Notes that history up to `zxid` was sent. */
  advance(zxid: number): void {
    if (zxid > this.#reached) this.#reached = zxid;
  }

  /** Sends the matched events of a transaction, unless they were sent already. */
  send(matched: MatchedEvents): void {
    const { zxid } = matched;
    if (this.#state === 'ended' || zxid <= this.#reached) return;
    this.#reached = zxid;
    this.#owner.sent(this, matched.count);
    this.sink.events(matched);
    if (this.request.once) this.close();
  }

  failAfterGap(error: ServiceError): void {
    // A watcher that has not started has missed nothing: it starts from the store as it is now.
    if (this.#state !== 'starting') this.fail(error);
  }

  fail(error: unknown): void {
    if (this.#state === 'ended') return;
    this.close();
    this.sink.failed(error);
  }
}
