// One way to one Redis: a client that is used only after this Redis was looked at, with the dedicated connections that go to
// the same place. It is lost and made anew by itself; which Redis it leads to is the engine's business.
import type { Redis, RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { installCommandTimeout } from './command-timeout.ts';
import { ConnectionWatchdog } from './connection-watchdog.ts';
import { type LoadingProgress, loadingOf, parseInfo, runIdOf, type ServerInfo } from './server-info.ts';
import { configurationFault } from './store-error.ts';
import { commandTimeoutMs, inactivityCheckEveryMs, inactivityMsMax } from './time-limits.ts';

export interface ManagedConnectionOptions {
  /** Makes a client that leads there. */
  createClient(options: RedisOptions): Redis;
  /** Looks at the Redis, and does what must be done before anybody uses it. If it rejects the connection is made anew. */
  prepare(info: ServerInfo): Promise<void>;
  /** It is open, or lost, or could not be opened. */
  onChange(): void;
  /** It was open, and is lost. */
  onLost(): void;
  log: Logger;
}

export class ManagedConnection {
  readonly client: Redis;
  readonly #options: ManagedConnectionOptions;
  readonly #dedicated = new Map<Redis, ConnectionWatchdog>();
  readonly #watchdog: ConnectionWatchdog;
  #isOpen = false;
  #runId = '';
  #address = '';
  #checkTimer: NodeJS.Timeout | undefined;
  #closing = false;
  #loading: LoadingProgress | undefined;
  #failure: unknown;

  constructor(options: ManagedConnectionOptions) {
    this.#options = options;
    this.client = this.#createClient({ commandTimeout: commandTimeoutMs });
    this.#watchdog = new ConnectionWatchdog(this.client, inactivityMsMax);
    this.client.on('connect', () => void this.#updateLoading());
    this.client.on('ready', () => void this.#open());
    this.client.on('close', () => this.#handleClose());
  }

  /** Whether it can be used now. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The run of the Redis that it is, or was last, open to: another one after each failover and each restart. */
  get runId(): string {
    return this.#runId;
  }

  /** Why it is not open. */
  get failure(): unknown {
    return this.#failure;
  }

  /** How far the Redis has come that is connected and not ready, as it loads its data. */
  get loading(): LoadingProgress | undefined {
    return this.#loading;
  }

  /** The address that it leads, or led last, to; for a log line. */
  get address(): string {
    return this.#address;
  }

  /** Begins to connect; a failed attempt is repeated by the client itself, and its reason is kept. */
  connect(): void {
    this.#checkTimer = setInterval(() => {
      this.#watchdog.check();
      for (const silence of this.#dedicated.values()) silence.check();
      void this.#updateLoading();
    }, inactivityCheckEveryMs).unref();
    this.client.connect().catch(() => {});
  }

  /** Gives up this connection, as it leads to the wrong Redis, and makes another. */
  reconnect(): void {
    if (this.client.status !== 'ready') return;
    this.#handleClose();
    this.client.disconnect(true);
  }

  /**
   * A connection of its own to the same place, for commands that block or subscribe. It reconnects by itself and is
   * closed together with this link. A command that a loss of the connection cuts off is rejected (with retries it would
   * never settle, as it is not sent again), and so is one that waits when an attempt to connect fails.
   * @param replyMsMax a command that is not answered for so long finds the connection dead
   */
  createDedicatedClient(options: RedisOptions, replyMsMax: number = inactivityMsMax): Redis {
    const client = this.#createClient({
      ...options,
      // What says so serves no more: another Redis has taken its place.
      reconnectOnError: ({ message }) => /^(READONLY|UNBLOCKED|MOVED)\b/.test(message),
    });
    this.#dedicated.set(client, new ConnectionWatchdog(client, replyMsMax));
    client.once('end', () => this.#dedicated.delete(client));
    return client;
  }

  close(): void {
    clearInterval(this.#checkTimer);
    this.#closing = true;
    this.#isOpen = false;
    for (const client of this.#dedicated.keys()) client.disconnect();
    this.client.disconnect();
  }

  #createClient(options: RedisOptions): Redis {
    const client = installCommandTimeout(this.#options.createClient(options));
    // Each failed attempt to connect is an error event; the loss itself was logged once, when it happened.
    client.on('error', (error: Error) => {
      this.#failure = configurationFault(error) ?? error;
      this.#options.log.debug({ err: { message: error.message } }, 'Store connection error');
      this.#options.onChange();
    });
    return client;
  }

  async #updateLoading(): Promise<void> {
    // Connected and not ready: of all commands INFO is answered.
    const info = this.client.status === 'connect' ? await this.client.info('persistence').catch(() => '') : '';
    this.#loading = loadingOf(parseInfo(info));
  }

  async #open(): Promise<void> {
    this.#loading = undefined;
    try {
      const info = parseInfo(await this.client.info());
      await this.#options.prepare(info);
      const isFirst = this.#runId === '';
      this.#runId = runIdOf(info);
      this.#address = addressOf(this.client);
      this.#isOpen = true;
      this.#failure = undefined;
      if (!isFirst) this.#reconnectDedicated();
      this.#options.log[isFirst ? 'debug' : 'info']({ place: this.address }, 'The connection to the store is open');
    } catch (error) {
      if (this.#closing) return;
      // It is tried again several times a second: what is known already is not said again.
      const isKnown = error instanceof Error && error.message === (this.#failure as Error | undefined)?.message;
      this.#failure = (error instanceof Error && configurationFault(error)) || error;
      this.#options.log[isKnown ? 'debug' : 'error']({ err: error }, 'The store could not be opened; trying again');
      if (this.client.status === 'ready') this.client.disconnect(true);
    }
    this.#options.onChange();
  }

  #handleClose(): void {
    if (this.#isOpen && !this.#closing) {
      this.#options.log.warn({ place: this.address }, 'The connection to the store is lost');
      this.#options.onLost();
    }
    this.#isOpen = false;
    this.#options.onChange();
  }

  /** Those that have outlived a loss may lead to a Redis that is not the one any more, or to none. */
  #reconnectDedicated(): void {
    for (const client of this.#dedicated.keys()) if (client.status === 'ready') client.disconnect(true);
  }
}

function addressOf(client: Redis): string {
  const { remoteAddress, remotePort } = client.stream as { remoteAddress?: string; remotePort?: number };
  return remoteAddress === undefined ? 'the unix socket' : `${remoteAddress}:${remotePort}`;
}
