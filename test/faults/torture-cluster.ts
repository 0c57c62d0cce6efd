// Three brokers as processes over one Redis, and the faults that befall them: brokers are killed, stopped for a while, and
// shut down; Redis is killed and stopped. A seed fixes which faults in which order; the machine decides how they interleave.
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import type { Test } from 'tap';
import { redisCommand } from '../../src/store/redis-command.ts';
import { Store } from '../../src/store/store.ts';
import { freePort, type ServerProcess, startServerProcess } from '../helpers/process.ts';
import type { Random } from '../helpers/random.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, testConfig } from '../helpers/server.ts';

const brokers = 3;

export interface TortureCluster {
  /** The addresses of the brokers; they stay the same when one is started anew. */
  urls: string[];
  /** The test's own way to the store, past all brokers. */
  store: Store;
  /** How often each fault was done. */
  faults: Map<string, number>;
  /** What should not have been: a broker that ended by itself, or one that could not be started. */
  problems: string[];
  /** Errors that the brokers wrote to their logs, each text with its count. */
  errors: Map<string, number>;
  /** Lets faults happen until `signal` is aborted; when it settles all is healed and serves. */
  torture(random: Random, signal: AbortSignal): Promise<void>;
}

export async function startTortureCluster(t: Test): Promise<TortureCluster> {
  const port = await freePort();
  const { socketPath, redis } = await startTestRedis(t, { port, appendfsync: 'always' });
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const faults = new Map<string, number>();
  const problems: string[] = [];
  const errors = new Map<string, number>();
  const env = {
    WEIR_REDIS_URL: `redis://127.0.0.1:${port}`,
    WEIR_SESSION_MIN_TTL: '500ms',
    WEIR_BROKER_SESSION_TTL: '3s',
    WEIR_LOG_LEVEL: 'info',
  };
  const slots = await Promise.all(
    Array.from({ length: brokers }, async () => {
      const slot = new BrokerSlot(t, { ...env, WEIR_PORT: String(await freePort()) }, faults, problems, errors);
      await slot.start();
      return slot;
    }),
  );

  async function tortureRedis(random: Random, signal: AbortSignal): Promise<void> {
    while (await goesOn(random.between(2000, 6000), signal)) {
      const { pid } = redis;
      if (random.chance(0.5)) {
        count(faults, 'Redis killed');
        process.kill(pid, 'SIGKILL');
      } else {
        count(faults, 'Redis stopped for a while');
        process.kill(pid, 'SIGSTOP');
        await goesOn(random.between(100, 2500), signal);
        process.kill(pid, 'SIGCONT');
      }
      await eventually(() => redisCommand(socketPath, ['PING']).catch(() => false), 'Redis is back', 30_000);
    }
  }

  return {
    urls: slots.map(({ url }) => url),
    store,
    faults,
    problems,
    errors,
    torture: async (random, signal) => {
      await Promise.all([
        tortureRedis(random.fork('redis'), signal),
        ...slots.map((slot, n) => slot.torture(random.fork(`broker ${n}`), signal)),
      ]);
      await eventually(() => store.events.newestZxid().catch(() => undefined), 'the store serves', 30_000);
    },
  };
}

class BrokerSlot {
  readonly #t: Test;
  readonly #env: Record<string, string>;
  readonly #faults: Map<string, number>;
  readonly #problems: string[];
  readonly #errors: Map<string, number>;
  #process: ServerProcess | undefined;
  /** All that it has said is read. */
  #closed: Promise<void> = Promise.resolve();
  /** Its end is none that was asked for. */
  #isWanted = false;

  constructor(
    t: Test,
    env: Record<string, string>,
    faults: Map<string, number>,
    problems: string[],
    errors: Map<string, number>,
  ) {
    this.#t = t;
    this.#env = env;
    this.#faults = faults;
    this.#problems = problems;
    this.#errors = errors;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#env.WEIR_PORT}`;
  }

  /** Starts it; again, if the store was away for too long. */
  async start(): Promise<void> {
    for (;;) {
      try {
        const running = await startServerProcess(this.#t, this.#env);
        this.#process = running;
        this.#isWanted = true;
        void running.exited.then((how) => {
          if (this.#isWanted) this.#problems.push(`A broker ended by itself: ${how}`);
        });
        // Its last words may come after its end.
        this.#closed = once(running.child, 'close').then(() => {
          for (const { level, msg, err } of running.log) {
            if (Number(level) >= 50) count(this.#errors, `${msg}: ${(err as { message?: string })?.message}`);
          }
        });
        return;
      } catch (error) {
        // Where the store cannot be reached, a start has to fail after a while; anything else is a fault.
        if (!/store/i.test(String(error))) {
          this.#problems.push(`A broker could not be started: ${error}`);
          return;
        }
        count(this.#faults, 'start without a store');
      }
    }
  }

  async torture(random: Random, signal: AbortSignal): Promise<void> {
    while (this.#process && (await goesOn(random.between(1000, 5000), signal))) {
      const { child, exited, log } = this.#process;
      const dice = random.next();
      if (dice < 0.45) {
        count(this.#faults, 'broker killed');
        this.#isWanted = false;
        child.kill('SIGKILL');
        await exited;
        await goesOn(random.chance(0.7) ? 0 : random.between(0, 2000), signal);
        await this.start();
      } else if (dice < 0.85) {
        count(this.#faults, 'broker stopped for a while');
        child.kill('SIGSTOP');
        // Now and then for longer than its session lives, and than its reads of the event stream may take.
        await goesOn(random.chance(0.8) ? random.between(100, 2000) : random.between(4000, 7000), signal);
        child.kill('SIGCONT');
      } else {
        count(this.#faults, 'broker shut down');
        this.#isWanted = false;
        child.kill('SIGTERM');
        const how = await exited;
        await this.#closed;
        if (how !== 0) this.#problems.push(`A shutdown ended with ${how}: ${JSON.stringify(log.slice(-5))}`);
        await this.start();
      }
    }
  }
}

/** Waits; false if that was cut short because it is over. */
export async function goesOn(ms: number, signal: AbortSignal): Promise<boolean> {
  await pause(ms, undefined, { signal }).catch(() => undefined);
  return !signal.aborted;
}

export function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}
