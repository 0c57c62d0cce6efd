// Server-sent events: the one form in which this server streams over plain HTTP. An EventStream owns its response from the head to
// the last message. It keeps the session of the request alive, stops its source while the reader is behind, and ends when the broker stops.
import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { SendPace } from '../access/send-pace.ts';
import { ServiceError } from '../core/service-error.ts';
import type { UnreadBytesOfReader } from '../core/unread-bytes.ts';
import type { Sessions } from '../store/tree/sessions.ts';
import { eventMessage, eventStreamHeaders, problemMessage, retryMs } from './event-stream-messages.ts';
import { logIfInternal, toServiceError } from './plugins/error-handler.ts';
import { renewWhileStreaming } from './waiting-session.ts';

interface EventStreamHandlers {
  /** Called at intervals while the reader keeps up: sends the current position. */
  onHeartbeat(): void;
  /** Called once, when the stream has ended for whatever reason: stops the source. */
  onEnd(): void;
}

/** The open event streams of one route. */
export class EventStreams {
  readonly #open = new Set<EventStream>();
  readonly #stopping: AbortSignal;
  readonly #sessions: Sessions;

  /**
   * @param broker `stopping` ends all streams; `sessions` are renewed while their streams last
   * @param heartbeatMs interval of heartbeats
   */
  constructor(app: FastifyInstance, broker: { stopping: AbortSignal; sessions: Sessions }, heartbeatMs: number) {
    this.#stopping = broker.stopping;
    this.#sessions = broker.sessions;
    const timer = setInterval(() => {
      for (const stream of this.#open) stream.heartbeat();
    }, heartbeatMs);
    const endAll = () => {
      for (const stream of this.#open) stream.end();
    };
    this.#stopping.addEventListener('abort', endAll);
    app.addHook('onClose', async () => {
      clearInterval(timer);
      this.#stopping.removeEventListener('abort', endAll);
    });
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Makes the stream of one response. Nothing is sent before `begin` or `fail`.
   * @throws ServiceError STORE_UNAVAILABLE if the broker is stopping
   */
  open(reply: FastifyReply, handlers: EventStreamHandlers): EventStream {
    if (this.#stopping.aborted) {
      throw new ServiceError('STORE_UNAVAILABLE', 'The server is stopping. Send the request to another broker.');
    }
    const stream: EventStream = new EventStream(reply, this.#sessions, {
      ...handlers,
      onEnd: () => {
        this.#open.delete(stream);
        handlers.onEnd();
      },
    });
    this.#open.add(stream);
    return stream;
  }
}

class EventStream {
  readonly #reply: FastifyReply;
  readonly #sessions: Sessions;
  readonly #handlers: EventStreamHandlers;
  /** What counts against the limit of all readers. */
  readonly #unread: UnreadBytesOfReader;
  #state: 'pending' | 'open' | 'ended' = 'pending';
  /** Wake sources that wait for room. */
  #waiting: (() => void)[] = [];
  readonly #pace: SendPace;
  #stopRenewal = (): void => undefined;
  readonly #onDrain = () => this.#wake();
  readonly #onClose = () => this.end();

  constructor(reply: FastifyReply, sessions: Sessions, handlers: EventStreamHandlers) {
    this.#reply = reply;
    this.#pace = new SendPace(reply.request);
    this.#sessions = sessions;
    this.#handlers = handlers;
    reply.raw.on('drain', this.#onDrain).on('close', this.#onClose);
    this.#unread = reply.request.countUnread(() => this.cutOff());
    reply.raw.once('close', () => this.#unread.close());
    reply.request.followAccess((error) => this.fail(error, undefined));
  }

  get hasBegun(): boolean {
    return this.#state !== 'pending';
  }

  get hasEnded(): boolean {
    return this.#state === 'ended';
  }

  /** Sends the head, and renews the session of the request from now on. */
  begin(): void {
    if (this.#state !== 'pending') return;
    this.#state = 'open';
    sendHead(this.#reply);
    if (this.#reply.raw.destroyed) {
      this.end();
      return;
    }
    this.#stopRenewal = renewWhileStreaming(this.#reply.request, this.#reply, this.#sessions, (error) =>
      this.fail(error, undefined),
    );
  }

  /**
   * Sends a message.
   * @param id what an EventSource sends back as Last-Event-ID
   * @param json its data, on one line
   */
  send(id: string | number, json: string): void {
    if (this.#state === 'open') this.#write(eventMessage(id, json));
  }

  /** As send(), for a message that is encoded (eventMessage()), which several streams may share. */
  sendEncoded(message: Buffer): void {
    if (this.#state === 'open') this.#write(message);
  }

  /** Undefined if the reader has room for more; otherwise settles when it has, or when the stream has ended. */
  room(): Promise<void> | undefined {
    if (this.#state === 'ended') return undefined;
    if (this.#reply.raw.writableNeedDrain) return new Promise((resolve) => this.#waiting.push(resolve));
    return this.#pace.wait();
  }

  /** Has the current position sent, unless the reader is behind. */
  heartbeat(): void {
    if (this.#state === 'open' && !this.#reply.raw.writableNeedDrain) this.#handlers.onHeartbeat();
  }

  /**
   * Sends a problem as the last message, after the head if that was not sent yet.
   * @param position where the stream would have resumed
   */
  fail(error: unknown, position: string | number | undefined): void {
    if (this.#state === 'ended') return;
    const { request } = this.#reply;
    const failure = toServiceError(error as Error, request);
    logIfInternal(failure, error, request, 'An event stream ended by an internal error');
    if (this.#state === 'pending') {
      this.#state = 'open';
      sendHead(this.#reply);
    }
    this.#write(problemMessage(failure, position));
    this.end();
  }

  /** Ends the stream after what was written. */
  end(): void {
    if (this.#state === 'ended') return;
    const { raw } = this.#reply;
    raw.off('drain', this.#onDrain).off('close', this.#onClose);
    if (this.#state === 'open') raw.end();
    this.#state = 'ended';
    this.#stopRenewal();
    this.#wake();
    this.#handlers.onEnd();
  }

  /** Ends the stream at once, and drops what was not read: for a reader that is too slow. */
  cutOff(): void {
    this.#reply.raw.destroy();
    this.end();
  }

  #write(message: string | Buffer): void {
    const bytes = Buffer.byteLength(message);
    this.#unread.add(bytes);
    this.#pace.sent(bytes);
    // It may have been cut off for that.
    if (!this.#reply.raw.destroyed) this.#reply.raw.write(message, () => this.#unread.taken(bytes));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}

/** Sends the head of a stream; the response is the caller's from then on. */
function sendHead(reply: FastifyReply): void {
  // Headers that hooks have set, such as the request id and those for pages of another origin.
  const headers = reply.getHeaders() as OutgoingHttpHeaders;
  reply.hijack();
  if (reply.raw.destroyed) return;
  reply.raw.writeHead(200, {
    ...headers,
    ...eventStreamHeaders,
    // No request can follow: the stream lasts as long as the server.
    connection: 'close',
  });
  reply.raw.write(`retry: ${retryMs}\n`);
}
