// A link over the pipelined socket, which is made anew whenever it breaks: attach the session, begin the watches again, send what has no
// result. Callers notice nothing but time.
import { ControlRequests } from './control-requests.ts';
import {
  closedError,
  errorOfProblem,
  isFatalClose,
  noResponse,
  refusedSocket,
  sessionEnded,
  type WeirError,
} from './errors.ts';
import type { Http } from './http.ts';
import {
  isTreeWrite,
  type Link,
  type LinkOptions,
  type LinkRequest,
  type LinkResult,
  type LinkWatch,
  type Refused,
  type RequestOptions,
  type WatchSink,
  type WatchSpec,
} from './link.ts';
import { backoffMs, type Settings } from './options.ts';
import { byteLength, Outbox, type SocketResponse } from './outbox.ts';
import { ReconnectingSocket } from './reconnecting-socket.ts';
import { type GrantedSession, SessionState } from './session-state.ts';
import { Silence } from './silence.ts';
import { SocketWatches } from './socket-watches.ts';
import { type Deferred, deferred, now, onAbort, uniqueId, unlessAborted } from './time.ts';
import type { SocketEvent } from './wire.ts';

/** The server takes frames of at most 1 MiB. A character has at most three bytes. */
const frameBytesMax = 768 * 1024;
const frameCharsMax = frameBytesMax / 3;
const closeWaitMs = 2000;
const tickMsMax = 500;

