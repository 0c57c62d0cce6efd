// The connection to the store: how it is made, when it may be used, and how its failures read to a user. Everything
// that talks to Redis goes through call(), or through a dedicated connection for commands that block.
import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { hasCode, ServiceError } from '../core/service-error.ts';
import { decodeReply, loadScripts, type ReplyValue, type Script } from './scripts.ts';

/**
 * Where the store is: the socket of a private Redis, or the URL of a shared one. `sole`: no other server can be using it,
 * because this one holds the lock of its data directory.
 */
export type StoreTarget = { socketPath: string; sole?: boolean } | { url: string };

/** With the command's own time-out, a request never waits longer than 2 s for an absent store (guarantee E3). */
const gateWaitMsMax = 500;
const commandTimeoutMs = 1400;
/** How long a server that starts waits for its store. */
const startWaitMsMax = 10_000;

const baseOptions: RedisOptions = {
  // A command that was cut off must not be sent again behind the caller's back: its fate is unknown.
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  // Autopipelining makes scripts slower: only one pipeline is in flight at a time.
  enableAutoPipelining: false,
  connectTimeout: 1000,
  // Without this, a store that is still loading is asked again only after a second or more.
  maxLoadingRetryTime: 50,
  retryStrategy: (attempt) => Math.min(20 * attempt, 500),
  lazyConnect: true,
};

type Command = (...args: (string | number | Buffer)[]) => Promise<unknown>;

export class StoreConnection {
  readonly client: Redis;
  readonly #scripts: Map<string, Script>;
  readonly #target: StoreTarget;
  readonly #log: Logger;
  readonly #dedicated = new Set<Redis>();
  readonly #onOpen: (() => Promise<void>)[] = [];
  #isOpen = false;
  #closing = false;
  #waiting: ((opened: boolean) => void)[] = [];
  /** Why the store is not open. */
  #failure: unknown;

  constructor(target: StoreTarget, log: Logger) {
    this.#target = target;
    this.#log = log;
    this.#scripts = loadScripts();
    this.client = this.#create({ commandTimeout: commandTimeoutMs });
    this.#define(this.client);
    this.client.on('ready', () => void this.#open());
    this.client.on('close', () => {
      if (this.#isOpen && !this.#closing) this.#log.warn('The connection to the store is lost');
      this.#isOpen = false;
    });
  }

  /** Whether the store can be used now. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Runs `step` each time the connection has become ready, before anybody else may use it. If it fails the connection
   * is dropped and tried again.
   */
  onOpen(step: () => Promise<void>): void {
    this.#onOpen.push(step);
  }

  /**
   * Connects for the first time, patiently: a store that is started at the same time may need a while.
   * @throws ServiceError STORE_UNAVAILABLE, or INVALID_CONFIG at once for a store that cannot serve
   */
  async connect(): Promise<void> {
    // A failed attempt is repeated by the client itself, and its reason is kept.
    this.client.connect().catch(() => {});
    try {
      await this.#waitUntilOpen(startWaitMsMax);
    } catch (error) {
      const reason = this.#failure;
      if (reason instanceof ServiceError) throw reason;
      const detail = reason instanceof Error ? reason.message : 'it does not answer';
      throw new ServiceError('STORE_UNAVAILABLE', `The store cannot be reached: ${detail}.`, {}, { cause: error });
    }
  }

  /**
   * Runs a script. `key` is its one key, which carries the hash tag of all that it touches.
   * Returns what follows OK in its reply.
   * @throws ServiceError with the script's code; STORE_UNAVAILABLE or STORE_FULL for the store itself
   */
  async call(name: string, key: string, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    if (!this.#isOpen) await this.#waitUntilOpen(gateWaitMsMax);
    return this.callUnguarded(name, key, args);
  }

  /** As call(), also while the connection is being opened: only for the steps of onOpen. */
  async callUnguarded(name: string, key: string, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    return this.callOn(this.client, name, key, args);
  }

  /** Runs a plain command, `fate` saying whether it writes. */
  async command<T>(writes: boolean, run: (client: Redis) => Promise<T>): Promise<T> {
    if (!this.#isOpen) await this.#waitUntilOpen(gateWaitMsMax);
    try {
      return await run(this.client);
    } catch (error) {
      throw storeError(error, writes);
    }
  }

  /** As callUnguarded(), on a dedicated connection. */
  async callOn(client: Redis, name: string, key: string, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    const script = this.#scripts.get(name);
    if (!script) throw new Error(`There is no script ${name}`);
    let reply: unknown;
    try {
      reply = await (client as unknown as Record<string, Command>)[`${name}Buffer`]!(key, ...args);
    } catch (error) {
      throw storeError(error, script.writes);
    }
    return decodeReply(name, reply);
  }

  /**
   * A connection of its own, for commands that block or subscribe. It reconnects by itself and is closed together with
   * this one. A command that a loss of the connection cuts off is rejected (with retries it would never settle, as it is
   * not sent again), and so is one that waits when an attempt to connect fails.
   * @param answerMsMax a command that is not answered for so long finds the connection dead, and drops it
   * @param whileAway what becomes of a command while there is no connection: it waits for one, or is rejected at once
   */
  dedicated(answerMsMax?: number, whileAway: 'wait' | 'reject' = 'wait'): Redis {
    const client = this.#create({
      maxRetriesPerRequest: 0,
      enableOfflineQueue: whileAway === 'wait',
      ...(answerMsMax !== undefined && { socketTimeout: answerMsMax }),
    });
    this.#define(client);
    this.#dedicated.add(client);
    client.once('end', () => this.#dedicated.delete(client));
    return client;
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#isOpen = false;
    for (const client of this.#dedicated) client.disconnect();
    this.client.disconnect();
  }

  #define(client: Redis): void {
    for (const { name, lua } of this.#scripts.values()) client.defineCommand(name, { lua, numberOfKeys: 1 });
  }

  #create(options: RedisOptions): Redis {
    const where = 'socketPath' in this.#target ? { path: this.#target.socketPath } : urlOptions(this.#target.url);
    const all = { ...baseOptions, ...where, ...options } as RedisOptions;
    const client = new Redis({ ...all, replyMapping: 'legacy' });
    // Each failed attempt to connect is an error event; the loss itself was logged once, when it happened.
    client.on('error', (error: Error) => {
      this.#failure = error;
      this.#log.debug({ err: { message: error.message } }, 'Store connection error');
    });
    return client;
  }

  async #open(): Promise<void> {
    try {
      for (const step of this.#onOpen) await step();
      this.#isOpen = true;
      this.#log.debug('The connection to the store is open');
      this.#failure = undefined;
      this.#release(true);
    } catch (error) {
      if (this.#closing) return;
      this.#failure = error;
      this.#log.error({ err: error }, 'The store could not be opened; trying again');
      // Waiting does not help a store of the wrong kind.
      if (hasCode(error, 'INVALID_CONFIG')) this.#release(false);
      this.client.disconnect(true);
    }
  }

  #release(opened: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go(opened);
  }

  async #waitUntilOpen(ms: number): Promise<void> {
    if (this.#isOpen) return;
    if (this.#closing) throw new ServiceError('STORE_UNAVAILABLE', 'The server is stopping; nothing was done.');
    const opened = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== go);
        resolve(false);
      }, ms);
      const go = (opened: boolean) => {
        clearTimeout(timer);
        resolve(opened);
      };
      this.#waiting.push(go);
    });
    if (opened) return;
    throw new ServiceError('STORE_UNAVAILABLE', 'The store cannot be reached; nothing was done. Try again soon.');
  }
}

