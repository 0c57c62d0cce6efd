// One connection to one Redis server, with the dedicated clients that go to the same server. It is used only after the
// server was checked and prepared, and reconnects by itself. Which server it connects to is decided by the topology.
import type { Redis, RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { installCommandTimeout } from './command-timeout.ts';
import { ConnectionWatchdog } from './connection-watchdog.ts';
import { type LoadingProgress, loadingOf, parseInfo, runIdOf, type ServerInfo } from './server-info.ts';
import { configurationFault } from './store-error.ts';
import { type CallTimeouts, inactivityCheckEveryMs } from './time-limits.ts';

interface ManagedConnectionOptions {
  /** Creates a client of this server, not yet connected. */
  createClient(options: RedisOptions): Redis;
  /** Checks and prepares the server before anything else uses the connection. If it rejects, the client reconnects. */
  prepare(info: ServerInfo): Promise<void>;
  /** Called when the connection has opened, was lost, or failed to open. */
  onChange(): void;
  /** Called when an open connection was lost. */
  onLost(): void;
  timeouts: CallTimeouts;
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
    this.client = this.#createClient({ commandTimeout: options.timeouts.commandMs });
    this.#watchdog = new ConnectionWatchdog(this.client, options.timeouts.inactivityMs);
    this.client.on('connect', () => void this.#updateLoading());
    this.client.on('ready', () => void this.#open());
    this.client.on('close', () => this.#handleClose());
  }

  /** Whether it can be used now. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The `run_id` of the Redis that it was last open to: another one after each failover and each restart. */
  get runId(): string {
    return this.#runId;
  }

  /** Why it is not open. */
  get failure(): unknown {
    return this.#failure;
  }

  /** How far the server has loaded its data; undefined if it is not loading. */
  get loading(): LoadingProgress | undefined {
    return this.#loading;
  }

  /** `<host>:<port>` of the server that it was last open to. */
  get address(): string {
    return this.#address;
  }

  /** Begins to connect. The client repeats a failed attempt by itself; the reason is in `failure`. */
  connect(): void {
    this.#checkTimer = setInterval(() => {
      this.#watchdog.check();
      for (const watchdog of this.#dedicated.values()) watchdog.check();
      void this.#updateLoading();
    }, inactivityCheckEveryMs).unref();
    this.client.connect().catch(() => {});
  }

  /** Closes the connection, as it leads to the wrong server, and connects again. */
  reconnect(): void {
    if (this.client.status !== 'ready') return;
    this.#handleClose();
    this.client.disconnect(true);
  }

  /**
   * Creates a client with a connection of its own to the same server, for commands that block or subscribe. It reconnects by
   * itself, and close() closes it. A command in flight when its connection is lost is rejected, as is a waiting command when
   * an attempt to connect fails: nothing is sent twice.
   * @param replyMsMax the connection counts as dead if a command gets no reply for so long
   */
  createDedicatedClient(options: RedisOptions, replyMsMax: number = this.#options.timeouts.inactivityMs): Redis {
    const client = this.#createClient({
      ...options,
      // These errors come from a server that is no longer the primary of the key.
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
    // Each failed attempt to connect is an error event. Only the loss itself is logged as a warning, once.
    client.on('error', (error: Error) => {
      this.#failure = configurationFault(error) ?? error;
      this.#options.log.debug({ err: { message: error.message } }, 'Redis client error');
      this.#options.onChange();
    });
    return client;
  }

  async #updateLoading(): Promise<void> {
    // Status `connect` means connected but not ready: a Redis that loads its data replies to INFO and to nothing else.
    const info = this.client.status === 'connect' ? await this.client.info('persistence').catch(() => '') : '';
    // Between two attempts to connect it says nothing, but the last one was refused as it loads.
    const isStillLoading = info === '' && this.#failure instanceof Error && /^LOADING\b/.test(this.#failure.message);
    if (!isStillLoading) this.#loading = loadingOf(parseInfo(info));
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
      const { log } = this.#options;
      if (isFirst) log.debug({ redis: this.#address }, 'Connected to Redis');
      else log.info({ redis: this.#address }, 'Connection to Redis restored');
    } catch (error) {
      if (this.#closing) return;
      // The attempt is repeated several times a second: the same failure is logged as an error only once.
      const isKnown = error instanceof Error && error.message === (this.#failure as Error | undefined)?.message;
      this.#failure = (error instanceof Error && configurationFault(error)) || error;
      const fields = { err: error, redis: addressOf(this.client) };
      this.#options.log[isKnown ? 'debug' : 'error'](fields, 'Redis is reachable but cannot be used; reconnecting');
      if (this.client.status === 'ready') this.client.disconnect(true);
    }
    this.#options.onChange();
  }

  #handleClose(): void {
    if (this.#isOpen && !this.#closing) {
      const text =
        'Connection to Redis lost; reconnecting. Requests that need it fail with STORE_UNAVAILABLE until then';
      this.#options.log.warn({ redis: this.#address }, text);
      this.#options.onLost();
    }
    this.#isOpen = false;
    this.#options.onChange();
  }

  /** Dedicated connections that outlived a loss of the main one may lead to a server that is no longer the primary. */
  #reconnectDedicated(): void {
    for (const client of this.#dedicated.keys()) if (client.status === 'ready') client.disconnect(true);
  }
}

function addressOf(client: Redis): string {
  const stream = client.stream as { remoteAddress?: string; remotePort?: number } | undefined;
  return stream?.remoteAddress === undefined ? 'unix socket' : `${stream.remoteAddress}:${stream.remotePort}`;
}
