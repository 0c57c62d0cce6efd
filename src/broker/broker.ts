// One broker: the parts that live beside the HTTP server, made and stopped in the order in which they lean on each other.
import type { Logger } from 'pino';
import type { Counter } from 'prom-client';
import type { Config } from '../config/config.ts';
import type { ServiceError } from '../core/service-error.ts';
import type { LoadingProgress } from '../store/redis/server-info.ts';
import type { Store } from '../store/store.ts';
import { ClusterGroupMetrics } from './groups/cluster-group-metrics.ts';
import { GroupConsumer } from './groups/consume/group-consumer.ts';
import { MemberReader } from './groups/consume/member-reader.ts';
import { GroupCoordinator } from './groups/group-coordinator.ts';
import { GroupDirectory } from './groups/group-directory.ts';
import { GroupMetrics } from './groups/group-metrics.ts';
import { GroupStateManager } from './groups/group-state-manager.ts';
import { GroupOffsets } from './groups/offsets/group-offsets.ts';
import { createOffsetRetention } from './groups/offsets/offset-retention.ts';
import { GroupStreams } from './groups/stream/group-stream.ts';
import { LogCompactor } from './log/log-compactor.ts';
import { LogMaintainer } from './log/log-maintainer.ts';
import { LogReader } from './log/log-reader.ts';
import { LogWriter } from './log/log-writer.ts';
import { NamedProducers } from './log/producers.ts';
import { TopicTails } from './log/topic-tail.ts';
import { BrokerRegistration } from './metadata/broker-registration.ts';
import { Controller } from './metadata/controller.ts';
import { PartitionAdmin } from './metadata/partition-admin.ts';
import { PartitionCache } from './metadata/partition-cache.ts';
import { TopicAdmin } from './metadata/topic-admin.ts';
import { TopicCache } from './metadata/topic-cache.ts';
import { createTopicDeleter } from './metadata/topic-deleter.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { PeriodicTask } from './periodic-task.ts';
import { createNodeExpirer } from './sessions/node-expirer.ts';
import { createSessionReaper } from './sessions/session-reaper.ts';
import { createStoredTotals } from './stored-totals.ts';
import { EventTail } from './watches/event-tail.ts';
import { WatchHub } from './watches/watch-hub.ts';

/** The id of the only broker of a private store, unless one is configured: the first one that Kafka's rule generates. */
const soleBrokerId = 1001;

export interface BrokerOptions {
  /** No other server can be using the store. */
  sole: boolean;
  /** How far its private Redis has come that loads its data. */
  loading?: () => LoadingProgress | undefined;
}

export class Broker {
  readonly config: Config;
  readonly store: Store;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly eventTail: EventTail;
  readonly watches: WatchHub;
  /** Counts readers of streams and sockets that were cut off because too much waited for them, by `kind`. */
  readonly slowReadersCut: Counter<'kind'>;
  readonly registration: BrokerRegistration;
  readonly topics: TopicCache;
  readonly partitions: PartitionCache;
  readonly topicAdmin: TopicAdmin;
  readonly partitionAdmin: PartitionAdmin;
  readonly producers: NamedProducers;
  readonly logWriter: LogWriter;
  readonly logReader: LogReader;
  readonly topicTails: TopicTails;
  readonly groups: GroupCoordinator;
  readonly groupConsumer: GroupConsumer;
  readonly groupOffsets: GroupOffsets;
  readonly groupDirectory: GroupDirectory;
  readonly groupStreams: GroupStreams;
  readonly #controller: Controller;
  readonly #reaper: PeriodicTask;
  readonly #nodeExpirer: PeriodicTask;
  readonly #storedTotals: PeriodicTask;
  readonly #topicDeleter: PeriodicTask;
  readonly #logMaintainer: LogMaintainer;
  readonly #offsetRetention: PeriodicTask;
  readonly #stopping = new AbortController();
  readonly #loading: (() => LoadingProgress | undefined) | undefined;
  #isStarted = false;
  #isLeaving = false;

