// What the questions about a cluster are measured on: a Redis that is started anew by itself when it ends, and brokers over it,
// each a process as an operator starts it.
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedRedis, startEmbeddedRedis } from '../../src/store/embedded-redis.ts';
import { resolveRedisBinary } from '../../src/store/redis-binary.ts';
import { ServerProcess } from './processes.ts';

const quiet = { info() {}, warn() {}, error() {} };

export interface ClusterScale {
  rounds: number;
  roundMs: number;
  /** How often each failure is made. */
  failures: number;
  /** How long after its last sign of life a broker counts as dead. */
  sessionTtlMs: number;
}

/** A broker with an id of its own, under which it comes back at the same address. */
export class ClusterBroker extends ServerProcess {
  readonly id: number;

  static open(id: number, port: number, redisPort: number, sessionTtlMs: number): Promise<ClusterBroker> {
    const env = {
      WEIR_PORT: String(port),
      WEIR_BROKER_ID: String(id),
      WEIR_REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      WEIR_BROKER_SESSION_TTL: `${sessionTtlMs}ms`,
    };
    return ServerProcess.start(new ClusterBroker(id, env), (line, broker) => {
      if (line.msg !== 'Weirkeeper serves') return false;
      broker.url = String(line.url);
      return true;
    });
  }

  private constructor(id: number, env: Record<string, string>) {
    super('src/main.js', env);
    this.id = id;
  }

  /** As a crash does it: nothing is handed over. */
  async kill(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await ended;
    await this.stop();
  }
}

export class ClusterSite {
  readonly scale: ClusterScale;
  readonly redis: EmbeddedRedis;
  readonly brokers: ClusterBroker[] = [];
  readonly #redisPort: number;
  readonly #ports = new Map<number, number>();
  readonly #dataDir: string;

  static async open(scale: ClusterScale): Promise<ClusterSite> {
    const dataDir = await mkdtemp(join(tmpdir(), 'weir-bench-'));
    const port = await freePort();
    const binary = await resolveRedisBinary({ log: quiet });
    const redis = await startEmbeddedRedis({ dataDir, appendfsync: 'everysec', binary, log: quiet, port });
    return new ClusterSite(scale, redis, port, dataDir);
  }

  private constructor(scale: ClusterScale, redis: EmbeddedRedis, redisPort: number, dataDir: string) {
    this.scale = scale;
    this.redis = redis;
    this.#redisPort = redisPort;
    this.#dataDir = dataDir;
  }

  /** Starts the broker with this id, for the first time or again. */
  async startBroker(id: number): Promise<ClusterBroker> {
    const port = this.#ports.get(id) ?? (await freePort());
    this.#ports.set(id, port);
    const broker = await ClusterBroker.open(id, port, this.#redisPort, this.scale.sessionTtlMs);
    this.brokers[id - 1] = broker;
    return broker;
  }

  async close(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.stop()));
    await this.redis.stop();
    rmSync(this.#dataDir, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** JSON of an address; undefined if there is no answer, or a failure. */
export async function json(url: string, method = 'GET', body?: unknown) {
  try {
    const response = await fetch(url, {
      method,
      signal: AbortSignal.timeout(3000),
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return response.ok ? JSON.parse(text || '{}') : undefined;
  } catch {
    return undefined;
  }
}

/** Asks until there is an answer. @returns that, and how long it took, ms */
export async function until<T>(ask: () => Promise<T | undefined | false>): Promise<{ ms: number; answer: T }> {
  const startedAt = performance.now();
  for (;;) {
    const answer = await ask();
    const ms = performance.now() - startedAt;
    if (answer) return { ms, answer };
    if (ms > 60_000) throw new Error('The cluster has not come back within a minute');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
