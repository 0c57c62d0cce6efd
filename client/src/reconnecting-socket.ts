// One WebSocket at a time: opened when it is needed, and again when it breaks, at the next broker and after a pause.
import { Brokers } from './brokers.ts';
import { isWeirError } from './errors.ts';
import { backoffMs, type Settings } from './options.ts';
import { now } from './time.ts';
import { type OpenSocket, openSocket } from './web-socket.ts';

interface SocketOwner {
  /** The path and query, for each attempt. */
  path(): string;
  /** Whether a lost connection is to be made anew. */
  isNeeded(): boolean;
  opened(): void;
  received(frame: string): void;
  /** A connection was lost, or did not open. */
  closed(code: number, reason: string): void;
  /** No WebSocket can be opened, though the server responds; the socket has stopped. */
  refused(reason: string): void;
}

/** Sockets that did not open in a row, before it is asked whether HTTP does. */
const refusalsMax = 2;
const probeMsMax = 2000;
const openMsMax = 10_000;

export class ReconnectingSocket {
  readonly #settings: Settings;
  readonly #owner: SocketOwner;
  readonly #protocol: string | undefined;
  readonly #brokers: Brokers;
  #socket: OpenSocket | undefined;
  #url = '';
  #isConnecting = false;
  #isOpen = false;
  #hasEverOpened = false;
  #failures = 0;
  #isStopped = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #openTimer: ReturnType<typeof setTimeout> | undefined;
  #receivedAt = 0;

  constructor(settings: Settings, owner: SocketOwner, protocol?: string) {
    this.#settings = settings;
    this.#owner = owner;
    this.#protocol = protocol;
    this.#brokers = new Brokers(settings.urls);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether there is a connection, or one is being made. */
  get isBusy(): boolean {
    return this.#socket !== undefined || this.#isConnecting || this.#retry !== undefined;
  }

  get url(): string {
    return this.#url;
  }

  /** When something was received last, on the clock of `now`. */
  get receivedAt(): number {
    return this.#receivedAt;
  }

  connect(): void {
    if (this.isBusy || this.#isStopped) return;
    this.#isConnecting = true;
    const { url } = this.#brokers;
    this.#url = url;
    this.#openTimer = setTimeout(() => this.drop(`not open within ${openMsMax} ms`), openMsMax);
    const handlers = {
      opened: () => {
        clearTimeout(this.#openTimer);
        this.#isOpen = true;
        this.#hasEverOpened = true;
        this.#receivedAt = now();
        this.#settings.onEvent({ type: 'connected', url });
        this.#owner.opened();
      },
      received: (frame: string) => {
        this.#receivedAt = now();
        this.#owner.received(frame);
      },
      closed: (code: number, reason: string) => this.#lost(code, reason),
    };
    openSocket(this.#settings, url, this.#owner.path(), handlers, this.#protocol).then(
      (socket) => {
        this.#isConnecting = false;
        if (this.#isStopped) socket.close();
        else this.#socket = socket;
      },
      (error: unknown) => {
        if (!isWeirError(error, 'MISCONFIGURED')) {
          this.#lost(0, String(error));
          return;
        }
        // Where HTTP does not work with these settings either, each request says so at once.
        this.#isConnecting = false;
        this.#refuse(error.detail);
      },
    );
  }

  send(text: string): void {
    this.#socket?.send(text);
  }

  /** The connection is of no use any more: makes a new one. */
  drop(reason: string): void {
    if (this.#isStopped) return;
    this.#socket?.close();
    this.#lost(0, reason);
  }

  /** What was asked for over the connection has worked: the next failure is a first one. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** Closes it for good. */
  stop(code?: number): void {
    this.#isStopped = true;
    this.#isOpen = false;
    clearTimeout(this.#retry);
    clearTimeout(this.#openTimer);
    this.#socket?.close(code);
    this.#socket = undefined;
  }

  #lost(code: number, reason: string): void {
    clearTimeout(this.#openTimer);
    const wasOpen = this.#isOpen;
    this.#socket = undefined;
    this.#isConnecting = false;
    this.#isOpen = false;
    if (this.#isStopped) return;
    this.#settings.onEvent({
      type: 'disconnected',
      url: this.#url,
      reason: `${code === 0 ? '' : `${code} `}${reason}`,
    });
    this.#brokers.failed(this.#url);
    this.#failures += 1;
    this.#owner.closed(code, reason);
    if (this.#isStopped) return;
    if (!wasOpen && !this.#hasEverOpened && this.#failures >= refusalsMax) void this.#probe(reason);
    else this.#later();
  }

  #later(): void {
    if (this.#isStopped || this.#retry !== undefined || !this.#owner.isNeeded()) return;
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined;
        if (this.#owner.isNeeded()) this.connect();
      },
      backoffMs(this.#settings, this.#failures - 1),
    );
  }

  /** Whether a server is there that only opens no WebSocket. */
  async #probe(reason: string): Promise<void> {
    const { url } = this.#brokers;
    const signal = AbortSignal.timeout(probeMsMax);
    const response = await this.#settings.fetch(`${url}/health/live`, { signal }).catch(() => undefined);
    await response?.body?.cancel().catch(() => {});
    if (response && response.status < 500) this.#refuse(`no WebSocket opens at ${url}, but HTTP works (${reason})`);
    else this.#later();
  }

  #refuse(reason: string): void {
    if (this.#isStopped) return;
    this.stop();
    this.#settings.onEvent({ type: 'fallback', url: this.#url, reason });
    this.#owner.refused(reason);
  }
}
