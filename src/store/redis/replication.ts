// Waits until written data is on Redis' replicas (WAIT) and, where Redis can tell, on the primary's disk (WAITAOF, from 7.2 on):
// what a produce with acks=all needs. It reports how many replicas there are; how many are required is the caller's rule. Each
// server that holds a part of the data has its own replicas.
import type { Redis } from 'ioredis';
import { ServiceError } from '../../core/service-error.ts';
import type { StoreConnection } from './connection.ts';
import type { ManagedConnection } from './managed-connection.ts';
import { parseInfo, runIdOf } from './server-info.ts';
import { storeError } from './store-error.ts';

/** The limit of both waits together, ms. Healthy replicas, and a sync each second, need less; with an append it stays below 2 s (guarantee E3). */
const waitMsMax = 1500;
/** The least time for a wait that starts late because the one before it timed out, ms: enough for healthy replicas. */
const waitMsMin = 100;
const replyMsMax = 1700;

/** One WAIT (and WAITAOF), shared by all calls that came before it was sent. */
interface ReplicationWait {
  /** The largest number of replicas that a call asked for. */
  replicas: number;
  key: string;
  /** When the first of these calls was made, by performance.now(): its time in the queue counts. */
  requestedAt: number;
  /** `runId` = that of the Redis that was asked; undefined if there was nothing to wait for. */
  done: Promise<ReplicationResult & { runId: string | undefined }>;
}

export interface ReplicationResult {
  /** How many replicas have the data. */
  replicas: number;
  /** Whether it is synced to the disk of the primary; also true if Redis cannot tell, or has no append-only file. */
  isSynced: boolean;
}

interface Primary {
  runId: string;
  /** Whether it syncs its append-only file and can report that (WAITAOF). */
  canWaitForSync: boolean;
}

export class Replication {
  readonly #connection: StoreConnection;
  readonly #shards = new WeakMap<ManagedConnection, ShardReplication>();

  constructor(connection: StoreConnection) {
    this.#connection = connection;
  }

  /** The smallest number of connected replicas among the servers that hold these keys. @throws ServiceError STORE_UNAVAILABLE */
  async connectedReplicas(keys: readonly string[]): Promise<number> {
    const keyByConnection = new Map<ManagedConnection, string>();
    for (const key of keys) keyByConnection.set(await this.#connection.connectionOf(key), key);
    const counts = [...keyByConnection.values()].map(async (key) => {
      const info = await this.#connection.command(false, (client) => client.info('replication'), key);
      return Number(parseInfo(info).get('connected_slaves') ?? 0);
    });
    return Math.min(...(await Promise.all(counts)));
  }

  /**
   * Waits, for at most waitMsMax, until `replicas` replicas and the primary's disk have everything that was written before.
   * @param key a key of the same hash slot that may be overwritten (store/keys.ts: `replicated`)
   * @param runId the run of the Redis that the data was written to
   * @returns fewer replicas, or not synced, if the time was over
   * @throws ServiceError STORE_UNAVAILABLE, also if Redis has another run id by now: then it is unknown whether it has the data
   */
  async waitForReplicas(key: string, replicas: number, runId: string): Promise<ReplicationResult> {
    const connection = await this.#connection.connectionOf(key);
    let shard = this.#shards.get(connection);
    if (!shard) {
      shard = new ShardReplication(connection);
      this.#shards.set(connection, shard);
    }
    const result = await shard.waitForReplicas(key, replicas);
    if (result.runId === undefined || result.runId === runId) return result;
    throw new ServiceError(
      'STORE_UNAVAILABLE',
      'Redis has failed over or restarted since this was written. Whether the data is still there is unknown: retry with the ' +
        'same Idempotency-Key, or read it.',
    );
  }
}

/** The waits on one server. */
class ShardReplication {
  readonly #connection: ManagedConnection;
  #client: Redis | undefined;
  /** The server that the client is connected to; undefined if it must be inspected first. */
  #primary: Primary | undefined;
  #current: Promise<unknown> = Promise.resolve();
  #next: ReplicationWait | undefined;

  constructor(connection: ManagedConnection) {
    this.#connection = connection;
  }

  waitForReplicas(key: string, replicas: number): ReplicationWait['done'] {
    // Calls that come while a wait is in flight share the next one.
    if (this.#next) {
      this.#next.replicas = Math.max(this.#next.replicas, replicas);
      return this.#next.done;
    }
    const next: ReplicationWait = {
      replicas,
      key,
      requestedAt: performance.now(),
      done: this.#current.then(() => this.#wait(next)),
    };
    this.#next = next;
    this.#current = next.done.catch(() => undefined);
    return next.done;
  }

  async #wait(wait: ReplicationWait): ReplicationWait['done'] {
    this.#next = undefined;
    // WAIT blocks its connection and refers to that connection's last write. So it has a connection of its own, and makes a
    // small write first: replicas receive writes in order, so this one stands for all that came before it.
    this.#client ??= this.#connect();
    try {
      this.#primary ??= await inspectPrimary(this.#client);
      const primary = this.#primary;
      const { runId, canWaitForSync } = primary;
      if (wait.replicas === 0 && !canWaitForSync) return { replicas: 0, isSynced: true, runId: undefined };
      const deadline = Math.max(wait.requestedAt + waitMsMax, performance.now() + waitMsMin);
      const leftMs = () => Math.max(1, Math.ceil(deadline - performance.now()));
      await this.#client.set(wait.key, '1', 'PX', waitMsMax);
      const replicas = wait.replicas === 0 ? 0 : await this.#client.wait(wait.replicas, leftMs());
      const isSynced = !canWaitForSync || (await waitForSync(this.#client, leftMs()));
      // If the connection was lost in between, these commands may have reached two different servers.
      return { replicas, isSynced, runId: this.#primary === primary ? runId : '' };
    } catch (error) {
      throw storeError(error, true);
    }
  }

  #connect(): Redis {
    const options = { enableOfflineQueue: true, commandTimeout: replyMsMax };
    const client = this.#connection.createDedicatedClient(options, replyMsMax);
    client.on('close', () => {
      this.#primary = undefined;
    });
    return client;
  }
}

async function inspectPrimary(client: Redis): Promise<Primary> {
  const info = parseInfo(await client.info());
  const [command] = (await client.command('INFO', 'waitaof')) as unknown[];
  const canWaitForSync = Boolean(command) && info.get('aof_enabled') === '1' && (await isFsyncEnabled(client));
  return { runId: runIdOf(info), canWaitForSync };
}

/**
 * Whether Redis ever syncs its append-only file: with `appendfsync no` WAITAOF would time out each time. True if the user may not
 * read the configuration.
 */
async function isFsyncEnabled(client: Redis): Promise<boolean> {
  try {
    const [, policy] = (await client.config('GET', 'appendfsync')) as string[];
    return policy !== 'no';
  } catch (error) {
    if (error instanceof Error && /^-?NOPERM\b/.test(error.message)) return true;
    throw error;
  }
}

/** Whether the append-only file of the primary is synced within `ms`. The files of its replicas do not count. */
async function waitForSync(client: Redis, ms: number): Promise<boolean> {
  const [local] = (await client.call('WAITAOF', '1', '0', String(ms))) as [number, number];
  return Number(local) >= 1;
}
