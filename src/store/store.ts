// The store of one cluster: its connection, and the nouns that live in it. Opening it makes the tree's roots.
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { ServiceError } from '../core/service-error.ts';
import { StoreConnection, type StoreTarget } from './connection.ts';
import { Events } from './events.ts';
import { Groups } from './groups.ts';
import { coordinationKeys } from './keys.ts';
import { Logs } from './logs.ts';
import { Namespace } from './namespace.ts';
import { Producers } from './producers.ts';
import { integer, text } from './scripts.ts';
import { Sessions } from './sessions.ts';

/** The version of the data in the store. A program refuses data of a newer layout than it knows. */
const layoutVersion = 1;

/** Kafka's own directories, there from the first start (kafka-semantics, section 1). Parents come before children. */
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
}

export class Store {
  readonly connection: StoreConnection;
  readonly namespace: Namespace;
  readonly sessions: Sessions;
  readonly events: Events;
  readonly logs: Logs;
  readonly groups: Groups;
  readonly producers: Producers;
  readonly #rootKey: string;
  readonly #options: StoreOptions;
  readonly #log: Logger;
  #clusterId = '';
  #serverVersion = '';

  constructor(options: StoreOptions, log: Logger) {
    const { eventRetention, maxNodeBytes } = options;
    const keys = coordinationKeys(options.prefix);
    this.#options = options;
    this.#log = log;
    this.#rootKey = keys.root;
    this.connection = new StoreConnection(options.target, log);
    this.namespace = new Namespace(this.connection, keys, { maxNodeBytes, eventRetention });
    this.sessions = new Sessions(this.connection, keys, {
      minTtlMs: options.sessionMinTtlMs,
      maxTtlMs: options.sessionMaxTtlMs,
      eventRetention,
    });
    this.events = new Events(this.connection, keys, log);
    this.logs = new Logs(this.connection, options.prefix, log);
    this.producers = new Producers(this.connection, keys);
    this.groups = new Groups(this.connection, keys, this.namespace.limits);
    this.connection.onOpen(() => this.#open());
  }

  get clusterId(): string {
    return this.#clusterId;
  }

  get serverVersion(): string {
    return this.#serverVersion;
  }

  /** The store's own figures, for the operator. */
  async figures(): Promise<{ version: string; usedMemoryBytes: number; maxMemoryBytes: number; appendOnly: boolean }> {
    const info = parseInfo(await this.connection.command(false, (client) => client.info()));
    return {
      version: this.#serverVersion,
      usedMemoryBytes: Number(info.get('used_memory')),
      maxMemoryBytes: Number(info.get('maxmemory')),
      appendOnly: info.get('aof_enabled') === '1',
    };
  }

  /** Connects and opens the store. @throws ServiceError STORE_UNAVAILABLE, or INVALID_CONFIG for a store that cannot serve */
  async open(): Promise<void> {
    await this.connection.connect();
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  /** Runs after every (re)connect, before any other call: see lua/cluster/open.lua. */
  async #open(): Promise<void> {
    const info = parseInfo(await this.connection.client.info());
    this.#serverVersion = info.get('redis_version') ?? 'unknown';
    this.#check(info);
    const [zxid, newEpoch, clusterId] = await this.connection.callUnguarded('cluster/open', this.#rootKey, [
      info.get('run_id') ?? '',
      layoutVersion,
      this.#options.eventRetention,
      randomBytes(16).toString('base64url'),
      ...roots,
    ]);
    this.#clusterId = text(clusterId);
    if (text(newEpoch) === '1') {
      this.#log.warn(
        { zxid: integer(zxid) },
        'The store is another run than before (a restart, a failover or a restored backup): a new epoch of zxids begins',
      );
    }
  }

  #check(info: Map<string, string>): void {
    const major = Number(this.#serverVersion.split('.')[0]);
    if (!(major >= 7)) {
      throw new ServiceError('INVALID_CONFIG', `The store is Redis ${this.#serverVersion}; 7.0 or newer is needed.`);
    }
    if (info.get('role') === 'slave') {
      throw new ServiceError('INVALID_CONFIG', 'The store is a read-only replica; give the URL of its primary.');
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

function parseInfo(info: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of info.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}
