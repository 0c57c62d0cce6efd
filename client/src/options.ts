// What a client is made with.
import { misconfigured } from './errors.ts';
import { type Duration, durationMs } from './time.ts';
import type { TlsOptions } from './tls.ts';

/** How often, and for how long, what failed is tried again. */
export interface RetryOptions {
  /** How long an operation is tried, from its call; default 30 s. Session renewals and reconnects of a session go on. */
  for?: Duration;
  /** The longest first pause; each further one is longer, up to `maxDelay`; default 50 ms. */
  minDelay?: Duration;
  /** The longest pause; default 5 s. */
  maxDelay?: Duration;
}

/** What happens between the client and the servers, for logs and metrics. */
export type ClientEvent =
  | { type: 'connected'; url: string }
  | { type: 'disconnected'; url: string; reason: string }
  | { type: 'fallback'; url: string; reason: string }
  | { type: 'retry'; url: string; attempt: number; reason: string }
  | { type: 'session'; id: string; state: 'connected' | 'suspended' | 'lost' };

/** As much of a WebSocket as the client needs: that of browsers and Node.js 22, or of the package ws. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface WeirOptions {
  /** The brokers, such as `http://localhost:7070`. If one does not respond, the next is tried. */
  url: string | readonly string[];
  /** The token of access control, or a function that gets one; it is asked for each request and each connection. */
  token?: string | (() => string | Promise<string>);
  /** Certificates of one's own, on Node.js; WebSockets need the package ws then. */
  tls?: TlsOptions;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** Opens a WebSocket in place of the global class, or of the package ws; null: use HTTP for everything. */
  webSocket?: ((url: string, protocols: string[]) => WebSocketLike | Promise<WebSocketLike>) | null;
  retry?: RetryOptions;
  /** Closes the client when it is aborted. */
  signal?: AbortSignal;
  /** Told of connections, retries and sessions. */
  onEvent?: (event: ClientEvent) => void;
  /** Time to live of the client's own session, which recipes and ephemeral nodes use; default 10 s. */
  sessionTtl?: Duration;
}

/** The options with their defaults, in ms. */
export interface Settings {
  urls: readonly string[];
  token: () => Promise<string | undefined>;
  fetch: typeof fetch;
  webSocket: WeirOptions['webSocket'];
  tls: TlsOptions | undefined;
  retryForMs: number;
  minDelayMs: number;
  maxDelayMs: number;
  sessionTtlMs: number;
  onEvent: (event: ClientEvent) => void;
}

/** @throws TypeError if there is no URL, or one that is none of http or https */
export function settingsOf(options: WeirOptions): Settings {
  // Plain JavaScript may leave out what the types require.
  const { url = [], token, tls, retry = {} } = (options ?? {}) as Partial<WeirOptions>;
  const urls = (typeof url === 'string' ? url.split(',') : url).map((each) => {
    if (!/^https?:/.test(each) || !URL.canParse(each))
      throw new TypeError(
        `"${each}" is not the URL of a server: it begins with http:// or https://, such as http://localhost:7070.`,
      );
    const { origin, pathname } = new URL(each);
    return origin + pathname.replace(/\/+$/, '');
  });
  if (urls.length === 0)
    throw new TypeError('The option url names no server; give it one, such as http://localhost:7070.');
  return {
    urls,
    token: async () => {
      const text = await (typeof token === 'function' ? token() : token);
      if (text !== undefined && /[^!-~]/.test(text))
        throw misconfigured('The token has a space or another character that no token has.');
      return text;
    },
    fetch:
      options.fetch ??
      (async (input, init) => (tls ? (await import('./tls.ts')).fetchOverTls(tls) : fetch)(input, init)),
    webSocket: options.webSocket,
    tls,
    retryForMs: durationMs(retry.for ?? 30_000),
    minDelayMs: durationMs(retry.minDelay ?? 50),
    maxDelayMs: durationMs(retry.maxDelay ?? 5000),
    sessionTtlMs: durationMs(options.sessionTtl ?? 10_000),
    onEvent: options.onEvent ?? (() => {}),
  };
}

/** The pause before the next attempt: random, so that clients do not come back together, and longer with each failure. */
export function backoffMs(
  { minDelayMs, maxDelayMs }: Pick<Settings, 'minDelayMs' | 'maxDelayMs'>,
  attempt: number,
): number {
  const longest = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(attempt, 20));
  return longest * (0.5 + Math.random() / 2);
}
