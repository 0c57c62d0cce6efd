// The store of one cluster: the connection to Redis, and a typed interface for each kind of stored data. It checks each Redis
// before use, migrates older data, and creates the tree's fixed nodes.
import { randomBytes, randomInt } from 'node:crypto';
import type { Logger } from 'pino';
import { ServiceError } from '../core/service-error.ts';
import { AccessTokens } from './access/access-tokens.ts';
import { Brokers } from './brokers.ts';
import { Creators } from './creators.ts';
import { CommittedOffsets } from './groups/committed-offsets.ts';
import { Groups } from './groups/groups.ts';
import { storedResponseLimits } from './idempotency.ts';
import { coordinationKeys } from './keys.ts';
import { Fences } from './log/fences.ts';
import { LogMaintenance } from './log/log-maintenance.ts';
import { Logs } from './log/logs.ts';
import { Producers } from './log/producers.ts';
import { layoutOf, migrate } from './migrations/migrate.ts';
import { type Migration, migrations } from './migrations/migrations.ts';
import { StoreConnection } from './redis/connection.ts';
import { type LoadingProgress, parseInfo, runIdOf, type ServerInfo } from './redis/server-info.ts';
import type { StoreTarget } from './redis/target.ts';
import type { TopologyKind } from './redis/topology.ts';
import { integer, type ReplyValue, text } from './scripts.ts';
import { defaultStoredLimits, type StoredLimits } from './stored-limits.ts';
import { StoredResponses } from './stored-responses.ts';
import { Events } from './tree/events.ts';
import { Namespace } from './tree/namespace.ts';
import { Sessions } from './tree/sessions.ts';
import { SubtreeReader } from './tree/subtree-reader.ts';

/** The first zxid of a new epoch is a random one below this (lua/cluster/open.lua); at least as many transactions follow. */
const epochBeginMax = 2 ** 31;

/** The fixed nodes: the paths that Kafka uses in ZooKeeper. Parents come before children. */
const roots = [
  '/admin',
  '/admin/delete_topics',
  '/brokers',
  '/brokers/ids',
  '/brokers/topics',
  '/brokers/seqid',
  '/cluster',
  '/config',
  '/config/topics',
  '/consumers',
];

interface StoreOptions {
  target: StoreTarget;
  prefix: string;
  sessionMinTtlMs: number;
  sessionMaxTtlMs: number;
  maxNodeBytes: number;
  eventRetention: number;
  /** How long open() waits for a Redis that does not reply, ms. */
  storeWaitMs: number;
  /** How long a request may wait for Redis, ms. */
  storeTimeoutMs: number;
  /** Default: defaultStoredLimits. */
  storedLimits?: StoredLimits;
  /** Migrations of stored data, the oldest first; the last one leads to the layout of this program. */
  migrations?: readonly Migration[];
}

interface StoreStats {
  /** The version of the Redis that holds the tree. */
  version: string;
  engine: TopologyKind;
  /** How many Redis servers share the data. */
  shards: number;
  /** The addresses of those that cannot be reached; the values below are of the others. */
  unreachable: string[];
  usedMemoryBytes: number;
  /** 0 = no limit. */
  maxMemoryBytes: number;
  appendOnly: boolean;
}

export class Store {
  readonly connection: StoreConnection;
  readonly namespace: Namespace;
  readonly subtrees: SubtreeReader;
  readonly brokers: Brokers;
  readonly sessions: Sessions;
  readonly events: Events;
  readonly logs: Logs;
  readonly fences: Fences;
  readonly logMaintenance: LogMaintenance;
  readonly groups: Groups;
  readonly committedOffsets: CommittedOffsets;
  readonly producers: Producers;
  readonly creators: Creators;
  readonly accessTokens: AccessTokens;
  readonly storedResponses: StoredResponses;
  readonly #rootKey: string;
  readonly #options: StoreOptions;
  readonly #log: Logger;
  /** Resolves when the stored data has a layout that this program cannot read, so that the server must stop. */
  readonly unsupportedLayout: Promise<ServiceError>;
  #resolveUnsupportedLayout!: (reason: ServiceError) => void;
  readonly #migrations: readonly Migration[];
  #isMigrating = false;
  #clusterId = '';
  #serverVersion = '';

