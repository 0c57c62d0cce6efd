// The batches of one producer for one topic: sent in order, several at a time, and brought back into order when one is refused.
import { isWeirError, type WeirError } from './errors.ts';
import type { Link } from './link.ts';
import { backoffMs, type Settings } from './options.ts';
import { type Deferred, deferred, now, sleep, uniqueId } from './time.ts';
import type { Produced, ProducedRecord } from './wire.ts';

/** Where a record is. */
export interface Appended {
  partition: number;
  offset: number;
}

/** Records that are sent in one request. */
export interface Batch extends Deferred<Appended[]> {
  readonly records: ProducedRecord[];
  bytes: number;
  readonly createdAt: number;
  /** Its place among the batches of the topic. */
  order: number;
  /** Tells a repeat from another batch: the key of an unnamed producer. */
  readonly key: string;
  /** The same of a named producer, in its epoch. */
  sequence: number | undefined;
}

interface LaneOptions {
  topic: string;
  maxInFlight: number;
  acks: '1' | 'all';
  fence(): string | undefined;
  /** The id and epoch of a named producer. @param renew the sequence of the last epoch is not known any more */
  identity: ((renew: boolean) => Promise<{ id: string; epoch: number }>) | undefined;
  /** A batch has a result. */
  settled(batch: Batch): void;
}

export class ProducerLane {
  readonly #link: Link;
  readonly #settings: Settings;
  readonly #options: LaneOptions;
  #waiting: Batch[] = [];
  readonly #inFlight = new Set<Batch>();
  /** Batches that are to be sent again, once nothing is in flight. */
  #again: Batch[] = [];
  #isRecovering = false;
  #mustRenew = false;
  #attempts = 0;
  #orders = 0;
  #nextSequence = 0;

  constructor(link: Link, settings: Settings, options: LaneOptions) {
    this.#link = link;
    this.#settings = settings;
    this.#options = options;
  }

  add(batch: Batch): void {
    batch.order = this.#orders;
    this.#orders += 1;
    this.#waiting.push(batch);
    this.#pump();
  }

  /** Everything that has no result fails. */
  fail(error: WeirError): void {
    for (const batch of [...this.#waiting, ...this.#again]) this.#reject(batch, error);
    this.#waiting = [];
    this.#again = [];
  }

  #pump(): void {
    while (!this.#isRecovering && this.#inFlight.size < this.#options.maxInFlight) {
      const batch = this.#waiting.shift();
      if (!batch) return;
      if (this.#options.identity && batch.sequence === undefined) {
        batch.sequence = this.#nextSequence;
        this.#nextSequence += 1;
      }
      this.#inFlight.add(batch);
      void this.#send(batch);
    }
  }

  async #send(batch: Batch): Promise<void> {
    const { topic, acks, identity, fence } = this.#options;
    try {
      const producer = await identity?.(false);
      const { ok } = await this.#link.request<Produced>(
        {
          op: 'produce',
          topic,
          records: batch.records,
          acks,
          offsets: true,
          fence: fence(),
          ...(producer ? { producer: { ...producer, sequence: batch.sequence } } : { idempotencyKey: batch.key }),
        },
        { isTriedOnce: true },
      );
      this.#inFlight.delete(batch);
      this.#attempts = 0;
      batch.resolve((ok.offsets ?? []).map(([partition, offset]) => ({ partition, offset })));
      this.#options.settled(batch);
    } catch (error) {
      this.#inFlight.delete(batch);
      this.#refused(batch, error);
    }
    if (this.#isRecovering && this.#inFlight.size === 0) void this.#recover();
    else this.#pump();
  }

  #refused(batch: Batch, error: unknown): void {
    const isFollower = this.#isRecovering && isWeirError(error, 'OUT_OF_ORDER_SEQUENCE');
    const hasTime = now() - batch.createdAt < this.#settings.retryForMs;
    const mayPass = isWeirError(error) && error.retryable && error.code !== 'UNREACHABLE' && hasTime;
    if (isFollower || mayPass) {
      this.#isRecovering = true;
      this.#again.push(batch);
      return;
    }
    this.#reject(batch, error);
    if (batch.sequence === undefined) return;
    // Those behind it have numbers that will never be their turn.
    this.#isRecovering = true;
    if (isWeirError(error) && error.maybeDone) this.#mustRenew = true;
    else this.#closeGap(batch.sequence);
  }

  #closeGap(sequence: number): void {
    this.#nextSequence -= 1;
    for (const batch of [...this.#again, ...this.#waiting, ...this.#inFlight]) {
      if (batch.sequence !== undefined && batch.sequence > sequence) batch.sequence -= 1;
    }
  }

  /** Nothing is in flight: sends again what was refused, in order, after a pause. */
  async #recover(): Promise<void> {
    this.#waiting = [...this.#again.sort((a, b) => a.order - b.order), ...this.#waiting];
    this.#again = [];
    if (this.#waiting.length > 0 && !this.#mustRenew) await sleep(backoffMs(this.#settings, this.#attempts));
    this.#attempts += 1;
    if (this.#mustRenew) {
      this.#mustRenew = false;
      this.#nextSequence = 0;
      for (const batch of this.#waiting) batch.sequence = undefined;
      await this.#options.identity?.(true).catch(() => {});
    }
    this.#isRecovering = false;
    this.#pump();
  }

  #reject(batch: Batch, error: unknown): void {
    batch.reject(error);
    this.#options.settled(batch);
  }
}

export function newBatch(): Batch {
  return {
    records: [],
    bytes: 0,
    createdAt: now(),
    order: 0,
    key: uniqueId(),
    sequence: undefined,
    ...deferred<Appended[]>(),
  };
}
