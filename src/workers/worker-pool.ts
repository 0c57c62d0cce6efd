// The workers of a server: starts them, replaces those that die, and stops all. It knows nothing of the store or of metrics.
import cluster, { type Worker as WorkerProcess } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { Serving } from '../logging/headline.ts';
import type { FromWorker, StartOrder, ToWorker } from './messages.ts';

/** A worker that dies as it starts, so often within this time, ms, will not do better: the server ends with the reason. */
const startFailuresMax = 3;
const startFailuresMs = 30_000;
/** A worker that has run for this time, ms, is replaced at once; one that died earlier after a growing pause. */
const stableRunMs = 30_000;
const pauseMsMin = 100;
const pauseMsMax = 5000;

interface WorkerPoolOptions {
  /** How many workers there are; they have the numbers from 1. */
  workers: number;
  /**
   * The message with which a worker starts.
   * @param brokerId the id that this worker has had; undefined at its first start
   * @param port the port that the server has had, if it must be bound anew; undefined: that of the options
   */
  orderFor(
    worker: number,
    brokerId: number | undefined,
    port: number | undefined,
  ): Omit<StartOrder, 'kind' | 'mayListen' | 'hasServed' | 'url' | 'predecessor'>;
  /** Takes the messages that do not concern the life of a worker. */
  onMessage(worker: number, message: FromWorker): void;
  /** Called when a process has ended that was not told to. */
  onDeath(worker: number): void;
  log: Logger;
}

