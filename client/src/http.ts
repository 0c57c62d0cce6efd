// Requests over HTTP: repeated until there is a response that says something, through any broker, each taking effect once.
import { Brokers } from './brokers.ts';
import { closedError, errorOfProblem, noResponse, WeirError, withMaybeDone } from './errors.ts';
import { HttpTurns } from './http-turns.ts';
import { backoffMs, type Settings } from './options.ts';
import { linkedController, now, sleep, uniqueId } from './time.ts';
import type { Problem } from './wire.ts';

export interface HttpRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the URL of the broker, with its query: `/v1/topics`. */
  path: string;
  headers?: { readonly [name: string]: string | undefined };
  /** A text or bytes as they are; anything else as JSON. */
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** How long the request asks the server to wait before it responds, ms. */
  waitMs?: number;
  /** Repeats are told apart by the request itself, so it needs no Idempotency-Key. */
  isRepeatable?: boolean;
}

/** How long a response may take beyond the wait that the request asks for, ms. */
const responseMsMax = 15_000;
/** The longest Retry-After that is obeyed; the server has nothing to do for longer. */
const retryAfterMsMax = 30_000;

export class Http {
  readonly #settings: Settings;
  readonly #brokers: Brokers;
  readonly #closed: AbortSignal;
  readonly #turns = new HttpTurns();

  constructor(settings: Settings, closed: AbortSignal) {
    this.#settings = settings;
    this.#brokers = new Brokers(settings.urls);
    this.#closed = closed;
  }

  /** Sends a request until it succeeds or fails for good. @throws WeirError, or the reason of the signal */
  async json<T>(request: HttpRequest): Promise<T> {
    const response = await this.send(request);
    const text = await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** As `json`, but returns the response; its body is not read yet. */
  async send(request: HttpRequest): Promise<Response> {
    const { method = 'GET', signal, waitMs = 0 } = request;
    const isWrite = method !== 'GET';
    const headers = {
      ...request.headers,
      ...(isWrite &&
        !request.isRepeatable && { 'idempotency-key': request.headers?.['idempotency-key'] ?? uniqueId() }),
    };
    const { controller, unlink } = linkedController(signal, this.#closed);
    try {
      return await this.#repeat({ ...request, method, headers, signal: controller.signal }, isWrite, waitMs);
    } catch (error) {
      signal?.throwIfAborted();
      throw this.#closed.aborted ? closedError('The client') : error;
    } finally {
      unlink();
    }
  }

  async #repeat(request: HttpRequest & { signal: AbortSignal }, isWrite: boolean, waitMs: number): Promise<Response> {
    const { signal } = request;
    const { retryForMs } = this.#settings;
    const beganAt = now();
    let maybeDone = false;
    for (let attempt = 0; ; attempt += 1) {
      const { url } = this.#brokers;
      let failure: WeirError;
      let pauseMs = backoffMs(this.#settings, attempt);
      try {
        const send = () => this.#attempt(url, request, responseMsMax + waitMs);
        const sendInTime = () => {
          // Also what is never repeated is sent once.
          const turnMsMax = Math.max(retryForMs, responseMsMax);
          if (now() - beganAt <= turnMsMax) return send();
          const late = noResponse(turnMsMax, url);
          throw maybeDone ? withMaybeDone(late) : late;
        };
        // One that waits at the server takes no turn, so that it keeps none from others.
        const response = await (waitMs > 0 ? send() : this.#turns.run(sendInTime, signal));
        if (response.ok || response.status === 304) return response;
        failure = await problemOf(response);
        if (!failure.retryable) throw failure;
        pauseMs = Math.max(pauseMs, Math.min(retryAfterMsMax, Number(response.headers.get('retry-after') ?? 0) * 1000));
        maybeDone ||= isWrite && failure.maybeDone;
        // Of several brokers another one may be able to.
        if (response.status >= 500) this.#brokers.failed(url);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof WeirError) throw error;
        // A write whose response was lost may have been carried out.
        maybeDone ||= isWrite;
        failure = unreachable(url, error, maybeDone);
        this.#brokers.failed(url);
      }
      if (now() - beganAt + pauseMs > retryForMs) throw maybeDone ? withMaybeDone(failure) : failure;
      this.#settings.onEvent({ type: 'retry', url, attempt: attempt + 1, reason: failure.message });
      await sleep(pauseMs, signal);
    }
  }

  /**
   * Opens a response that goes on without an end, such as server-sent events. It is tried once.
   * @throws WeirError; TypeError and the like if there is no response
   */
  async stream(path: string, headers: { [name: string]: string }, signal: AbortSignal): Promise<Response> {
    if (this.#closed.aborted) throw closedError('The client');
    return this.#once(async (url) =>
      this.#settings.fetch(url + path, { headers: await this.#headers(headers), signal }),
    );
  }

  /** Sends a request once. @throws WeirError; TypeError and the like if there is no response in time */
  once(request: HttpRequest, withinMs: number): Promise<Response> {
    return this.#once((url) => this.#attempt(url, request, withinMs));
  }

  /** The response to one attempt; the next request goes to another broker if this one has failed. */
  async #once(attempt: (url: string) => Promise<Response>): Promise<Response> {
    const { url } = this.#brokers;
    try {
      const response = await attempt(url);
      if (response.ok) return response;
      throw await problemOf(response);
    } catch (error) {
      if (!(error instanceof WeirError) || error.status >= 500) this.#brokers.failed(url);
      throw error;
    }
  }

  /** One attempt: rejects with whatever `fetch` does if there is no response in time. */
  async #attempt(
    url: string,
    { path, method, headers = {}, body, signal }: HttpRequest,
    withinMs: number,
  ): Promise<Response> {
    const { controller, unlink } = linkedController(signal);
    const timer = setTimeout(() => controller.abort(new Error(`no response within ${withinMs} ms`)), withinMs);
    try {
      const isRaw = typeof body === 'string' || body instanceof Uint8Array;
      const response = await this.#settings.fetch(url + path, {
        method: method ?? 'GET',
        headers: await this.#headers({
          ...(body !== undefined && !isRaw && { 'content-type': 'application/json' }),
          ...headers,
        }),
        signal: controller.signal,
        ...(body !== undefined && { body: isRaw ? (body as string) : JSON.stringify(body) }),
      });
      // The body is part of the attempt: a connection may break within it. It is small, as pages and fetches have limits.
      const bytes = await response.arrayBuffer();
      const empty = response.status === 204 || response.status === 304;
      return new Response(empty ? null : bytes, { status: response.status, headers: response.headers });
    } finally {
      clearTimeout(timer);
      unlink();
    }
  }

  async #headers(headers: { readonly [name: string]: string | undefined }): Promise<{ [name: string]: string }> {
    const token = await this.#settings.token();
    const given = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return { ...Object.fromEntries(given), ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  }
}

