// One broker of a fault test, as a separate process with a separate network to Redis. Faults kill it, stop it for a while,
// restart it, cut its network, delay its replies, or make its clock jump.
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { freePort } from '../../testbed/scope.ts';
import { type FaultyNetwork, startFaultyNetwork } from '../helpers/faulty-network.ts';
import { type ServerProcess, startServerProcess } from '../helpers/process.ts';
import type { Random } from '../helpers/random.ts';
import { count, type FaultLog, goesOn } from './fault-log.ts';

const jumpingClock = new URL('../helpers/jumping-clock.js', import.meta.url);

export class TortureBroker {
  /** The address, which stays the same after a restart. */
  readonly url: string;
  readonly #t: Test;
  readonly #env: Record<string, string>;
  readonly #network: FaultyNetwork;
  readonly #log: FaultLog;
  #process: ServerProcess | undefined;
  /** Settles when its whole output was read. */
  #closed: Promise<void> = Promise.resolve();
  /** Whether it ended without a request of the test. */
  #isWanted = false;
  /** Its last fault. */
  #last = '';

  /** Starts broker `id` over the Redis at `redisPort`. */
  static async start(
    t: Test,
    id: number,
    redisPort: number,
    env: Record<string, string>,
    log: FaultLog,
  ): Promise<TortureBroker> {
    const network = await startFaultyNetwork(t, `http://127.0.0.1:${redisPort}`);
    const broker = new TortureBroker(t, await freePort(), network, { ...env, WEIR_BROKER_ID: String(id) }, log);
    await broker.#start();
    return broker;
  }

  private constructor(t: Test, port: number, network: FaultyNetwork, env: Record<string, string>, log: FaultLog) {
    this.#t = t;
    this.#network = network;
    this.#log = log;
    this.url = `http://127.0.0.1:${port}`;
    this.#env = {
      ...env,
      WEIR_PORT: String(port),
      WEIR_REDIS_URL: `redis://127.0.0.1:${network.port}`,
      NODE_OPTIONS: `--import=${fileURLToPath(jumpingClock)}`,
    };
  }

  /** Starts it, and retries if the store was unavailable for too long. */
  async #start(): Promise<void> {
    for (;;) {
      try {
        const running = await startServerProcess(this.#t, this.#env);
        this.#process = running;
        this.#isWanted = true;
        void running.exited.then((how) => {
          if (this.#isWanted) this.#log.problems.push(`A broker ended by itself: ${how}`);
        });
        // Its last output may arrive after its end.
        this.#closed = once(running.child, 'close').then(() => this.#keepErrors(running));
        return;
      } catch (error) {
        // A start must fail after some time if the store is unreachable; any other failure is a fault.
        if (!/store/i.test(String(error))) {
          this.#log.problems.push(`A broker could not be started: ${error}`);
          return;
        }
        count(this.#log.faults, 'start without a store');
      }
    }
  }

  #keepErrors({ log }: ServerProcess): void {
    for (const { level, msg, err } of log) {
      if (Number(level) >= 50) count(this.#log.errors, `${msg}: ${(err as { message?: string })?.message}`);
    }
  }

  /** Causes faults until `signal` is aborted, and repairs them. */
  async torture(random: Random, signal: AbortSignal): Promise<void> {
    while (this.#process && (await goesOn(random.between(1000, 5000), signal))) await this.fault(random, signal);
  }

  /** Causes one fault, and repairs it. */
  async fault(random: Random, signal: AbortSignal): Promise<void> {
    const fromMs = performance.now();
    await this.#someFault(random, signal);
    const what = `${this.#last} (broker ${this.#env.WEIR_BROKER_ID})`;
    this.#log.timed.push({ what, fromMs, untilMs: performance.now() });
  }

  async #someFault(random: Random, signal: AbortSignal): Promise<void> {
    const dice = random.next();
    if (dice < 0.3) await this.#kill(random, signal);
    else if (dice < 0.55) await this.#stopForAWhile(random, signal);
    else if (dice < 0.65) await this.#shutDown();
    else if (dice < 0.75) this.#cutOff();
    else if (dice < 0.9) await this.#holdUp(random, signal);
    else this.#jump();
  }

  #note(fault: string): void {
    count(this.#log.faults, fault);
    this.#last = fault;
  }

  async #kill(random: Random, signal: AbortSignal): Promise<void> {
    const { child, exited } = this.#process!;
    this.#note('broker killed');
    this.#isWanted = false;
    child.kill('SIGKILL');
    await exited;
    await goesOn(random.chance(0.7) ? 0 : random.between(0, 2000), signal);
    await this.#start();
  }

  async #stopForAWhile(random: Random, signal: AbortSignal): Promise<void> {
    const { child } = this.#process!;
    this.#note('broker stopped for a while');
    child.kill('SIGSTOP');
    // Sometimes for longer than the TTL of its session and the timeout of its reads of the event stream.
    await goesOn(random.chance(0.8) ? random.between(100, 2000) : random.between(4000, 7000), signal);
    child.kill('SIGCONT');
  }

  async #shutDown(): Promise<void> {
    const { child, exited, log } = this.#process!;
    this.#note('broker shut down');
    this.#isWanted = false;
    child.kill('SIGTERM');
    const how = await exited;
    await this.#closed;
    if (how !== 0) this.#log.problems.push(`A shutdown ended with ${how}: ${JSON.stringify(log.slice(-5))}`);
    await this.#start();
  }

  #cutOff(): void {
    this.#note('connections to Redis cut');
    this.#network.cut();
  }

  /** Its connections to Redis stay open but pass no data for a while; sometimes they break at the end. */
  async #holdUp(random: Random, signal: AbortSignal): Promise<void> {
    this.#note('connections to Redis held up');
    this.#network.stall();
    await goesOn(random.chance(0.8) ? random.between(100, 2500) : random.between(4000, 7000), signal);
    if (random.chance(0.3)) this.#network.cut();
    this.#network.resume();
  }

  #jump(): void {
    this.#note('clock of a broker jumped');
    this.#process!.child.kill('SIGWINCH');
  }
}
