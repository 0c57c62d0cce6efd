// The cluster that is measured: brokers over one store, each a process started as an operator would start it.
import { freePort, type Scope } from '../../testbed/scope.ts';
import { ServerProcess } from './processes.ts';

export interface ClusterScale {
  rounds: number;
  roundMs: number;
  /** How often each failure is repeated. */
  failures: number;
  /** How long after its last renewal a broker counts as dead, ms. */
  sessionTtlMs: number;
}

/** A broker with a fixed id and address, which it has again after a restart. */
export class ClusterBroker extends ServerProcess {
  readonly id: number;

  static open(id: number, env: Record<string, string>): Promise<ClusterBroker> {
    return ServerProcess.start(new ClusterBroker(id, env), (line, broker) => {
      if (line.msg !== 'Weirkeeper serves') return false;
      broker.url = String(line.url);
      return true;
    });
  }

  private constructor(id: number, env: Record<string, string>) {
    super('programs/server.js', env);
    this.id = id;
  }

  /** Kills the process, as a crash would. @returns the time, as performance.now() */
  kill(): number {
    this.process.kill('SIGKILL');
    return performance.now();
  }
}

export class ClusterSite {
  readonly brokers: ClusterBroker[] = [];
  readonly #env: Record<string, string>;
  readonly #ports = new Map<number, number>();

  /** Starts brokers, which stop with the scope. @param redisUrl as WEIR_REDIS_URL */
  static async open(scope: Scope, redisUrl: string, count: number, { sessionTtlMs }: ClusterScale) {
    const site = new ClusterSite(redisUrl, sessionTtlMs);
    scope.teardown(() => Promise.all(site.brokers.map((broker) => broker.stop())));
    for (let id = 1; id <= count; id += 1) await site.startBroker(id);
    return site;
  }

  private constructor(redisUrl: string, sessionTtlMs: number) {
    // No load balancer is in use, so a broker that stops need not wait for one.
    this.#env = {
      WEIR_REDIS_URL: redisUrl,
      WEIR_BROKER_SESSION_TTL: `${sessionTtlMs}ms`,
      WEIR_DRAIN_DELAY: '0s',
      WEIR_LOG_LEVEL: 'info',
    };
  }

  get urls(): string[] {
    return this.brokers.map(({ url }) => url);
  }

  /** Starts the broker with this id, for the first time or again. */
  async startBroker(id: number): Promise<ClusterBroker> {
    const port = this.#ports.get(id) ?? (await freePort());
    this.#ports.set(id, port);
    // Removes what its last run has left.
    await this.brokers[id - 1]?.stop();
    const broker = await ClusterBroker.open(id, { ...this.#env, WEIR_PORT: String(port), WEIR_BROKER_ID: String(id) });
    this.brokers[id - 1] = broker;
    return broker;
  }
}

/** The JSON at an address; undefined if there is no response, or an error. */
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

/** Repeats a request until it has a result, and returns that. @throws Error after a minute */
export async function until<T>(ask: () => Promise<T | undefined | false>, what: string): Promise<T> {
  const startedAt = performance.now();
  for (;;) {
    const response = await ask();
    if (response) return response;
    if (performance.now() - startedAt > 60_000) throw new Error(`Not within a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
