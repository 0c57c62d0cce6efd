// Appends records to topics: gathered into batches, each of which is appended once, in the order of the calls.
import { closedError, isWeirError, WeirError } from './errors.ts';
import type { Http } from './http.ts';
import type { Link } from './link.ts';
import type { Settings } from './options.ts';
import { type Appended, type Batch, newBatch, ProducerLane } from './producer-lane.ts';
import { producedRecord, type RecordInput } from './record-input.ts';
import { type Duration, durationMs } from './time.ts';
import type { ProducedRecord, Producer as ProducerIdentity } from './wire.ts';

export interface ProducerOptions {
  /** The topic of records that name none. */
  topic?: string;
  /**
   * Makes it a named producer: every record is appended exactly once, and another producer with this name fences this one
   * (`PRODUCER_FENCED`). Without a name, repeats are told apart for 10 minutes.
   */
  name?: string;
  /** How long a record waits for others to share its request; default 5 ms. */
  linger?: Duration;
  /** Bytes of records in one request; default 256 KiB. */
  maxBytes?: number;
  /** Requests of a topic without a result; default 5, and no more for a named producer. */
  maxInFlight?: number;
  /** Bytes of records that wait for a result; beyond them `send` fails with `BUFFER_FULL`. Default 32 MiB. */
  maxBufferedBytes?: number;
  /** A fencing token, `name=<number>` or `/path@<czxid>`, or a function that gets the current one. */
  fence?: string | (() => string | undefined);
  /** all: until the replicas of the store have it, too. Default: 1. */
  acks?: '1' | 'all';
}

/** The server keeps the results of so many requests of a named producer. */
const namedInFlightMax = 5;
const bytesMaxDefault = 256 * 1024;
const bufferedBytesMaxDefault = 32 * 1024 * 1024;

interface Open {
  batch: Batch;
  timer: ReturnType<typeof setTimeout>;
}

export class Producer implements AsyncDisposable {
  readonly #http: Http;
  readonly #link: Link;
  readonly #settings: Settings;
  readonly #options: ProducerOptions;
  readonly #lingerMs: number;
  readonly #lanes = new Map<string, ProducerLane>();
  /** By topic: the batch that still takes records. */
  readonly #open = new Map<string, Open>();
  readonly #onClose: () => void;
  #buffered = 0;
  #pending = new Set<Promise<unknown>>();
  #roomWaiters: (() => void)[] = [];
  #identity: Promise<{ id: string; epoch: number }> | undefined;
  #endedBy: WeirError | undefined;

  constructor(http: Http, link: Link, settings: Settings, options: ProducerOptions, onClose: (part: Producer) => void) {
    this.#http = http;
    this.#link = link;
    this.#settings = settings;
    this.#options = options;
    this.#lingerMs = durationMs(options.linger ?? 5);
    this.#onClose = () => onClose(this);
  }

  /**
   * Appends a record, with others in one request. Resolves when the store has it.
   * @throws WeirError BUFFER_FULL if too much waits already (see `ready`), FENCED, PRODUCER_FENCED, UNKNOWN_TOPIC
   */
  async send(record: RecordInput): Promise<Appended> {
    const topic = this.#topicOf(record);
    const produced = producedRecord(record);
    const bytes = this.#reserve([produced]);
    const limit = this.#options.maxBytes ?? bytesMaxDefault;
    const full = this.#open.get(topic);
    if (full && full.batch.bytes + bytes > limit) this.#close(topic);
    const open = this.#open.get(topic) ?? this.#begin(topic);
    const index = open.batch.records.push(produced) - 1;
    open.batch.bytes += bytes;
    if (open.batch.bytes >= limit) this.#close(topic);
    const [appended] = (await open.batch.promise).slice(index);
    return appended ?? { partition: -1, offset: -1 };
  }

