// The controller: one broker of the cluster, elected through the tree as Kafka's is, elects a live leader for every partition.
// The decisions are pure functions (core/cluster/leader-election.ts). Each is committed together with a check that the controller
// epoch is still the newest, so a broker whose term is over changes nothing, however late it runs.

import type { Logger } from 'pino';
import {
  brokerIdsPath,
  brokerPath,
  controllerEpochPath,
  controllerPath,
  encodeController,
} from '../../core/cluster/cluster-nodes.ts';
import {
  electAfterBounce,
  electPreferred,
  imbalancedPartitions,
  noLeader,
  type PartitionState,
} from '../../core/cluster/leader-election.ts';
import { required } from '../../core/required.ts';
import { hasCode } from '../../core/service-error.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { Transaction } from '../../store/tree/node-codec.ts';
import type { SessionCredential } from '../../store/tree/sessions.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';
import type { EventTail } from '../watches/event-tail.ts';
import { type BrokerRegistration, jsonContentType } from './broker-registration.ts';
import { type ControllerEpoch, ifExists, newestControllerEpoch } from './cluster.ts';
import type { PartitionCache, PartitionInfo } from './partition-cache.ts';
import { controllerEpochCheck, stateChange, statesPerTransactionMax } from './partition-changes.ts';

/** All partitions are checked at least this often, in case an earlier run has failed. */
const everyMs = 5000;
/**
 * How soon after a change of the live brokers preferred leaders are elected, and how often that is checked. Kafka waits 300 s, as
 * a change of leader interrupts the partition there; here it does not.
 */
const balanceDelayMs = 1000;
const balanceEveryMs = 15_000;
/** How soon a run is repeated after a conflict with another change: by then the event of that change has arrived. */
const conflictDelayMs = 50;

export class Controller {
  readonly #namespace: Namespace;
  readonly #tail: EventTail;
  readonly #registration: BrokerRegistration;
  readonly #partitions: PartitionCache;
  readonly #log: Logger;
  readonly #task: PeriodicTask;
  readonly #balance: PeriodicTask;
  readonly #elections;
  /** The term of this broker while it is the controller. */
  #term: ControllerEpoch | undefined;
  readonly #unsubscribe: (() => void)[] = [];

