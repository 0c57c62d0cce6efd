/**
 * The topology of Redis Cluster. The coordination keys are in one hash slot, so on one primary; each partition's log has a slot
 * of its own, so the logs are spread over all primaries. One connection follows the coordination slot wherever it moves and is
 * prepared anew each time; one more leads to each primary that holds logs.
 *
 * ioredis' own cluster client is not used, because it follows redirections by itself. A write could then reach a primary that
 * was promoted before the epoch rises there (ADR 003), and a script could run on a slot of which only some keys have arrived.
 * Here a command is redirected only if it did nothing, and only to a primary that was prepared (ADR 006).
 */
import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import type { RedisAddress } from '../../config/redis-url.ts';
import { ServiceError } from '../../core/service-error.ts';
import { createClient, locatingConnector } from './client.ts';
import type { ManagedConnection } from './managed-connection.ts';
import { type SlotRanges, SlotTable } from './slot-table.ts';
import { locateTimeoutMs, refusalRetryMs, topologyFreshMs, topologyRefreshMs } from './time-limits.ts';
import type { Shard, Topology, TopologyOptions } from './topology.ts';

export class ClusterTopology implements Topology {
  readonly kind = 'cluster';
  readonly coordinationConnection: ManagedConnection;
  readonly #seedNodes: RedisAddress[];
  readonly #credentials: RedisOptions;
  readonly #tls: ConnectionOptions | undefined;
  readonly #options: TopologyOptions;
  readonly #coordinationSlot: number;
  readonly #slots = new SlotTable();
  /** The connections to primaries that hold logs, by address. */
  readonly #connections = new Map<string, ManagedConnection>();
  #refreshing: Promise<void> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #refreshStartedAt = Number.NEGATIVE_INFINITY;
  #refreshTimer: NodeJS.Timeout | undefined;

