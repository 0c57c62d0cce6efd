// What the questions about a cluster are measured on: brokers over one store, each a process as an operator starts it.
import { freePort, type Scope } from '../../testbed/scope.ts';
import { ServerProcess } from './processes.ts';

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

  static open(id: number, env: Record<string, string>): Promise<ClusterBroker> {
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

  /** As a crash does it: nothing is handed over. @returns the moment, as performance.now() */
  kill(): number {
    this.process.kill('SIGKILL');
    return performance.now();
  }
}

export class ClusterSite {
  readonly brokers: ClusterBroker[] = [];
  readonly #env: Record<string, string>;
  readonly #ports = new Map<number, number>();

  /** Starts so many brokers, which stop with the scope. @param redisUrl as WEIR_REDIS_URL */
  static async open(scope: Scope, redisUrl: string, count: number, { sessionTtlMs }: ClusterScale) {
    const site = new ClusterSite(redisUrl, sessionTtlMs);
    scope.teardown(() => Promise.all(site.brokers.map((broker) => broker.stop())));
    for (let id = 1; id <= count; id += 1) await site.startBroker(id);
    return site;
  }

  private constructor(redisUrl: string, sessionTtlMs: number) {
    // A broker that is to stop need not wait for a balancer.
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
    // What is left of its last run is collected.
    await this.brokers[id - 1]?.stop();
    const broker = await ClusterBroker.open(id, { ...this.#env, WEIR_PORT: String(port), WEIR_BROKER_ID: String(id) });
    this.brokers[id - 1] = broker;
    return broker;
  }
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

/** Asks until there is an answer, and gives that. */
export async function until<T>(ask: () => Promise<T | undefined | false>, what: string): Promise<T> {
  const startedAt = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() - startedAt > 60_000) throw new Error(`Not within a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
