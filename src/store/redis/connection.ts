// The connection to the store: when it may be used, where each key's commands go, and what becomes of refusals. Everything
// that talks to Redis goes through call() or command(), or through a dedicated connection for commands that block.
import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import { decodeReply, loadScripts, type ReplyValue, type Script } from '../scripts.ts';
import { createTopology, topologyKindOf } from './create-topology.ts';
import { ManagedConnection } from './managed-connection.ts';
import type { LoadingProgress, ServerInfo } from './server-info.ts';
import { notReached, storeError } from './store-error.ts';
import type { StoreTarget } from './target.ts';
import { callRetryMsMax, startWaitLogEveryMs } from './time-limits.ts';
import type { Topology, TopologyKind } from './topology.ts';

type Command = (...args: (string | number | Buffer)[]) => Promise<unknown>;
/** Looks at a Redis before it is used. @throws ServiceError INVALID_CONFIG if it cannot serve */
type OpenHook = (info: ServerInfo, engine: TopologyKind) => Promise<void>;

/** What whoever waits for the store has to say to it. */
interface ReadyOptions {
  /** The store is there and needs its time, which does not count. */
  isStoreBusy(): boolean;
  /** Called now and then. */
  onWait(problem: string, leftMs: number): void;
}

export class StoreConnection {
  readonly #coordinationKey: string;
  readonly #topology: Topology;
  readonly #scripts: Map<string, Script>;
  readonly #openHooks: OpenHook[] = [];
  #connectionLosses = 0;
  #closing = false;
  #waiters = new Set<() => void>();

