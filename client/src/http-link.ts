// A link over HTTP, for where no WebSocket opens: requests one after the other, watches as server-sent events, and a session that is
// renewed by requests.
import { bufferFull, closedError, errorOfProblem, WeirError } from './errors.ts';
import { type Http, nodeUrl, queryOf } from './http.ts';
import { sendByHttp } from './http-requests.ts';
import { waitingMax } from './http-turns.ts';
import type {
  Link,
  LinkOptions,
  LinkRequest,
  LinkResult,
  LinkWatch,
  RequestOptions,
  WatchSink,
  WatchSpec,
} from './link.ts';
import { backoffMs, type Settings } from './options.ts';
import { SessionState } from './session-state.ts';
import { serverSentEvents } from './sse.ts';
import { linkedController, now, sleep, unlessAborted } from './time.ts';
import type { Problem, WatchStreamFrame } from './wire.ts';

export class HttpLink implements Link {
  readonly http: Http;
  readonly #settings: Settings;
  readonly #options: LinkOptions;
  /** Ends watches and renewals. */
  readonly #closed = new AbortController();
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #session: Promise<SessionState> | undefined;
  #endedBy: WeirError | undefined;

  constructor(http: Http, settings: Settings, options: LinkOptions) {
    this.http = http;
    this.#settings = settings;
    this.#options = options;
  }

  /** In the order of the calls: each waits for the one before it. */
  async request<T>(request: LinkRequest, { signal }: RequestOptions = {}): Promise<LinkResult<T>> {
    if (this.#endedBy) throw this.#endedBy;
    if (this.#waiting >= waitingMax) throw bufferFull(`${this.#waiting} requests wait to be sent`);
    this.#waiting += 1;
    const turn = this.#last;
    const result = turn.then(() => {
      signal?.throwIfAborted();
      return this.#send<T>(request, signal);
    });
    this.#last = result.then(
      () => this.#done(),
      () => this.#done(),
    );
    return unlessAborted(result, signal);
  }

  #done(): void {
    this.#waiting -= 1;
  }

  async #send<T>(request: LinkRequest, signal: AbortSignal | undefined): Promise<LinkResult<T>> {
    if (this.#endedBy) throw this.#endedBy;
    // A write needs the session only if a node shall belong to it; HTTP has keys to tell repeats apart.
    const needsSession = JSON.stringify(request).includes('"ephemeral"');
    const session = needsSession || this.#session ? await this.session(signal) : undefined;
    try {
      return await sendByHttp<T>(this.http, request, session?.handle, signal);
    } catch (error) {
      if (error instanceof WeirError && error.code === 'SESSION_EXPIRED') this.#lose(error);
      throw error;
    }
  }

  watch(spec: WatchSpec, sink: WatchSink): LinkWatch {
    if (this.#endedBy) throw this.#endedBy;
    let { since } = spec;
    let hasBegun = false;
    let stream: AbortController | undefined;
    const end = () => {
      stream?.abort();
      stream = undefined;
    };
    const run = async (controller: AbortController): Promise<void> => {
      for (let attempt = 0; stream === controller && !this.#closed.signal.aborted; attempt += 1) {
        try {
          const { path, mode, data } = spec;
          const url = `/v1/watch${nodeUrl(path)}${queryOf({ mode, data, since })}`;
          for await (const { event, data: text } of serverSentEvents(
            await this.http.stream(url, {}, controller.signal),
          )) {
            const frame = JSON.parse(text) as WatchStreamFrame | Problem;
            if (event === 'problem' || frame.type === 'error') throw errorOfProblem(frame as Problem);
            const { type, zxid, ...rest } = frame as Exclude<WatchStreamFrame, { type: 'error' }>;
            if (stream !== controller) return;
            attempt = 0;
            if (type === 'watching') {
              since ??= zxid;
              if (!hasBegun) sink.began(since);
              hasBegun = true;
            } else if (zxid > (since ?? 0)) {
              since = zxid;
              if ('events' in rest) sink.events(zxid, rest.events);
              else sink.reached(zxid);
            }
          }
        } catch (error) {
          if (stream !== controller) return;
          if (error instanceof WeirError && !error.retryable) {
            end();
            sink.failed(error);
            return;
          }
        }
        await sleep(backoffMs(this.#settings, attempt), controller.signal).catch(() => {});
      }
      // The link has ended between two attempts.
      if (stream === controller && this.#endedBy) sink.failed(this.#endedBy);
    };
    const begin = () => {
      if (stream) return;
      if (this.#endedBy) {
        sink.failed(this.#endedBy);
        return;
      }
      const { controller, unlink } = linkedController(this.#closed.signal);
      stream = controller;
      void run(controller).finally(unlink);
    };
    begin();
    return { pause: end, resume: begin, end };
  }

  session(signal?: AbortSignal): Promise<SessionState> {
    if (this.#endedBy) return Promise.reject(this.#endedBy);
    this.#session ??= this.#createSession();
    return unlessAborted(this.#session, signal);
  }

  async #createSession(): Promise<SessionState> {
    try {
      const sentAt = now();
      const { ttlMs: ttl, label } = this.#options;
      const body = { ttl, label };
      const session = new SessionState(
        await this.http.json({ method: 'POST', path: '/v1/sessions', body }),
        sentAt,
        this.#settings.onEvent,
      );
      void this.#renew(session);
      return session;
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
  }

  async #renew(session: SessionState): Promise<void> {
    const headers = { 'weir-session': session.handle };
    while (session.state !== 'lost' && !this.#closed.signal.aborted) {
      await sleep(session.ttlMs / 3, this.#closed.signal).catch(() => {});
      if (this.#closed.signal.aborted) return;
      const sentAt = now();
      try {
        await this.http.once(
          { method: 'PUT', path: '/v1/sessions/self', headers, isRepeatable: true },
          session.ttlMs / 3,
        );
        session.renewed(sentAt);
      } catch (error) {
        if (error instanceof WeirError && error.code === 'SESSION_EXPIRED') this.#lose(error);
        else session.suspended();
      }
    }
  }

  #lose(error: WeirError): void {
    const session = this.#session;
    this.#session = undefined;
    if (!this.#options.renewsSession) {
      this.#endedBy = error;
      this.#closed.abort(error);
    }
    session?.then(
      (state) => state.lose(error),
      () => {},
    );
  }

  async close(): Promise<void> {
    if (this.#endedBy) return;
    this.#endedBy = closedError('The client');
    this.#closed.abort(this.#endedBy);
    const session = await this.#session?.catch(() => undefined);
    if (!session) return;
    const headers = { 'weir-session': session.handle };
    await this.http.once({ method: 'DELETE', path: '/v1/sessions/self', headers }, closeMsMax).catch(() => {});
    session.lose(this.#endedBy);
  }
}

const closeMsMax = 2000;
