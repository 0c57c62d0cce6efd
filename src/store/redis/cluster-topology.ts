/**
 * Redis Cluster: the coordination keys lie in one hash slot, so on one primary; each partition's log has a slot of its own,
 * so the logs are spread over all of them. There is one link for coordination, which follows its slot wherever that goes and
 * is opened anew each time, and one for each primary that holds logs.
 *
 * Why not the cluster client of ioredis: it follows redirections by itself, so that a write could reach a primary that has
 * just been promoted before the epoch rises there (ADR 003), and it runs scripts on a slot of which only some keys
 * have arrived. Here a refusal is followed only if nothing was done, and only to a primary that was opened (ADR 006).
 */
import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import type { RedisAddress } from '../../config/redis-url.ts';
import { ServiceError } from '../../core/service-error.ts';
import { createClient, locatingConnector } from './client.ts';
import type { ManagedConnection } from './managed-connection.ts';
import { type SlotRanges, SlotTable } from './slot-table.ts';
import {
  commandTimeoutMs,
  locateTimeoutMs,
  refusalRetryMs,
  topologyFreshMs,
  topologyRefreshMs,
} from './time-limits.ts';
import type { Topology, TopologyOptions } from './topology.ts';

export class ClusterTopology implements Topology {
  readonly kind = 'cluster';
  readonly coordinationConnection: ManagedConnection;
  readonly #seedNodes: RedisAddress[];
  readonly #credentials: RedisOptions;
  readonly #tls: ConnectionOptions | undefined;
  readonly #options: TopologyOptions;
  readonly #coordinationSlot: number;
  readonly #slots = new SlotTable();
  /** By address, those of primaries that hold logs. */
  readonly #connections = new Map<string, ManagedConnection>();
  #refreshing: Promise<void> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #refreshStartedAt = Number.NEGATIVE_INFINITY;
  #refreshTimer: NodeJS.Timeout | undefined;

  /**
   * @param seeds some nodes of the cluster, to ask for the others
   * @param access user and password
   */
  constructor(
    seeds: RedisAddress[],
    access: RedisOptions,
    tls: ConnectionOptions | undefined,
    options: TopologyOptions,
  ) {
    this.#seedNodes = seeds;
    this.#credentials = access;
    this.#tls = tls;
    this.#options = options;
    this.#coordinationSlot = SlotTable.slotOf(options.coordinationKey);
    const where = locatingConnector(() => this.#locateCoordination(), tls);
    this.coordinationConnection = options.makeConnection({
      coordinates: true,
      make: (clientOptions) => createClient({ ...access, ...where, ...clientOptions }),
    });
  }

  connectionOf(key: string): ManagedConnection | undefined {
    const slot = SlotTable.slotOf(key);
    if (slot === this.#coordinationSlot) return this.coordinationConnection;
    const owner = this.#slots.primaryOf(slot);
    const link = owner === undefined ? undefined : this.#connectionTo(owner);
    // Its node may hang, and a replica have taken its place: nobody says so unless he is asked.
    if (!link?.isOpen) this.#refreshSoon();
    return link;
  }

  shards(): { place: string; link: ManagedConnection }[] {
    return [...this.#slots.primaries].map((place) => ({ place, link: this.#connectionTo(place) }));
  }

  handleRefusal(error: Error, key: string, link: ManagedConnection): number | undefined {
    const { message } = error;
    if (/^-?MOVED\b/.test(message)) {
      this.#slots.applyMoved(message, link.address);
      this.#refreshSoon();
      if (link === this.coordinationConnection) link.reconnect();
      // If its own node says so, it was told of a change that others will hear of in a moment.
      return this.connectionOf(key) === link ? refusalRetryMs : 0;
    }
    // It was emptied (lua/lib/require-open.lua).
    if (/^-?UNOPENED\b/.test(message)) {
      link.reconnect();
      return 0;
    }
    // A slot that is under way to another node: no script that writes runs before it has arrived as a whole (scripts.ts). And
    // a slot whose primary is gone, until a replica takes its place.
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
    for (const link of this.#connections.values()) link.close();
  }

  #connectionTo(address: string): ManagedConnection {
    let link = this.#connections.get(address);
    if (!link) {
      const where = { ...this.#credentials, ...this.#slots.addressOf(address), ...(this.#tls && { tls: this.#tls }) };
      link = this.#options.makeConnection({
        coordinates: false,
        make: (options) => createClient({ ...where, ...options }),
      });
      // Its node may be dead, and another one the primary.
      link.client.on('close', () => this.#refreshSoon());
      this.#connections.set(address, link);
      link.connect();
    }
    return link;
  }

  async #locateCoordination(): Promise<RedisAddress> {
    await this.#refresh();
    const owner = this.#slots.primaryOf(this.#coordinationSlot);
    if (owner === undefined) throw new Error('no node of the Redis Cluster serves the slot of the coordination keys');
    return this.#slots.addressOf(owner);
  }

  #refreshSoon(): void {
    // If no node answers, whoever needs one asks again; but not at each request.
    if (performance.now() - this.#refreshStartedAt >= topologyFreshMs) this.#refresh().catch(() => undefined);
  }

  /** Asks the cluster for its slots, unless that was done a moment ago. @throws Error if no node answers */
  #refresh(): Promise<void> {
    if (performance.now() - this.#refreshedAt < topologyFreshMs) return Promise.resolve();
    this.#refreshing ??= this.#updateSlots().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #updateSlots(): Promise<void> {
    this.#refreshStartedAt = performance.now();
    const known = new Map(
      [...this.#seedNodes, ...this.#slots.nodes].map((place) => [`${place.host}:${place.port}`, place]),
    );
    try {
      // All at once: some may be dead, and whoever is cut off from the others knows it, and does not answer.
      const { ranges, place } = await Promise.any([...known.values()].map((place) => this.#querySlots(place)));
      const before = this.#slots.primaryOf(this.#coordinationSlot);
      this.#slots.replace(ranges, place);
      if (before !== undefined && this.#slots.primaryOf(this.#coordinationSlot) !== before)
        this.coordinationConnection.reconnect();
    } catch (error) {
      const reasons = (error as AggregateError).errors as Error[];
      const known = reasons.find((reason) => reason instanceof ServiceError);
      throw (
        known ?? new Error(`no node of the Redis Cluster answers (${reasons.map(({ message }) => message).join('; ')})`)
      );
    }
    this.#refreshedAt = performance.now();
    for (const [address, link] of this.#connections)
      if (!this.#slots.primaries.has(address)) this.#retire(address, link);
    this.#options.onChange();
  }

  async #querySlots(place: RedisAddress): Promise<{ ranges: SlotRanges; place: RedisAddress }> {
    const client = createClient({
      ...this.#credentials,
      ...place,
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
      if (!String(state).includes('cluster_state:ok')) throw new Error('it says that the cluster is down');
      return { ranges: ranges as SlotRanges, place };
    } catch (error) {
      const { message } = reason ?? (error as Error);
      if (/cluster support disabled/.test(message)) {
        throw new ServiceError('INVALID_CONFIG', `${place.host}:${place.port} is no node of a Redis Cluster.`);
      }
      throw new Error(`${place.host}:${place.port}: ${message}`);
    } finally {
      client.disconnect();
    }
  }

  /** What is still under way on a primary that is none any more ends in its own time. */
  #retire(address: string, link: ManagedConnection): void {
    this.#connections.delete(address);
    setTimeout(() => link.close(), commandTimeoutMs).unref();
  }
}