  /** @param coordinationKey one of the keys that all have the coordination slot */
  constructor(target: StoreTarget, log: Logger, coordinationKey: string) {
    this.#coordinationKey = coordinationKey;
    const kind = topologyKindOf(target);
    const scripts = loadScripts(undefined, kind === 'cluster');
    this.#scripts = scripts;
    const define = (client: Redis) => {
      for (const { name, lua } of scripts.values()) client.defineCommand(name, { lua, numberOfKeys: 1 });
      return client;
    };
    const onChange = () => this.#notifyWaiters();
    this.#topology = createTopology(target, {
      coordinationKey,
      onChange,
      makeConnection: ({ make, coordinates }) =>
        new ManagedConnection({
          createClient: (options) => define(make(options)),
          prepare: async (info) => {
            if (coordinates) for (const step of this.#openHooks) await step(info, kind);
          },
          onChange,
          onLost: () => {
            this.#connectionLosses += 1;
          },
          log,
        }),
    });
  }

  get topology(): TopologyKind {
    return this.#topology.kind;
  }

  /** Whether the coordination keys can be used now. */
  get isOpen(): boolean {
    return this.#topology.coordinationConnection.isOpen;
  }

  /** How often an open connection was lost, to any machine of the store. */
  get connectionLosses(): number {
    return this.#connectionLosses;
  }

  /**
   * Runs `step` each time the way to the coordination keys has become ready, before anybody else may use it. If it fails the
   * connection is dropped and tried again.
   */
  onOpen(step: OpenHook): void {
    this.#openHooks.push(step);
  }

  /** How far the Redis of the coordination keys has come that loads its data; undefined if it does not. */
  get loading(): LoadingProgress | undefined {
    return this.#topology.coordinationConnection.loading;
  }

  /** Why the coordination keys cannot be used now, for people. */
  get unavailableReason(): string {
    const reason = this.#topology.coordinationConnection.failure;
    return reason instanceof Error ? reason.message.replace(/\.$/, '') : 'it does not answer';
  }

  /** Begins to connect. */
  start(): void {
    this.#topology.start();
  }

  /**
   * Waits until the coordination keys can be used: a store that is started at the same time may need a while.
   * @throws ServiceError STORE_UNAVAILABLE, or INVALID_CONFIG at once for a store that cannot serve
   */
  async ready(waitMs: number, patience: ReadyOptions = { isStoreBusy: () => false, onWait: () => {} }): Promise<void> {
    const { coordinationConnection: coordination } = this.#topology;
    // Waiting does not help a store of the wrong kind, or one that refuses this server.
    const isDecided = () => coordination.isOpen || hasCode(coordination.failure, 'INVALID_CONFIG');
    let now = performance.now();
    let deadline = now + waitMs;
    let sayAt = now + 1000;
    while (!isDecided() && !this.#closing && now < deadline) {
      await this.#waitUntil(isDecided, Math.min(200, deadline - now));
      now = performance.now();
      if (patience.isStoreBusy()) deadline = now + waitMs;
      else if (now >= sayAt && !isDecided()) {
        sayAt = now + startWaitLogEveryMs;
        patience.onWait(this.unavailableReason, deadline - now);
      }
    }
    if (coordination.isOpen) return;
    if (this.#closing) throw new ServiceError('STORE_UNAVAILABLE', 'The server is stopping.');
    const reason = coordination.failure;
    if (hasCode(reason, 'INVALID_CONFIG')) throw reason;
    const waited = waitMs >= 1000 ? ` It was waited for during ${Math.round(waitMs / 1000)} s (WEIR_STORE_WAIT).` : '';
    const detail = `The store cannot be reached: ${this.unavailableReason}.${waited}`;
    throw new ServiceError('STORE_UNAVAILABLE', detail, {}, { cause: reason });
  }

  /**
   * Runs a script. `key` is its one key, which carries the hash tag of all that it touches.
   * Returns what follows OK in its reply.
   * @throws ServiceError with the script's code; STORE_UNAVAILABLE or STORE_FULL for the store itself
   */
  async call(name: string, key: string, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    const script = this.#script(name);
    const reply = await this.#send(key, script.writes, (client) => sendScript(client, name, key, args));
    return decodeReply(name, reply);
  }

  /** As call(), on the way to the coordination keys while it is being opened: only for the steps of onOpen. */
  async callUnguarded(name: string, key: string, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    return this.callOn(this.#topology.coordinationConnection.client, name, key, args);
  }

  /** As call(), from a step of onOpen, also for keys that are not coordination keys. */
  async callWhileOpening(name: string, key: string, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    return this.#isCoordination(key) ? this.callUnguarded(name, key, args) : this.call(name, key, args);
  }

  /** As command(), from a step of onOpen. */
  async commandWhileOpening<T>(key: string, command: (client: Redis) => Promise<T>): Promise<T> {
    if (!this.#isCoordination(key)) return this.command(true, command, key);
    return command(this.#topology.coordinationConnection.client).catch((error: unknown) => {
      throw storeError(error, true);
    });
  }

  /** As callUnguarded(), on a dedicated connection. */
  async callOn(client: Redis, name: string, key: string, args: (string | number | Buffer)[]): Promise<ReplyValue[]> {
    const script = this.#script(name);
    try {
      return decodeReply(name, await sendScript(client, name, key, args));
    } catch (error) {
      throw storeError(error, script.writes);
    }
  }

  /**
   * Runs plain commands on the keys of one slot.
   * @param writes whether they change anything
   * @param key one of the keys; absent: they are coordination keys
   */
  async command<T>(writes: boolean, command: (client: Redis) => Promise<T>, key = this.#coordinationKey): Promise<T> {
    return this.#send(key, writes, command);
  }

  /**
   * Asks each machine that holds a part of the data.
   * @returns the answers, and the addresses of those that gave none
   * @throws ServiceError STORE_UNAVAILABLE if none did
   */
  async queryShards<T>(ask: (client: Redis) => Promise<T>): Promise<{ answers: T[]; unreachable: string[] }> {
    const answers: T[] = [];
    const unreachable: string[] = [];
    let failure: unknown;
    await Promise.all(
      this.#topology.shards().map(async ({ place, link }) => {
        try {
          await this.#waitUntil(() => link.isOpen, callRetryMsMax);
          if (!link.isOpen) throw notReached();
          answers.push(await ask(link.client));
        } catch (error) {
          failure = storeError(error, false);
          if (!hasCode(failure, 'STORE_UNAVAILABLE')) throw failure;
          unreachable.push(place);
        }
      }),
    );
    if (answers.length === 0) throw failure ?? notReached();
    return { answers, unreachable: unreachable.sort() };
  }

  /** How many machines that hold a part of the data cannot be used now. */
  get unreachableShardCount(): number {
    return this.#topology.shards().filter(({ link }) => !link.isOpen).length;
  }

  /** The way to the Redis that holds a key. @throws ServiceError STORE_UNAVAILABLE */
  async connectionOf(key: string): Promise<ManagedConnection> {
    const link = this.#topology.connectionOf(key);
    return link?.isOpen ? link : this.#openConnectionOf(key, performance.now() + callRetryMsMax);
  }

  /** Stands for the machine that has a key, open or not: the same for all keys there. */
  shardOf(key: string): unknown {
    return this.#topology.connectionOf(key);
  }

  /** The run of the Redis that has just served a key: another one after a failover or a restart. */
  runIdOf(key: string): string {
    return this.#topology.connectionOf(key)?.runId ?? '';
  }

  /**
   * A connection of its own to where the coordination keys are, for commands that block or subscribe (managed-connection.ts).
   * @param replyMsMax a command that is not answered for so long finds the connection dead, and drops it (connection-watchdog.ts)
   * @param whileAway what becomes of a command while there is no connection: it waits for one, or is rejected at once
   */
  createDedicatedClient(replyMsMax?: number, whileAway: 'wait' | 'reject' = 'wait'): Redis {
    return this.#topology.coordinationConnection.createDedicatedClient(
      { enableOfflineQueue: whileAway === 'wait' },
      replyMsMax,
    );
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
    const script = this.#scripts.get(name);
    if (!script) throw new Error(`There is no script ${name}`);
    return script;
  }

  /** Sends a command to where its key is; again, for a bounded time, if it was refused before anything was done. */
  async #send<T>(key: string, writes: boolean, send: (client: Redis) => Promise<T>): Promise<T> {
    const deadline = performance.now() + callRetryMsMax;
    for (;;) {
      const known = this.#topology.connectionOf(key);
      const link = known?.isOpen ? known : await this.#openConnectionOf(key, deadline);
      try {
        return await send(link.client);
      } catch (error) {
        const pauseMs = error instanceof Error ? this.#topology.handleRefusal(error, key, link) : undefined;
        if (pauseMs === undefined || performance.now() + pauseMs > deadline) throw storeError(error, writes);
        if (pauseMs > 0) await this.#waitUntil(() => false, pauseMs);
      }
    }
  }

  async #openConnectionOf(key: string, deadline: number): Promise<ManagedConnection> {
    if (this.#closing) throw new ServiceError('STORE_UNAVAILABLE', 'The server is stopping; nothing was done.');
    await this.#waitUntil(() => this.#topology.connectionOf(key)?.isOpen === true, deadline - performance.now());
    const link = this.#topology.connectionOf(key);
    if (!link?.isOpen) throw notReached();
    return link;
  }

  #notifyWaiters(): void {
    for (const look of this.#waiters) look();
  }

  /** Waits until something holds, for at most `ms`; it is looked at whenever a link or the engine has changed. */
  async #waitUntil(holds: () => boolean, ms: number): Promise<void> {
    if (holds() || this.#closing) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiters.delete(look);
        resolve();
      };
      const look = () => {
        if (holds() || this.#closing) done();
      };
      const timer = setTimeout(done, Math.max(0, ms));
      this.#waiters.add(look);
    });
  }
}

function sendScript(client: Redis, name: string, key: string, args: (string | number | Buffer)[]): Promise<unknown> {
  corkUntilNextTick(client.stream as Socket | undefined);
  return (client as unknown as Record<string, Command>)[`${name}Buffer`]!(key, ...args);
}

/** What is written within one turn leaves in one piece: a call to the system for each would cost more than a small script. */
function corkUntilNextTick(stream: Socket | undefined): void {
  if (!stream || stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}
