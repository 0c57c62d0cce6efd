// The store of one cluster: its connection, and the nouns that live in it. Opening it makes the tree's roots.
import { randomBytes, randomInt } from 'node:crypto';
import type { Logger } from 'pino';
import { ServiceError } from '../core/service-error.ts';
import { CommittedOffsets } from './groups/committed-offsets.ts';
import { Groups } from './groups/groups.ts';
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
import { StoredResponses, storedResponseLimits } from './stored-responses.ts';
import { Events } from './tree/events.ts';
import { Namespace } from './tree/namespace.ts';
import { Sessions } from './tree/sessions.ts';

/** An epoch of zxids begins at a place below this (lua/cluster/open.lua); as many transactions and more fit behind it. */
const epochBeginMax = 2 ** 31;

/** Kafka's own directories, there from the first start (docs/concepts.md, Map of the tree). Parents come before children. */
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

export interface StoreOptions {
  target: StoreTarget;
  prefix: string;
  sessionMinTtlMs: number;
  sessionMaxTtlMs: number;
  maxNodeBytes: number;
  eventRetention: number;
  /** How long open() waits for a store that does not answer. */
  storeWaitMs: number;
  /** Absent: the usual ones. */
  storedLimits?: StoredLimits;
  /** Conversions of stored data; the last one leads to the layout of this program. Default: those of the product. */
  migrations?: readonly Migration[];
}

export interface StoreStats {
  /** Of the Redis that holds the tree. */
  version: string;
  engine: TopologyKind;
  /** How many machines share the data. */
  shards: number;
  /** The addresses of those that do not answer now; the figures below are of the others. */
  unreachable: string[];
  usedMemoryBytes: number;
  /** 0 = no limit. */
  maxMemoryBytes: number;
  appendOnly: boolean;
}

export class Store {
  readonly connection: StoreConnection;
  readonly namespace: Namespace;
  readonly sessions: Sessions;
  readonly events: Events;
  readonly logs: Logs;
  readonly fences: Fences;
  readonly logMaintenance: LogMaintenance;
  readonly groups: Groups;
  readonly committedOffsets: CommittedOffsets;
  readonly producers: Producers;
  readonly storedResponses: StoredResponses;
  readonly #rootKey: string;
  readonly #options: StoreOptions;
  readonly #log: Logger;
  /** Resolves when the stored data turns out to be of a layout that this program does not read: no waiting helps. */
  readonly unsupportedLayout: Promise<ServiceError>;
  #resolveUnsupportedLayout!: (reason: ServiceError) => void;
  readonly #migrations: readonly Migration[];
  #isMigrating = false;
  #clusterId = '';
  #serverVersion = '';

  constructor(options: StoreOptions, log: Logger) {
    const { eventRetention, maxNodeBytes, storedLimits: stored = defaultStoredLimits } = options;
    const responses = storedResponseLimits(stored.responsesMax, stored.responseBytesMax);
    const keys = coordinationKeys(options.prefix);
    this.#options = options;
    this.#log = log;
    this.#migrations = options.migrations ?? migrations;
    this.unsupportedLayout = new Promise((resolve) => {
      this.#resolveUnsupportedLayout = resolve;
    });
    this.#rootKey = keys.root;
    this.connection = new StoreConnection(options.target, log, keys.root);
    this.namespace = new Namespace(this.connection, keys, { maxNodeBytes, eventRetention, responseLimits: responses });
    this.sessions = new Sessions(this.connection, keys, {
      minTtlMs: options.sessionMinTtlMs,
      maxTtlMs: options.sessionMaxTtlMs,
      eventRetention,
      responses,
      sessionsMax: stored.sessionsMax,
    });
    this.events = new Events(this.connection, keys, log);
    this.logs = new Logs(this.connection, options.prefix, log, stored);
    this.fences = new Fences(this.connection, options.prefix, stored);
    this.producers = new Producers(this.connection, keys, { responses, producersMax: stored.producersMax });
    this.storedResponses = new StoredResponses(this.connection, keys, responses);
    this.logMaintenance = new LogMaintenance(this.connection, options.prefix);
    this.groups = new Groups(this.connection, keys, this.namespace.limits);
    this.committedOffsets = new CommittedOffsets(this.connection, keys, this.namespace.limits);
    this.connection.onOpen((info, engine) => this.#open(info, engine));
  }

  get clusterId(): string {
    return this.#clusterId;
  }

  get serverVersion(): string {
    return this.#serverVersion;
  }

  /** Whether the tree can be used now. */
  get isOpen(): boolean {
    return this.connection.isOpen;
  }

  /** Whether this broker is converting older data now, or waits for another one that does. */
  get isMigrating(): boolean {
    return this.#isMigrating;
  }

  /** How many of the machines that share the data cannot be used now. */
  get unreachableShardCount(): number {
    return this.connection.unreachableShardCount;
  }

  /** How often a connection to it was lost. */
  get connectionLosses(): number {
    return this.connection.connectionLosses;
  }

  /** The store's own figures, for the operator: of all machines that hold a part of the data together. */
  async stats(): Promise<StoreStats> {
    const asked = await this.connection.queryShards(async (client) => parseInfo(await client.info()));
    const { answers, unreachable } = asked;
    const limits = answers.map((info) => Number(info.get('maxmemory')));
    return {
      version: this.#serverVersion,
      engine: this.connection.topology,
      shards: answers.length + unreachable.length,
      unreachable,
      usedMemoryBytes: sum(answers.map((info) => Number(info.get('used_memory')))),
      // Where one has no limit, all have none.
      maxMemoryBytes: limits.includes(0) ? 0 : sum(limits),
      appendOnly: answers.every((info) => info.get('aof_enabled') === '1'),
    };
  }

  /** Connects and opens the store. @throws ServiceError STORE_UNAVAILABLE, or INVALID_CONFIG for a store that cannot serve */
  async open(): Promise<void> {
    this.connection.start();
    await this.ready();
  }

  /** Waits until it is open again, as open() does. */
  async ready(): Promise<void> {
    await this.connection.ready(this.#options.storeWaitMs, {
      isStoreBusy: () => this.#isMigrating || this.connection.loading !== undefined,
      onWait: (problem, leftMs) => {
        const seconds = Math.round(leftMs / 1000);
        this.#log.warn({ problem }, `Waiting for the store, for up to ${seconds} s more (WEIR_STORE_WAIT)`);
      },
    });
  }

