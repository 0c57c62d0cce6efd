// The only way from the rest of the store to Redis. It waits for an open connection, sends each command to the server that
// holds its key, repeats commands that were refused before they did anything, and turns failures into catalogue errors.
import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { required } from '../../core/required.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import {
  decodeReply,
  type ReplyValue,
  type Script,
  type ScriptArguments,
  type ScriptFinder,
  scriptFinderFor,
} from '../scripts.ts';
import { createTopology, topologyKindOf } from './create-topology.ts';
import { ManagedConnection } from './managed-connection.ts';
import { OrderedScripts } from './ordered-scripts.ts';
import type { LoadingProgress, ServerInfo } from './server-info.ts';
import { storeError, unreachableError } from './store-error.ts';
import type { StoreTarget } from './target.ts';
import { type CallTimeouts, callTimeouts, startWaitLogEveryMs } from './time-limits.ts';
import type { Topology, TopologyKind } from './topology.ts';

type Command = (...args: (string | number | Buffer)[]) => Promise<unknown>;
/** Prepares a Redis before it is used. @throws ServiceError INVALID_CONFIG if it cannot be the store */
type OpenHook = (info: ServerInfo, topology: TopologyKind) => Promise<void>;

interface ReadyOptions {
  /** Whether the store is loading or migrating its data. That time does not count as waiting. */
  isStoreBusy(): boolean;
  /** One of them is called while waiting: after 1 s, then every startWaitLogEveryMs. */
  onBusy(): void;
  onWait(reason: string, leftMs: number): void;
}

interface CallOptions {
  /**
   * Whether the call must run behind all ordered calls that were made before it on keys of the same slot. It is not repeated, and
   * does not wait for a connection, as later ones could overtake it then.
   */
  ordered?: boolean;
}

export class StoreConnection {
  readonly timeouts: CallTimeouts;
  readonly #coordinationKey: string;
  readonly #topology: Topology;
  readonly #findScript: ScriptFinder;
  readonly #openHooks: OpenHook[] = [];
  readonly #orderedScripts = new OrderedScripts();
  #connectionLosses = 0;
  #onCall: ((name: string, ms: number) => void) | undefined;
  #closing = false;
  #waiters = new Set<() => void>();

