// Registers named producers and expires idle ones. A new epoch is written to all logs that may know the producer before it is
// returned to the client, so that nothing of an older epoch is appended after that (docs/adr/007).
import type { Logger } from 'pino';
import type { Actor } from '../../core/actor.ts';
import type { IdempotencyKey } from '../../store/idempotency.ts';
import type { DueProducer, LogId } from '../../store/log/producers.ts';
import type { Store } from '../../store/store.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';

/** Half of the 10 s within which an idle producer expires. */
const everyMs = 5000;
const producersPerStepMax = 100;
/** How many logs are written to or read at once. */
const logsAtOnceMax = 200;

export class NamedProducers {
  readonly #store: Store;
  readonly #idleMsMax: number;
  readonly #log: Logger;
  readonly #expiry: PeriodicTask;
  #total = 0;
  readonly #epochs;
  readonly #expired;

  /** @param idleMsMax how long an unused producer is kept, in ms: Kafka's `producer.id.expiration.ms` */
  constructor(store: Store, idleMsMax: number, metrics: Metrics, log: Logger) {
    this.#store = store;
    this.#idleMsMax = idleMsMax;
    this.#log = log;
    this.#epochs = metrics.counter(
      'producer_epochs_total',
      'Producer epochs that this broker assigned to named producers.',
    );
    this.#expired = metrics.counter('producers_expired_total', 'Idle named producers that this broker removed.');
    metrics.gauge(
      'producers',
      'Named producers in the cluster, as this broker read it last.',
      () => this.#total,
      'max',
    );
    this.#expiry = new PeriodicTask('producer expiry', Math.min(everyMs, idleMsMax), () => this.#expire(), log);
  }

  start(): void {
    this.#expiry.start();
  }

  async stop(): Promise<void> {
    await this.#expiry.stop();
  }

  /**
   * Gives a producer its next epoch. When this returns, no log accepts records of an older epoch.
   * @returns `replayed` = the epoch was given by an earlier request with the same Idempotency-Key
   * @throws ServiceError FORBIDDEN, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS
   */
  async register(
    name: string,
    actor: Actor,
    idempotency?: IdempotencyKey,
  ): Promise<{ id: string; epoch: number; replayed: boolean }> {
    const { id, epoch, identity, logs, replayed } = await this.#store.producers.register(name, actor, idempotency);
    // For a repeat, too: the first request may have failed before all logs had the epoch.
    await inSteps(logs, ({ topicId, partition }) =>
      this.#store.logs.fenceProducer(topicId, partition, { id, epoch, identity }),
    );
    if (!replayed) this.#epochs.inc();
    return { id, epoch, replayed };
  }

  /** Expires idle producers. Every broker runs this; several at once do no harm. */
  async #expire(): Promise<void> {
    for (;;) {
      const { producers, total } = await this.#store.producers.claimDue(this.#idleMsMax, producersPerStepMax);
      this.#total = total;
      for (const producer of producers) if (await this.#expireIfIdle(producer)) this.#total -= 1;
      if (producers.length < producersPerStepMax) return;
    }
  }

  /** Reads from the logs of a producer when it was used last, and removes it if that is too long ago. @returns whether it was removed */
  async #expireIfIdle(producer: DueProducer): Promise<boolean> {
    const { id, logs } = producer;
    const gone: LogId[] = [];
    let usedAt: number | undefined;
    await inSteps(logs, async (log) => {
      const used = await this.#store.logs.expireProducer(log.topicId, log.partition, id, this.#idleMsMax);
      if (used === undefined) gone.push(log);
      else usedAt = Math.max(usedAt ?? 0, used);
    });
    const ended = await this.#store.producers.updateDue(producer, usedAt, gone);
    if (ended) {
      this.#expired.inc();
      this.#log.debug({ producer: id }, 'Idle named producer expired');
    }
    return ended;
  }
}

async function inSteps(logs: readonly LogId[], act: (log: LogId) => Promise<void>): Promise<void> {
  for (let i = 0; i < logs.length; i += logsAtOnceMax) await Promise.all(logs.slice(i, i + logsAtOnceMax).map(act));
}