/** The error of a response that is none of success. What stands between client and server gives no problem: then it may be tried again. */
async function problemOf(response: Response): Promise<WeirError> {
  const requestId = response.headers.get('x-request-id') ?? undefined;
  const isProblem = /json/.test(response.headers.get('content-type') ?? '');
  const problem = isProblem
    ? ((await response.json().catch(() => undefined)) as Partial<Problem> | undefined)
    : undefined;
  if (problem?.code !== undefined) return errorOfProblem(problem, requestId);
  const { status } = response;
  const detail = `The response has the status ${status} and no problem; it is perhaps that of a proxy.`;
  return new WeirError({
    code: status >= 500 ? 'UNREACHABLE' : 'BAD_REQUEST',
    detail,
    status,
    retryable: status >= 500,
    requestId,
    maybeDone: status >= 500,
  });
}

function unreachable(url: string, cause: unknown, maybeDone: boolean): WeirError {
  const { message, cause: inner } = cause instanceof Error ? cause : { message: String(cause), cause: undefined };
  const reason = inner instanceof Error && inner.message !== '' ? inner.message : message;
  return new WeirError({
    code: 'UNREACHABLE',
    detail: `${url} does not respond: ${reason}.`,
    retryable: true,
    maybeDone,
    cause,
  });
}

/** The query of a URL: what is undefined is left out. */
export function queryOf(values: { readonly [name: string]: string | number | boolean | undefined }): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) parameters.append(name, String(value));
  const text = String(parameters);
  return text === '' ? '' : `?${text}`;
}

/** The path of a node in a URL. */
export function nodeUrl(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
