// The controller: one broker of the cluster, elected in the tree as Kafka's is, that keeps every partition led by a live
// broker. Its decisions are the pure functions of core/leader-election; each is committed together with a check that
// its epoch is still the newest, so a deposed controller changes nothing, whenever it wakes.
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

/** A look at everything even if no event asked for it, in case a round has failed. */
const everyMs = 5000;
/**
 * How soon after brokers came or went leaders are brought back to their preferred brokers, and how often it is looked whether
 * they need to be. Kafka waits 300 s, as a leader that moves costs it a pause of the partition; here it costs nothing.
 */
const balanceDelayMs = 1000;
const balanceEveryMs = 15_000;
/** How soon a round that met another change looks again: by then the event of that change is here. */
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
  /** What this broker holds while it is the controller. */
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
      'Partition states that this broker changed as controller, by why: brokers came or went, or the preferred leader was due.',
      ['kind'],
    );
    metrics.gauge('controller', 'Whether this broker is the controller (1) or not (0).', () => (this.#term ? 1 : 0));
    // As Kafka's own figures do, these count on the controller alone, so that a sum over all brokers is right.
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
      // The event of its own node may have come before there was a session to stand for election with.
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
    await this.#serveTerm();
    // What is being read anew is decided on when that is done.
    if (!this.#term || !this.#partitions.isComplete) return;
    const live = await this.#liveBrokers();
    const ids = new Set(live.keys());
    const changes = [...this.#partitions.all()].map((partition) => {
      // Who registered after this leader and ISR were written is not the run of the broker that they speak of.
      const bounced = [partition.leader, ...partition.isr].filter((id) => (live.get(id) ?? 0) > partition.mzxid);
      return { partition, next: electAfterBounce(partition, ids, new Set(bounced)) };
    });
    const changed = await this.#commit(this.#term, 'brokers', changes);
    if (changed > 0) {
      this.#balance.trigger(balanceDelayMs);
      this.#log.info(
        { partitions: changed, live: [...ids] },
        'Brokers came or went: partitions have new leaders or ISRs',
      );
    }
  }

  async #balanceLeaders(): Promise<void> {
    if (!this.#term || !this.#partitions.isComplete) return;
    const live = new Set((await this.#liveBrokers()).keys());
    const due = imbalancedPartitions(this.#partitions.all(), live);
    const changes = due.map((partition) => ({ partition, next: electPreferred(partition, live) }));
    const changed = this.#term ? await this.#commit(this.#term, 'preferred', changes) : 0;
    if (changed > 0) this.#log.info({ partitions: changed }, 'Partitions are led by their preferred leaders again');
  }

  /** Takes the office if it is vacant; learns from the tree whether it is this broker's. */
  async #serveTerm(): Promise<void> {
    const { session } = this.#registration;
    const office = session && (await ifExists(this.#namespace.get(controllerPath)));
    if (!office || office.stat.ephemeralOwner !== session.id) {
      this.#resign();
      // If it is another's there is nothing to win; when it falls vacant an event says so.
      if (session && !office) await this.#standForElection(session);
    } else if (!this.#term) {
      // It was won, though the answer was lost: then the epoch is of the same transaction.
      const newest = await newestControllerEpoch(this.#namespace);
      if (newest?.mzxid === office.stat.czxid) this.#becomeController(newest);
    }
  }

  /** Kafka's election: the ephemeral node and the next epoch in one transaction; whoever comes second fails. */
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
      this.#becomeController({ epoch, version: results[1]!.stat!.version, mzxid: zxid });
    } catch (error) {
      if (hasCode(error, 'SESSION_EXPIRED')) {
        this.#log.debug({ broker: brokerId }, 'The session to stand for election with is over; after a new one');
      } else if (hasCode(error, 'NODE_EXISTS') || hasCode(error, 'BAD_VERSION')) {
        this.#log.debug({ broker: brokerId }, 'Another broker won the election of the controller');
      } else throw error;
    }
  }

  #becomeController(reign: ControllerEpoch): void {
    this.#term = reign;
    this.#log.info({ broker: this.#registration.brokerId, epoch: reign.epoch }, 'This broker is the controller');
  }

  #resign(): void {
    if (!this.#term) return;
    this.#log.warn({ epoch: this.#term.epoch }, 'This broker is no longer the controller');
    this.#term = undefined;
  }

  /** The live brokers, each with its epoch: the czxid of its node. */
  async #liveBrokers(): Promise<Map<number, number>> {
    const ids = await this.#namespace.allChildren(brokerIdsPath);
    const stats = await Promise.all(ids.map((id) => ifExists(this.#namespace.stat(brokerPath(Number(id))))));
    return new Map(stats.flatMap((found, i) => (found ? [[Number(ids[i]), found.stat.czxid] as const] : [])));
  }

  /**
   * Takes partitions to their next states, as long as this is the newest controller and they are still in the states that were
   * decided on. @returns how many were changed
   */
  async #commit(
    reign: ControllerEpoch,
    kind: 'brokers' | 'preferred',
    decisions: { partition: PartitionInfo; next: PartitionState | undefined }[],
  ): Promise<number> {
    const changes = decisions.flatMap(({ partition, next }) =>
      next ? [stateChange(partition, next, reign.epoch)] : [],
    );
    let changed = 0;
    for (let i = 0; i < changes.length; i += statesPerTransactionMax) {
      const batch = changes.slice(i, i + statesPerTransactionMax);
      try {
        await this.#namespace.write([controllerEpochCheck(reign), ...batch], { privileged: true, allowOom: true });
      } catch (error) {
        if (!hasCode(error, 'BAD_VERSION') && !hasCode(error, 'NO_NODE')) throw error;
        // Deposed, or a partition was changed under our hands: its event is on its way. Then look again from the start.
        this.#log.debug({ err: error, kind }, 'An election came too late');
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

/** Brokers that come and go, and the office itself. */
function concernsController({ events }: Transaction): boolean {
  return events.some(
    ({ kind, path }) => kind !== 'changed' && (path === controllerPath || path.startsWith(`${brokerIdsPath}/`)),
  );
}