  constructor(options: StoreOptions, log: Logger) {
    const { eventRetention, maxNodeBytes, storedLimits = defaultStoredLimits } = options;
    const responseLimits = storedResponseLimits(storedLimits.responsesMax, storedLimits.responseBytesMax);
    const keys = coordinationKeys(options.prefix);
    this.#options = options;
    this.#log = log;
    this.#migrations = options.migrations ?? migrations;
    this.unsupportedLayout = new Promise((resolve) => {
      this.#resolveUnsupportedLayout = resolve;
    });
    this.#rootKey = keys.root;
    this.connection = new StoreConnection(options.target, log, keys.root, options.storeTimeoutMs);
    this.namespace = new Namespace(this.connection, keys, { maxNodeBytes, eventRetention, responseLimits });
    this.subtrees = new SubtreeReader(this.connection, keys, this.namespace.limiters.pages);
    this.sessions = new Sessions(this.connection, keys, {
      minTtlMs: options.sessionMinTtlMs,
      maxTtlMs: options.sessionMaxTtlMs,
      eventRetention,
      responseLimits,
      sessionsMax: storedLimits.sessionsMax,
    });
    this.brokers = new Brokers(this.connection, keys);
    this.events = new Events(this.connection, keys, log);
    this.logs = new Logs(this.connection, options.prefix, log, storedLimits);
    this.fences = new Fences(this.connection, options.prefix, storedLimits);
    this.producers = new Producers(this.connection, keys, { responseLimits, producersMax: storedLimits.producersMax });
    this.creators = new Creators(this.connection, keys);
    this.accessTokens = new AccessTokens(this.connection, keys, responseLimits);
    this.storedResponses = new StoredResponses(this.connection, keys, responseLimits);
    this.logMaintenance = new LogMaintenance(this.connection, options.prefix);
    this.groups = new Groups(this.connection, keys, this.namespace.limits);
    this.committedOffsets = new CommittedOffsets(this.connection, keys, this.namespace.limits);
    this.connection.onOpen((info, topology) => this.#open(info, topology));
  }

  /** The id of the cluster, '' until the store is open for the first time. */
  get clusterId(): string {
    return this.#clusterId;
  }

  /** The version of Redis. */
  get serverVersion(): string {
    return this.#serverVersion;
  }

  /** How many nodes the tree has, those of the service included, and how many of them are ephemeral. */
  async nodeCounts(): Promise<{ nodes: number; ephemerals: number }> {
    const [nodes, ephemerals] = await this.connection.command(false, (client) =>
      client.hmget(this.#rootKey, 'nodes', 'ephemeral_nodes'),
    );
    return { nodes: Number(nodes ?? 0), ephemerals: Number(ephemerals ?? 0) };
  }

  /** Whether the coordination keys can be used now. */
  get isOpen(): boolean {
    return this.connection.isOpen;
  }

  /** Whether this broker migrates older data now, or waits for another broker that does. */
  get isMigrating(): boolean {
    return this.#isMigrating;
  }

  /** How many of the Redis servers that share the data cannot be used now. */
  get unreachableShardCount(): number {
    return this.connection.unreachableShardCount;
  }

  /** How many times a connection to Redis was lost since the start. */
  get connectionLosses(): number {
    return this.connection.connectionLosses;
  }

  /** Statistics of all Redis servers that share the data. @throws ServiceError STORE_UNAVAILABLE if none can be reached */
  async stats(): Promise<StoreStats> {
    const { results: infos, unreachable } = await this.connection.queryShards(async (client) =>
      parseInfo(await client.info()),
    );
    const limits = infos.map((info) => Number(info.get('maxmemory')));
    return {
      version: this.#serverVersion,
      engine: this.connection.topology,
      shards: infos.length + unreachable.length,
      unreachable,
      usedMemoryBytes: sum(infos.map((info) => Number(info.get('used_memory')))),
      // If one server has no limit, the store as a whole has none.
      maxMemoryBytes: limits.includes(0) ? 0 : sum(limits),
      appendOnly: infos.every((info) => info.get('aof_enabled') === '1'),
    };
  }

  /** Connects and opens the store. @throws ServiceError STORE_UNAVAILABLE, or INVALID_CONFIG for a store that cannot serve */
  async open(): Promise<void> {
    this.connection.start();
    await this.ready();
  }

  /** Waits until the store is open again. @throws as open() */
  async ready(): Promise<void> {
    await this.connection.ready(this.#options.storeWaitMs, {
      isStoreBusy: () => this.#isMigrating || this.connection.loading !== undefined,
      onWait: (reason, leftMs) => {
        const text = `Redis cannot be reached; trying for ${Math.round(leftMs / 1000)} s more (WEIR_STORE_WAIT)`;
        this.#log.warn({ reason }, text);
      },
      onBusy: () => {
        const { loading } = this.connection;
        if (loading)
          this.#log.info({ ...loading }, 'Redis is loading its data; requests that need it are LOADING until then');
      },
    });
  }

  /** The error for requests that come before the store is open for the first time: LOADING or STORE_UNAVAILABLE. */
  notOpenError(loading: LoadingProgress | undefined = this.connection.loading): ServiceError {
    if (loading || this.#isMigrating) {
      const { percent, secondsLeft } = loading ?? { percent: 0, secondsLeft: 1 };
      const what = loading
        ? `Redis is loading its data: ${percent} %, about ${secondsLeft} s left`
        : 'The stored data is being migrated to the layout of this version';
      return new ServiceError('LOADING', `${what}. Nothing was done; try again later.`, { percent, secondsLeft });
    }
    const detail = `The server starts and waits for its store: ${this.connection.unavailableReason}. Nothing was done; try again soon.`;
    return new ServiceError('STORE_UNAVAILABLE', detail);
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  /** Runs after every connect, before any other call (lua/cluster/open.lua). */
  async #open(info: ServerInfo, topology: TopologyKind): Promise<void> {
    this.#serverVersion = info.get('redis_version') ?? 'unknown';
    this.#checkServer(info, topology);
    const [zxid, newEpoch, clusterId] = await this.#openData(info).catch((error: unknown) => {
      if (error instanceof ServiceError && error.fields.layout !== undefined) this.#resolveUnsupportedLayout(error);
      throw error;
    });
    if (this.#clusterId !== '' && this.#clusterId !== text(clusterId)) {
      this.#log.warn(
        { was: this.#clusterId, is: text(clusterId) },
        'Redis was emptied: all nodes, logs and groups are gone, and a new cluster begins',
      );
    }
    const isFirst = this.#clusterId === '';
    this.#clusterId = text(clusterId);
    if (text(newEpoch) === '1') {
      // A server that starts finds its private Redis started anew each time. While a server runs, nobody expects it.
      const level = isFirst ? 'info' : 'warn';
      this.#log[level](
        { zxid: integer(zxid) },
        'A new zxid epoch begins, as Redis was started again, failed over or was restored; what it had not yet synced is lost',
      );
    }
  }

  /** Migrates older data, then opens the store. @returns the reply of cluster/open */
  async #openData(info: ServerInfo): Promise<ReplyValue[]> {
    try {
      await migrate(this.connection, this.#rootKey, {
        prefix: this.#options.prefix,
        migrations: this.#migrations,
        log: this.#log,
        onOlderLayout: () => {
          this.#isMigrating = true;
        },
      });
    } finally {
      this.#isMigrating = false;
    }
    return this.connection.callWhileOpening('cluster/open', this.#rootKey, [
      runIdOf(info),
      layoutOf(this.#migrations),
      this.#options.eventRetention,
      randomBytes(16).toString('base64url'),
      randomInt(epochBeginMax),
      ...roots,
    ]);
  }

  #checkServer(info: ServerInfo, topology: TopologyKind): void {
    const major = Number(this.#serverVersion.split('.')[0]);
    if (!(major >= 7)) {
      throw new ServiceError(
        'INVALID_CONFIG',
        `The store is Redis ${this.#serverVersion}; Weirkeeper needs 7.0 or newer.`,
      );
    }
    if (info.get('role') === 'slave') {
      // Sentinels and cluster nodes may name the primary a moment too early or too late: a retry finds the right one. A replica in the
      // URL of a single server is a mistake of the operator.
      throw topology === 'standalone'
        ? new ServiceError('INVALID_CONFIG', 'The store is a read-only replica; give the URL of its primary.')
        : new ServiceError('STORE_UNAVAILABLE', 'The server that was reported as the primary is a replica.');
    }
    if (info.get('cluster_enabled') === '1' && topology !== 'cluster') {
      const scheme = 'redis+cluster://';
      throw new ServiceError(
        'INVALID_CONFIG',
        `The store is a node of a Redis Cluster; its URL must begin with ${scheme}.`,
      );
    }
    const policy = info.get('maxmemory_policy');
    if (policy !== undefined && policy !== 'noeviction') {
      this.#log.warn(
        { policy },
        'Redis may evict data when memory is short, and so lose acknowledged records: set maxmemory-policy noeviction',
      );
    }
    if (info.get('aof_enabled') === '0') {
      this.#log.warn(
        'Redis has no append-only file: when it stops, all changes since its last snapshot are lost. Set appendonly yes',
      );
    }
  }
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