  /**
   * @param coordinationKey any key of the hash slot that holds the coordination keys (store/keys.ts)
   * @param storeTimeoutMs how long a request may wait for Redis
   */
  constructor(target: StoreTarget, log: Logger, coordinationKey: string, storeTimeoutMs: number) {
    const timeouts = callTimeouts(storeTimeoutMs);
    this.timeouts = timeouts;
    this.#coordinationKey = coordinationKey;
    const kind = topologyKindOf(target);
    this.#findScript = scriptFinderFor(kind === 'cluster');
    const onChange = () => this.#notifyWaiters();
    this.#topology = createTopology(target, {
      coordinationKey,
      retireAfterMs: timeouts.commandMs,
      onChange,
      createConnection: ({ createClient, isCoordination }) =>
        new ManagedConnection({
          createClient,
          prepare: async (info) => {
            if (isCoordination) for (const hook of this.#openHooks) await hook(info, kind);
          },
          onChange,
          timeouts,
          onLost: () => {
            this.#connectionLosses += 1;
          },
          log,
        }),
    });
  }

  /** Calls `listener` after each call of a script, or of commands that have a name, with that name and how long the reply took. */
  onCall(listener: (name: string, ms: number) => void): void {
    this.#onCall = listener;
  }

  get topology(): TopologyKind {
    return this.#topology.kind;
  }

  /** Whether the coordination keys can be used now. */
  get isOpen(): boolean {
    return this.#topology.coordinationConnection.isOpen;
  }

  /** How many times an open connection to any server of the store was lost since the start. */
  get connectionLosses(): number {
    return this.#connectionLosses;
  }

  /**
   * Registers a hook that runs each time the connection to the coordination keys is established, before any other call uses
   * it. If the hook rejects, the connection is closed and established again.
   */
  onOpen(hook: OpenHook): void {
    this.#openHooks.push(hook);
  }

  /** How far the Redis of the coordination keys has loaded its data; undefined if it is not loading. */
  get loading(): LoadingProgress | undefined {
    return this.#topology.coordinationConnection.loading;
  }

  /** Why the coordination keys cannot be used now, as the end of a sentence. */
  get unavailableReason(): string {
    const reason = this.#topology.coordinationConnection.failure;
    return reason instanceof Error ? reason.message.replace(/\.$/, '') : 'Redis does not reply';
  }

  /** Begins to connect. */
  start(): void {
    this.#topology.start();
  }

  /**
   * Waits until the coordination keys can be used, as a Redis that starts at the same time may need a while.
   * @throws ServiceError STORE_UNAVAILABLE after `waitMs`; INVALID_CONFIG at once if waiting cannot help
   */
  async ready(
    waitMs: number,
    options: ReadyOptions = { isStoreBusy: () => false, onBusy: () => {}, onWait: () => {} },
  ): Promise<void> {
    const { coordinationConnection: connection } = this.#topology;
    const isDecided = () => connection.isOpen || hasCode(connection.failure, 'INVALID_CONFIG');
    let now = performance.now();
    let deadline = now + waitMs;
    let logAt = now + 1000;
    while (!isDecided() && !this.#closing && now < deadline) {
      await this.#waitUntil(isDecided, Math.min(200, deadline - now));
      now = performance.now();
      const isBusy = options.isStoreBusy();
      if (isBusy) deadline = now + waitMs;
      if (now < logAt || isDecided()) continue;
      logAt = now + startWaitLogEveryMs;
      if (isBusy) options.onBusy();
      else options.onWait(this.unavailableReason, deadline - now);
    }
    if (connection.isOpen) return;
    if (this.#closing) throw new ServiceError('STORE_UNAVAILABLE', 'The server is stopping.');
    const reason = connection.failure;
    if (hasCode(reason, 'INVALID_CONFIG')) throw reason;
    const waited = waitMs >= 1000 ? ` The server waited for ${Math.round(waitMs / 1000)} s (WEIR_STORE_WAIT).` : '';
    const detail = `The store cannot be reached: ${this.unavailableReason}.${waited}`;
    throw new ServiceError('STORE_UNAVAILABLE', detail, {}, { cause: reason });
  }

  /**
   * Runs a script.
   * @param key the one key that the script declares; all keys that it uses have the same hash tag
   * @returns the reply without its leading OK
   * @throws ServiceError with the code that the script replied; STORE_UNAVAILABLE or STORE_FULL for a failure of Redis
   */
  async call(
    name: string,
    key: string,
    args: ScriptArguments,
    { ordered = false }: CallOptions = {},
  ): Promise<ReplyValue[]> {
    const script = this.#script(name);
    const beganAt = performance.now();
    try {
      const reply = await (ordered
        ? this.#sendOnce(script, key, args)
        : this.#send(key, script.writes, (client) => sendScript(client, script, key, args)));
      return decodeReply(name, reply);
    } finally {
      this.#onCall?.(name, performance.now() - beganAt);
    }
  }

  /** As call(), for the hooks of onOpen(): the connection to the coordination keys is used before it is open. */
  async callWhileOpening(name: string, key: string, args: ScriptArguments): Promise<ReplyValue[]> {
    return this.#isCoordination(key)
      ? this.callOn(this.#topology.coordinationConnection.client, name, key, args)
      : this.call(name, key, args);
  }

  /** As command(), for the hooks of onOpen(). */
  async commandWhileOpening<T>(key: string, command: (client: Redis) => Promise<T>): Promise<T> {
    if (!this.#isCoordination(key)) return this.command(true, command, key);
    return command(this.#topology.coordinationConnection.client).catch((error: unknown) => {
      throw storeError(error, true);
    });
  }

  /** As call(), on a client of createDedicatedClient(). Nothing is repeated. */
  async callOn(client: Redis, name: string, key: string, args: ScriptArguments): Promise<ReplyValue[]> {
    const script = this.#script(name);
    try {
      return decodeReply(name, await sendScript(client, script, key, args));
    } catch (error) {
      throw storeError(error, script.writes);
    }
  }

  /**
   * Runs plain commands on the keys of one hash slot.
   * @param writes whether they change anything
   * @param key one of the keys; by default a coordination key
   * @param name under which the listener of onCall() is told of the call, if it shall be
   */
  async command<T>(
    writes: boolean,
    command: (client: Redis) => Promise<T>,
    key = this.#coordinationKey,
    name?: string,
  ): Promise<T> {
    const beganAt = performance.now();
    try {
      return await this.#send(key, writes, (client) => {
        corkUntilNextTick(client.stream as Socket | undefined);
        return command(client);
      });
    } finally {
      if (name !== undefined) this.#onCall?.(name, performance.now() - beganAt);
    }
  }

  /**
   * Runs a query on each server that holds a part of the data.
   * @returns the results, and the addresses of the servers that could not be reached
   * @throws ServiceError STORE_UNAVAILABLE if none could be reached
   */
  async queryShards<T>(query: (client: Redis) => Promise<T>): Promise<{ results: T[]; unreachable: string[] }> {
    const results: T[] = [];
    const unreachable: string[] = [];
    let failure: unknown;
    await Promise.all(
      this.#topology.shards().map(async ({ address, connection }) => {
        try {
          await this.#waitUntil(() => connection.isOpen, this.timeouts.retryMs);
          if (!connection.isOpen) throw unreachableError();
          results.push(await query(connection.client));
        } catch (error) {
          failure = storeError(error, false);
          if (!hasCode(failure, 'STORE_UNAVAILABLE')) throw failure;
          unreachable.push(address);
        }
      }),
    );
    if (results.length === 0) throw failure ?? unreachableError();
    return { results, unreachable: unreachable.sort() };
  }

  /** How many of the servers that hold a part of the data cannot be used now. */
  get unreachableShardCount(): number {
    return this.#topology.shards().filter(({ connection }) => !connection.isOpen).length;
  }

  /** The open connection to the server that holds a key. @throws ServiceError STORE_UNAVAILABLE */
  async connectionOf(key: string): Promise<ManagedConnection> {
    const connection = this.#topology.connectionOf(key);
    return connection?.isOpen ? connection : this.#openConnectionOf(key, performance.now() + this.timeouts.retryMs);
  }

  /** Identifies the server that holds a key, reachable or not: the same value for all keys of that server. */
  shardOf(key: string): unknown {
    return this.#topology.connectionOf(key);
  }

  /**
   * Identifies the run of the server that serves a key, for what was read from it: another value after anything that may have lost
   * changes, or led elsewhere and back.
   */
  serverRunOf(key: string): string {
    return `${this.runIdOf(key)} ${this.#connectionLosses} ${this.#topology.changes}`;
  }

  /** The `run_id` of the Redis that last served a key: another one after a failover or a restart. */
  runIdOf(key: string): string {
    return this.#topology.connectionOf(key)?.runId ?? '';
  }

  /**
   * Creates a client with a connection of its own to the server of the coordination keys, for commands that block or
   * subscribe (see ManagedConnection.createDedicatedClient).
   * @param replyMsMax the connection counts as dead if a command gets no reply for so long
   * @param whenDisconnected what happens to commands without a connection: they wait for one, or are rejected at once
   */
  createDedicatedClient(replyMsMax?: number, whenDisconnected: 'wait' | 'reject' = 'wait'): Redis {
    const options = { enableOfflineQueue: whenDisconnected === 'wait' };
    return this.#topology.coordinationConnection.createDedicatedClient(options, replyMsMax);
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#topology.close();
    this.#notifyWaiters();
  }

  #isCoordination(key: string): boolean {
    return this.#topology.connectionOf(key) === this.#topology.coordinationConnection;
  }

  #script(name: string): Script {
    const script = this.#findScript(name);
    if (!script) throw new Error(`There is no script ${name}`);
    return script;
  }

  /** Sends a command to the server of its key; again, for at most timeouts.retryMs, if it was refused before it did anything. */
  async #send<T>(key: string, writes: boolean, send: (client: Redis) => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.timeouts.retryMs;
    for (;;) {
      const known = this.#topology.connectionOf(key);
      const connection = known?.isOpen ? known : await this.#openConnectionOf(key, deadline);
      try {
        return await send(connection.client);
      } catch (error) {
        const pauseMs = error instanceof Error ? this.#topology.handleRefusal(error, key, connection) : undefined;
        if (pauseMs === undefined || performance.now() + pauseMs > deadline) throw storeError(error, writes);
        if (pauseMs > 0) await this.#waitUntil(() => false, pauseMs);
      }
    }
  }

  /**
   * Sends a script once, at once: the only await is for its reply. Calls that were refused are not repeated, but what is known of the
   * servers is brought up to date, for later ones.
   */
  async #sendOnce(script: Script, key: string, args: ScriptArguments): Promise<unknown> {
    const connection = this.#topology.connectionOf(key);
    if (!connection?.isOpen) throw unreachableError();
    corkUntilNextTick(connection.client.stream as Socket | undefined);
    try {
      return await this.#orderedScripts.send(connection.client, script, key, args);
    } catch (error) {
      if (error instanceof Error) this.#topology.handleRefusal(error, key, connection);
      throw storeError(error, script.writes);
    }
  }

  async #openConnectionOf(key: string, deadline: number): Promise<ManagedConnection> {
    if (this.#closing) throw new ServiceError('STORE_UNAVAILABLE', 'The server is stopping; nothing was done.');
    await this.#waitUntil(() => this.#topology.connectionOf(key)?.isOpen === true, deadline - performance.now());
    const connection = this.#topology.connectionOf(key);
    if (!connection?.isOpen) throw unreachableError();
    return connection;
  }

  #notifyWaiters(): void {
    for (const check of this.#waiters) check();
  }

  /** Waits for at most `ms` until `holds` is true, which is checked whenever a connection or the topology changes. */
  async #waitUntil(holds: () => boolean, ms: number): Promise<void> {
    if (holds() || this.#closing) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiters.delete(check);
        resolve();
      };
      const check = () => {
        if (holds() || this.#closing) done();
      };
      const timer = setTimeout(done, Math.max(0, ms));
      this.#waiters.add(check);
    });
  }
}

function sendScript(client: Redis, { name, lua }: Script, key: string, args: ScriptArguments): Promise<unknown> {
  corkUntilNextTick(client.stream as Socket | undefined);
  const commands = client as unknown as Record<string, Command | undefined>;
  // A client defines a script with its first call: to hash all of them for each client was a tenth of the start of a server.
  if (!commands[`${name}Buffer`]) client.defineCommand(name, { lua, numberOfKeys: 1 });
  return required(commands[`${name}Buffer`], 'command that was defined').call(client, key, ...args);
}

/** Joins all writes of one tick into one system call: a system call for each would cost more than a small script. */
function corkUntilNextTick(stream: Socket | undefined): void {
  if (!stream || stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}