  constructor(config: Config, store: Store, options: BrokerOptions, log: Logger) {
    this.config = config;
    this.store = store;
    this.log = log;
    this.#loading = options.loading;
    this.metrics = createMetrics();
    this.slowReadersCut = this.metrics.counter('slow_readers_cut_total', 'Readers cut off for being too slow.', [
      'kind',
    ]);
    this.metrics.gauge('store_open', 'Whether the store can be used now: 1 or 0.', () => Number(store.isOpen));
    this.metrics.gauge('store_loading_ratio', 'How far the store has read its data into memory: 1 = it has.', () => {
      const loading = this.#loading?.() ?? store.connection.loading;
      return loading ? loading.percent / 100 : 1;
    });
    this.metrics.gauge(
      'store_shards_unreachable',
      'How many of the Redis that share the data cannot be used now.',
      () => store.unreachableShardCount,
    );
    this.metrics.gauge(
      'store_connections_lost',
      'How often a connection to the store was lost.',
      () => store.connectionLosses,
    );
    this.eventTail = new EventTail(store.events, log);
    this.watches = new WatchHub(store.events, this.eventTail, this.metrics, this.stopping, log);
    this.#reaper = createSessionReaper(store.sessions, this.metrics, log);
    this.#nodeExpirer = createNodeExpirer(store.namespace, this.metrics, log);
    this.#storedTotals = createStoredTotals(store, this.metrics, log);
    this.registration = new BrokerRegistration(
      store,
      this.eventTail,
      {
        brokerId: config.brokerId ?? (options.sole ? soleBrokerId : undefined),
        rack: config.rack,
        sessionTtlMs: config.brokerSessionTtlMs,
        soleBroker: options.sole,
      },
      log,
    );
    this.topics = new TopicCache(store, this.eventTail, this.metrics, log);
    this.partitions = new PartitionCache(store.namespace, this.eventTail, this.registration, this.metrics, log);
    this.topicAdmin = new TopicAdmin(store, this.topics, config, this.metrics);
    this.partitionAdmin = new PartitionAdmin(store, this.topics);
    this.producers = new NamedProducers(store, config.producerIdExpirationMs, this.metrics, log);
    this.logWriter = new LogWriter(this.topics, store, this.metrics);
    this.logReader = new LogReader(store.logs, this.metrics, log);
    this.topicTails = new TopicTails(this.topics, this.logReader, store.logs, this.metrics);
    const groupMetrics = new GroupMetrics(this.metrics);
    const states = new GroupStateManager(store.groups, groupMetrics, log);
    this.#offsetRetention = createOffsetRetention(store.committedOffsets, states, config, this.metrics, log);
    this.groups = new GroupCoordinator(store, states, this.topics, this.eventTail, config, groupMetrics, log);
    const given = this.metrics.counter('group_records_total', 'Records given to members of groups.', ['via']);
    const memberReader = new MemberReader(this.topics, this.logReader, store.logs);
    const consumeParts = { states, reader: memberReader, logs: store.logs };
    this.groupConsumer = new GroupConsumer(consumeParts, () => store.connectionLosses, given);
    this.metrics.gauge(
      'group_ahead_bytes',
      'Bytes read ahead for the next consume calls of members.',
      () => this.groupConsumer.prefetchedBytes,
    );
    this.groupOffsets = new GroupOffsets(store, states, this.topics, this.logReader, this.metrics);
    this.groupDirectory = new GroupDirectory(store, states, this.topics);
    this.groupStreams = new GroupStreams({
      coordinator: this.groups,
      states,
      offsets: this.groupOffsets,
      topics: this.topics,
      reader: this.logReader,
      logs: store.logs,
      given,
    });
    this.#topicDeleter = createTopicDeleter(store, log);
    const compactor = new LogCompactor(store.logMaintenance, this.metrics);
    this.#logMaintainer = new LogMaintainer({
      store,
      topics: this.topics,
      partitions: this.partitions,
      admin: this.partitionAdmin,
      reader: this.logReader,
      compactor,
      metrics: this.metrics,
      log,
    });
    this.#controller = new Controller(
      store.namespace,
      this.eventTail,
      this.registration,
      this.partitions,
      this.metrics,
      log,
    );
    new ClusterGroupMetrics(store, states, () => this.#controller.isController, this.metrics, log);
  }

  /** Aborted when the broker ends to serve: whoever waits for something ends its wait. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Why requests cannot be served yet; undefined once it has started. */
  get startProblem(): ServiceError | undefined {
    return this.#isStarted ? undefined : this.store.notOpenError(this.#loading?.());
  }

  /**
   * Starts what requests lean on; the store is open.
   * @param attempt does a step, and does it again if the store went away meanwhile
   */
  async start(attempt: (step: () => Promise<void>) => Promise<void> = (step) => step()): Promise<void> {
    await attempt(() => this.eventTail.start());
    await attempt(() => this.topics.start());
    await attempt(() => this.partitions.start());
    this.logReader.start();
    this.groups.start();
    this.#offsetRetention.start();
    this.#topicDeleter.start();
    this.#logMaintainer.start();
    this.#reaper.start();
    this.#nodeExpirer.start();
    this.#storedTotals.start();
    this.producers.start();
    this.#isStarted = true;
  }

  /**
   * Takes its place in the cluster under the address that clients reach it by. @throws ServiceError NODE_EXISTS
   * @param attempt as for start()
   */
  async register(url: string, attempt: (step: () => Promise<void>) => Promise<void> = (step) => step()): Promise<void> {
    // The controller hears of the registration.
    this.#controller.start();
    await attempt(() => this.registration.start(url));
  }

  /** Whether it has its place in the cluster, and means to keep it. */
  get isRegistered(): boolean {
    return !this.#isLeaving && this.registration.session !== undefined;
  }

  /** Whether it has begun to stop; it may still serve for a while. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  /** Gives up its place in the cluster: others take over its duties, and load balancers may notice. It still serves. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    await this.#controller.stop();
    await this.registration.stop();
  }

  /** Ends all waits, streams and sockets, so that serving can end. */
  endWaits(): void {
    this.#stopping.abort();
  }

  /** Stops in the opposite order; the store stays open. */
  async stop(): Promise<void> {
    await this.producers.stop();
    await this.#logMaintainer.stop();
    await this.#topicDeleter.stop();
    await this.#offsetRetention.stop();
    await this.groups.stop();
    await this.logReader.stop();
    await this.partitions.stop();
    this.topics.stop();
    await this.#nodeExpirer.stop();
    await this.#storedTotals.stop();
    await this.#reaper.stop();
    await this.eventTail.stop();
  }
}
