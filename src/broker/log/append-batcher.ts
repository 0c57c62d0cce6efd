// Appends batches to their logs, one append at a time for each partition: batches that arrive during an append are sent
// together in the next one, as one append batch.
import { required } from '../../core/required.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { AppendResult } from '../../store/log/log-replies.ts';
import type { BatchToAppend, Logs } from '../../store/log/logs.ts';
import { droppedError, type Origin } from '../../store/origin.ts';
import type { TopicInfo } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import { compressRecords } from './batch-compression.ts';
import { logKey } from './batch-source.ts';
import type { TopicTraffic } from './topic-traffic.ts';

interface Pending {
  batch: BatchToAppend;
  /** The compressed batch, if its topic is compressed: that is done while earlier batches are appended. */
  compressed: Promise<BatchToAppend> | undefined;
  origin: Origin | undefined;
  /** Bytes of the records as they were given, as long as they count as in flight. */
  bytesInFlight: number;
  resolve(appended: AppendResult): void;
  reject(error: unknown): void;
}

/** Limits of one append batch, so that it does not block Redis for long. A single batch is always sent. */
const appendBatchesMax = 256;
const appendBatchBytesMax = 4 * 1024 * 1024;

export class AppendBatcher {
  readonly #logs: Logs;
  readonly #traffic: TopicTraffic;
  /** By log, the batches that wait for the next append; a log has an entry while an append is in flight. */
  readonly #queues = new Map<string, Pending[]>();
  #bytesInFlight = 0;
  readonly #appendedRecords;
  readonly #appendedBytes;
  readonly #replays;
  readonly #duration;

  constructor(logs: Logs, traffic: TopicTraffic, metrics: Metrics) {
    this.#logs = logs;
    this.#traffic = traffic;
    this.#appendedRecords = metrics.counter('records_appended_total', 'Records appended to logs by this broker.');
    this.#appendedBytes = metrics.counter('appended_bytes_total', 'Bytes of records appended to logs by this broker.');
    this.#replays = metrics.counter(
      'appends_replayed_total',
      'Repeated batches that this broker did not append again.',
    );
    this.#duration = metrics.histogram(
      'append_duration_seconds',
      'Time of one append batch, from sending it to its reply.',
    );
  }

  /** Bytes of records that wait for an append or for its reply. */
  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /**
   * Appends a batch with the next append batch of its partition. It is in the queue when this returns.
   * @param origin the sender, whose batch is dropped if it is dead before the batch is sent
   * @returns where it was appended, or where its first try was
   * @throws ServiceError as Logs.append() (store/log/logs.ts)
   */
  append(topic: TopicInfo, partition: number, batch: BatchToAppend, origin?: Origin): Promise<AppendResult> {
    const isCompressed = topic.config['compression.type'] === 'gzip';
    const size = batch.records.length;
    this.#bytesInFlight += size;
    return new Promise<AppendResult>((resolve, reject) => {
      const compressed = isCompressed ? compressedBatch(batch) : undefined;
      const pending = { batch, compressed, origin, bytesInFlight: size, resolve, reject };
      const key = logKey(topic.topicId, partition);
      const queue = this.#queues.get(key);
      if (queue) {
        queue.push(pending);
        return;
      }
      const newQueue = [pending];
      this.#queues.set(key, newQueue);
      void this.#flush(topic, partition, newQueue, () => this.#queues.delete(key));
    });
  }

  /**
   * Sends one append batch after the other until the queue is empty, then calls `close`. That must be in the same tick as the last
   * check of the queue: a batch added in between would wait for ever.
   */
  async #flush(topic: TopicInfo, partition: number, queue: Pending[], close: () => void): Promise<void> {
    while (queue.length > 0) {
      const appendBatch = queue.splice(0, appendBatchSize(queue));
      try {
        await this.#send(topic, partition, appendBatch);
      } catch (error) {
        this.#reject(appendBatch, error);
        // Batches that wait are refused, too: no request waits twice for a store that is away (guarantee E3), and none is appended
        // to a log that is missing now and may be created again before an earlier one is tried again.
        if (hasCode(error, 'STORE_UNAVAILABLE')) this.#reject(queue.splice(0), new AppendNotSentError());
        else if (hasCode(error, 'UNKNOWN_TOPIC')) this.#reject(queue.splice(0), error);
      }
    }
    close();
  }

  async #send({ name, topicId }: TopicInfo, partition: number, appendBatch: Pending[]): Promise<void> {
    await ready(appendBatch);
    const dead = takeDead(appendBatch);
    if (dead.length > 0) this.#reject(dead, droppedError());
    if (appendBatch.length === 0) return;
    const end = this.#duration.startTimer();
    const batches = appendBatch.map(({ batch }) => batch);
    const results = await this.#logs.append(topicId, partition, batches).finally(end);
    let [records, bytes] = [0, 0];
    for (const [index, pending] of appendBatch.entries()) {
      const result = required(results[index], 'result of an append');
      if (result instanceof ServiceError) {
        this.#reject([pending], result);
        continue;
      }
      if (result.replayed) this.#replays.inc();
      else {
        records += pending.batch.count;
        bytes += pending.batch.records.length;
      }
      this.#release(pending);
      pending.resolve(result);
    }
    if (records === 0) return;
    this.#appendedRecords.inc(records);
    this.#appendedBytes.inc(bytes);
    this.#traffic.noteAppended(name, records, bytes);
  }

  #reject(refused: readonly Pending[], error: unknown): void {
    for (const pending of refused) {
      this.#release(pending);
      pending.reject(error);
    }
  }

  /** Once for each: a defect after some were resolved rejects them as well, which has no effect, and must not make room twice. */
  #release(pending: Pending): void {
    this.#bytesInFlight -= pending.bytesInFlight;
    pending.bytesInFlight = 0;
  }
}

async function compressedBatch(batch: BatchToAppend): Promise<BatchToAppend> {
  return { ...batch, records: await compressRecords(batch.records) };
}

/** Waits until the batches are as they are stored; without compression they are at once. */
async function ready(appendBatch: readonly Pending[]): Promise<void> {
  if (appendBatch.every(({ compressed }) => compressed === undefined)) return;
  await Promise.all(
    appendBatch.map(async (pending) => {
      pending.batch = await (pending.compressed ?? pending.batch);
    }),
  );
}

/** Removes the batches whose sender is dead, and returns them. */
function takeDead(appendBatch: Pending[]): Pending[] {
  if (!appendBatch.some(({ origin }) => origin?.isDead)) return [];
  const all = appendBatch.splice(0);
  for (const pending of all) if (!pending.origin?.isDead) appendBatch.push(pending);
  return all.filter(({ origin }) => origin?.isDead);
}

/** How many of the waiting batches fit into one append batch. */
function appendBatchSize(queue: readonly Pending[]): number {
  let bytes = 0;
  let count = 0;
  for (const { batch } of queue) {
    bytes += batch.records.length;
    if (count > 0 && (count === appendBatchesMax || bytes > appendBatchBytesMax)) break;
    count += 1;
  }
  return count;
}

/** The failure of an append that was not sent, because an earlier one had failed: nothing was written. */
export class AppendNotSentError extends ServiceError {
  constructor() {
    super(
      'STORE_UNAVAILABLE',
      'The store did not reply to earlier appends to this partition, so this one was not sent; nothing was written. Try again.',
    );
  }
}
