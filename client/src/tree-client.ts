// A client of the tree alone: nodes, watches, caches and sessions.
import { Cache, type CacheOptions } from './cache.ts';
import { CoreClient } from './core-client.ts';
import { Session } from './session.ts';
import { type Duration, durationMs } from './time.ts';
import { Tree } from './tree.ts';
import { Watch, type WatchOptions } from './watch.ts';

export type { CacheChange, CacheEvents } from './cache.ts';
export type { ApiRequest } from './core-client.ts';
export { type ClientErrorCode, isWeirError, WeirError } from './errors.ts';
export type { HttpRequest } from './http.ts';
export { type DataInput, TreeNode } from './node-data.ts';
export type { ClientEvent, RetryOptions, WebSocketLike, WeirOptions } from './options.ts';
export type { SessionStateName } from './session-state.ts';
export type { ServerSentEvent } from './sse.ts';
export type { Duration } from './time.ts';
export type { Pem, TlsOptions } from './tls.ts';
export type { ImportOptions, NodeSource } from './transfer.ts';
export type * from './tree.ts';
export type { Transaction as WatchTransaction } from './watch.ts';
export type {
  CopyResult,
  CreatedNode,
  ErrorCode,
  ExportEnd,
  ImportResult,
  MultiResult,
  NodeLine,
  Stat,
  WatchEvent,
} from './wire.ts';
export { Cache, type CacheOptions, Session, Tree, Watch, type WatchOptions };

export interface SessionOptions {
  /** Time to live: how long the session outlives its client; default 10 s. The server clamps it to its bounds. */
  ttl?: Duration;
  /** A name for operators to read in lists of sessions. */
  label?: string;
  signal?: AbortSignal;
}

export class TreeClient extends CoreClient {
  /** The nodes. Ephemeral nodes belong to the client's own session, which ends with it. */
  get tree(): Tree {
    return new Tree(this.internals.channel);
  }

  /**
   * Watches a node, its children, or a subtree, as an async iterable of transactions. It goes on by itself after the loss of a
   * connection, and misses nothing.
   */
  watch(path: string, options?: WatchOptions): Watch {
    return new Watch(this.internals.channel, path, options);
  }

  /** A live copy of a subtree. */
  cache(path: string, options?: CacheOptions): Cache {
    return new Cache(this.internals.channel, path, options);
  }

  /** A session of its own, with a connection of its own. Once it is lost it stays lost. */
  async session({ ttl, label, signal }: SessionOptions = {}): Promise<Session> {
    const { openChannel, remove, settings } = this.internals;
    const channel = openChannel({
      ttlMs: ttl === undefined ? settings.sessionTtlMs : durationMs(ttl),
      label,
      renewsSession: false,
    });
    const end = async () => {
      remove(channel);
      await channel.close();
    };
    try {
      return new Session(channel, await channel.session(signal), end);
    } catch (error) {
      await end();
      throw error;
    }
  }

  /** The session that the client has for itself, for recipes and ephemeral nodes. When it is lost, the next call begins another. */
  async ownSession(signal?: AbortSignal): Promise<Session> {
    const { channel } = this.internals;
    return new Session(channel, await channel.session(signal), async () => {});
  }
}
