// One broker: makes the parts that run beside the HTTP server, and starts and stops them in the order of their dependencies.

import type { Logger } from 'pino';
import { AccessControl } from '../access/access-control.ts';
import { type Config, packageVersion } from '../config/config.ts';
import { soleBrokerId } from '../core/cluster/cluster-nodes.ts';
import type { ServiceError } from '../core/service-error.ts';
import type { LoadingProgress } from '../store/redis/server-info.ts';
import type { Store } from '../store/store.ts';
import { countAccess } from './access-metrics.ts';
import { ClusterGroupMetrics } from './groups/cluster-group-metrics.ts';
import { GroupConsumer } from './groups/consume/group-consumer.ts';
import { MemberReader } from './groups/consume/member-reader.ts';
import { GroupCoordinator } from './groups/group-coordinator.ts';
import { GroupDirectory } from './groups/group-directory.ts';
import { GroupFigures } from './groups/group-figures.ts';
import { GroupMetrics } from './groups/group-metrics.ts';
import { GroupStateManager } from './groups/group-state-manager.ts';
import { ConsumerInstances } from './groups/instances/consumer-instances.ts';
import { InstanceReader } from './groups/instances/instance-reader.ts';
import { GroupOffsets } from './groups/offsets/group-offsets.ts';
import { createOffsetRetention } from './groups/offsets/offset-retention.ts';
import { GroupStreams } from './groups/stream/group-stream.ts';
import { TopicDirectory } from './groups/topic-directory.ts';
import type { Counter } from './instruments.ts';
import { type Attempt, Lifecycle } from './lifecycle.ts';
import { LogCompactor } from './log/log-compactor.ts';
import { LogFigures } from './log/log-figures.ts';
import { LogMaintainer } from './log/log-maintainer.ts';
import { LogReader } from './log/log-reader.ts';
import { LogWriter } from './log/log-writer.ts';
import { NamedProducers } from './log/producers.ts';
import { createTopicMetrics } from './log/topic-metrics.ts';
import { TopicTails } from './log/topic-tail.ts';
import { TopicTraffic } from './log/topic-traffic.ts';
import { type BrokerActivity, BrokerDirectory, reportOf } from './metadata/broker-directory.ts';
import { BrokerRegistration } from './metadata/broker-registration.ts';
import { Controller } from './metadata/controller.ts';
import { PartitionAdmin } from './metadata/partition-admin.ts';
import { PartitionCache } from './metadata/partition-cache.ts';
import { StoredQuotas } from './metadata/stored-quotas.ts';
import { TopicAdmin } from './metadata/topic-admin.ts';
import { TopicCache } from './metadata/topic-cache.ts';
import { createTopicDeleter } from './metadata/topic-deleter.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { RequestDurations } from './request-durations.ts';
import { mergeSamples, type ProcessSample, ServerStats } from './server-stats.ts';
import { createServiceMetrics } from './service-metrics.ts';
import { createNodeExpirer } from './sessions/node-expirer.ts';
import { createSessionReaper } from './sessions/session-reaper.ts';
import { StatsSampler } from './stats-sampler.ts';
import { createStoredTotals } from './stored-totals.ts';
import { EventTail } from './watches/event-tail.ts';
import { LocalNodes } from './watches/local-nodes.ts';
import { WatchHub } from './watches/watch-hub.ts';

export interface BrokerOptions {
  /** No other server can be using the store, as with a private Redis. */
  sole: boolean;
  /** Who may do what; absent: everybody may do everything. */
  access?: AccessControl;
  /** How far the private Redis has loaded its data; undefined when it has. */
  loading?: () => LoadingProgress | undefined;
  /** Where the broker counts its work. Default: metrics of its own. */
  metrics?: Metrics;
  /** The number of the worker that this broker is, from 1, if its server has several. */
  worker?: number;
  /** Takes what this process has done in each second, if others add it up. Default: it is all that the server has done. */
  publishSample?: (sample: ProcessSample) => void;
  /** The session of the broker that had the same id before and has certainly ended, as its process has. */
  predecessor?: string;
}

