// A server whose tree is filled to a given size directly through Redis. Measures the cost of one more create in it.
import { pino } from 'pino';
import { coordinationKeys } from '../../src/store/keys.ts';
import { StoreConnection } from '../../src/store/redis/connection.ts';
import type { Namespace, Op } from '../../src/store/tree/namespace.ts';
import { HttpLoad, requestBytes } from './http-load.ts';
import { WeirServer } from './processes.ts';
import { callWith, namespaceOn, RedisLoad, scriptCallOf } from './redis-load.ts';
import { nodeData } from './workload.ts';

const multiSize = 1000;
const multisInFlight = 2;
const connections = 64;
/** Creates in one round, in whole pipelines. Their nodes are deleted after it, so that the size of the tree stays the same. */
const createsPerRound = 512;

/** The shape of the tree; `parents` = over how many parents the nodes are spread. */
export interface Shape {
  name: string;
  parents: number;
}

export class TreeSite {
  readonly server: WeirServer;
  readonly shape: Shape;
  readonly redis: RedisLoad;
  readonly #namespace: Namespace;
  readonly #connection: StoreConnection;
  readonly #load: HttpLoad;
  #next = 0;
  #nodes = 0;

  private constructor(
    server: WeirServer,
    shape: Shape,
    ways: { redis: RedisLoad; connection: StoreConnection; load: HttpLoad },
  ) {
    this.server = server;
    this.shape = shape;
    this.redis = ways.redis;
    this.#load = ways.load;
    this.#connection = ways.connection;
    this.#namespace = namespaceOn(ways.connection);
  }

  static async open(shape: Shape): Promise<TreeSite> {
    const server = await WeirServer.open();
    const connection = new StoreConnection(
      { socketPath: server.socketPath },
      pino({ level: 'silent' }),
      coordinationKeys('weir').root,
      2000,
    );
    connection.start();
    await connection.ready(10_000);
    const redis = await RedisLoad.open(server.socketPath);
    const site = new TreeSite(server, shape, { redis, connection, load: await HttpLoad.open(server.url, connections) });
    await site.create(['/size', ...Array.from({ length: shape.parents }, (_, i) => site.parent(i))]);
    return site;
  }

  /** The path of a parent; each call returns the next one in rotation. */
  parent(index: number): string {
    return `/size/p${String(index % this.shape.parents).padStart(4, '0')}`;
  }

  /** Creates nodes that do not count towards the size, in one transaction. */
  async create(paths: string[]): Promise<void> {
    await this.#namespace.write(paths.map((path) => ({ op: 'create', path, data: nodeData })));
  }

  /** Fills the tree up to `nodes`, with multis of sequential creates. @returns creates per second */
  async fill(nodes: number): Promise<number> {
    const missing = nodes - this.#nodes;
    const startedAt = performance.now();
    const loop = async () => {
      while (this.#nodes < nodes) {
        const count = Math.min(multiSize, nodes - this.#nodes);
        this.#nodes += count;
        const operations = Array.from({ length: count }, (): Op => {
          const path = `${this.parent(this.#next++)}/n-`;
          return { op: 'create', path, sequential: true, data: nodeData };
        });
        await this.#namespace.write(operations);
      }
    };
    await Promise.all(Array.from({ length: multisInFlight }, loop));
    const perSecond = (missing * 1000) / (performance.now() - startedAt);
    await this.redis.settled();
    return perSecond;
  }

  /** @returns the time of one create in Redis, µs, as Redis reports it */
  async createStraightUs(): Promise<number> {
    const call = await scriptCallOf((tree) => tree.write([{ op: 'create', path: '/somewhere', data: nodeData }]));
    const paths = this.#extraPaths();
    let sent = 0;
    const before = await this.redis.scriptTime();
    await this.redis.run(
      () => callWith(call, { op: 'create', path: paths[sent++]!, data: nodeData }),
      connections,
      10_000,
      paths.length,
    );
    const after = await this.redis.scriptTime();
    await this.#delete(paths);
    return (after.us - before.us) / (after.calls - before.calls);
  }

  /** @returns the time from one create over HTTP to the next with 64 connections, µs */
  async createOverHttpUs(): Promise<number> {
    const paths = this.#extraPaths();
    let sent = 0;
    const next = () => requestBytes('PUT', `/v1/nodes${paths[sent++]}`, nodeData);
    const { perSecond } = await this.#load.run(next, 10_000, paths.length);
    await this.#delete(paths);
    return 1e6 / perSecond;
  }

  async close(): Promise<void> {
    this.#load.close();
    this.redis.close();
    await this.#connection.close();
    await this.server.stop();
  }

  /** The creates of one round, spread over all parents. */
  #extraPaths(): string[] {
    return Array.from({ length: createsPerRound }, (_, i) => `${this.parent(i * 7)}/extra-${i}`);
  }

  async #delete(paths: string[]): Promise<void> {
    await this.#namespace.write(paths.map((path) => ({ op: 'delete', path })));
  }
}
