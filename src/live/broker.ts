// One broker: the parts that live beside the HTTP server, made and stopped in the order in which they lean on each other.
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Store } from '../store/store.ts';
import { BrokerRegistration } from './broker-registration.ts';
import { Controller } from './controller.ts';
import { EventTail } from './event-tail.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Repeat } from './repeat.ts';
import { createSessionReaper } from './session-reaper.ts';

/** The id of the only broker of a private store, unless one is configured: the first one that Kafka's rule generates. */
const soleBrokerId = 1001;

export interface BrokerOptions {
  /** No other server can be using the store. */
  sole: boolean;
}

export class Broker {
  readonly config: Config;
  readonly store: Store;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tail: EventTail;
  readonly registration: BrokerRegistration;
  readonly #controller: Controller;
  readonly #reaper: Repeat;
  readonly #stopping = new AbortController();

  constructor(config: Config, store: Store, options: BrokerOptions, log: Logger) {
    this.config = config;
    this.store = store;
    this.log = log;
    this.metrics = createMetrics();
    this.tail = new EventTail(store.events, log);
    this.#reaper = createSessionReaper(store.sessions, this.metrics, log);
    this.registration = new BrokerRegistration(
      store,
      this.tail,
      {
        brokerId: config.brokerId ?? (options.sole ? soleBrokerId : undefined),
        rack: config.rack,
        sessionTtlMs: config.brokerSessionTtlMs,
        soleBroker: options.sole,
      },
      log,
    );
    this.#controller = new Controller(store.namespace, this.tail, this.registration, this.metrics, log);
  }

  /** Aborted when the broker begins to stop: whoever waits for something ends its wait. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Starts what requests lean on; the store is open. */
  async start(): Promise<void> {
    await this.tail.start();
    this.#reaper.start();
  }

  /** Takes its place in the cluster under the address that clients reach it by. @throws ServiceError NODE_EXISTS */
  async register(url: string): Promise<void> {
    await this.registration.start(url);
    this.#controller.start();
  }

  /** Whether it has its place in the cluster. */
  get isRegistered(): boolean {
    return !this.stopping.aborted && this.registration.session !== undefined;
  }

  /** Gives up its place in the cluster, so that no new work comes here, and ends all waits. */
  async leave(): Promise<void> {
    this.#stopping.abort();
    await this.#controller.stop();
    await this.registration.stop();
  }

  /** Stops in the opposite order; the store stays open. */
  async stop(): Promise<void> {
    await this.#reaper.stop();
    await this.tail.stop();
  }
}
