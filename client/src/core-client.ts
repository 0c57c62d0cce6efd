// What every client has: its settings, requests over HTTP, one link, and a way to end.
import { Channel } from './channel.ts';
import { closedError, WeirError } from './errors.ts';
import { Http, type HttpRequest } from './http.ts';
import type { Link, LinkOptions } from './link.ts';
import { type Settings, settingsOf, type WeirOptions } from './options.ts';
import type { ServerSentEvent } from './sse.ts';
import { onAbort } from './time.ts';

export class CoreClient implements AsyncDisposable {
  readonly #settings: Settings;
  readonly #http: Http;
  readonly #closed = new AbortController();
  /** What ends with the client: its channels, producers and consumers. */
  readonly #parts = new Set<{ close(): Promise<void> }>();
  #channel: Link | undefined;
  #closing: Promise<void> | undefined;

  /** @throws TypeError if the options are wrong */
  constructor(options: WeirOptions) {
    this.#settings = settingsOf(options);
    this.#http = new Http(this.#settings, this.#closed.signal);
    onAbort(options.signal, () => void this.close());
  }

  /**
   * Sends any request of the API over HTTP, with the token, and again if that may help: `request({ path: '/v1/brokers' })`. A write has
   * one Idempotency-Key for all attempts. @returns the JSON of the response, or undefined if there is none. @throws WeirError
   */
  async request<T>(request: ApiRequest): Promise<T> {
    return this.internals.http.json(request);
  }

  /**
   * The server-sent events of a path, such as `/v1/stats/stream`, until the response ends. It is tried once.
   * @throws WeirError; TypeError and the like if there is no response, or the connection breaks
   */
  async *serverSentEvents(
    path: string,
    { signal, lastEventId }: { signal: AbortSignal; lastEventId?: string | undefined },
  ): AsyncGenerator<ServerSentEvent, void, undefined> {
    const { serverSentEvents } = await import('./sse.ts');
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    yield* serverSentEvents(await this.internals.http.stream(path, headers, signal));
  }

  /** Ends everything that this client has begun: finishes producers and consumers, then ends the session. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    // What stands on the channel finishes first.
    const parts = [...this.#parts];
    await Promise.all(parts.map((part) => part.close()));
    await this.#channel?.close();
    this.#closed.abort(closedError('The client'));
  }

  /** Any request of the API, for what has no method of its own; repeated as those of the methods are. */
  get http(): Pick<Http, 'json' | 'send' | 'stream'> {
    return this.#http;
  }

  /** @internal */
  get internals(): ClientInternals {
    if (this.#closing !== undefined) throw new WeirError({ code: 'CLOSED', detail: 'The client is closed.' });
    this.#channel ??= new Channel(this.#http, this.#settings, {
      ttlMs: this.#settings.sessionTtlMs,
      renewsSession: true,
    });
    return {
      http: this.#http,
      settings: this.#settings,
      channel: this.#channel,
      closed: this.#closed.signal,
      openChannel: (options) => this.#add(new Channel(this.#http, this.#settings, options)),
      add: (part) => this.#add(part),
      remove: (part) => void this.#parts.delete(part),
    };
  }

  #add<T extends { close(): Promise<void> }>(part: T): T {
    this.#parts.add(part);
    return part;
  }
}

/** A request of the API: `body` is a text or bytes as they are, or else JSON. */
export type ApiRequest = Pick<HttpRequest, 'method' | 'path' | 'headers' | 'body' | 'signal'>;

/** What the parts of a client need of it. */
export interface ClientInternals {
  http: Http;
  settings: Settings;
  /** Aborted when the client is closed. */
  closed: AbortSignal;
  /** The link that all parts share. */
  channel: Link;
  /** A link of its own, for a session of its own; to be removed when it is closed. */
  openChannel(options: LinkOptions): Link;
  /** Closes `part` with the client. */
  add<T extends { close(): Promise<void> }>(part: T): T;
  remove(part: { close(): Promise<void> }): void;
}