  /**
   * @param seedNodes some nodes of the cluster; they name the others
   * @param credentials user and password
   */
  constructor(
    seedNodes: RedisAddress[],
    credentials: RedisOptions,
    tls: ConnectionOptions | undefined,
    options: TopologyOptions,
  ) {
    this.#seedNodes = seedNodes;
    this.#credentials = credentials;
    this.#tls = tls;
    this.#options = options;
    this.#coordinationSlot = SlotTable.slotOf(options.coordinationKey);
    const connector = locatingConnector(() => this.#locateCoordination(), tls);
    this.coordinationConnection = options.createConnection({
      isCoordination: true,
      createClient: (clientOptions) => createClient({ ...credentials, ...connector, ...clientOptions }),
    });
  }

  get changes(): number {
    return this.#slots.changes;
  }

  connectionOf(key: string): ManagedConnection | undefined {
    const slot = SlotTable.slotOf(key);
    if (slot === this.#coordinationSlot) return this.coordinationConnection;
    const primary = this.#slots.primaryOf(slot);
    const connection = primary === undefined ? undefined : this.#connectionTo(primary);
    // The primary may be dead and a replica promoted: no node reports that unless it is asked.
    if (!connection?.isOpen) this.#refreshSoon();
    return connection;
  }

  shards(): Shard[] {
    return [...this.#slots.primaries].map((address) => ({ address, connection: this.#connectionTo(address) }));
  }

  handleRefusal(error: Error, key: string, connection: ManagedConnection): number | undefined {
    const { message } = error;
    if (/^-?MOVED\b/.test(message)) {
      this.#slots.applyMoved(message, connection.address);
      this.#refreshSoon();
      if (connection === this.coordinationConnection) connection.reconnect();
      // If MOVED names the node that sent it, the other nodes learn of the change within a moment.
      return this.connectionOf(key) === connection ? refusalRetryMs : 0;
    }
    // The data of the server was deleted, and it must be opened again (lua/lib/require-open.lua).
    if (/^-?UNOPENED\b/.test(message)) {
      connection.reconnect();
      return 0;
    }
    // The slot is being migrated, and no script that writes runs before all its keys have arrived (scripts.ts); or its primary
    // is gone, and no replica was promoted yet.
    if (/^-?(ASK|TRYAGAIN|CLUSTERDOWN|READONLY)\b|non local key/.test(message)) {
      this.#refreshSoon();
      return refusalRetryMs;
    }
    return undefined;
  }

  start(): void {
    this.coordinationConnection.connect();
    this.#refreshTimer = setInterval(() => this.#refreshSoon(), topologyRefreshMs).unref();
  }

  close(): void {
    clearInterval(this.#refreshTimer);
    this.coordinationConnection.close();
    for (const connection of this.#connections.values()) connection.close();
  }

  #connectionTo(address: string): ManagedConnection {
    let connection = this.#connections.get(address);
    if (!connection) {
      const node = { ...this.#credentials, ...this.#slots.addressOf(address), ...(this.#tls && { tls: this.#tls }) };
      connection = this.#options.createConnection({
        isCoordination: false,
        createClient: (options) => createClient({ ...node, ...options }),
      });
      // The node may be dead, and another one the primary of its slots.
      connection.client.on('close', () => this.#refreshSoon());
      this.#connections.set(address, connection);
      connection.connect();
    }
    return connection;
  }

  async #locateCoordination(): Promise<RedisAddress> {
    await this.#refresh();
    const primary = this.#slots.primaryOf(this.#coordinationSlot);
    if (primary === undefined) throw new Error('no node of the Redis Cluster serves the slot of the coordination keys');
    return this.#slots.addressOf(primary);
  }

  #refreshSoon(): void {
    // If no node replies, later requests start the next attempt, but not each of them.
    if (performance.now() - this.#refreshStartedAt >= topologyFreshMs) this.#refresh().catch(() => undefined);
  }

  /** Reads the slots from the cluster, unless that was done within topologyFreshMs. @throws Error if no node replies */
  #refresh(): Promise<void> {
    if (performance.now() - this.#refreshedAt < topologyFreshMs) return Promise.resolve();
    this.#refreshing ??= this.#updateSlots().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #updateSlots(): Promise<void> {
    this.#refreshStartedAt = performance.now();
    const nodes = new Map(
      [...this.#seedNodes, ...this.#slots.nodes].map((node) => [`${node.host}:${node.port}`, node]),
    );
    try {
      // All are asked at once, as some may be dead. A node that is cut off from the majority knows it, and does not count.
      const { ranges, source } = await Promise.any([...nodes.values()].map((node) => this.#querySlots(node)));
      const before = this.#slots.primaryOf(this.#coordinationSlot);
      this.#slots.replace(ranges, source);
      const hasMoved = before !== undefined && this.#slots.primaryOf(this.#coordinationSlot) !== before;
      if (hasMoved) this.coordinationConnection.reconnect();
    } catch (error) {
      const reasons = (error as AggregateError).errors as Error[];
      const misconfigured = reasons.find((reason) => reason instanceof ServiceError);
      const details = reasons.map(({ message }) => message).join('; ');
      throw misconfigured ?? new Error(`no node of the Redis Cluster replies (${details})`);
    }
    this.#refreshedAt = performance.now();
    for (const [address, connection] of this.#connections)
      if (!this.#slots.primaries.has(address)) this.#retire(address, connection);
    this.#options.onChange();
  }

  async #querySlots(node: RedisAddress): Promise<{ ranges: SlotRanges; source: RedisAddress }> {
    const client = createClient({
      ...this.#credentials,
      ...node,
      ...(this.#tls && { tls: this.#tls }),
      connectTimeout: locateTimeoutMs,
      commandTimeout: locateTimeoutMs,
      enableReadyCheck: false,
      retryStrategy: null,
    });
    let reason: Error | undefined;
    client.on('error', (error: Error) => {
      reason = error;
    });
    try {
      await client.connect();
      const [state, ranges] = await Promise.all([client.cluster('INFO'), client.cluster('SLOTS')]);
      if (!String(state).includes('cluster_state:ok')) throw new Error('it reports that the cluster is down');
      return { ranges: ranges as SlotRanges, source: node };
    } catch (error) {
      const { message } = reason ?? (error as Error);
      if (/cluster support disabled/.test(message)) {
        throw new ServiceError(
          'INVALID_CONFIG',
          `WEIR_REDIS_URL is redis+cluster://, but ${node.host}:${node.port} is no node of a Redis Cluster. Use redis:// for a ` +
            'single Redis.',
        );
      }
      throw new Error(`${node.host}:${node.port}: ${message}`);
    } finally {
      client.disconnect();
    }
  }

  /** Closes the connection to a former primary once its commands in flight have ended or timed out. */
  #retire(address: string, connection: ManagedConnection): void {
    this.#connections.delete(address);
    setTimeout(() => connection.close(), this.#options.retireAfterMs).unref();
  }
}
