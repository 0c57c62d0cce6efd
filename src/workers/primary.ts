// The primary process of a server with several workers. It has the options, owns the private Redis with the lock of its data
// directory, binds the port and passes connections to the workers in turn. It serves no request itself (docs/adr/011).
import closeWithGrace from 'close-with-grace';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { soleBrokerId } from '../core/cluster/cluster-nodes.ts';
import type { ServerLog } from '../logging/server-log.ts';
import { drainsOn, reloadsOnHangup, stopMsMax } from '../server-stop.ts';
import type { ServerStore } from '../server-store.ts';
import { TicketKeys } from '../tls/ticket-keys.ts';
import type { FromWorker } from './messages.ts';
import { ServerMetrics } from './server-metrics.ts';
import { ServerSamples } from './server-samples.ts';
import { WorkerPool } from './worker-pool.ts';

/** What is left of the time of a stop when the workers have used up theirs, and when those that hang are killed, ms. */
const leftByWorkersMs = 1000;
const leftForStoreMs = 500;

/** Interval at which workers are told how far the private Redis has loaded its data, ms. */
const loadingMs = 250;

/**
 * Runs the workers until the process is told to stop. Resolves when all serve, or when a signal came before.
 * @throws Error the reason of a start that failed; then nothing runs any more
 */
export async function runWorkers(config: Config, store: ServerStore, serverLog: ServerLog): Promise<void> {
  await new Primary(config, store, serverLog).run();
}

class Primary {
  readonly #config: Config;
  readonly #store: ServerStore;
  readonly #serverLog: ServerLog;
  readonly #log: Logger;
  readonly #pool: WorkerPool;
  readonly #metrics: ServerMetrics;
  readonly #samples: ServerSamples;
  readonly #tickets = new TicketKeys();
  /** The id of the first broker, if ids are not generated. With a private store they are always the same. */
  readonly #firstBrokerId: number | undefined;
  #isStoreStarted = false;
  #isStopping = false;
  #failure: Error | undefined;

  constructor(config: Config, store: ServerStore, serverLog: ServerLog) {
    const { log } = serverLog;
    this.#config = config;
    this.#store = store;
    this.#serverLog = serverLog;
    this.#log = log;
    this.#firstBrokerId = config.brokerId ?? (config.redisUrl === undefined ? soleBrokerId : undefined);
    this.#metrics = new ServerMetrics(() => this.#pool, config.workers);
    this.#samples = new ServerSamples((samples) => this.#pool.sendAll({ kind: 'server-stats', samples }));
    this.#pool = new WorkerPool({
      workers: config.workers,
      orderFor: (worker, brokerId, port) => ({
        worker,
        workers: config.workers,
        config: this.#configOf(worker, brokerId, port),
        target: store.target,
        ticketSeed: this.#tickets.seed,
        stopMsMax: stopMsMax(config) - leftByWorkersMs,
        isStoreStarted: this.#isStoreStarted,
      }),
      onMessage: (worker, message) => void this.#receive(worker, message),
      onDeath: (worker) => {
        this.#metrics.noteDeath(worker);
        this.#samples.noteDeath(worker);
      },
      log,
    });
  }

  async run(): Promise<void> {
    const delay = stopMsMax(this.#config);
    const reloads = reloadsOnHangup(this.#config);
    if (reloads) process.on('SIGHUP', () => this.#pool.sendAll({ kind: 'reload' }));
    const skip = reloads ? (['SIGHUP'] as const) : [];
    const stopping = closeWithGrace({ delay, logger: false, skip: [...skip] }, (reason) => this.#stop(reason));
    try {
      this.#pool.start();
      await Promise.race([this.#pool.listening, this.#pool.failed]);
      await Promise.race([this.#startStore(), this.#pool.failed]);
      this.#serverLog.serves(await Promise.race([this.#pool.serving, this.#pool.failed]));
      this.#pool.sendAll({ kind: 'server-serves' });
    } catch (error) {
      // A signal interrupted the start; the stop is already in progress.
      if (this.#isStopping) return;
      stopping.uninstall();
      await this.#stopWorkers(false);
      await this.#store.stop();
      throw error;
    }
    this.#pool.failed.catch((reason: Error) => {
      if (this.#isStopping) return;
      this.#failure = reason;
      this.#log.fatal({ err: reason }, `Weirkeeper is stopping: ${reason.message}`);
      stopping.close();
    });
  }

  async #stop({ err, signal }: { err?: Error; signal?: string }): Promise<void> {
    this.#isStopping = true;
    if (err) this.#log.fatal({ err }, 'Weirkeeper is stopping after an unexpected error');
    else if (!this.#failure) this.#log.info({ signal }, 'Weirkeeper is stopping');
    await this.#stopWorkers(drainsOn(signal, this.#config));
    // Last, as the workers need it until then.
    await this.#store.stop();
    this.#log.info('Weirkeeper has stopped');
    // Exit code 1 shows a supervisor that the stop was a failure.
    if (this.#failure) throw this.#failure;
  }

  #stopWorkers(drains: boolean): Promise<void> {
    return this.#pool.stop(drains, stopMsMax(this.#config) - leftForStoreMs);
  }

  /** Starts the store after the port is bound, and tells the workers. */
  async #startStore(): Promise<void> {
    const { startStore, loading } = this.#store.start;
    const timer = setInterval(() => {
      const progress = loading?.();
      this.#serverLog.showLoading(progress);
      this.#pool.sendAll({ kind: 'store-loading', progress });
    }, loadingMs);
    try {
      await startStore?.();
    } finally {
      clearInterval(timer);
    }
    this.#isStoreStarted = true;
    this.#pool.sendAll({ kind: 'store-started' });
  }

  #configOf(worker: number, ownBrokerId: number | undefined, port: number | undefined): Config {
    const { maxConnections, workers } = this.#config;
    const first = this.#firstBrokerId;
    const brokerId = first === undefined ? ownBrokerId : first + worker - 1;
    return {
      ...this.#config,
      ...(port !== undefined && { port }),
      ...(brokerId !== undefined && { brokerId }),
      maxConnections: Math.floor(maxConnections / workers),
    };
  }

  async #receive(worker: number, message: FromWorker): Promise<void> {
    if (message.kind === 'redis-loading') this.#serverLog.showLoading(message.progress);
    if (message.kind === 'metrics') this.#metrics.receive(worker, message.id, message.snapshot);
    if (message.kind === 'stats') {
      const samples = this.#samples.receive(worker, message.sample);
      if (samples.length > 0) this.#pool.send(worker, { kind: 'server-stats', samples });
    }
    if (message.kind !== 'read-whole-metrics') return;
    const { id } = message;
    try {
      this.#pool.send(worker, { kind: 'whole-metrics', id, text: await this.#metrics.text() });
    } catch (err) {
      this.#log.warn({ err }, 'The metrics of the workers could not be merged');
      this.#pool.send(worker, { kind: 'whole-metrics', id });
    }
  }
}