export class Broker {
  readonly config: Config;
  readonly store: Store;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly access: AccessControl;
  readonly eventTail: EventTail;
  readonly localNodes: LocalNodes;
  readonly watches: WatchHub;
  /** Counts streams and sockets that were closed because their reader was too slow, by `kind`. */
  readonly slowReadersCut: Counter<'kind'>;
  readonly registration: BrokerRegistration;
  readonly topics: TopicCache;
  readonly partitions: PartitionCache;
  readonly brokerDirectory: BrokerDirectory;
  readonly topicAdmin: TopicAdmin;
  readonly partitionAdmin: PartitionAdmin;
  readonly producers: NamedProducers;
  readonly storedQuotas: StoredQuotas;
  readonly logWriter: LogWriter;
  readonly logReader: LogReader;
  readonly topicTraffic: TopicTraffic;
  readonly logFigures: LogFigures;
  readonly topicTails: TopicTails;
  readonly groups: GroupCoordinator;
  readonly groupConsumer: GroupConsumer;
  readonly groupOffsets: GroupOffsets;
  readonly groupDirectory: GroupDirectory;
  readonly groupFigures: GroupFigures;
  readonly requestDurations = new RequestDurations();
  readonly stats = new ServerStats();
  readonly topicDirectory: TopicDirectory;
  readonly groupStreams: GroupStreams;
  readonly consumerInstances: ConsumerInstances;
  readonly instanceReader: InstanceReader;
  /** What requests depend on, and the broker's periodic tasks. */
  readonly #parts: Lifecycle;
  /** The broker's place in the cluster: it is taken after everything has started, and given up first. */
  readonly #membership: Lifecycle;
  readonly #stopping = new AbortController();
  readonly #loading: (() => LoadingProgress | undefined) | undefined;
  #url = '';
  #isStarted = false;
  #isLeaving = false;