/** `redis://user:password@host:port/db`, `rediss:` for TLS. @throws Error naming the URL's fault, never its password */
function urlOptions(url: string): RedisOptions {
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const db = pathname.length > 1 ? Number(pathname.slice(1)) : 0;
  if (protocol !== 'redis:' && protocol !== 'rediss:')
    throw new Error(`The store's URL must begin with redis:// or rediss://, not ${protocol}`);
  if (!Number.isInteger(db) || db < 0)
    throw new Error(`The store's URL names the database ${pathname.slice(1)}; it must be a whole number`);
  return {
    host: hostname,
    port: port === '' ? 6379 : Number(port),
    db,
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' && { tls: {} }),
  };
}

/** Turns what the Redis client throws into the catalogue; what is no fault of the store stays as it is. */
function storeError(error: unknown, writes: boolean): unknown {
  if (!(error instanceof Error)) return error;
  const message = error.message;
  if (/^-?OOM\b/.test(message)) {
    return new ServiceError(
      'STORE_FULL',
      'The store is at its memory limit; nothing was written. Delete what is not needed, or raise the limit.',
      {},
      { cause: error },
    );
  }
  if (/^-?(LOADING|READONLY|MISCONF|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|BUSY|TRYAGAIN)\b/.test(message)) {
    return new ServiceError(
      'STORE_UNAVAILABLE',
      `The store refuses to serve now (${message.split(' ')[0]}).`,
      {},
      { cause: error },
    );
  }
  // The client attaches the whole command, and a log line would show what it carried: handles, hashes, data (guarantee E4).
  if (error.name === 'ReplyError') return Object.assign(error, { command: undefined });
  const neverSent = /isn't writeable|ECONNREFUSED|ENOENT/.test(message);
  const fate =
    writes && !neverSent
      ? 'Whether the change was made is unknown: retry with the same Idempotency-Key, or read it.'
      : 'Nothing was done.';
  return new ServiceError('STORE_UNAVAILABLE', `The store did not answer. ${fate}`, {}, { cause: error });
}