/** One worker, whose processes follow each other. */
interface Slot {
  readonly worker: number;
  process: WorkerProcess | undefined;
  state: 'starting' | 'built' | 'serving';
  isListening: boolean;
  startedAt: number;
  /** The broker that its last process was. */
  broker: { id: number; session: string } | undefined;
  /** Why its last process said that it ends. */
  reason: string | undefined;
  /** When processes died before they served. */
  startFailures: number[];
  /** How many processes in a row had short runs. */
  shortRuns: number;
  restart: NodeJS.Timeout | undefined;
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #slots: Slot[];
  /** Resolves when the first worker has bound the port. */
  readonly listening: Promise<string>;
  /** Resolves when all workers serve for the first time. */
  readonly serving: Promise<Serving>;
  /** Rejects when the server must end. */
  readonly failed: Promise<never>;
  #onListening!: (url: string) => void;
  #onServing!: (serving: Serving) => void;
  #onFailed!: (reason: Error) => void;
  /** The port is bound by all workers together the first time, by later ones on their own. */
  #isListening = false;
  #hasServed = false;
  #isStopping = false;
  #url: string | undefined;
  #onAllEnded: (() => void) | undefined;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.workers }, (_, index) => ({
      worker: index + 1,
      process: undefined,
      state: 'starting',
      isListening: false,
      startedAt: 0,
      broker: undefined,
      reason: undefined,
      startFailures: [],
      shortRuns: 0,
      restart: undefined,
    }));
    this.listening = new Promise((resolve) => {
      this.#onListening = resolve;
    });
    this.serving = new Promise((resolve) => {
      this.#onServing = resolve;
    });
    this.failed = new Promise((_, reject) => {
      this.#onFailed = reject;
    });
    // Whoever waits for it is told; nobody need wait.
    this.failed.catch(() => undefined);
    // The limits of each worker are its part of the server's: that is right only if connections reach them in turn.
    cluster.schedulingPolicy = cluster.SCHED_RR;
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('./worker.js', import.meta.url)),
      args: [],
      serialization: 'advanced',
    });
    // If this process ends without stopping them, by process.exit() or a throw, no worker stays.
    process.once('exit', () => this.#killAll());
  }

  /** Starts all workers. */
  start(): void {
    for (const slot of this.#slots) this.#start(slot);
  }

  /** How many workers serve. */
  get servingCount(): number {
    return this.#slots.filter(({ state }) => state === 'serving').length;
  }

  /** The numbers of the workers whose metrics are those of the server: those that serve or, before any does, all that run. */
  get reporting(): number[] {
    const serving = this.#slots.filter(({ state }) => state === 'serving');
    return (serving.length > 0 ? serving : this.#slots.filter(({ process }) => process)).map(({ worker }) => worker);
  }

  send(worker: number, message: ToWorker): void {
    const process = this.#slots[worker - 1]?.process;
    // A process that has just died takes no message; its exit event follows.
    if (process?.isConnected()) process.send(message, () => undefined);
  }

  sendAll(message: ToWorker): void {
    for (const { worker } of this.#slots) this.send(worker, message);
  }

  /**
   * Stops all workers. Resolves when their processes have ended.
   * @param msMax after that time those that still run are killed: a process that hangs does not keep to its own limit
   */
  async stop(drains: boolean, msMax: number): Promise<void> {
    this.#isStopping = true;
    for (const slot of this.#slots) clearTimeout(slot.restart);
    this.sendAll({ kind: 'stop', drains });
    if (this.#slots.every(({ process }) => !process)) return;
    const timer = setTimeout(() => {
      this.#options.log.error(`Workers did not end within ${msMax} ms; they are killed`);
      this.#killAll();
    }, msMax);
    await new Promise<void>((resolve) => {
      this.#onAllEnded = resolve;
    });
    clearTimeout(timer);
  }

  #killAll(): void {
    for (const { process } of this.#slots) process?.process.kill('SIGKILL');
  }

  #start(slot: Slot): void {
    slot.state = 'starting';
    slot.startedAt = performance.now();
    slot.reason = undefined;
    const child = cluster.fork();
    slot.process = child;
    child.on('message', (message: FromWorker) => this.#receive(slot, message));
    child.on('error', (err) => this.#options.log.warn({ err, worker: slot.worker }, 'A message to a worker failed'));
    child.once('exit', (code, signal) => this.#ended(slot, code, signal));
  }

  #sendOrder(slot: Slot): void {
    const others = this.servingCount > 0;
    const order: StartOrder = {
      kind: 'start',
      ...this.#options.orderFor(slot.worker, slot.broker?.id, this.#portToBind()),
      mayListen: this.#isListening,
      hasServed: this.#hasServed,
      ...(others && this.#url !== undefined && { url: this.#url }),
      ...(slot.broker && { predecessor: slot.broker.session }),
    };
    this.send(slot.worker, order);
  }

  /** With the option 0 any free port was bound. Workers share it by that option, until none of them has it any more. */
  #portToBind(): number | undefined {
    if (this.#url === undefined || this.#slots.some(({ isListening }) => isListening)) return undefined;
    const { port } = new URL(this.#url);
    return port === '' ? undefined : Number(port);
  }

  #receive(slot: Slot, message: FromWorker): void {
    switch (message.kind) {
      case 'loaded':
        if (this.#isStopping) slot.process?.process.kill('SIGKILL');
        else this.#sendOrder(slot);
        break;
      case 'built':
        slot.state = 'built';
        if (!this.#isListening && this.#slots.every(({ state }) => state === 'built')) {
          this.#isListening = true;
          this.sendAll({ kind: 'listen' });
        }
        break;
      case 'listening':
        this.#url ??= message.url;
        slot.isListening = true;
        this.#onListening(message.url);
        break;
      case 'registered':
        slot.broker = { id: message.brokerId, session: message.session };
        break;
      case 'serving':
        this.#serves(slot, message);
        break;
      case 'failed':
        slot.reason = message.reason;
        // A start that fails would fail again: nothing has changed since the operator gave the options.
        if (message.forAll || !this.#hasServed) this.#onFailed(new Error(message.reason));
        break;
      default:
        this.#options.onMessage(slot.worker, message);
    }
  }

  #serves(slot: Slot, serving: Serving): void {
    const { log } = this.#options;
    slot.state = 'serving';
    slot.startFailures = [];
    log.info({ worker: slot.worker, workerPid: slot.process?.process.pid, broker: slot.broker?.id }, 'A worker serves');
    if (this.#hasServed || this.servingCount < this.#slots.length) return;
    this.#hasServed = true;
    this.#onServing(serving);
  }

  #ended(slot: Slot, code: number | null, signal: string | null): void {
    const { log, onDeath } = this.#options;
    const { worker, state, reason } = slot;
    const workerPid = slot.process?.process.pid;
    slot.process = undefined;
    slot.state = 'starting';
    slot.isListening = false;
    if (this.#isStopping) {
      if (this.#slots.every(({ process }) => !process)) this.#onAllEnded?.();
      return;
    }
    onDeath(worker);
    const how = signal ? `by ${signal}` : `with code ${code}`;
    if (state === 'serving') {
      const lived = performance.now() - slot.startedAt;
      slot.shortRuns = lived > stableRunMs ? 0 : slot.shortRuns + 1;
      log.error({ worker, workerPid, code, signal }, `A worker ended ${how}; it is replaced`);
    } else {
      const now = performance.now();
      slot.shortRuns += 1;
      slot.startFailures = [...slot.startFailures.filter((at) => now - at < startFailuresMs), now];
      log.error(
        { worker, workerPid, code, signal, reason },
        `A worker ended ${how} before it served; it is started again`,
      );
      if (slot.startFailures.length >= startFailuresMax) {
        const why = reason ?? `its process ended ${how}`;
        const times = `${startFailuresMax} times within ${startFailuresMs / 1000} s`;
        this.#onFailed(new Error(`Worker ${worker} could not be started, ${times}: ${why}`));
        return;
      }
    }
    const pauseMs = slot.shortRuns === 0 ? 0 : Math.min(pauseMsMin * 2 ** (slot.shortRuns - 1), pauseMsMax);
    slot.restart = setTimeout(() => this.#start(slot), pauseMs);
  }
}