  constructor(
    namespace: Namespace,
    tail: EventTail,
    registration: BrokerRegistration,
    partitions: PartitionCache,
    metrics: Metrics,
    log: Logger,
  ) {
    this.#namespace = namespace;
    this.#tail = tail;
    this.#registration = registration;
    this.#partitions = partitions;
    this.#log = log;
    this.#task = new PeriodicTask('controller', everyMs, () => this.#run(), log);
    this.#balance = new PeriodicTask('balance of the leaders', balanceEveryMs, () => this.#balanceLeaders(), log);
    this.#elections = metrics.counter(
      'leader_elections_total',
      'Partition states that this broker changed as controller, by reason: a broker joined or left, or the preferred leader was elected.',
      ['kind'],
    );
    metrics.gauge('controller', 'Whether this broker is the controller (1) or not (0).', () => (this.#term ? 1 : 0));
    // As in Kafka, only the controller reports these, so that a sum over all brokers is right.
    metrics.gauge('offline_partitions', 'Partitions without a leader; 0 on all brokers but the controller.', () =>
      this.#count(({ leader }) => leader === noLeader),
    );
    metrics.gauge(
      'preferred_replica_imbalance',
      'Partitions whose leader is not their preferred one; 0 on all brokers but the controller.',
      () => this.#count(({ leader, replicas }) => leader !== replicas[0]),
    );
  }

  /** Whether this broker is the controller, as far as it knows. */
  get isController(): boolean {
    return this.#term !== undefined;
  }

  start(): void {
    this.#unsubscribe.push(
      this.#tail.subscribe((batch) => {
        if (batch.some(concernsController)) this.#task.trigger();
      }),
      // The event of this broker's node may come before its session is set, which the election needs.
      this.#registration.onRegistered(() => this.#task.trigger()),
      this.#partitions.onLoaded(() => this.#task.trigger()),
    );
    this.#task.start();
    this.#balance.start();
  }

  async stop(): Promise<void> {
    for (const stop of this.#unsubscribe) stop();
    await this.#balance.stop();
    await this.#task.stop();
    this.#term = undefined;
  }

  async #run(): Promise<void> {
    await this.#updateTerm();
    // While partitions are read again after a gap, nothing is decided.
    if (!this.#term || !this.#partitions.isComplete) return;
    const live = await this.#liveBrokers();
    const ids = new Set(live.keys());
    const changes = [...this.#partitions.all()].map((partition) => {
      // A broker that registered after this leader and ISR were written has restarted since.
      const bounced = [partition.leader, ...partition.isr].filter((id) => (live.get(id) ?? 0) > partition.mzxid);
      return { partition, next: electAfterBounce(partition, ids, new Set(bounced)) };
    });
    const changed = await this.#commit(this.#term, 'brokers', changes);
    if (changed > 0) {
      this.#balance.trigger(balanceDelayMs);
      this.#log.info(
        { partitions: changed, live: [...ids] },
        'The live brokers changed; partitions have new leaders or ISRs',
      );
    }
  }

  async #balanceLeaders(): Promise<void> {
    if (!this.#term || !this.#partitions.isComplete) return;
    const live = new Set((await this.#liveBrokers()).keys());
    const due = imbalancedPartitions(this.#partitions.all(), live);
    const changes = due.map((partition) => ({ partition, next: electPreferred(partition, live) }));
    const changed = this.#term ? await this.#commit(this.#term, 'preferred', changes) : 0;
    if (changed > 0) this.#log.info({ partitions: changed }, 'Preferred leaders were elected');
  }

  /** Reads from the tree whether this broker is the controller, and stands for election if there is none. */
  async #updateTerm(): Promise<void> {
    const { session } = this.#registration;
    const node = session && (await ifExists(this.#namespace.get(controllerPath)));
    if (!node || node.stat.ephemeralOwner !== session.id) {
      this.#resign();
      // While another broker is the controller there is no election; the deletion of its node is an event.
      if (session && !node) await this.#standForElection(session);
    } else if (!this.#term) {
      // This broker won the election though the reply was lost: then the epoch was written by the same transaction.
      const newest = await newestControllerEpoch(this.#namespace);
      if (newest?.mzxid === node.stat.czxid) this.#becomeController(newest);
    }
  }

  /** Kafka's election: creates the ephemeral node and sets the next epoch in one transaction, which only one broker can do. */
  async #standForElection(session: SessionCredential): Promise<void> {
    const last = await newestControllerEpoch(this.#namespace);
    const epoch = (last?.epoch ?? 0) + 1;
    const brokerId = this.#registration.brokerId;
    try {
      const { zxid, results } = await this.#namespace.write(
        [
          {
            op: 'create',
            path: controllerPath,
            data: encodeController(brokerId, Date.now()),
            contentType: jsonContentType,
            mode: 'ephemeral',
            session,
          },
          last
            ? { op: 'set', path: controllerEpochPath, data: String(epoch), version: last.version }
            : { op: 'create', path: controllerEpochPath, data: String(epoch) },
        ],
        { privileged: true, allowOom: true },
      );
      this.#becomeController({
        epoch,
        version: required(results[1]?.stat, 'stat of the controller epoch').version,
        mzxid: zxid,
      });
    } catch (error) {
      if (hasCode(error, 'SESSION_EXPIRED')) {
        this.#log.debug(
          { broker: brokerId },
          'The session of this broker has expired; it stands for election after it has registered again',
        );
      } else if (hasCode(error, 'NODE_EXISTS') || hasCode(error, 'BAD_VERSION')) {
        this.#log.debug({ broker: brokerId }, 'Another broker won the election of the controller');
      } else throw error;
    }
  }

  #becomeController(term: ControllerEpoch): void {
    this.#term = term;
    this.#log.info({ broker: this.#registration.brokerId, epoch: term.epoch }, 'This broker is the controller');
  }

  #resign(): void {
    if (!this.#term) return;
    this.#log.warn({ epoch: this.#term.epoch }, 'This broker is no longer the controller');
    this.#term = undefined;
  }

  /** The ids of the live brokers, each with its broker epoch: the czxid of its node. */
  async #liveBrokers(): Promise<Map<number, number>> {
    const ids = await this.#namespace.allChildren(brokerIdsPath);
    const stats = await Promise.all(ids.map((id) => ifExists(this.#namespace.stat(brokerPath(Number(id))))));
    return new Map(stats.flatMap((found, i) => (found ? [[Number(ids[i]), found.stat.czxid] as const] : [])));
  }

  /**
   * Writes the next states of partitions, provided that this term is the newest and the states that were decided on have not changed.
   * @returns how many were changed
   */
  async #commit(
    term: ControllerEpoch,
    kind: 'brokers' | 'preferred',
    decisions: { partition: PartitionInfo; next: PartitionState | undefined }[],
  ): Promise<number> {
    const changes = decisions.flatMap(({ partition, next }) =>
      next ? [stateChange(partition, next, term.epoch)] : [],
    );
    let changed = 0;
    for (let i = 0; i < changes.length; i += statesPerTransactionMax) {
      const batch = changes.slice(i, i + statesPerTransactionMax);
      try {
        await this.#namespace.write([controllerEpochCheck(term), ...batch], { privileged: true, allowOom: true });
      } catch (error) {
        if (!hasCode(error, 'BAD_VERSION') && !hasCode(error, 'NO_NODE')) throw error;
        // The term is over, or a partition has changed meanwhile; the event will arrive soon, and all are checked again.
        this.#log.debug(
          { err: error, kind },
          'Leaders were not elected: a partition or the controller has changed meanwhile',
        );
        this.#task.trigger(conflictDelayMs);
        break;
      }
      changed += batch.length;
      this.#elections.inc({ kind }, batch.length);
    }
    return changed;
  }

  #count(condition: (partition: PartitionInfo) => boolean): number {
    if (!this.#term) return 0;
    let count = 0;
    for (const partition of this.#partitions.all()) if (condition(partition)) count += 1;
    return count;
  }
}

/** Whether a broker registered or deregistered, or the node of the controller was created or deleted. */
function concernsController({ events }: Transaction): boolean {
  return events.some(
    ({ kind, path }) => kind !== 'changed' && (path === controllerPath || path.startsWith(`${brokerIdsPath}/`)),
  );
}
