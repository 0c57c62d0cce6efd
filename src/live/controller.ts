// The controller: one broker of the cluster, elected in the tree as Kafka's is, that keeps every partition led by a live
// broker. Its decisions are the pure functions of core/leader-election; each is committed together with a check that
// its epoch is still the newest, so a deposed controller changes nothing.
import type { Logger } from 'pino';
import {
  brokerIdsPath,
  controllerEpochPath,
  controllerPath,
  decodeController,
  decodePartitionState,
  decodeTopic,
  encodeController,
  encodePartitionState,
  partitionStatePath,
  topicPath,
  topicsPath,
} from '../core/cluster-nodes.ts';
import { electAfterBrokerChange, type PartitionState } from '../core/leader-election.ts';
import { hasCode } from '../core/service-error.ts';
import type { Namespace, Op } from '../store/namespace.ts';
import type { Transaction } from '../store/node-codec.ts';
import type { BrokerRegistration } from './broker-registration.ts';
import { jsonContentType } from './broker-registration.ts';
import type { EventTail } from './event-tail.ts';
import type { Metrics } from './metrics.ts';
import { Repeat } from './repeat.ts';

/** A look at everything even if no event asked for it, in case one was missed. */
const everyMs = 5000;
/** How many partition states one transaction changes: a few ms of the store's time. */
const statesPerTransactionMax = 200;

/** What this broker holds while it is the controller: `version` of /controller_epoch fences its writes. */
interface Reign {
  epoch: number;
  version: number;
}

export class Controller {
  readonly #namespace: Namespace;
  readonly #tail: EventTail;
  readonly #registration: BrokerRegistration;
  readonly #log: Logger;
  readonly #chore: Repeat;
  readonly #elections;
  #reign: Reign | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(namespace: Namespace, tail: EventTail, registration: BrokerRegistration, metrics: Metrics, log: Logger) {
    this.#namespace = namespace;
    this.#tail = tail;
    this.#registration = registration;
    this.#log = log;
    this.#chore = new Repeat('controller', everyMs, () => this.#run(), log);
    this.#elections = metrics.counter(
      'leader_elections_total',
      'Partition states that this broker changed as controller.',
    );
    metrics.gauge('controller', 'Whether this broker is the controller (1) or not (0).', () => (this.#reign ? 1 : 0));
  }

  start(): void {
    this.#unsubscribe = this.#tail.subscribe((batch) => {
      if (batch.some(concernsController)) this.#chore.trigger();
    });
    this.#chore.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    await this.#chore.stop();
    this.#reign = undefined;
  }

  async #run(): Promise<void> {
    const session = this.#registration.session;
    if (!session) {
      this.#reign = undefined;
      return;
    }
    if (!(await this.#holdsOffice())) await this.#standForElection();
    if (this.#reign) await this.#electLeaders(this.#reign);
  }

  /** Whether the office is ours, by the tree; also learns from it that it has been lost. */
  async #holdsOffice(): Promise<boolean> {
    try {
      const { data, stat } = await this.#namespace.get(controllerPath);
      const ours =
        decodeController(data).brokerId === this.#registration.brokerId &&
        stat.ephemeralOwner === this.#registration.session?.id;
      if (!ours) this.#reign = undefined;
      // Somebody holds it: there is nothing to win now; when it falls vacant an event says so.
      return true;
    } catch (error) {
      if (!hasCode(error, 'NO_NODE')) throw error;
      this.#reign = undefined;
      return false;
    }
  }

  /** Kafka's election: the ephemeral node and the next epoch in one transaction; whoever comes second fails. */
  async #standForElection(): Promise<void> {
    const session = this.#registration.session;
    if (!session) return;
    const last = await this.#namespace.get(controllerEpochPath).catch((error: unknown) => {
      if (hasCode(error, 'NO_NODE')) return undefined;
      throw error;
    });
    const epoch = last ? Number(last.data.toString()) + 1 : 1;
    const brokerId = this.#registration.brokerId;
    try {
      const { results } = await this.#namespace.write(
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
            ? { op: 'set', path: controllerEpochPath, data: String(epoch), version: last.stat.version }
            : { op: 'create', path: controllerEpochPath, data: String(epoch) },
        ],
        { privileged: true },
      );
      this.#reign = { epoch, version: results[1]!.stat!.version };
      this.#log.info({ broker: brokerId, epoch }, 'This broker is the controller');
    } catch (error) {
      if (!hasCode(error, 'NODE_EXISTS') && !hasCode(error, 'BAD_VERSION')) throw error;
      this.#log.debug({ broker: brokerId }, 'Another broker won the election of the controller');
    }
  }

  /** Gives every partition whose leader or ISR does not fit the live brokers its next state. */
  async #electLeaders(reign: Reign): Promise<void> {
    const live = new Set((await this.#namespace.allChildren(brokerIdsPath)).map(Number));
    const changes: Op[] = [];
    for (const topic of await this.#namespace.allChildren(topicsPath)) {
      changes.push(...(await this.#changesOf(topic, live, reign)));
    }
    for (let i = 0; i < changes.length; i += statesPerTransactionMax) {
      const batch = changes.slice(i, i + statesPerTransactionMax);
      const fence: Op = { op: 'check', path: controllerEpochPath, version: reign.version };
      try {
        await this.#namespace.write([fence, ...batch], { privileged: true });
      } catch (error) {
        if (!hasCode(error, 'BAD_VERSION') && !hasCode(error, 'NO_NODE')) throw error;
        // Deposed, or a partition changed under our hands: look again from the start.
        this.#chore.trigger();
        return;
      }
      this.#elections.inc(batch.length);
      this.#log.info({ partitions: batch.length, live: [...live] }, 'Partitions have new leaders or replicas in sync');
    }
  }

  async #changesOf(topic: string, live: ReadonlySet<number>, reign: Reign): Promise<Op[]> {
    try {
      const { replicas } = decodeTopic((await this.#namespace.get(topicPath(topic))).data);
      const changes = await Promise.all(
        replicas.map((assigned, partition) =>
          this.#changeOf(partitionStatePath(topic, partition), assigned, live, reign),
        ),
      );
      return changes.filter((change) => change !== undefined);
    } catch (error) {
      // The topic was deleted while we looked at it.
      if (hasCode(error, 'NO_NODE')) return [];
      throw error;
    }
  }

  async #changeOf(
    path: string,
    replicas: readonly number[],
    live: ReadonlySet<number>,
    reign: Reign,
  ): Promise<Op | undefined> {
    const { data, stat } = await this.#namespace.get(path);
    const state: PartitionState = decodePartitionState(data, replicas);
    const next = electAfterBrokerChange(state, live);
    if (!next) return undefined;
    return {
      op: 'set',
      path,
      data: encodePartitionState(next, reign.epoch),
      contentType: jsonContentType,
      version: stat.version,
    };
  }
}

/** Brokers that come and go, topics that are made, and the office itself. */
function concernsController({ events }: Transaction): boolean {
  return events.some(
    ({ kind, path }) =>
      kind !== 'changed' &&
      (path === controllerPath || path.startsWith(`${brokerIdsPath}/`) || /^\/brokers\/topics\/[^/]+$/.test(path)),
  );
}
