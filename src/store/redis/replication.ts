// Whether the store's replicas have what was written, and its disk where Redis can tell (WAITAOF, from 7.2 on): what a produce
// with acks=all waits for. It counts replicas; how many there must be is the topic's setting, and the caller's business. Each
// machine of the store has replicas of its own.
import type { Redis } from 'ioredis';
import { ServiceError } from '../../core/service-error.ts';
import type { StoreConnection } from './connection.ts';
import type { ManagedConnection } from './managed-connection.ts';
import { parseInfo, runIdOf } from './server-info.ts';
import { storeError } from './store-error.ts';

/** For both together. Longer than replicas ever take that keep up, and than a sync each second; with an append as usual this stays below 2 s (guarantee E3). */
const waitMsMax = 1500;
/** A round that begins late, as the one before has waited in vain, gives replicas that keep up no less than this. */
const waitMsMin = 100;
const replyMsMax = 1700;

interface ReplicationWait {
  replicas: number;
  key: string;
  /** When the first that asked for it did, as performance.now(): the time that it has waited for its turn counts. */
  requestedAt: number;
  /** `runId` = of the Redis that was asked; undefined if there was nothing to ask. */
  done: Promise<ReplicationResult & { runId: string | undefined }>;
}

export interface ReplicationResult {
  /** How many replicas have it. */
  replicas: number;
  /** Whether it is synced to the disk of the primary; true if that cannot be told, or there is no append-only file. */
  isSynced: boolean;
}

/** A Redis, as far as it matters here. */
interface Primary {
  runId: string;
  /** Whether it can tell that its append-only file is synced, and does sync it. */
  canWaitForSync: boolean;
}

export class Replication {
  readonly #connection: StoreConnection;
  readonly #shards = new WeakMap<ManagedConnection, ShardReplication>();

  constructor(connection: StoreConnection) {
    this.#connection = connection;
  }

  /** How many replicas each Redis has at least, now, of those that hold these keys. */
  async connectedReplicas(keys: readonly string[]): Promise<number> {
    const byLink = new Map<ManagedConnection, string>();
    for (const key of keys) byLink.set(await this.#connection.connectionOf(key), key);
    const counts = [...byLink.values()].map(async (key) => {
      const info = await this.#connection.command(false, (client) => client.info('replication'), key);
      return Number(parseInfo(info).get('connected_slaves') ?? 0);
    });
    return Math.min(...(await Promise.all(counts)));
  }

  /**
   * Waits until `count` replicas, and the disk of the primary where it can tell, have everything that was written before this
   * call, but not for long.
   * @param key one that may be overwritten (keys.ts: replicated), beside what was written
   * @param runId the run of the Redis that it was written to
   * @returns who has it: fewer than `count`, or not the disk, if it took too long
   * @throws ServiceError STORE_UNAVAILABLE, also if another Redis has taken the place of that run: whether it has what was
   *   written is unknown
   */
  async waitForReplicas(key: string, count: number, runId: string): Promise<ReplicationResult> {
    const link = await this.#connection.connectionOf(key);
    let shard = this.#shards.get(link);
    if (!shard) {
      shard = new ShardReplication(link);
      this.#shards.set(link, shard);
    }
    const confirmed = await shard.waitForReplicas(key, count);
    if (confirmed.runId === undefined || confirmed.runId === runId) return confirmed;
    throw new ServiceError(
      'STORE_UNAVAILABLE',
      'The store has failed over, or was restarted, since this was written. Whether it has it still is unknown: retry with the ' +
        'same Idempotency-Key, or read it.',
    );
  }
}

/** The replicas of one Redis. */
class ShardReplication {
  readonly #connection: ManagedConnection;
  #client: Redis | undefined;
  /** What the client is connected to; undefined when it has to be asked for. */
  #primary: Primary | undefined;
  #current: Promise<unknown> = Promise.resolve();
  #next: ReplicationWait | undefined;

  constructor(link: ManagedConnection) {
    this.#connection = link;
  }

  waitForReplicas(key: string, count: number): ReplicationWait['done'] {
    // Calls that come while a wait is under way share the next one.
    if (this.#next) {
      this.#next.replicas = Math.max(this.#next.replicas, count);
      return this.#next.done;
    }
    const round: ReplicationWait = {
      replicas: count,
      key,
      requestedAt: performance.now(),
      done: this.#current.then(() => this.#wait(round)),
    };
    this.#next = round;
    this.#current = round.done.catch(() => undefined);
    return round.done;
  }

  async #wait(round: ReplicationWait): ReplicationWait['done'] {
    this.#next = undefined;
    // WAIT holds up its whole connection, so it has one of its own. It waits for that connection's last write; replicas
    // get writes in their order, so a small one now stands for all that came before.
    this.#client ??= this.#connect();
    try {
      this.#primary ??= await inspectPrimary(this.#client);
      const primary = this.#primary;
      const { runId, canWaitForSync: tellsSync } = primary;
      if (round.replicas === 0 && !tellsSync) return { replicas: 0, isSynced: true, runId: undefined };
      const until = Math.max(round.requestedAt + waitMsMax, performance.now() + waitMsMin);
      const leftMs = () => Math.max(1, Math.ceil(until - performance.now()));
      await this.#client.set(round.key, '1', 'PX', waitMsMax);
      const count = round.replicas === 0 ? 0 : await this.#client.wait(round.replicas, leftMs());
      const isSynced = !tellsSync || (await waitForSync(this.#client, leftMs()));
      // If the connection was lost between these commands, they may have gone to two Redis.
      return { replicas: count, isSynced, runId: this.#primary === primary ? runId : '' };
    } catch (error) {
      throw storeError(error, true);
    }
  }

  #connect(): Redis {
    const client = this.#connection.createDedicatedClient(
      { enableOfflineQueue: true, commandTimeout: replyMsMax },
      replyMsMax,
    );
    client.on('close', () => {
      this.#primary = undefined;
    });
    return client;
  }
}

async function inspectPrimary(client: Redis): Promise<Primary> {
  const info = parseInfo(await client.info());
  const [command] = (await client.command('INFO', 'waitaof')) as unknown[];
  const tellsSync = Boolean(command) && info.get('aof_enabled') === '1' && (await isFsyncEnabled(client));
  return { runId: runIdOf(info), canWaitForSync: tellsSync };
}

/** With `appendfsync no` nobody syncs the file, and WAITAOF would wait in vain each time. Where the user may not ask, it is believed to be synced. */
async function isFsyncEnabled(client: Redis): Promise<boolean> {
  try {
    const [, policy] = (await client.config('GET', 'appendfsync')) as string[];
    return policy !== 'no';
  } catch (error) {
    if (error instanceof Error && /^-?NOPERM\b/.test(error.message)) return true;
    throw error;
  }
}

/** Whether the append-only file of the primary is synced within `ms`; its replicas' files are not asked for. */
async function waitForSync(client: Redis, ms: number): Promise<boolean> {
  const [local] = (await client.call('WAITAOF', '1', '0', String(ms))) as [number, number];
  return Number(local) >= 1;
}