  /** Appends records in one request of their own: those for one partition together, or none of them. */
  async sendBatch(records: readonly RecordInput[]): Promise<Appended[]> {
    const [first] = records;
    if (!first) return [];
    const topic = this.#topicOf(first);
    if (records.some((record) => this.#topicOf(record) !== topic))
      throw new TypeError('The records of one batch belong to one topic.');
    const produced = records.map(producedRecord);
    const bytes = this.#reserve(produced);
    // What was sent before goes before it.
    this.#close(topic);
    const open = this.#begin(topic);
    open.batch.records.push(...produced);
    open.batch.bytes = bytes;
    this.#close(topic);
    return open.batch.promise;
  }

  /** Resolves when there is room for more records. */
  async ready(): Promise<void> {
    while (!this.#endedBy && this.#buffered >= this.#bufferedMax) {
      await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
    }
  }

  /** Sends at once what waits, and resolves when every record has a result, also those that failed. */
  async flush(): Promise<void> {
    for (const topic of [...this.#open.keys()]) this.#close(topic);
    while (this.#pending.size > 0) await Promise.allSettled([...this.#pending]);
  }

  /** Waits for all results, then takes no more records. */
  async close(): Promise<void> {
    this.#endedBy ??= closedError('The producer');
    await this.flush();
    this.#onClose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #bufferedMax(): number {
    return this.#options.maxBufferedBytes ?? bufferedBytesMaxDefault;
  }

  #topicOf({ topic = this.#options.topic }: RecordInput): string {
    if (topic === undefined) throw new TypeError('Neither the record nor the producer names a topic.');
    return topic;
  }

  /** @throws WeirError BUFFER_FULL, and why the producer has ended */
  #reserve(records: ProducedRecord[]): number {
    if (this.#endedBy) throw this.#endedBy;
    const bytes = records.reduce((sum, record) => sum + JSON.stringify(record).length, 0);
    if (this.#buffered > 0 && this.#buffered + bytes > this.#bufferedMax) {
      const detail = `${this.#buffered} bytes of records wait for their results; wait for ready() before sending more.`;
      throw new WeirError({ code: 'BUFFER_FULL', detail, retryable: true });
    }
    this.#buffered += bytes;
    return bytes;
  }

  #begin(topic: string): Open {
    const batch = newBatch();
    const { promise } = batch;
    this.#pending.add(promise);
    const settle = () => void this.#pending.delete(promise);
    promise.then(settle, settle);
    const open = { batch, timer: setTimeout(() => this.#close(topic), this.#lingerMs) };
    this.#open.set(topic, open);
    return open;
  }

  /** Sends the batch of a topic that still takes records. */
  #close(topic: string): void {
    const open = this.#open.get(topic);
    if (!open) return;
    this.#open.delete(topic);
    clearTimeout(open.timer);
    this.#laneOf(topic).add(open.batch);
  }

  #laneOf(topic: string): ProducerLane {
    const { name, maxInFlight = namedInFlightMax, fence, acks = '1' } = this.#options;
    let lane = this.#lanes.get(topic);
    if (!lane) {
      lane = new ProducerLane(this.#link, this.#settings, {
        topic,
        acks,
        maxInFlight: name === undefined ? maxInFlight : Math.min(maxInFlight, namedInFlightMax),
        fence: () => (typeof fence === 'function' ? fence() : fence),
        identity: name === undefined ? undefined : (renew) => this.#identify(name, renew),
        settled: ({ bytes }) => {
          this.#buffered -= bytes;
          for (const wake of this.#roomWaiters.splice(0)) wake();
        },
      });
      this.#lanes.set(topic, lane);
    }
    return lane;
  }

  async #identify(name: string, renew: boolean): Promise<{ id: string; epoch: number }> {
    if (renew) this.#identity = undefined;
    this.#identity ??= this.#http
      .json<ProducerIdentity>({ method: 'POST', path: '/v1/producers', body: { name } })
      .then(({ id, epoch }) => ({ id, epoch }));
    try {
      return await this.#identity;
    } catch (error) {
      this.#identity = undefined;
      if (isWeirError(error) && !error.retryable) this.#endedBy ??= error;
      throw error;
    }
  }
}