  /** What becomes of requests before the store is open for the first time. */
  notOpenError(loading: LoadingProgress | undefined = this.connection.loading): ServiceError {
    if (loading || this.#isMigrating) {
      const { percent, secondsLeft } = loading ?? { percent: 0, secondsLeft: 1 };
      const what = loading
        ? `The store loads its data: ${percent} %, about ${secondsLeft} s left`
        : 'The stored data is converted to the layout of this version';
      return new ServiceError('LOADING', `${what}. Nothing was done; try again then.`, { percent, secondsLeft });
    }
    const detail = `The server starts and waits for its store: ${this.connection.unavailableReason}. Nothing was done; try again soon.`;
    return new ServiceError('STORE_UNAVAILABLE', detail);
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  /** Runs after every (re)connect, before any other call: see lua/cluster/open.lua. */
  async #open(info: ServerInfo, engine: TopologyKind): Promise<void> {
    this.#serverVersion = info.get('redis_version') ?? 'unknown';
    this.#checkServer(info, engine);
    const [zxid, newEpoch, clusterId] = await this.#openData(info).catch((error: unknown) => {
      if (error instanceof ServiceError && error.fields.layout !== undefined) this.#resolveUnsupportedLayout(error);
      throw error;
    });
    if (this.#clusterId !== '' && this.#clusterId !== text(clusterId)) {
      this.#log.warn({ was: this.#clusterId, is: text(clusterId) }, 'The store was emptied: a new cluster begins');
    }
    this.#clusterId = text(clusterId);
    if (text(newEpoch) === '1') {
      this.#log.warn(
        { zxid: integer(zxid) },
        'The store is another run than before (a restart, a failover or a restored backup): a new epoch of zxids begins',
      );
    }
  }

  /** Converts older data, then makes the store ready for use. */
  async #openData(info: ServerInfo): Promise<ReplyValue[]> {
    this.#isMigrating = true;
    try {
      const { prefix } = this.#options;
      await migrate(this.connection, this.#rootKey, { prefix, migrations: this.#migrations, log: this.#log });
    } finally {
      this.#isMigrating = false;
    }
    return this.connection.callUnguarded('cluster/open', this.#rootKey, [
      runIdOf(info),
      layoutOf(this.#migrations),
      this.#options.eventRetention,
      randomBytes(16).toString('base64url'),
      randomInt(epochBeginMax),
      ...roots,
    ]);
  }

  #checkServer(info: ServerInfo, engine: TopologyKind): void {
    const major = Number(this.#serverVersion.split('.')[0]);
    if (!(major >= 7)) {
      throw new ServiceError('INVALID_CONFIG', `The store is Redis ${this.#serverVersion}; 7.0 or newer is needed.`);
    }
    if (info.get('role') === 'slave') {
      // Sentinels and nodes of a cluster may say so a moment too early or too late; what an URL names is what was meant.
      throw engine === 'standalone'
        ? new ServiceError('INVALID_CONFIG', 'The store is a read-only replica; give the URL of its primary.')
        : new ServiceError('STORE_UNAVAILABLE', 'What is said to be the primary is a replica.');
    }
    if (info.get('cluster_enabled') === '1' && engine !== 'cluster') {
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
        'The store may evict data when memory is short, which loses acknowledged records: set maxmemory-policy noeviction',
      );
    }
    if (info.get('aof_enabled') === '0') {
      this.#log.warn(
        'The store keeps no append-only file: what was acknowledged since its last snapshot is lost when it stops',
      );
    }
  }
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
