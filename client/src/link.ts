// What the tree, watches, sessions and producers stand on: requests in order, each taking effect once, and watches without a gap. One
// link is a pipelined socket, another one HTTP.
import type { WeirError } from './errors.ts';
import type { Http } from './http.ts';
import type { SessionState } from './session-state.ts';
import type { Deferred } from './time.ts';
import type { WatchEvent } from './wire.ts';

export interface LinkOptions {
  /** Time to live of its session. */
  ttlMs: number;
  /** The name that operators read of its session. */
  label?: string | undefined;
  /** Whether a session that was lost is followed by a new one; else the link has ended with it. */
  renewsSession: boolean;
}

/** A request of the pipelined socket without its id and seq. */
export interface LinkRequest {
  readonly op: 'create' | 'set' | 'delete' | 'multi' | 'get' | 'exists' | 'children' | 'produce' | 'fetch' | 'offsets';
  readonly [field: string]: unknown;
}

export interface RequestOptions {
  /** Ends the wait for the result. What was sent may still take effect. */
  signal?: AbortSignal | undefined;
  /** Whether a refusal that may pass is the caller's; else the request is sent again for some time. */
  isTriedOnce?: boolean;
}

export interface LinkResult<T> {
  ok: T;
  /** The newest transaction that the result reflects. */
  zxid: number;
}

export interface WatchSpec {
  path: string;
  mode: 'node' | 'children' | 'recursive';
  data: boolean;
  /** Begin behind this transaction; without it, now. */
  since: number | undefined;
}

/** What a watch tells its owner. Nothing follows `failed`. */
export interface WatchSink {
  /** The watch has begun: every transaction behind `zxid` is sent. Once, also if the connection is made anew. */
  began(zxid: number): void;
  events(zxid: number, events: WatchEvent[]): void;
  /** Everything up to here was sent. */
  reached(zxid: number): void;
  failed(error: WeirError): void;
}

export interface LinkWatch {
  /** Sends nothing until `resume`, which begins behind the last transaction that was sent. */
  pause(): void;
  resume(): void;
  end(): void;
}

export interface Link {
  /** For what no link carries. */
  readonly http: Http;
  request<T>(request: LinkRequest, options?: RequestOptions): Promise<LinkResult<T>>;
  watch(spec: WatchSpec, sink: WatchSink): LinkWatch;
  /** The session of the link; it is created if there is none. */
  session(signal?: AbortSignal): Promise<SessionState>;
  /** Ends the session, if there is one, and the link. */
  close(): Promise<void>;
}

/** What a link has not done yet when it turns out that no socket opens, for another link. */
export interface Refused {
  entries: { request: LinkRequest; resolve(result: LinkResult<unknown>): void; reject(error: unknown): void }[];
  watches: { spec: WatchSpec; sink: WatchSink }[];
  session: Deferred<SessionState> | undefined;
}

/** The requests that change the tree. */
export function isTreeWrite({ op }: LinkRequest): boolean {
  return op === 'create' || op === 'set' || op === 'delete' || op === 'multi';
}
