// A session as callers have it: what owns ephemeral nodes, and says until when it certainly lives.
import { Cache, type CacheOptions } from './cache.ts';
import type { Link } from './link.ts';
import type { SessionState, SessionStateName } from './session-state.ts';
import { Tree } from './tree.ts';
import { Watch, type WatchOptions } from './watch.ts';

export class Session implements AsyncDisposable {
  /** The tree, through the connection of the session: ephemeral nodes that it creates belong to the session. */
  readonly tree: Tree;
  readonly #link: Link;
  readonly #state: SessionState;
  readonly #end: () => Promise<void>;

  /** @param end what ends it; the client's own session ends with the client */
  constructor(link: Link, state: SessionState, end: () => Promise<void>) {
    this.tree = new Tree(link);
    this.#link = link;
    this.#state = state;
    this.#end = end;
  }

  /** Its public id, as `ephemeralOwner` has it. */
  get id(): string {
    return this.#state.id;
  }

  /** What others need to act for the session, in the header `Weir-Session`. Whoever has it may use the session. */
  get handle(): string {
    return this.#state.handle;
  }

  get ttlMs(): number {
    return this.#state.ttlMs;
  }

  /** connected, suspended while there is no connection, or lost: it has ended with all its ephemeral nodes. */
  get state(): SessionStateName {
    return this.#state.state;
  }

  /** Until then the session certainly lives, on the clock of `performance.now()`: counted from the sending of the last renewal. */
  get deadline(): number {
    return this.#state.deadline;
  }

  /**
   * Aborted before the session can have ended, and when it has. What only a holder may do must stop then. A session that was suspended
   * for too long, and is found alive after all, has a new signal.
   */
  get signal(): AbortSignal {
    return this.#state.signal;
  }

  /** Calls `listener` when `state` changes. @returns ends it */
  onState(listener: (state: SessionStateName) => void): () => void {
    return this.#state.onState(listener);
  }

  /** Calls `listener` with `deadline` after each renewal. @returns ends it */
  onRenewal(listener: (deadline: number) => void): () => void {
    return this.#state.onRenewal(listener);
  }

  /** As `weir.watch`, through the connection of the session. */
  watch(path: string, options?: WatchOptions): Watch {
    return new Watch(this.#link, path, options);
  }

  /** As `weir.cache`, through the connection of the session. */
  cache(path: string, options?: CacheOptions): Cache {
    return new Cache(this.#link, path, options);
  }

  /** Ends the session, and deletes its ephemeral nodes. */
  end(): Promise<void> {
    return this.#end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end();
  }
}