export class SocketLink implements Link {
  readonly http: Http;
  readonly #settings: Settings;
  readonly #options: LinkOptions;
  readonly #socket: ReconnectingSocket;
  readonly #outbox: Outbox;
  readonly #watches: SocketWatches;
  readonly #controls: ControlRequests;
  /** The session is attached, so that requests can be sent. */
  #isReady = false;
  #endedBy: WeirError | undefined;
  #session: SessionState | undefined;
  #awaited: Deferred<SessionState> | undefined;
  #isCreatingSession = false;
  /** The same for all attempts to create one session: only one is created, also if the network says twice what this client has said. */
  #creationKey = uniqueId();
  /** The newest transaction that is known: another broker must have it before it acts for the session. */
  #zxid = 0;
  readonly #silence: Silence;
  #renewedAt = 0;
  #tickedAt = 0;
  #isFlushDue = false;
  #isGapDue = false;
  #gaps = 0;
  /** The error frame before a close. */
  #problem: WeirError | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param onRefused called if no WebSocket can be opened though the server responds; the link is not used any more then */
  constructor(http: Http, settings: Settings, options: LinkOptions, onRefused: (refused: Refused) => void) {
    this.http = http;
    this.#settings = settings;
    this.#options = options;
    this.#silence = new Silence(options.ttlMs / 3);
    const owner = {
      path: () => '/v1/socket',
      isNeeded: () => this.#isNeeded(),
      opened: () => this.#opened(),
      received: (text: string) => this.#received(text),
      closed: (code: number, reason: string) => this.#disconnected(code, reason),
      refused: () => {
        this.#stopTicking();
        onRefused({ entries: this.#outbox.takeAll(), watches: this.#watches.handOver(), session: this.#awaited });
      },
    };
    this.#socket = new ReconnectingSocket(settings, owner, 'weir.v1');
    this.#controls = new ControlRequests((frame) => this.#socket.send(frame));
    const { nextId } = this.#controls;
    this.#outbox = new Outbox(nextId);
    this.#watches = new SocketWatches({
      nextId,
      send: (request) => {
        if (this.#isReady) this.#socket.send(JSON.stringify(request));
        else this.#connect();
      },
      later: (again) => this.#later(again, 1),
    });
  }

  async request<T>(request: LinkRequest, { signal, isTriedOnce = false }: RequestOptions = {}): Promise<LinkResult<T>> {
    signal?.throwIfAborted();
    if (this.#endedBy) throw this.#endedBy;
    const text = JSON.stringify(request);
    // Too large for a frame: it goes by itself, and is not in order with what is not awaited.
    if (text.length > frameCharsMax && byteLength(text) > frameBytesMax) {
      const session = isTreeWrite(request) ? (await this.session(signal)).handle : undefined;
      const { sendByHttp } = await import('./http-requests.ts');
      return sendByHttp<T>(this.http, request, session, signal);
    }
    const entry = this.#outbox.add(request, text, isTriedOnce);
    const undo = onAbort(signal, () => this.#outbox.giveUp(entry, signal?.reason));
    this.#flushSoon();
    try {
      return (await entry.promise) as LinkResult<T>;
    } finally {
      undo();
    }
  }

  watch(spec: WatchSpec, sink: WatchSink): LinkWatch {
    if (this.#endedBy) throw this.#endedBy;
    return this.#watches.add(spec, sink);
  }

  async session(signal?: AbortSignal): Promise<SessionState> {
    if (this.#endedBy) throw this.#endedBy;
    if (this.#session) return this.#session;
    this.#awaited ??= deferred();
    this.#createSession();
    return unlessAborted(this.#awaited.promise, signal);
  }

  async close(): Promise<void> {
    if (this.#endedBy) return;
    this.#endedBy = closedError('The client');
    this.#failAll(this.#endedBy);
    // Without the response the session ends by its time to live.
    if (this.#session && this.#isReady) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, closeWaitMs);
        this.#controls.send({ op: 'session', end: true }, () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    this.#session?.lose(closedError('The client'));
    this.#stop();
  }

  #failAll(error: WeirError): void {
    this.#outbox.failAll(error);
    this.#watches.failAll(error);
    this.#awaited?.reject(error);
    this.#awaited = undefined;
  }

  #stop(): void {
    this.#stopTicking();
    this.#isReady = false;
    this.#socket.stop();
  }

  #stopTicking(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  // The connection.

  #connect(): void {
    this.#timer ??= setInterval(() => this.#tick(), Math.min(tickMsMax, this.#options.ttlMs / 10));
    this.#socket.connect();
  }

  #isNeeded(): boolean {
    return (
      !this.#outbox.isEmpty || this.#watches.size > 0 || this.#session !== undefined || this.#awaited !== undefined
    );
  }

  /** On a new connection: the session first, as that makes the older connection harmless (guarantee S5). */
  #opened(): void {
    this.#silence.reset();
    this.#problem = undefined;
    const session = this.#session;
    if (!session) {
      this.#ready();
      return;
    }
    const attach = { op: 'session', attach: session.handle, ...(this.#zxid > 0 && { zxid: this.#zxid }) };
    this.#controls.send(attach, ({ ok, error }, sentAt) => {
      if (error) {
        this.#attachFailed(errorOfProblem(error));
        return;
      }
      session.renewed(sentAt);
      this.#renewedAt = sentAt;
      this.#outbox.attached(session, (ok as { lastSeq: number }).lastSeq);
      this.#ready();
    });
  }

  #attachFailed(error: WeirError): void {
    if (error.code === 'SESSION_EXPIRED') {
      this.#loseSession(error);
      if (!this.#endedBy) this.#ready();
      return;
    }
    if (!error.retryable) this.#failAll(error);
    this.#socket.drop(error.message);
  }

  #ready(): void {
    this.#isReady = true;
    this.#socket.succeeded();
    this.#watches.connected();
    if (this.#awaited) this.#createSession();
    this.#flush();
  }

  #disconnected(code: number, reason: string): void {
    this.#isReady = false;
    this.#isCreatingSession = false;
    this.#controls.disconnected();
    this.#outbox.disconnected();
    this.#session?.suspended();
    if (isFatalClose(code)) this.#failAll(this.#problem ?? refusedSocket(code, reason));
  }

  #later(work: () => void, attempt: number): void {
    const workAndFlush = () => {
      work();
      this.#flush();
    };
    setTimeout(() => !this.#endedBy && workAndFlush(), backoffMs(this.#settings, attempt));
  }

  // Requests and responses.

  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => {
      this.#isFlushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#isReady) {
      if (!this.#outbox.isEmpty) this.#connect();
      return;
    }
    for (;;) {
      const frame = this.#outbox.nextFrame(this.#session);
      if (frame === undefined) return;
      if (frame === 'session') break;
      this.#socket.send(frame);
    }
    this.#createSession();
  }

  #received(text: string): void {
    // What arrives is not throttled as the timers of a hidden tab are.
    if (now() - this.#tickedAt > 2 * tickMsMax) this.#tick();
    for (const frame of [JSON.parse(text)].flat() as (SocketResponse | SocketEvent)[]) {
      if ('type' in frame) this.#event(frame as SocketEvent);
      else this.#answered(frame as SocketResponse);
      if (!this.#socket.isOpen) return;
    }
    this.#flushSoon();
  }

  #answered(response: SocketResponse): void {
    const { zxid = 0, error } = response;
    this.#zxid = Math.max(this.#zxid, zxid);
    if (this.#controls.answered(response) || this.#watches.answered(response)) return;
    if (error?.code === 'SESSION_MOVED') {
      // Another connection has attached the session, perhaps an older one of this client that was slow.
      this.#socket.drop(error.detail);
      return;
    }
    const again = this.#outbox.answered(response);
    if (again) this.#later(() => this.#outbox.again(again), 1);
    if (error?.code === 'SESSION_EXPIRED' && this.#session) this.#loseSession(errorOfProblem(error));
    if (this.#outbox.mustCloseGap) this.#closeGapLater();
    else if (!error) this.#gaps = 0;
  }

  #closeGapLater(): void {
    if (this.#isGapDue) return;
    this.#isGapDue = true;
    this.#gaps += 1;
    this.#later(() => {
      this.#isGapDue = false;
      // A connection that was made anew meanwhile has closed it.
      if (!this.#session || !this.#outbox.mustCloseGap) return;
      this.#outbox.closeGap(this.#session, now() - this.#settings.retryForMs);
    }, this.#gaps);
  }

  #event(event: SocketEvent): void {
    switch (event.type) {
      case 'events':
        this.#zxid = Math.max(this.#zxid, event.zxid);
        this.#watches.events(Number(event.watch), event.zxid, event.events);
        break;
      case 'bookmark':
        this.#zxid = Math.max(this.#zxid, event.zxid);
        this.#watches.bookmark(event.zxid);
        break;
      case 'sessionExpired':
        if (event.id === this.#session?.id) this.#loseSession(sessionEnded(event.id));
        break;
      case 'error': {
        const failure = errorOfProblem(event);
        if (event.watch === undefined) this.#problem = failure;
        else this.#watches.ended(Number(event.watch), failure);
      }
    }
  }

  #createSession(): void {
    if (this.#session || this.#isCreatingSession) return;
    if (!this.#isReady) {
      this.#connect();
      return;
    }
    this.#isCreatingSession = true;
    const { ttlMs: ttl, label } = this.#options;
    const create = { op: 'session', ttl, label, idempotencyKey: this.#creationKey };
    this.#controls.send(create, ({ ok, error }, sentAt) => {
      this.#isCreatingSession = false;
      const failure = error && errorOfProblem(error);
      const hasEnded = failure?.code === 'SESSION_EXPIRED';
      if (!failure || hasEnded) this.#creationKey = uniqueId();
      if (!failure) {
        this.#session = new SessionState(ok as GrantedSession, sentAt, this.#settings.onEvent);
        this.#renewedAt = sentAt;
        this.#awaited?.resolve(this.#session);
        this.#awaited = undefined;
      } else if (hasEnded) {
        // An earlier attempt has created it, and its time to live was over before this one.
        this.#createSession();
      } else if (failure.retryable) {
        this.#later(() => this.#isNeeded() && this.#createSession(), 2);
      } else {
        this.#failAll(failure);
      }
    });
  }

  #loseSession(error: WeirError): void {
    const session = this.#session;
    this.#session = undefined;
    this.#outbox.sessionLost(error);
    if (!this.#options.renewsSession) {
      this.#endedBy = error;
      this.#failAll(error);
      this.#stop();
    }
    session?.lose(error);
  }

  /** What is due by time: renewals, a question to a silent connection, and the end of patience. */
  #tick(): void {
    const time = now();
    this.#tickedAt = time;
    this.#session?.checkDeadline();
    this.#outbox.expire(time - this.#settings.retryForMs, () =>
      noResponse(this.#settings.retryForMs, this.#socket.url),
    );
    if (!this.#isReady) {
      // Nothing is asked for: a timer must not keep a program from ending.
      if (!this.#isNeeded() && !this.#socket.isBusy) this.#stopTicking();
      return;
    }
    const { receivedAt } = this.#socket;
    if (this.#silence.isDead(receivedAt, time)) this.#socket.drop(`silent for ${Math.round(time - receivedAt)} ms`);
    else if (this.#session) this.#renewIfDue(this.#session, time);
    else if (this.#isNeeded() && this.#silence.isToBeAsked(receivedAt, time))
      this.#controls.send({ op: 'ping' }, () => {});
  }

  #renewIfDue(session: SessionState, time: number): void {
    if (time - this.#renewedAt < session.ttlMs / 3) return;
    this.#renewedAt = time;
    this.#silence.asked(this.#socket.receivedAt, time);
    this.#controls.send({ op: 'session', renew: true }, ({ error }, sentAt) => {
      if (!error) session.renewed(sentAt);
      else if (error.code === 'SESSION_EXPIRED') this.#loseSession(errorOfProblem(error));
      else if (error.code === 'SESSION_MOVED') this.#socket.drop(error.detail);
    });
  }
}
