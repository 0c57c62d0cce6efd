// The program of a worker: one broker of a server with several. Its primary process sends it all that it needs, keeps the store,
// and stops it. If the primary is lost, Node ends this process at once, as every worker of a cluster.
import type { Logger } from 'pino';
import type { StatsSample } from '../../schemas/stats.ts';
import { defaultLimits } from '../app.ts';
import { createMetrics, snapshotOf } from '../broker/metrics.ts';
import { limitsOfWorker } from '../http/worker-limits.ts';
import { createServerLog, type ServerLog } from '../logging/server-log.ts';
import type { WorkerPlace } from '../server.ts';
import { runServer, type ServerProcess } from '../server-process.ts';
import type { LoadingProgress } from '../store/redis/server-info.ts';
import type { FromWorker, StartOrder, ToWorker } from './messages.ts';

/** How long a request for /metrics waits for the primary, ms. The primary waits for the other workers for a part of that. */
const wholeMetricsMsMax = 5000;

/** Signals that a terminal sends to all processes at once: the primary acts on them. SIGTERM is also for a single worker. */
const leftSignals = ['SIGINT', 'SIGHUP', 'SIGQUIT'] as const;

/** Sends a message. Resolves when it is on its way, or the primary is gone. */
function send(message: FromWorker): Promise<void> {
  return new Promise((resolve) => {
    if (process.send) process.send(message, undefined, undefined, () => resolve());
    else resolve();
  });
}

/** Something that is waited for, until it is the case for good. */
class Gate {
  readonly opened: Promise<void>;
  open!: () => void;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}

class Worker {
  readonly #order: StartOrder;
  readonly #metrics;
  readonly #serverLog: ServerLog;
  readonly #log: Logger;
  readonly #mayListen = new Gate();
  readonly #storeStarted = new Gate();
  readonly #texts = new Map<number, (text: string | undefined) => void>();
  #loading: LoadingProgress | undefined;
  #textId = 0;
  #onServerStats: ((samples: StatsSample[]) => void) | undefined;
  #server: ServerProcess | undefined;

  constructor(order: StartOrder) {
    this.#order = order;
    this.#metrics = createMetrics({
      processLabels: { worker: String(order.worker) },
      wholeText: () => this.#wholeText(),
    });
    this.#serverLog = createServerLog(order.config, { worker: order.worker, hasStarted: order.hasServed });
    this.#log = this.#serverLog.log;
    if (order.mayListen) this.#mayListen.open();
    if (order.isStoreStarted) this.#storeStarted.open();
  }

  async run(): Promise<void> {
    const { config, target, workers } = this.#order;
    // The primary stops the store itself. A start that waits for the primary goes on, to find that it was aborted.
    const stopWaiting = async () => {
      this.#mayListen.open();
      this.#storeStarted.open();
    };
    const server = runServer({
      config,
      store: { target, start: {}, stop: stopWaiting },
      log: this.#log,
      limits: { ...defaultLimits, ...limitsOfWorker(defaultLimits, workers) },
      start: {
        place: this.#place(),
        startStore: () => this.#storeStarted.opened,
        loading: () => this.#loading,
        onLoading: (progress) => {
          // The primary knows of a private Redis by itself.
          if (progress && !this.#loading) void send({ kind: 'redis-loading', progress });
        },
      },
      leftSignals: [...leftSignals],
      stopMsMax: this.#order.stopMsMax,
      onFailure: (reason) => void send({ kind: 'failed', reason, forAll: true }),
    });
    this.#server = server;
    const serving = await server.serving;
    if (!serving) return;
    const { url, broker } = serving;
    await send({ kind: 'serving', url, redisVersion: broker.store.serverVersion });
  }

  receive(message: ToWorker): void {
    switch (message.kind) {
      case 'listen':
        this.#mayListen.open();
        break;
      case 'store-loading':
        this.#loading = message.progress;
        break;
      case 'store-started':
        this.#loading = undefined;
        this.#storeStarted.open();
        break;
      case 'server-serves':
        this.#serverLog.endStart();
        break;
      case 'reload':
        this.#server?.reload();
        break;
      case 'stop':
        this.#server?.stop(message.drains);
        break;
      case 'read-metrics':
        void this.#sendMetrics(message.id);
        break;
      case 'server-stats':
        this.#onServerStats?.(message.samples);
        break;
      case 'whole-metrics':
        this.#texts.get(message.id)?.(message.text);
        break;
      case 'start':
        throw new Error('A worker is started once');
    }
  }

  #place(): WorkerPlace {
    const { worker, predecessor, url, ticketSeed } = this.#order;
    return {
      worker,
      ticketSeed,
      metrics: this.#metrics,
      ...(predecessor !== undefined && { predecessor }),
      ...(url !== undefined && { url }),
      beforeListen: async () => {
        await send({ kind: 'built' });
        await this.#mayListen.opened;
      },
      onListening: (at) => void send({ kind: 'listening', url: at }),
      publishSample: (sample) => void send({ kind: 'stats', sample }),
      followServerStats: (take) => {
        this.#onServerStats = take;
      },
      onRegistered: (brokerId, session) => void send({ kind: 'registered', brokerId, session }),
    };
  }

  async #sendMetrics(id: number): Promise<void> {
    try {
      await send({ kind: 'metrics', id, snapshot: await snapshotOf(this.#metrics) });
    } catch (error) {
      this.#log.warn({ err: error }, 'The metrics of this worker could not be read; GET /metrics leaves them out');
    }
  }

  /** The metrics of all workers. @throws Error if the primary does not send them in time, or cannot make them */
  async #wholeText(): Promise<string> {
    this.#textId += 1;
    const id = this.#textId;
    try {
      const text = await new Promise<string | undefined>((resolve) => {
        const timer = setTimeout(() => resolve(undefined), wholeMetricsMsMax);
        this.#texts.set(id, (text) => {
          clearTimeout(timer);
          resolve(text);
        });
        void send({ kind: 'read-whole-metrics', id });
      });
      if (text === undefined) throw new Error(`The primary process sent no metrics within ${wholeMetricsMsMax} ms`);
      return text;
    } finally {
      this.#texts.delete(id);
    }
  }
}

let worker: Worker | undefined;

async function start(order: StartOrder): Promise<void> {
  try {
    worker = new Worker(order);
    await worker.run();
  } catch (error) {
    // The primary tells the operator.
    await send({ kind: 'failed', reason: error instanceof Error ? error.message : String(error), forAll: false });
    process.exit(1);
  }
}

for (const signal of leftSignals) process.on(signal, () => {});
process.on('message', (message: ToWorker) => {
  if (worker) worker.receive(message);
  // What the primary sends to all workers may come before the order of this one, which then says the same.
  else if (message.kind === 'start') void start(message);
});
void send({ kind: 'loaded' });