  constructor(config: Config, store: Store, options: BrokerOptions, log: Logger) {
    this.config = config;
    this.store = store;
    this.log = log;
    this.#loading = options.loading;
    this.metrics = options.metrics ?? createMetrics();
    this.access = options.access ?? AccessControl.open(log);
    this.access.useStore(store.accessTokens, config.addressShare);
    countAccess(this.access, this.metrics);
    this.access.onChange(() => void this.registration.update());
    this.#countAudit();
    this.slowReadersCut = this.metrics.counter('slow_readers_cut_total', 'Slow readers whose connection was closed.', [
      'kind',
    ]);
    this.eventTail = new EventTail(store.events, log);
    this.localNodes = new LocalNodes(store.namespace, this.eventTail, config.nodeCacheBytes, this.metrics);
    this.eventTail.subscribe((batch) => store.namespace.sizes.apply(batch));
    this.eventTail.onGap(() => store.namespace.sizes.clear());
    this.watches = new WatchHub(store.events, this.eventTail, this.metrics, this.stopping, log);
    const activity: BrokerActivity = {
      version: packageVersion(),
      connections: () => this.metrics.sumOf('connections_open'),
      sends: () => this.topicTraffic.fetchRates(),
    };
    this.registration = new BrokerRegistration(
      store,
      this.eventTail,
      {
        brokerId: config.brokerId ?? (options.sole ? soleBrokerId : undefined),
        rack: config.rack,
        worker: options.worker,
        predecessor: options.predecessor,
        sessionTtlMs: config.brokerSessionTtlMs,
        policyHash: () => this.access.policy?.hash,
        soleBroker: options.sole,
        report: () => reportOf(activity),
      },
      log,
    );
    const { registration } = this;
    const brokerId = () => (registration.session ? registration.brokerId : undefined);
    const zxid = () => this.eventTail.position;
    const subject = { version: activity.version, store, brokerId, zxid, loading: () => this.#loading?.() };
    createServiceMetrics(subject, this.metrics);
    this.topics = new TopicCache(store, this.eventTail, this.metrics, log);
    this.partitions = new PartitionCache(store.namespace, this.eventTail, this.registration, this.metrics, log);
    this.brokerDirectory = new BrokerDirectory(store, this.partitions, this.registration, activity);
    this.topicAdmin = new TopicAdmin(store, this.topics, config, this.metrics);
    this.partitionAdmin = new PartitionAdmin(store, this.topics);
    this.producers = new NamedProducers(store, config.producerIdExpirationMs, this.metrics, log);
    this.topicTraffic = new TopicTraffic(this.metrics);
    this.storedQuotas = new StoredQuotas({
      store,
      access: this.access,
      partitions: this.partitions,
      isController: () => controller.isController,
      log,
    });
    const { topicTraffic: traffic, storedQuotas: quotas } = this;
    this.logWriter = new LogWriter(this.topics, store, { traffic, quotas }, this.metrics);
    this.logReader = new LogReader(store.logs, config.batchCacheBytes, this.topicTraffic, this.metrics, log);
    this.logFigures = new LogFigures({
      logs: store.logs,
      topics: this.topics,
      partitions: this.partitions,
      reader: this.logReader,
      traffic: this.topicTraffic,
      log,
    });
    const limiters = Object.entries({ ...store.namespace.limiters, searches: this.logReader.searches });
    this.metrics.gauges('store_limited_in_flight', 'Store calls of which few may be in flight at once.', ['kind'], () =>
      limiters.map(([kind, { inFlight: value }]) => ({ labels: { kind }, value })),
    );
    this.metrics.gauges('store_limited_waiting', 'Calls that wait as too many are in flight.', ['kind'], () =>
      limiters.map(([kind, { waiting: value }]) => ({ labels: { kind }, value })),
    );
    this.topicTails = new TopicTails(this.topics, this.logReader, store.logs, this.metrics);
    const groupMetrics = new GroupMetrics(this.metrics);
    const states = new GroupStateManager(store.groups, groupMetrics, log);
    const groupOptions = { sessionMinTtlMs: config.sessionMinTtlMs, access: this.access };
    this.groups = new GroupCoordinator(store, states, this.topics, this.eventTail, groupOptions, groupMetrics, log);
    const recordsSent = this.metrics.counter('group_records_total', 'Records sent to members of groups.', ['via']);
    const memberReader = new MemberReader(this.topics, this.logReader, store.logs);
    const consumeParts = { states, reader: memberReader, logs: store.logs };
    this.groupConsumer = new GroupConsumer(consumeParts, () => store.connectionLosses, recordsSent);
    this.metrics.gauge(
      'group_prefetch_bytes',
      'Bytes of records prefetched for the next consume calls of members.',
      () => this.groupConsumer.prefetchedBytes,
    );
    this.groupOffsets = new GroupOffsets(store, states, this.topics, this.logReader, this.metrics);
    this.groupFigures = new GroupFigures(store, states, this.logFigures, log);
    this.groupDirectory = new GroupDirectory(store, states, this.topics, this.groupFigures);
    this.consumerInstances = new ConsumerInstances(store, this.groups, config.kafkaRestIdleTimeoutMs);
    this.instanceReader = new InstanceReader({
      instances: this.consumerInstances,
      states,
      consumer: this.groupConsumer,
      offsets: this.groupOffsets,
      reader: memberReader,
      logReader: this.logReader,
      topics: this.topics,
      logs: store.logs,
    });
    this.groupStreams = new GroupStreams({
      coordinator: this.groups,
      states,
      offsets: this.groupOffsets,
      topics: this.topics,
      reader: this.logReader,
      logs: store.logs,
      recordsSent,
    });
    const controller = new Controller(
      store.namespace,
      this.eventTail,
      this.registration,
      this.partitions,
      this.metrics,
      log,
    );
    this.topicDirectory = new TopicDirectory({
      namespace: store.namespace,
      topics: this.topics,
      partitions: this.partitions,
      logs: this.logFigures,
      groups: this.groupFigures,
      brokers: this.brokerDirectory,
    });
    new ClusterGroupMetrics(this.groupFigures, store.logs, () => controller.isController, this.metrics);
    createTopicMetrics(this.logFigures, () => controller.isController, this.metrics);
    const logMaintainer = new LogMaintainer({
      store,
      topics: this.topics,
      partitions: this.partitions,
      admin: this.partitionAdmin,
      reader: this.logReader,
      compactor: new LogCompactor(store.logMaintenance, this.metrics),
      metrics: this.metrics,
      log,
    });
    this.#parts = new Lifecycle(
      {
        eventTail: this.eventTail,
        topics: this.topics,
        partitions: this.partitions,
        logReader: this.logReader,
        logFigures: this.logFigures,
        groups: this.groups,
        offsetRetention: createOffsetRetention(store.committedOffsets, states, config, this.metrics, log),
        topicDeleter: createTopicDeleter(store, log),
        logMaintainer,
        sessionReaper: createSessionReaper(store.sessions, this.metrics, log, () => this.groups.timersDue()),
        nodeExpirer: createNodeExpirer(store.namespace, this.metrics, log),
        storedTotals: createStoredTotals(store, this.metrics, log),
        eventLoopLag: this.metrics.eventLoopLag,
        statsSampler: new StatsSampler({
          metrics: this.metrics,
          requests: this.requestDurations,
          groups: this.groupFigures,
          stats: this.stats,
          publish: options.publishSample ?? ((sample) => this.stats.add(mergeSamples([sample]))),
          log,
        }),
        producers: this.producers,
        storedQuotas: this.storedQuotas,
      },
      log,
    );
    const member = { start: () => this.registration.start(this.#url), stop: () => this.registration.stop() };
    this.#membership = new Lifecycle({ registration: member, controller }, log);
  }

  /** Aborted when the broker stops serving: long polls, streams and sockets end then. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Why requests cannot be served yet; undefined once it has started. */
  get startProblem(): ServiceError | undefined {
    return this.#isStarted ? undefined : this.store.notOpenError(this.#loading?.());
  }

  /**
   * Starts what requests depend on; the store must be open.
   * @param attempt runs a step, and may run it again if the store was lost meanwhile
   */
  async start(attempt: Attempt = (step) => step()): Promise<void> {
    await this.#parts.start(attempt);
    this.#isStarted = true;
  }

  /**
   * Registers the broker in the cluster, and lets it stand for election as the controller.
   * @param url the address at which clients reach it
   * @param attempt as for start()
   * @throws ServiceError NODE_EXISTS if another broker that is alive has its id
   */
  async register(url: string, attempt: Attempt = (step) => step()): Promise<void> {
    this.#url = url;
    await this.#membership.start(attempt);
  }

  /** Whether the broker is registered in the cluster, and is not about to stop. */
  get isRegistered(): boolean {
    return !this.#isLeaving && this.registration.session !== undefined;
  }

  /** Whether the broker has begun to stop; it may still serve for a while. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  /** Deregisters the broker: others take over its duties, and load balancers may notice. It still serves. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    await this.#membership.stop();
  }

  /** Ends all long polls, streams and sockets, so that the HTTP server can close. */
  endWaits(): void {
    this.#stopping.abort();
  }

  #countAudit(): void {
    const { metrics } = this;
    const { audit } = this.access;
    if (!audit) return;
    const count = (name: string, help: string, value: () => number) =>
      metrics.counters(name, help, [], () => [{ labels: {}, value: value() }]);
    count('audit_lines_total', 'Lines of the audit log, written or waiting.', () => audit.written);
    count('audit_lines_dropped_total', 'Lines of the audit log dropped, as too many waited.', () => audit.dropped);
    count('audit_errors_total', 'Failures of writing the audit log.', () => audit.errors);
  }

  /** Stops everything that start() started, in the reverse order; the store stays open. */
  async stop(): Promise<void> {
    await this.#parts.stop();
  }
}
